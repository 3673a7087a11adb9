"""Coordinates in which documents and queries spread alike.

<w, q> = <A w, B q> for any invertible A and B = A^-T. Codes err by about |A w| |B q|, and what is
cut off should matter little to either side. Both are least where the two second moments are one
diagonal: with C the covariance of documents, K = L L^T the second moments of queries and
L^T C L = U S^2 U^T,

    A = S^(-1/2) U^T L^T,    B = S^(1/2) U^T L^-1,    A C A^T = B K B^T = S.

This is the balanced truncation of control theory (Moore, IEEE Transactions on Automatic Control,
1981) for a form of two arguments. The rows stand by falling S.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["balanced"]

Moments = npt.NDArray[np.float64]
RIDGE = 1e-4  # of the mean of K's diagonal, for directions that no query has
SMALLEST = 1e-7  # of the largest S: what rounding leaves


def balanced(documents: Moments, queries: Moments, width: int) -> tuple[Moments, Moments]:
    """(A, B), both (r, D), of the moments (D, D) of both sides; r <= width as many as tell."""
    dim = len(queries)
    ridge = RIDGE * max(float(np.trace(queries)) / dim, 1e-30)
    root = np.linalg.cholesky(queries + ridge * np.eye(dim))
    values, vectors = np.linalg.eigh(root.T @ documents @ root)
    spread = np.sqrt(np.maximum(values[::-1], 0))
    kept = max(1, min(width, int(np.count_nonzero(spread > SMALLEST * spread[0]))))
    half = np.sqrt(np.maximum(spread[:kept], 1e-30))[:, None]
    rows = vectors[:, ::-1][:, :kept].T
    return rows @ root.T / half, np.linalg.solve(root.T, rows.T).T * half
