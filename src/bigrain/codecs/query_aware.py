"""Reduction that looks at queries: what matters is <x, q>, and queries may point elsewhere.

Tepper et al., LeanVec (2023; papers/A-5 section 4): the projection should lose little of the
products of data with queries, tr(C L K L), where C and K are the second moments of both and L what
is left out.

`query_aware_components` keeps orthonormal rows, the leading eigenvectors of a mixture of C and K,
and searches the mixture; principal components are one of those tried. A mixture is judged by
queries that had no part in it: few queries point in few directions, which others need not share.
`sphering` is the best linear
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
MIXTURES = (0.0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
FOLDS = 5
RIDGE = 1e-3  # of the mean eigenvalue: what is added for directions that no query has


def query_aware_components(covariance: Moments, queries: Floats, width: int) -> Floats:
    """(width, d) orthonormal rows for data of a (d, d) covariance and queries like (m, d)."""
    data = covariance / max(float(np.trace(covariance)), 1e-300)
    parts = [queries[start::FOLDS] for start in range(min(FOLDS, len(queries)))]
    lost = np.zeros(len(MIXTURES))
    for i, part in enumerate(parts):
        unseen = _second_moments(part)
        seen = _second_moments(np.concatenate([*parts[:i], *parts[i + 1 :], part[:0]]))
        for at, share in enumerate(MIXTURES):
            lost[at] += lost_products(_mixed(data, seen, share, width), data, unseen)
    return _mixed(data, _second_moments(queries), MIXTURES[int(np.argmin(lost))], width)


def _mixed(data: Moments, asked: Moments, share: float, width: int) -> Floats:
    return principal_components((1 - share) * data + share * asked, width)


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
