"""FM-indexes on disk (Ferragina and Manzini 2000): which suffixes begin with a pattern, and where.

A segment's rows are UTF-8 texts, each followed by END; SEAM stands between the title and the text.
Neither is ever part of a match. The text is cut into shards of whole rows, which fit into memory
while they are made:

    blocks{i}   u1 (b, 10248)        the transform of shard i (`kernels.fm_blocks`), with checksums
    rows{i}     u1 (m, 4 + 2048 w)   rows of the marked suffixes, w bytes each, with checksums
    text{i}     u1                   the text itself, compressed in chunks, for merging
    totals      u4 (shards, 256)     how often each symbol occurs in each shard
    row_ends    u8 (shards,)         where the rows of each shard end
    lengths     u4 (n,)              characters of each row

In memory are the totals alone: 2 KiB a shard, nothing a document.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from bigrain import kernels
from bigrain.errors import DamagedError
from bigrain.index.base import Rows, UnitMap
from bigrain.index.blocks import BlockCache
from bigrain.storage.segment import SegmentFile

__all__ = [
    "BLOCK",
    "END",
    "RECORD",
    "ROW_RECORD",
    "SEAM",
    "Range",
    "Shard",
    "SubstringSegment",
    "light_bytes_of",
]

BLOCK, RECORD = 8192, 10248  # characters and bytes
SEAM, END = 0x00, 0xFF
ROW_RECORD = 2048  # rows
LONGEST_WALK = 16  # steps from a suffix to a marked one
BLOCKS_AT_ONCE = 64
PLACES_AT_ONCE = 1 << 14
BYTES_PER_SHARD = 257 * 8 + 400

Places = npt.NDArray[np.int64]
Symbols = npt.NDArray[np.uint8]
Range = tuple[int, int]  # suffixes by number


class Shard:
    """One index over some rows of a segment. Nothing but its totals is in memory."""

    def __init__(
        self, file: SegmentFile, number: int, totals: npt.NDArray[np.uint32], first: int, stop: int
    ) -> None:
        self._file, self._number = file, number
        self.first_row, self.n_rows = first, stop - first
        self.starts = np.zeros(257, np.int64)
        np.cumsum(totals, out=self.starts[1:])
        self.n = int(self.starts[-1])
        self.n_blocks = -(-self.n // BLOCK)
        self._blocks, self._rows = f"blocks{number}", f"rows{number}"
        file.section(self._blocks, "|u1", (self.n_blocks, RECORD))
        rows = file.section(self._rows, "|u1", (None, None))
        width, odd = divmod(rows.row_bytes - 4, ROW_RECORD)
        if odd or not 1 <= width <= 4:
            raise DamagedError(file.name, self._rows, "rows of 1 to 4 bytes", rows.shape)
        self._width, self._n_row_records = width, rows.shape[0]

    def find(self, cache: BlockCache, pattern: bytes) -> Range:
        """The suffixes that begin with a pattern of at least one byte."""
        low, high = (np.array([end]) for end in self.first(pattern[-1]))
        for symbol in reversed(pattern[:-1]):
            if low[0] >= high[0]:
                break
            low, high = self.extend(cache, low, high, np.array([symbol], np.uint8))
        return (int(low[0]), int(high[0])) if low[0] < high[0] else (0, 0)

    def first(self, symbol: int) -> Range:
        """The suffixes that begin with one symbol."""
        if symbol in (SEAM, END):
            return 0, 0
        return int(self.starts[symbol]), int(self.starts[symbol + 1])

    def extend(
        self, cache: BlockCache, low: Places, high: Places, symbols: Symbols
    ) -> tuple[Places, Places]:
        """Ranges of suffixes with a symbol put before each: a step of backward search."""
        both = np.concatenate((low, high))
        twice = np.concatenate((symbols, symbols))
        found = np.empty(len(both), np.int64)
        for part, records, slots, offsets in self._located(cache, both):
            found[part] = kernels.fm_ranks(records, slots, offsets, twice[part])
        found += self.starts[twice]
        if (found > self.starts[twice.astype(np.int64) + 1]).any():
            raise DamagedError(self._file.name, self._blocks, "counts up to the totals", "more")
        found[(twice == SEAM) | (twice == END)] = 0
        return found[: len(low)], found[len(low) :]

    def rows_of(self, cache: BlockCache, suffixes: Places) -> Rows:
        """The segment's rows in which suffixes begin."""
        found = [
            self._rows_of(cache, suffixes[start : start + PLACES_AT_ONCE])
            for start in range(0, len(suffixes), PLACES_AT_ONCE)
        ]
        return np.concatenate(found or [np.empty(0, np.int64)]) + self.first_row

    def rows(self, cache: BlockCache, found: Range) -> Iterator[Rows]:
        """The rows of a range of suffixes, a stretch at a time."""
        for start in range(*found, PLACES_AT_ONCE):
            stop = min(start + PLACES_AT_ONCE, found[1])
            yield self.rows_of(cache, np.arange(start, stop))

    def _rows_of(self, cache: BlockCache, places: Places) -> Rows:
        """Walk back through the text, all at once, until each has come to a mark."""
        rows = np.empty(len(places), np.int64)
        left = np.arange(len(places))
        for _ in range(LONGEST_WALK):
            symbols = np.empty(len(places), np.uint8)
            ranks, marks = np.empty(len(places), np.int64), np.empty(len(places), np.int64)
            for part, records, slots, offsets in self._located(cache, places):
                symbols[part], ranks[part], marks[part] = kernels.fm_steps(records, slots, offsets)
            there = marks >= 0
            rows[left[there]] = self._sampled(cache, marks[there])
            on = ~there
            if not on.any():
                return rows
            left, symbols = left[on], symbols[on]
            places = self.starts[symbols] + ranks[on]
            if (places >= self.starts[symbols.astype(np.int64) + 1]).any():
                break
        raise DamagedError(
            self._file.name, self._blocks, f"a mark within {LONGEST_WALK} steps", "none"
        )

    def _located(
        self, cache: BlockCache, places: Places
    ) -> Iterator[tuple[Places, list[bytes], Places, Places]]:
        """(which places, records, their slots, offsets), so many records at a time."""
        blocks = np.minimum(places // BLOCK, self.n_blocks - 1)
        offsets = places - blocks * BLOCK
        order = np.argsort(blocks, kind="stable")
        new = np.diff(blocks[order], prepend=-1) != 0
        begins, slots = np.flatnonzero(new), np.cumsum(new) - 1
        distinct, edges = blocks[order[begins]], [*begins.tolist(), len(places)]
        for start in range(0, len(distinct), BLOCKS_AT_ONCE):
            some = distinct[start : start + BLOCKS_AT_ONCE].tolist()
            stretch = slice(edges[start], edges[start + len(some)])
            records = cache.records(self._file, self._blocks, some)
            part = order[stretch]
            yield part, records, slots[stretch] - start, offsets[part]

    def _sampled(self, cache: BlockCache, marks: Places) -> Rows:
        if not len(marks):
            return marks
        numbers = np.zeros((len(marks), 4), np.uint8)
        blocks, places = np.divmod(marks, ROW_RECORD)
        distinct = np.unique(blocks)
        if distinct[-1] >= self._n_row_records:
            raise DamagedError(
                self._file.name, self._rows, f"marks in {self._n_row_records} records", distinct[-1]
            )
        for start in range(0, len(distinct), BLOCKS_AT_ONCE):
            some = distinct[start : start + BLOCKS_AT_ONCE]
            records = cache.records(self._file, self._rows, some.tolist())
            data = np.frombuffer(b"".join(records), np.uint8)
            part = np.flatnonzero((blocks >= some[0]) & (blocks <= some[-1]))
            at = np.searchsorted(some, blocks[part]) * len(records[0]) + 4
            at += places[part] * self._width
            for byte in range(self._width):
                numbers[part, byte] = data[at + byte]
        rows = numbers.view("<u4")[:, 0].astype(np.int64)
        if int(rows.max()) >= self.n_rows:
            raise DamagedError(self._file.name, self._rows, f"rows below {self.n_rows}", rows.max())
        return rows


class SubstringSegment:
    """An opened segment."""

    def __init__(self, file: SegmentFile) -> None:
        self.file = file
        self.units = UnitMap.read(file)
        n = self.units.n_rows
        file.section("lengths", "<u4", (n,))
        totals = file.read("totals", "<u4", (None, 256))
        ends = file.read("row_ends", "<u8", (len(totals),)).astype(np.int64)
        starts = np.concatenate(([0], ends))
        if ends[-1:].tolist() != [n] or (np.diff(starts) <= 0).any():
            raise DamagedError(file.name, "row_ends", f"numbers rising to {n}", "others")
        self.shards = [
            Shard(file, number, totals[number], int(starts[number]), int(ends[number]))
            for number in range(len(totals))
        ]

    @property
    def memory_bytes(self) -> int:
        return light_bytes_of(self.file)


def light_bytes_of(file: SegmentFile) -> int:
    """The totals of each shard, and the map of a segment with gaps."""
    return BYTES_PER_SHARD * file.section("totals").shape[0] + UnitMap.bytes_in(file)
