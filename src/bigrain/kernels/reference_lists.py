"""The NumPy specification of inverted lists and of the search in them.

The modules that call them document arguments, results and the layout; here stands only how they
are computed.
"""

from __future__ import annotations

import math
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt

from bigrain.kernels import checks

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
U8 = npt.NDArray[np.uint8]
U32 = npt.NDArray[np.uint32]

POSTINGS = 128  # in a block


def pack(numbers: npt.NDArray[Any], bits: int) -> bytes:
    """Numbers of `bits` bits each, one after another, the lowest bit first."""
    each = numbers[:, None].astype(np.uint64) >> np.arange(bits, dtype=np.uint64) & np.uint64(1)
    return np.packbits(each.astype(np.uint8), bitorder="little").tobytes()


def unpack(packed: bytes, n: int, bits: int) -> U32:
    """Undo `pack`."""
    each = np.unpackbits(np.frombuffer(packed, np.uint8), count=n * bits, bitorder="little")
    places = np.uint64(1) << np.arange(bits, dtype=np.uint64)
    total: U32 = (each.reshape(n, bits) * places).sum(axis=1, dtype=np.uint64).astype(np.uint32)
    return total


def encode_lists(rows: U32, impacts: U8, values: U32, starts: I64) -> tuple[U8, I64, U32]:
    """Each list: its first row, then block by block widths, gaps, impacts, values."""
    checks.array("rows", rows, "uint32", 1)
    checks.array("impacts", impacts, "uint8", 1)
    checks.array("values", values, "uint32", 1)
    checks.size("impacts: length", len(impacts), len(rows))
    checks.size("values: length", len(values), len(rows))
    edges = checks.offsets(starts, len(rows), "starts")
    lists = []
    for i, (start, stop) in enumerate(zip(edges[:-1], edges[1:], strict=True)):
        mine = rows[start:stop].astype(np.int64)
        if start == stop:
            raise ValueError(f"starts: list {i} is empty")
        if (np.diff(mine) <= 0).any():
            raise ValueError(f"rows: list {i}: must rise")
        if not impacts[start:stop].all():
            raise ValueError(f"impacts: list {i}: expected numbers from 1")
        gaps = np.diff(mine, prepend=mine[0] - 1) - 1
        parts = [mine[0].astype("<u4").tobytes()]
        for at in range(0, stop - start, POSTINGS):
            block = slice(at, at + POSTINGS)
            gap, value = gaps[block], values[start:stop][block]
            widths = [int(numbers.max()).bit_length() for numbers in (gap, value)]
            parts += [
                bytes(widths),
                pack(gap, widths[0]),
                impacts[start:stop][block].tobytes(),
                pack(value, widths[1]),
            ]
        lists.append(b"".join(parts))
    ends = np.cumsum([len(each) for each in lists], dtype=np.int64)
    checksums = np.array([zlib.crc32(each) for each in lists], np.uint32)
    return np.frombuffer(b"".join(lists), np.uint8), ends, checksums


