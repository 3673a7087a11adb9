"""Random rotations that cost D log D: signs and fast Hadamard transforms (papers/A-5 section 1)."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

__all__ = ["rotation_signs"]


@lru_cache(maxsize=64)
def rotation_signs(dim: int, seed: int) -> npt.NDArray[np.int8]:
    """The (4, dim) random signs that define one rotation for `kernels.rotate`."""
    bits = np.random.default_rng(seed).integers(0, 2, size=(4, dim), dtype=np.int8)
    signs = np.asarray(bits * 2 - 1, np.int8)
    signs.setflags(write=False)
    return signs
