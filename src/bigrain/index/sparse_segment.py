"""Segments of sparse fields: lists of impacts propose, the vectors themselves decide.

    counts      u32 (n,)    weights in each row
    weights     bytes       the vectors as they were given (`kernels.encode_weights`), each record
                            with its own checksum; columns take meta `width` bytes
    part_ends   i64 (P,)    where the lists of each PART_ROWS rows end
    columns     u32 (T,)    rising within a part
    largest     f32 (T,)    the largest weight in each list
    sizes       u32 (T,)    its postings
    filled      u32 (T,)    its blocks with a posting
    lists       bytes       `kernels.pack_impacts`, one after another
    list_crc    u32 (T,)    checksum of each list, verified whenever it is read

An impact is the weight in units of largest / 2040, rounded up, so that a sum of impacts is never
less than the score.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from bigrain import kernels
from bigrain.errors import DamagedError
from bigrain.index.base import Floats, Rows, UnitMap
from bigrain.storage.segment import SegmentFile

__all__ = [
    "LARGEST_IMPACT",
    "ImpactList",
    "PART_ROWS",
    "SparseSegment",
    "SparseRows",
    "light_bytes_of",
    "list_bytes",
    "record_bytes",
]

PART_ROWS = 1 << 19
BLOCK_ROWS = 32
LARGEST_IMPACT = 2040
LIST_BYTES = 4 + 4 + 4 + 4 + 4 + 8  # column, largest, size, filled, checksum, place
ROW_BYTES = 8
SparseRows = tuple[npt.NDArray[np.uint32], npt.NDArray[np.float32], npt.NDArray[np.int64]]
Array = npt.NDArray[Any]


class ImpactList(NamedTuple):
    """A list as `kernels.pack_impacts` lays it out."""

    data: npt.NDArray[np.uint8]

    @property
    def n_bytes(self) -> int:
        return self.data.nbytes


def record_bytes(counts: npt.NDArray[Any], width: int) -> npt.NDArray[np.int64]:
    """Bytes of records with so many weights."""
    n = counts.astype(np.int64)
    return 4 * n + -(-width * n // 4) * 4 + 4


def list_bytes(
    sizes: npt.NDArray[Any], filled: npt.NDArray[Any], n_rows: int
) -> npt.NDArray[np.int64]:
    """Bytes of lists of a part with so many rows."""
    n_blocks, held = -(-n_rows // BLOCK_ROWS), filled.astype(np.int64)
    every_block = 4 * held >= n_blocks
    entries = np.where(every_block, -(-n_blocks // 64) * 64, -(-held // 16) * 16)
    named = np.where(every_block, 0, 2 * entries)
    return np.asarray(2 * entries + entries // 4 + named + 2 * sizes.astype(np.int64), np.int64)


class SparseSegment:
    """An opened segment: what finds lists and rows in memory, both on disk."""

    def __init__(self, file: SegmentFile) -> None:
        self.file = file
        self.units = UnitMap.read(file)
        n = self.units.n_rows
        self.width = file.number("width", high=4)
        if self.width not in (2, 4):
            raise DamagedError(file.name, "table", "columns of 2 or 4 bytes", self.width)
        counts = file.read("counts", "<u4", (n,))
        self.places = np.zeros(n + 1, np.int64)
        np.cumsum(record_bytes(counts, self.width), out=self.places[1:])
        file.section("weights", "|u1", (int(self.places[-1]),))
        n_parts = -(-n // PART_ROWS)
        ends = file.read("part_ends", "<i8", (n_parts,))
        self.columns = file.read("columns", "<u4", (None,))
        n_lists = len(self.columns)
        self.part_starts = np.concatenate(([0], ends))
        if (np.diff(self.part_starts) < 0).any() or self.part_starts[-1] != n_lists:
            raise DamagedError(file.name, "part_ends", f"rising to {n_lists}", "others")
        self.largest = file.read("largest", "<f4", (n_lists,))
        if not (np.isfinite(self.largest) & (self.largest > 0)).all():
            raise DamagedError(file.name, "largest", "finite weights above 0", "others")
        self.sizes = file.read("sizes", "<u4", (n_lists,))
        self.filled = file.read("filled", "<u4", (n_lists,))
        self.list_crc = file.read("list_crc", "<u4", (n_lists,))
        self.list_places = np.zeros(n_lists + 1, np.int64)
        for part in range(n_parts):
            mine, rows = self.lists_of(part), self.part_rows(part)
            if (self.columns[mine][1:] <= self.columns[mine][:-1]).any():
                raise DamagedError(file.name, "columns", "rising columns", "others")
            sizes, filled = self.sizes[mine], self.filled[mine]
            if (sizes > rows).any() or (filled > sizes).any() or (filled == 0).any():
                raise DamagedError(file.name, "sizes", f"lists of 1 to {rows} rows", "others")
            self.list_places[mine.start + 1 : mine.stop + 1] = list_bytes(sizes, filled, rows)
        np.cumsum(self.list_places, out=self.list_places)
        file.section("lists", "|u1", (int(self.list_places[-1]),))

    @property
    def memory_bytes(self) -> int:
        return light_bytes_of(self.file)

    # -- lists ------------------------------------------------------------------------------

    @property
    def n_parts(self) -> int:
        return len(self.part_starts) - 1

    def lists_of(self, part: int) -> slice:
        return slice(int(self.part_starts[part]), int(self.part_starts[part + 1]))

    def part_of(self, at: int) -> int:
        """The part that a list belongs to."""
        return int(np.searchsorted(self.part_starts, at, side="right")) - 1

    def part_rows(self, part: int) -> int:
        return min(PART_ROWS, self.units.n_rows - part * PART_ROWS)

    def find(self, part: int, columns: npt.NDArray[np.uint32]) -> npt.NDArray[np.int64]:
        """The list of each column in a part, -1 where there is none."""
        mine = self.lists_of(part)
        held = self.columns[mine]
        if not len(held):
            return np.full(len(columns), -1, np.int64)
        at = np.minimum(np.searchsorted(held, columns), len(held) - 1)
        return np.where(held[at] == columns, at + mine.start, -1)

    def read_list(self, at: int) -> ImpactList:
        """The bytes of a list, checked."""
        part = self.part_of(at)
        start, stop = int(self.list_places[at]), int(self.list_places[at + 1])
        data = self.file.read_rows("lists", start, stop)
        wanted, found = int(self.list_crc[at]), zlib.crc32(data.data)
        if found != wanted:
            raise DamagedError(
                self.file.name, f"lists[{at}]", f"crc32 {wanted:08x}", f"{found:08x}"
            )
        size, filled = int(self.sizes[at]), int(self.filled[at])
        if not kernels.sound_impacts(data, size, filled, self.part_rows(part)):
            raise DamagedError(self.file.name, f"lists[{at}]", "rising rows and impacts", "others")
        return ImpactList(data)

    # -- rows -------------------------------------------------------------------------------

    def records(self, rows: Rows) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
        """(records, where each begins) of ascending rows, every checksum verified."""
        lengths = self.places[rows + 1] - self.places[rows]
        places = np.zeros(len(rows) + 1, np.int64)
        np.cumsum(lengths, out=places[1:])
        if len(rows) and int(rows[-1]) - int(rows[0]) == len(rows) - 1:
            first, last = self.places[rows[0]], self.places[rows[-1] + 1]
            records = self.file.read_rows("weights", int(first), int(last))
        else:
            records = self.file.gather_stretches("weights", self.places[rows], lengths)
        wrong = kernels.first_unsound_weights(records, places)
        if wrong >= 0:
            raise DamagedError(
                self.file.name,
                "weights",
                "a matching checksum",
                f"another in row {int(rows[wrong])}",
            )
        return records, places

    def weights(self, rows: Rows) -> SparseRows:
        """(columns, weights, offsets) of ascending rows."""
        columns, weights, offsets = kernels.decode_weights(*self.records(rows), self.width)
        if not (np.isfinite(weights) & (weights > 0)).all():
            raise DamagedError(self.file.name, "weights", "finite weights above 0", "others")
        return columns, weights, offsets

    def score(self, rows: Rows, queries: Any, record_of: Array, query_of: Array) -> Floats:
        """Inner products of pairs of one of ascending rows and a query."""
        scores = kernels.score_weights(
            *self.records(rows),
            self.width,
            queries.columns,
            queries.weights,
            queries.offsets,
            record_of,
            query_of,
        )
        if not np.isfinite(scores).all():
            raise DamagedError(self.file.name, "weights", "finite weights", "others")
        return scores

    def stretches(self, rows: Rows, most_bytes: int) -> Iterator[slice]:
        """Parts of ascending rows whose records take about so many bytes."""
        ends = np.cumsum(self.places[rows + 1] - self.places[rows])
        start = 0
        while start < len(rows):
            seen = int(ends[start - 1]) if start else 0
            stop = int(np.searchsorted(ends, seen + most_bytes, side="right"))
            yield slice(start, max(stop, start + 1))
            start = max(stop, start + 1)


def light_bytes_of(file: SegmentFile) -> int:
    """What finds lists and rows."""
    rows, lists = file.section("counts").shape[0], file.section("columns").shape[0]
    return ROW_BYTES * rows + LIST_BYTES * lists + UnitMap.bytes_in(file)