class PostingList:
    """One list, its bytes checked."""

    def __init__(self, data: U8, n: int, n_rows: int) -> None:
        checks.array("data", data, "uint8", 1)
        checks.at_least("n", n, 1)
        checks.at_least("n_rows", n_rows, 0)
        self.n, self.n_rows, self.n_bytes = n, n_rows, len(data)
        raw = data.tobytes()
        if len(raw) < 4:
            raise ValueError("data: the list ends before its first row")
        last, at = int.from_bytes(raw[:4], "little") - 1, 4
        rows, impacts, values = [], [], []
        for start in range(0, n, POSTINGS):
            m = min(POSTINGS, n - start)
            if len(raw) < at + 2:
                raise ValueError("data: the list ends before its last block")
            gap_bits, value_bits = raw[at], raw[at + 1]
            if max(gap_bits, value_bits) > 32:
                raise ValueError("data: the list has numbers of more than 32 bits")
            middle = at + 2 + (m * gap_bits + 7) // 8
            end = middle + m + (m * value_bits + 7) // 8
            if len(raw) < end:
                raise ValueError("data: the list ends inside a block")
            gaps = unpack(raw[at + 2 : middle], m, gap_bits).astype(np.int64)
            if start == 0 and gaps[0]:
                raise ValueError("data: the list begins with two different rows")
            mine = last + np.cumsum(gaps + 1)
            last, at = int(mine[-1]), end
            if last >= n_rows:
                raise ValueError("data: the list names a row that is not there")
            rows.append(mine.astype(np.uint32))
            impacts.append(np.frombuffer(raw, np.uint8, m, middle))
            if not impacts[-1].all():
                raise ValueError("data: the list has an impact of 0")
            values.append(unpack(raw[middle + m : end], m, value_bits))
        if at != len(raw):
            raise ValueError("data: the list goes on after its last block")
        self._rows, self._impacts = np.concatenate(rows), np.concatenate(impacts)
        self._values = np.concatenate(values)
        self.largest = int(self._impacts.max())

    def decode(self) -> tuple[U32, U8, U32]:
        """(rows, impacts, values) of all postings."""
        return self._rows.copy(), self._impacts.copy(), self._values.copy()

    def look_up(self, rows: U32) -> I64:
        """The value of each row, -1 where it is not in the list."""
        checks.array("rows", rows, "uint32", 1)
        at = np.minimum(np.searchsorted(self._rows, rows), self.n - 1)
        return np.where(self._rows[at] == rows, self._values[at].astype(np.int64), -1)

    def count_live(self, live: U8) -> int:
        """How many rows have their bit set."""
        checks.array("live", live, "uint8", 1)
        checks.at_least("live: bytes", len(live), int(self._rows[-1]) // 8 + 1)
        bits = live[self._rows >> 3] >> (self._rows & 7).astype(np.uint8) & 1
        return int(bits.sum())


def decode_lists(data: U8, ends: I64, counts: U32, checksums: U32, n_rows: int) -> tuple[U32, U32]:
    """Rows and values of all lists, one after another."""
    checks.array("data", data, "uint8", 1)
    checks.array("ends", ends, "int64", 1)
    checks.array("counts", counts, "uint32", 1)
    checks.array("checksums", checksums, "uint32", 1)
    checks.at_least("n_rows", n_rows, 0)
    checks.size("counts: length", len(counts), len(ends))
    checks.size("checksums: length", len(checksums), len(ends))
    edges = checks.offsets(np.append(np.int64(0), ends), len(data), "ends").tolist()
    for i, (n, size) in enumerate(zip(counts.tolist(), np.diff(edges).tolist(), strict=True)):
        if not 1 <= n <= size:
            raise ValueError(f"counts: list {i}: expected 1 to {size}")
    rows, values = [np.empty(0, np.uint32)], [np.empty(0, np.uint32)]
    for i, n in enumerate(counts.tolist()):
        part = data[edges[i] : edges[i + 1]]
        if zlib.crc32(part.tobytes()) != checksums[i]:
            raise ValueError(f"data: list {i} does not match its checksum")
        try:
            some = PostingList(part, n, n_rows).decode()
        except ValueError as error:
            raise ValueError(str(error).replace("the list", f"list {i}")) from None
        rows.append(some[0])
        values.append(some[2])
    return np.concatenate(rows), np.concatenate(values)


def search_lists(
    lists: list[PostingList],
    weights: F64,
    bounds: F64,
    lengths: npt.NDArray[Any] | None,
    flat: float,
    slope: float,
    live: U8 | None,
    n_rows: int,
    k: int,
    floor: float,
) -> tuple[I64, F32]:
    """The best scores of all rows; impacts are not needed."""
    _check_lists(lists, weights, lengths, flat, slope, n_rows)
    checks.at_least("k", k, 0)
    checks.array("bounds", bounds, "float64", 1)
    checks.size("bounds: length", len(bounds), len(lists))
    if not (bounds >= 0).all():
        raise ValueError("bounds: expected numbers from 0")
    if not math.isfinite(255 * sum(bounds.tolist())):
        raise ValueError("bounds: their sum must be finite")
    alive = checks.bitmap(live, n_rows)
    if math.isnan(floor):
        raise ValueError("floor: must not be NaN")
    scores, held = _scores(lists, weights, lengths, flat, slope, n_rows)
    held &= scores > np.float32(floor)
    if alive is not None:
        held &= alive
    found = np.flatnonzero(held)
    best = found[np.lexsort((found, -scores[found]))[:k]]
    return best, scores[best] + np.float32(0)


def score_lists(
    lists: list[PostingList],
    weights: F64,
    lengths: npt.NDArray[Any] | None,
    flat: float,
    slope: float,
    n_rows: int,
    rows: U32,
) -> F32:
    """The scores of some rows."""
    _check_lists(lists, weights, lengths, flat, slope, n_rows)
    checks.below("rows", checks.array("rows", rows, "uint32", 1), n_rows)
    return _scores(lists, weights, lengths, flat, slope, n_rows)[0][rows]


def _scores(
    lists: list[PostingList],
    weights: F64,
    lengths: npt.NDArray[Any] | None,
    flat: float,
    slope: float,
    n_rows: int,
) -> tuple[F32, npt.NDArray[np.bool_]]:
    """Sums of weight * part, in float64, list by list, and which rows have any."""
    totals, held = np.zeros(n_rows, np.float64), np.zeros(n_rows, bool)
    for one, weight in zip(lists, weights, strict=True):
        rows, _, values = one.decode()
        if lengths is None:
            part = values.view(np.float32).astype(np.float64)
        else:
            count = values.astype(np.float64) + 1
            part = count / (count + (flat + slope * lengths[rows]))
        totals[rows] += weight * part
        held[rows] |= weight > 0
    with np.errstate(over="ignore"):
        return totals.astype(np.float32), held


def _check_lists(
    lists: list[PostingList],
    weights: F64,
    lengths: npt.NDArray[Any] | None,
    flat: float,
    slope: float,
    n_rows: int,
) -> None:
    checks.at_least("n_rows", n_rows, 0)
    if n_rows > 2**32 - 2:
        raise ValueError(f"n_rows: expected less than 2**32 - 1, got {n_rows}")
    if not isinstance(lists, list):
        raise TypeError(f"lists: expected a list, got {type(lists).__name__}")
    checks.array("weights", weights, "float64", 1)
    checks.size("weights: length", len(weights), len(lists))
    for i, one in enumerate(lists):
        if not isinstance(one, PostingList):
            raise TypeError(f"lists: number {i} is not a PostingList")
        if one.n_rows != n_rows:
            raise ValueError(f"lists: number {i} was opened for {one.n_rows} rows, not {n_rows}")
    if not (weights >= 0).all():
        raise ValueError("weights: expected numbers from 0")
    if lengths is not None:
        checks.array("lengths", lengths, ("uint8", "uint16", "uint32"), 1)
        checks.size("lengths: length", len(lengths), n_rows)
        if not (flat >= 0 and slope >= 0 and math.isfinite(flat + slope)):
            raise ValueError("flat, slope: expected finite numbers from 0")
