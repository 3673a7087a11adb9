"""Sums, means and maxima over the tokens of each row of a ragged array."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from bigrain.codecs.ragged import chunks
from bigrain.codecs.surrogates.protocol import Floats, Ints

__all__ = ["greatest", "summed"]

TOKENS = 4096
ROWS = 4096
CHUNK_BYTES = 1 << 20  # of products, so that they are still in a near cache for the maxima


def summed(values: npt.NDArray[Any], offsets: Ints) -> Floats:
    """(n, d) sums of the tokens (T, d) of each row; zeros for an empty one."""
    out = np.zeros((len(offsets) - 1, values.shape[1]), np.float32)
    for start, stop in chunks(offsets, TOKENS, ROWS):
        part = np.asarray(values[offsets[start] : offsets[stop]], np.float32)
        filled, starts = _filled(offsets[start : stop + 1])
        if len(filled):
            out[start + filled] = np.add.reduceat(part, starts, axis=0)
    return out


def greatest(values: npt.NDArray[Any], offsets: Ints, points: Floats) -> Floats:
    """(n, P) max_j <points[p], token j> over the tokens of each row; zeros for an empty one."""
    out = np.zeros((len(offsets) - 1, len(points)), np.float32)
    tokens = max(1, CHUNK_BYTES // (4 * max(1, len(points))))
    for start, stop in chunks(offsets, tokens, ROWS):
        part = np.asarray(values[offsets[start] : offsets[stop]], np.float32)
        filled, starts = _filled(offsets[start : stop + 1])
        if len(filled):
            out[start + filled] = np.maximum.reduceat(part @ points.T, starts, axis=0)
    return out


def _filled(offsets: Ints) -> tuple[Ints, Ints]:
    """Rows that are not empty, and where the tokens of each begin within the chunk."""
    filled = np.flatnonzero(np.diff(offsets))
    return filled, offsets[filled] - offsets[0]
