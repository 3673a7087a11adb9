"""How the numbers of a stored vector are written: the types of heavy rows, in NumPy.

    float32    as it is
    float16    IEEE half precision: 11 significant bits up to 65,504
    bfloat16   the upper half of a float32, rounded to even: 8 significant bits, any magnitude
    int8       a float32 scale s, then whole numbers i from -127 to 127, each meaning s * i

Everything is little-endian. The scale of an int8 row is max|x| / 127, rounded up to 16 significant
bits, so that every product s * i is a float32: a row that is read and written again stays the same
to the bit. No number is off by more than s / 2, so no inner product with q by more than
s / 2 * sum|q_i|.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["TYPES", "bytes_of", "read_numbers", "write_numbers"]

Floats = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]

TYPES = ("float16", "float32", "bfloat16", "int8")
SCALE_BYTES = 4
LEVELS = 127
LEAST_SCALE = np.finfo(np.float32).tiny  # below it, scales would lose their precision


def bytes_of(dim: int, dtype: str) -> int:
    """Bytes of a vector of `dim` numbers."""
    return SCALE_BYTES + dim if dtype == "int8" else dim * (4 if dtype == "float32" else 2)


def write_numbers(vectors: Floats, dtype: str) -> Bytes:
    """Vectors (n, dim) as bytes (n, `bytes_of`)."""
    vectors = np.ascontiguousarray(vectors, np.float32)
    if dtype == "bfloat16":
        return _bytes(_upper_half(vectors).astype("<u2", copy=False))
    if dtype == "int8":
        scale = _scales(vectors)
        grid = vectors / scale[:, None]
        numbers = np.rint(grid, out=grid).astype(np.int8)
        return np.concatenate((_bytes(scale[:, None].astype("<f4")), _bytes(numbers)), axis=1)
    return _bytes(np.ascontiguousarray(vectors, np.dtype(dtype).newbyteorder("<")))


def read_numbers(rows: Bytes, dim: int, dtype: str) -> Floats:
    """Undo `write_numbers`: the vectors (n, dim) at the start of byte rows (n, at least that)."""
    raw = np.ascontiguousarray(rows[:, : bytes_of(dim, dtype)])
    if dtype == "bfloat16":
        return (_numbers(raw, "<u2").astype(np.uint32) << 16).view(np.float32)
    if dtype == "int8":
        scale = _numbers(np.ascontiguousarray(raw[:, :SCALE_BYTES]), "<f4")
        with np.errstate(over="ignore", invalid="ignore"):  # a forged scale
            return np.asarray(scale * raw[:, SCALE_BYTES:].view(np.int8), np.float32)
    return _numbers(raw, np.dtype(dtype).newbyteorder("<").str).astype(np.float32)


def _upper_half(vectors: Floats) -> npt.NDArray[np.uint16]:
    """The upper 16 bits, rounded to nearest, ties to even."""
    bits = vectors.view(np.uint32)
    rounded = bits >> 16
    rounded &= 1
    rounded += 0x7FFF
    rounded += bits
    rounded >>= 16
    return rounded.astype(np.uint16)


def _scales(vectors: Floats) -> Floats:
    widest = np.maximum(vectors.max(axis=1, initial=0), -vectors.min(axis=1, initial=0))
    scale = np.maximum(widest / np.float32(LEVELS), LEAST_SCALE)
    bits = scale.view(np.uint32)
    return np.asarray(((bits + 0xFF) & 0xFFFFFF00).astype(np.uint32).view(np.float32))


def _bytes(array: npt.NDArray[np.generic]) -> Bytes:
    return array.view(np.uint8).reshape(len(array), array.shape[1] * array.itemsize)


def _numbers(raw: Bytes, dtype: str) -> npt.NDArray[np.generic]:
    kind = np.dtype(dtype)
    return raw.view(kind).reshape(len(raw), raw.shape[1] // kind.itemsize)
