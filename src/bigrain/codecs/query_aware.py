"""Reduction that looks at queries: what matters is <x, q>, and queries may point elsewhere.

Tepper et al., LeanVec (2023; papers/A-5 section 4): the projection should lose little of the
products of data with queries, tr(C L K L), where C and K are the second moments of both and L what
is left out.

`query_aware_components` keeps orthonormal rows, the leading eigenvectors of a mixture of C and K,
and searches the mixture; principal components are one of those tried. `sphering` is the best linear
reduction where rows need not be orthonormal; codes of such vectors are coarser (it makes |A x| |B
q|, by which they err, larger), so it serves where reduced vectors are kept as they are.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bigrain.codecs.reduction import principal_components

__all__ = ["lost_products", "query_aware_components", "sphering"]

Floats = npt.NDArray[np.float32]
Moments = npt.NDArray[np.float64]
MIXTURES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
RIDGE = 1e-3  # of the mean eigenvalue: what is added for directions that no query has


def query_aware_components(covariance: Moments, queries: Floats, width: int) -> Floats:
    """(width, d) orthonormal rows for data of a (d, d) covariance and queries like (m, d)."""
    data = covariance / max(float(np.trace(covariance)), 1e-300)
    asked = _second_moments(queries)
    best, least = principal_components(data.copy(), width), np.inf
    for share in MIXTURES:
        rows = principal_components((1 - share) * data + share * asked, width)
        lost = lost_products(rows, data, asked)
        if lost < least:
            best, least = rows, lost
    return best


def lost_products(rows: Floats, data: Moments, asked: Moments) -> float:
    """Sum of squares of what orthonormal rows lose of all products of data and queries."""
    left = np.eye(len(data)) - rows.T.astype(np.float64) @ rows
    return float(np.sum((left @ data @ left) * asked))


def sphering(covariance: Moments, queries: Floats, width: int) -> tuple[Floats, Floats]:
    """(A, B), both (width, d), of the least lost products: A for data, B for queries.

    With W = K^(1/2) and the leading eigenvectors E of W C W: A = E^T W, B = E^T W^-1.
    """
    asked = _second_moments(queries) * len(covariance)
    values, vectors = np.linalg.eigh(asked)
    root = np.sqrt(np.maximum(values, 0) + RIDGE)
    whiten = (vectors * root) @ vectors.T
    leading = principal_components(whiten @ covariance @ whiten, width).astype(np.float64)
    back = (vectors / root) @ vectors.T
    return (leading @ whiten).astype(np.float32), (leading @ back).astype(np.float32)


def _second_moments(queries: Floats) -> Moments:
    """(d, d), with a trace of 1 (or 0)."""
    moments = queries.T.astype(np.float64) @ queries
    return np.asarray(moments / max(float(np.trace(moments)), 1e-300))
