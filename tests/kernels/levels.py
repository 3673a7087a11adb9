"""Running one test at every level this machine has."""

from typing import Any

import numpy as np
import pytest

from bigrain.kernels.levels import Kernels, available_levels, kernels

NATIVE = [name for name in available_levels() if name != "reference"]

# The kernels under comparison with the reference, and all of them.
each_native = pytest.mark.parametrize("native", [pytest.param(kernels(n), id=n) for n in NATIVE])
each_level = pytest.mark.parametrize(
    "level", [pytest.param(kernels(n), id=n) for n in available_levels()]
)

__all__ = ["NATIVE", "Kernels", "bitmap", "each_level", "each_native", "same", "signs"]


def same(got: Any, expected: Any) -> None:
    """Equal values, dtypes and shapes, tuples item by item."""
    if isinstance(expected, tuple):
        assert len(got) == len(expected)
        for one, other in zip(got, expected, strict=True):
            same(one, other)
    else:
        assert got.dtype == expected.dtype
        np.testing.assert_array_equal(got, expected)


def bitmap(alive: np.ndarray) -> np.ndarray:
    return np.packbits(alive, bitorder="little")


def signs(rng: np.random.Generator, dim: int) -> np.ndarray:
    return rng.choice(np.array([-1, 1], np.int8), (4, dim))
