"""Linear reduction of vectors before they are coded: principal components of a sample.

The projection keeps the directions of greatest variance around the mean; inner products with a
centred vector are then approximated inside that subspace.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["Moments", "principal_components"]

Floats = npt.NDArray[np.float32]
BLOCK = 64
ITERATIONS = 12


def principal_components(covariance: npt.NDArray[np.float64], width: int) -> Floats:
    """(width, d) orthonormal rows: the leading eigenvectors of a (d, d) covariance; `width <= d`.

    Beyond 512 dimensions they are found by subspace iteration in single precision (Golub and Van
    Loan, Matrix Computations, section 8.2): a fifth of the memory, and the subspace is the same but
    for directions whose variances are nearly equal.
    """
    if len(covariance) <= 512:
        _, vectors = np.linalg.eigh(covariance)
        return np.ascontiguousarray(vectors[:, ::-1][:, :width].T, np.float32)
    matrix = covariance.astype(np.float32)
    del covariance
    basis = np.random.default_rng(0).standard_normal((len(matrix), width), dtype=np.float32)
    for _ in range(ITERATIONS):
        basis = np.linalg.qr(matrix @ basis)[0]
    _, within = np.linalg.eigh(basis.T @ (matrix @ basis))
    return np.ascontiguousarray((basis @ within[:, ::-1]).T, np.float32)


class Moments:
    """Mean and covariance of vectors that come in parts, none of which is kept."""

    def __init__(self, dim: int, *, covariance: bool) -> None:
        self.n = 0
        self._shift: npt.NDArray[np.float64] | None = None
        self._sum = np.zeros(dim)
        self._products = np.zeros((dim, dim)) if covariance else None

    def add(self, vectors: Floats) -> None:
        if not len(vectors):
            return
        if self._shift is None:  # near the mean, so that little is lost in the difference
            self._shift = vectors.mean(axis=0, dtype=np.float64)
        self.n += len(vectors)
        if self._products is None:
            self._sum += vectors.sum(axis=0, dtype=np.float64) - len(vectors) * self._shift
            return
        shifted = vectors - self._shift
        self._sum += shifted.sum(axis=0)
        for i in range(0, len(self._sum), BLOCK):  # never a second (d, d) array
            block = slice(i, i + BLOCK)
            self._products[block] += shifted[:, block].T @ shifted

    @property
    def mean(self) -> npt.NDArray[np.float64]:
        return self._sum if self._shift is None else self._shift + self._sum / self.n

    def covariance(self) -> npt.NDArray[np.float64]:
        """n times the covariance, handed over."""
        products, self._products = self._products, None
        assert products is not None
        for i, row in enumerate(products):
            row -= self._sum[i] / max(self.n, 1) * self._sum
        return products
