"""Linear reduction of vectors before they are coded: principal components of a sample.

The projection keeps the directions of greatest variance around the mean; inner products with a
centred vector are then approximated inside that subspace.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["principal_components"]

Floats = npt.NDArray[np.float32]


def principal_components(centred: Floats, width: int) -> Floats:
    """(width, d) orthonormal rows: the leading eigenvectors of the sample's covariance.

    `centred` is (n, d) with its mean subtracted; `width <= d`.
    """
    covariance = centred.astype(np.float64).T @ centred.astype(np.float64)
    _, vectors = np.linalg.eigh(covariance)
    return np.ascontiguousarray(vectors[:, ::-1][:, :width].T, np.float32)
