"""Rows of compressed embedding tables in NumPy; `embedding` is the manual.

Ranks in bitmaps: Jacobson's structure with one level ("Space-efficient static trees and graphs",
FOCS 1989).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from bigrain.kernels import checks

__all__ = ["bits_at", "code_rows", "counts_before", "listed_rows", "mapped_rows", "narrow_rows"]

F32 = npt.NDArray[np.float32]
I64 = npt.NDArray[np.int64]
U8 = npt.NDArray[np.uint8]
U32 = npt.NDArray[np.uint32]
Numbers = npt.NDArray[Any]

BLOCK = 32  # bytes of a bitmap between two counts
NUMBERS = ("float32", "float16", "int8")
LARGEST = 1 << 40  # id
POPCOUNT = np.array([bin(byte).count("1") for byte in range(256)], np.uint8)


def bits_at(bits: U8, places: I64) -> npt.NDArray[np.bool_]:
    """Whether the bit at each place is set."""
    return np.asarray((bits[places >> 3] >> (places & 7).astype(np.uint8)) & 1, bool)


def counts_before(bits: U8, counts: U32, places: I64) -> I64:
    """How many bits are set before each place."""
    block = places >> 8
    window = bits.reshape(-1, BLOCK)[block]
    within = (places & 255)[:, None] - 8 * np.arange(BLOCK)
    keep = (1 << np.clip(within, 0, 8)) - 1  # the bits of each byte that lie before the place
    inside = POPCOUNT[window & keep.astype(np.uint8)].sum(axis=1, dtype=np.int64)
    return np.asarray(counts[block].astype(np.int64) + inside)


def mapped_rows(values: Numbers, bits: U8, counts: U32, ids: I64, dim: int) -> F32:
    """Values of the set bits of each row."""
    checks.array("values", values, NUMBERS, 1)
    _bitmap("bits", bits, counts)
    checks.array("ids", ids, "int64", 1)
    _dim(dim)
    checks.below("ids", ids, 8 * len(bits) // dim)
    first = ids * dim
    set_ = bits_at(bits, first[:, None] + np.arange(dim))
    at = counts_before(bits, counts, first)[:, None] + np.cumsum(set_, axis=1) - 1
    beyond = (set_ & (at >= len(values))).any(axis=1)
    if beyond.any():
        raise ValueError(f"values: hold no row of id {ids[beyond][0]}")
    out = np.zeros(set_.shape, np.float32)
    out[set_] = values[at[set_]]
    return out


def listed_rows(values: Numbers, places: Numbers, first: I64, step: int, ids: I64, dim: int) -> F32:
    """Values at the places of each row."""
    checks.array("values", values, NUMBERS, 1)
    checks.array("places", places, ("uint32", "uint64"), 1)
    checks.array("ids", ids, "int64", 1)
    _dim(dim)
    _dim(step, "step")
    checks.size("places: length", len(places), len(values))
    _rising("first", first)
    checks.size("first: end", int(first[-1]), len(places))
    checks.below("ids", ids, (len(first) - 1) * step)
    low = (ids * dim).astype(places.dtype)
    high = (ids * dim + dim - 1).astype(places.dtype)
    begin = np.searchsorted(places, low)
    lengths = np.searchsorted(places, high, "right") - begin
    row = np.repeat(np.arange(len(ids)), lengths)
    at = np.arange(len(row)) - np.repeat(np.cumsum(lengths) - lengths, lengths) + begin[row]
    column = places[at].astype(np.int64) - low[row].astype(np.int64)
    if ((column < 0) | (column >= dim)).any():
        raise ValueError("places: must rise")
    out = np.zeros((len(ids), dim), np.float32)
    out[row, column] = values[at]
    return out


def code_rows(books: F32, packed: list[U8], bits: I64, starts: I64, ids: I64) -> F32:
    """Codewords side by side."""
    checks.array("books", books, "float32", 3)
    checks.array("bits", bits, "int64", 1)
    checks.array("ids", ids, "int64", 1)
    _rising("starts", starts)
    checks.size("bits: length", len(bits), len(starts))
    if not isinstance(packed, list):
        raise TypeError(f"packed: expected a list, got {type(packed).__name__}")
    checks.size("packed: length", len(packed), len(starts))
    parts, words, size = books.shape
    for width, codes in zip(bits.tolist(), packed, strict=True):
        if not 1 <= width <= 8:
            raise ValueError(f"bits: expected 1 to 8, got {width}")
        checks.at_least("books: words", words, 1 << width)
        checks.array("packed", codes, "uint8", 1)
    checks.below("ids", ids, LARGEST)
    symbols = np.empty((len(ids), parts), np.int64)
    band = np.searchsorted(starts, ids, "right") - 1
    for b, (width, codes) in enumerate(zip(bits.tolist(), packed, strict=True)):
        mine = np.flatnonzero(band == b)
        bit = ((ids[mine] - starts[b]) * parts)[:, None] * width + np.arange(parts) * width
        if len(mine) and (int(bit.max(initial=0)) + width + 7) // 8 >= len(codes):
            raise ValueError(f"packed: hold no row of id {ids[mine[bit.max(axis=1).argmax()]]}")
        both = codes[bit >> 3].astype(np.int64) | codes[(bit >> 3) + 1].astype(np.int64) << 8
        symbols[mine] = both >> (bit & 7) & ((1 << width) - 1)
    return books[np.arange(parts), symbols].reshape(len(ids), parts * size)


def narrow_rows(
    cells: Numbers,
    scales: F32,
    starts: I64,
    sizes: I64,
    widths: I64,
    projections: F32 | None,
    kept: U8 | None,
    counts: U32 | None,
    places: I64,
    dim: int,
) -> F32:
    """Rows of each group, projected or filled up."""
    checks.array("cells", cells, NUMBERS, 1)
    for name, array in (("sizes", sizes), ("widths", widths), ("places", places)):
        checks.array(name, array, "int64", 1)
    checks.array("scales", scales, "float32", 1)
    _dim(dim)
    _rising("starts", starts)
    lengths = {"sizes": len(sizes), "widths": len(widths), "scales": len(scales)}
    for name, length in lengths.items():
        checks.size(f"{name}: length", length, len(starts))
    if projections is not None:
        checks.array("projections", projections, "float32", 2)
        checks.size("projections: dimension", projections.shape[1], dim)
    before, row, there = starts, places, np.ones(len(places), bool)
    if kept is not None:
        _bitmap("kept", kept, counts)
        checks.below("places", places, 8 * len(kept))
        if int(starts[-1]) >= 8 * len(kept):
            raise ValueError(f"kept: bytes: expected more than {len(kept)}")
        there, row = bits_at(kept, places), counts_before(kept, counts, places)  # type: ignore[arg-type]
        before = counts_before(kept, counts, starts)  # type: ignore[arg-type]
    else:
        checks.below("places", places, LARGEST)
    group = np.searchsorted(starts, places, "right") - 1
    row = row - before[group]
    out = np.zeros((len(places), dim), np.float32)
    cell = line = 0
    for g, (size, width) in enumerate(zip(sizes.tolist(), widths.tolist(), strict=True)):
        if size < 0 or not 0 <= width <= dim or size > len(cells):
            raise ValueError(f"sizes, widths: rows ({size}, {width}) do not fit")
        checks.at_least("cells: length", len(cells), cell + size * width)
        rows = cells[cell : cell + size * width].reshape(size, width)
        mine = np.flatnonzero((group == g) & there)
        if (row[mine] >= size).any() or (row[mine] < 0).any():
            raise ValueError("cells: hold no row of an id")
        found = rows[row[mine]] * scales[g]
        if projections is not None and width < dim:
            checks.at_least("projections: rows", len(projections), line + width)
            out[mine] = found @ projections[line : line + width]
            line += width
        else:
            out[mine, :width] = found
        cell += size * width
    checks.size("cells: length", len(cells), cell)
    return out


def _bitmap(name: str, bits: U8, counts: Any) -> None:
    checks.array(name, bits, "uint8", 1)
    checks.array("counts", counts, "uint32", 1)
    if len(bits) % BLOCK:
        raise ValueError(f"{name}: bytes: expected a multiple of {BLOCK}, got {len(bits)}")
    checks.size("counts: length", len(counts), len(bits) // BLOCK)


def _rising(name: str, starts: I64) -> None:
    checks.array(name, starts, "int64", 1)
    if not len(starts) or starts[0] != 0 or (np.diff(starts) < 0).any():
        raise ValueError(f"{name}: must rise from 0")


def _dim(dim: int, name: str = "dim") -> None:
    if not 1 <= dim <= 1 << 24:
        raise ValueError(f"{name}: expected 1 to {1 << 24}, got {dim}")
