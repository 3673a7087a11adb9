"""Numbers as they are kept: float32, float16, or int8 times a scale.

round(x / s) with s = max |x| / 127, to the nearest.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["TOP", "number_dtype", "stored"]

DTYPES = {32: "<f4", 16: "<f2", 8: "|i1"}
TOP = 127


def number_dtype(bits: int) -> str:
    """The dtype of numbers of 32, 16 or 8 bits; ValueError for others."""
    if bits not in DTYPES:
        raise ValueError(f"numbers of {bits} bits")
    return DTYPES[bits]


def stored(numbers: npt.NDArray[np.float32], bits: int) -> tuple[npt.NDArray[Any], np.float32]:
    """(numbers in their dtype, the scale that they are to be multiplied with)."""
    if bits != 8:
        return numbers.astype(number_dtype(bits)), np.float32(1)
    scale = np.float32(np.abs(numbers).max(initial=0)) / np.float32(TOP)
    if scale == 0:
        scale = np.float32(1)
    return np.round(numbers / scale).astype(np.int8), scale
