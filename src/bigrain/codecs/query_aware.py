"""Reduction that looks at queries: what matters is <x, q>, and queries may point elsewhere.

Tepper et al., LeanVec (2023), and the closed form without orthogonality of its sequel (papers/A-5
section 4): with the queries' second moments K and W = K^(1/2), the best rank-w approximation of all
inner products comes from the leading eigenvectors E of W C W, C the data's covariance,

    x -> E^T W x,    q -> E^T W^-1 q.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bigrain.codecs.reduction import principal_components

__all__ = ["sphering"]

Floats = npt.NDArray[np.float32]
RIDGE = 1e-3  # of the mean eigenvalue: what is added for directions that no query has


def sphering(
    covariance: npt.NDArray[np.float64], queries: Floats, width: int
) -> tuple[Floats, Floats]:
    """(A, B), both (width, d): A for data of a (d, d) covariance, B for queries like (m, d)."""
    dim = len(covariance)
    moments = queries.T.astype(np.float64) @ queries / max(len(queries), 1)
    mean = np.trace(moments) / dim
    if not mean > 0:
        rows = principal_components(covariance, width)
        return rows, rows
    values, vectors = np.linalg.eigh(moments)
    root = np.sqrt(np.maximum(values, 0) / mean + RIDGE)
    whiten = (vectors * root) @ vectors.T
    leading = principal_components(whiten @ covariance @ whiten, width).astype(np.float64)
    back = (vectors / root) @ vectors.T
    return (leading @ whiten).astype(np.float32), (leading @ back).astype(np.float32)
