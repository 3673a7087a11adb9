"""The largest singular values of a sparse matrix by random projection."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from bigrain.errors import MissingExtraError

__all__ = ["singular", "sparse"]

OVERSAMPLED, PASSES = 10, 4
Floats = npt.NDArray[np.float32]


def sparse() -> Any:
    """`scipy.sparse`, or MissingExtraError."""
    try:
        import scipy.sparse
    except ImportError:
        raise MissingExtraError("learning an encoder from a corpus", "corpus") from None
    return scipy.sparse


def singular(matrix: Any, rank: int, seed: int) -> tuple[Floats, Floats, Floats]:
    """U (n, r), s (r,) falling, Vt (r, m) of a SciPy matrix (n, m); r is `rank` or what there is.

    Subspace iteration from a random start (Halko, Martinsson and Tropp, SIAM Review 2011,
    algorithms 4.4 and 5.1). The sign of each vector is such that its largest entry in Vt is
    positive.
    """
    rank = min(rank, *matrix.shape)
    width = min(rank + OVERSAMPLED, *matrix.shape)
    start = np.random.default_rng(seed).normal(size=(matrix.shape[1], width))
    basis = np.linalg.qr(matrix @ start.astype(np.float32))[0]
    for _ in range(PASSES):
        basis = np.linalg.qr(matrix.T @ basis)[0]
        basis = np.linalg.qr(matrix @ basis)[0]
    small = (matrix.T @ basis).T
    left, values, right = np.linalg.svd(small, full_matrices=False)
    left, values, right = (basis @ left)[:, :rank], values[:rank], right[:rank]
    signs = np.sign(right[np.arange(rank), np.abs(right).argmax(axis=1)])
    signs[signs == 0] = 1
    told = left * signs, values, right * signs[:, None]
    return tuple(np.asarray(a, np.float32) for a in told)  # type: ignore[return-value]
