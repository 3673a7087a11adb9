"""What the reference kernels accept; the native kernels refuse the same things."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


def array(name: str, value: Any, dtypes: str | tuple[str, ...], ndim: int) -> npt.NDArray[Any]:
    """Return `value` if it is a C-contiguous array of one of `dtypes` with `ndim` axes."""
    accepted = (dtypes,) if isinstance(dtypes, str) else dtypes
    if not isinstance(value, np.ndarray):
        raise TypeError(f"{name}: expected a NumPy array, got {type(value).__name__}")
    if value.dtype.name not in accepted or not value.dtype.isnative:
        raise TypeError(f"{name}: expected {' or '.join(accepted)}, got {value.dtype}")
    if value.ndim != ndim:
        raise ValueError(f"{name}: expected {ndim} axes, got {value.ndim}")
    if not value.flags.c_contiguous:
        raise ValueError(f"{name}: must be C-contiguous; np.ascontiguousarray makes it so")
    return value


def size(name: str, got: int, expected: int) -> None:
    """Refuse a length that does not fit the other arguments."""
    if got != expected:
        raise ValueError(f"{name}: expected {expected}, got {got}")


def at_least(name: str, got: int, least: int) -> None:
    """Refuse a number that is too small."""
    if got < least:
        raise ValueError(f"{name}: expected at least {least}, got {got}")


def below(name: str, values: npt.NDArray[Any], limit: int) -> None:
    """Refuse ids outside [0, limit)."""
    if values.size and not (0 <= int(values.min()) and int(values.max()) < limit):
        bad = int(values[(values < 0) | (values >= limit)][0])
        raise ValueError(f"{name}: {bad} is outside [0, {limit})")


def bitmap(live: Any, n_rows: int) -> npt.NDArray[np.bool_] | None:
    """Unpack the bitmap of live rows: bit r % 8 of byte r // 8 belongs to row r."""
    if live is None:
        return None
    packed = array("live", live, "uint8", 1)
    at_least("live: bytes", len(packed), (n_rows + 7) // 8)
    return np.unpackbits(packed, count=n_rows, bitorder="little").astype(bool)


def offsets(value: Any, total: int, name: str = "offsets") -> npt.NDArray[np.int64]:
    """Check the start of each item and the end of the last: 0 <= ... <= total, never falling."""
    starts = array(name, value, "int64", 1)
    at_least(f"{name}: length", len(starts), 1)
    if starts[0] != 0 or starts[-1] != total or (np.diff(starts) < 0).any():
        raise ValueError(f"{name}: must rise from 0 to {total}")
    return starts
