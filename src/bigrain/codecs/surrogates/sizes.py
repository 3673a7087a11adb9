"""Checks of what a surrogate was stored as."""

from __future__ import annotations

from typing import Any

import numpy as np

from bigrain.codecs.surrogates.protocol import Floats, Shapes
from bigrain.errors import shown

__all__ = ["require_shapes", "whole"]


def whole(numbers: dict[str, Any], name: str, low: int, high: int) -> int:
    """numbers[name], a whole number from low to high; ValueError for anything else."""
    value = numbers.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ValueError(f"{name} is {shown(value)}; a whole number from {low} to {high} is due")
    return value


def require_shapes(arrays: dict[str, Floats], shapes: Shapes) -> None:
    """ValueError unless there are finite float32 arrays of these shapes and no others."""
    if arrays.keys() != shapes.keys():
        raise ValueError(f"arrays {sorted(arrays)}; {sorted(shapes)} are due")
    for name, shape in shapes.items():
        array = arrays[name]
        if array.shape != shape or array.dtype != np.float32:
            raise ValueError(f"{name} is {array.dtype} {array.shape}; float32 {shape} is due")
        if not np.isfinite(array).all():
            raise ValueError(f"{name} has numbers that are not finite")
