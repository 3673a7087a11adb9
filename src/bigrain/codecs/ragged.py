"""Ragged arrays of token vectors: (values (T, d), offsets (n + 1,)).

Row i is values[offsets[i] : offsets[i + 1]]. The shape in which token vectors come from encoders
and go to every codec of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from bigrain.errors import InvalidVectorsError

__all__ = ["Offsets", "chunks", "require_ragged"]

Offsets = npt.NDArray[np.int64]


def require_ragged(
    values: npt.NDArray[Any], offsets: npt.NDArray[Any], dim: int | None = None
) -> Offsets:
    """The offsets as int64; InvalidVectorsError where they or the values do not fit.

    Rows may be empty. `dim` None: any width.
    """
    if values.ndim != 2 or values.dtype.kind != "f":
        raise InvalidVectorsError(
            f"token vectors must be floats (T, d), got {values.dtype} {values.shape}"
        )
    if dim is not None and values.shape[1] != dim:
        raise InvalidVectorsError(
            f"token vectors have {values.shape[1]} dimensions; {dim} are expected"
        )
    if offsets.ndim != 1 or not len(offsets) or offsets.dtype.kind not in "iu":
        raise InvalidVectorsError(
            f"offsets must be whole numbers (n + 1,), got {offsets.dtype} {offsets.shape}"
        )
    offsets = offsets.astype(np.int64)
    if offsets[0] != 0 or offsets[-1] != len(values):
        raise InvalidVectorsError(
            f"offsets run from {offsets[0]} to {offsets[-1]}; they must run from 0 to the number "
            f"of tokens, {len(values)}"
        )
    falling = np.flatnonzero(offsets[1:] < offsets[:-1])
    if len(falling):
        row = int(falling[0])
        raise InvalidVectorsError(
            f"row {row}: tokens from {offsets[row]} to {offsets[row + 1]}; offsets must not fall"
        )
    return offsets


def chunks(offsets: Offsets, tokens: int, rows: int) -> Iterator[tuple[int, int]]:
    """Row ranges (start, stop) of at most so many tokens and rows, and of one row at least."""
    n, start = len(offsets) - 1, 0
    while start < n:
        stop = int(np.searchsorted(offsets, offsets[start] + tokens, side="right")) - 1
        stop = min(max(stop, start + 1), start + rows, n)
        yield start, stop
        start = stop
