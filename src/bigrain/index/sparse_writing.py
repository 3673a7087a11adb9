"""Writing sparse segments: rows as they come, then the lists that lead to them.

A first pass over the rows writes them and counts the columns of each part of PART_ROWS rows. Then
the lists of a part are made, as many at a time as memory allows, each time in a pass over the
part's rows.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bigrain import kernels
from bigrain.index.base import Keep, Rows, UnitMap, Units, View
from bigrain.index.numbering import Numbering, UnitLog, alive_bitmap, number_rows
from bigrain.index.sparse_segment import PART_ROWS, SparseRows, SparseSegment, record_bytes
from bigrain.storage.files import Files
from bigrain.storage.segment import SectionWriter, SegmentWriter
from bigrain.storage.spill import Spill

__all__ = ["SparseBuilder", "merge_sparse", "write_sparse"]

SPILL_BUFFER = 1 << 18
CHUNK_BYTES = 4 << 20  # of records read at a time
CHUNK_WEIGHTS = 1 << 20  # of a call, turned into records at a time
SPILL_WIDTH = 4
DIRECT = 1 << 20  # columns below it are looked up in a table
NONE = np.uint32(0xFFFFFFFF)
Columns = npt.NDArray[np.uint32]
Read = Callable[[int, Rows], Iterator[SparseRows]]


class SparseBuilder:
    """Pending vectors of one field, on disk as records."""

    def __init__(self, files: Files, spill: Path, memory_bytes: int) -> None:
        self._memory_bytes = memory_bytes
        self._records = Spill(files, spill, np.uint8, (), buffer_bytes=SPILL_BUFFER)
        self._counts: list[npt.NDArray[np.uint32]] = []
        self._log = UnitLog()
        self._last_column = 0

    def append(self, units: Units, values: Any) -> None:
        """A CSR matrix of positive weights; of a unit given twice the last one counts."""
        indptr = np.asarray(values.indptr, np.int64)
        counts = np.diff(indptr).astype(np.uint32)
        start = 0
        while start < len(counts):
            stop = int(np.searchsorted(indptr, indptr[start] + CHUNK_WEIGHTS, side="right")) - 1
            stop = min(max(stop, start + 1), len(counts))
            a, b = int(indptr[start]), int(indptr[stop])
            columns = np.ascontiguousarray(values.indices[a:b], np.uint32)
            weights = np.ascontiguousarray(values.data[a:b], np.float32)
            ends = indptr[start : stop + 1] - a
            self._records.append(kernels.encode_weights(columns, weights, ends, SPILL_WIDTH))
            self._last_column = max(self._last_column, int(columns.max(initial=0)))
            start = stop
        self._counts.append(counts)
        self._log.append(units)

    def seal(self, keep: Keep, path: Path, files: Files) -> int:
        """Write the segment; returns its number of rows (0: no file)."""
        units, positions = self._log.unit_map()
        numbering = number_rows([units], [alive_bitmap(units, keep)])
        counts = np.concatenate([np.empty(0, np.uint32), *self._counts])
        self._counts = [counts]
        places = np.concatenate(([0], np.cumsum(record_bytes(counts, SPILL_WIDTH))))

        def read(_: int, rows: Rows) -> Iterator[SparseRows]:
            wanted = rows if positions is None else positions[rows]
            # Rows that follow one another in the file are read together.
            edges = np.flatnonzero(np.diff(wanted) != 1) + 1
            for run in np.split(wanted, edges):
                start, last = int(run[0]), int(run[-1]) + 1
                while start < last:
                    stop = int(np.searchsorted(places, places[start] + CHUNK_BYTES, "right")) - 1
                    stop = min(max(stop, start + 1), last)
                    records = self._records.read(int(places[start]), int(places[stop]))
                    inside = places[start : stop + 1] - places[start]
                    yield kernels.decode_weights(records, inside, SPILL_WIDTH)
                    start = stop

        if numbering.n_rows:
            write_sparse(files, path, numbering, read, self._last_column, self._memory_bytes)
        return numbering.n_rows

    def discard(self) -> None:
        self._records.discard()
        self._counts.clear()
        self._log = UnitLog()


def merge_sparse(
    files: Files, path: Path, views: Sequence[View[SparseSegment]], memory_bytes: int
) -> int:
    """One segment out of the live rows of several; its number of rows."""
    segments = [view.segment for view in views]
    numbering = number_rows([s.units for s in segments], [view.live for view in views])

    def read(run: int, rows: Rows) -> Iterator[SparseRows]:
        for part in segments[run].stretches(rows, CHUNK_BYTES):
            yield segments[run].weights(rows[part])

    if numbering.n_rows:
        last = max((int(s.columns.max(initial=0)) for s in segments), default=0)
        write_sparse(files, path, numbering, read, last, memory_bytes)
    return numbering.n_rows


def write_sparse(
    files: Files,
    path: Path,
    numbering: Numbering,
    read: Read,
    last_column: int,
    memory_bytes: int,
) -> None:
    """Write rows, in ascending order of unit, and their lists into a segment file.

    `read` gives the rows (columns, weights, offsets) of a run, some at a time, again and again.
    """
    width = 2 if last_column < 1 << 16 else 4
    writer = SegmentWriter(files, path)
    try:
        counts = np.zeros(numbering.n_rows, "<u4")
        parts: list[_Part] = []
        with writer.section("weights", np.uint8) as section:
            row = 0
            for columns, weights, offsets in _stream(numbering, read, 0, numbering.n_rows):
                section.append(kernels.encode_weights(columns, weights, offsets, width))
                counts[row : row + len(offsets) - 1] = np.diff(offsets)
                for start, stop in _within_parts(row, row + len(offsets) - 1):
                    if start % PART_ROWS == 0:
                        parts.append(_Part(last_column))
                    some = slice(int(offsets[start - row]), int(offsets[stop - row]))
                    parts[-1].count(columns[some], weights[some])
                row += len(offsets) - 1
        writer.add("counts", counts)
        for part in parts:
            part.close()
        filled: list[int] = []
        sums: list[int] = []
        with writer.section("lists", np.uint8) as section:
            for number, part in enumerate(parts):
                first = number * PART_ROWS
                last = min(first + PART_ROWS, numbering.n_rows)
                rows = partial(_stream, numbering, read, first, last)
                part.write(section, rows, last - first, memory_bytes, filled, sums)
        writer.add("part_ends", np.cumsum([len(p.columns) for p in parts]).astype("<i8"))
        for name, dtype, arrays in (
            ("columns", "<u4", [p.columns for p in parts]),
            ("largest", "<f4", [p.largest for p in parts]),
            ("sizes", "<u4", [p.sizes for p in parts]),
            ("filled", "<u4", [filled]),
            ("list_crc", "<u4", [sums]),
        ):
            writer.add(name, np.concatenate(arrays).astype(dtype))
        units = UnitMap.write(writer, numbering.units)
        writer.finish({"family": "sparse", "width": width, **units})
    except BaseException:
        writer.abandon()
        raise


def _stream(numbering: Numbering, read: Read, first: int, last: int) -> Iterator[SparseRows]:
    """The rows first..last, some at a time."""
    row = 0
    for run, rows in numbering.places():
        a, b = max(first - row, 0), min(last - row, len(rows))
        if a < b:
            yield from read(run, rows[a:b])
        row += len(rows)
        if row >= last:
            return


def _within_parts(start: int, stop: int) -> Iterator[tuple[int, int]]:
    """The range cut where parts begin."""
    while start < stop:
        end = min(stop, (start // PART_ROWS + 1) * PART_ROWS)
        yield start, end
        start = end


class _Part:
    """The columns of PART_ROWS rows: how many postings, the largest weight."""

    def __init__(self, last_column: int) -> None:
        self._direct = last_column < DIRECT
        self.columns: Columns = np.arange(last_column + 1 if self._direct else 0, dtype=np.uint32)
        self.sizes = np.zeros(len(self.columns), np.int64)
        self.largest = np.zeros(len(self.columns), np.float32)

    def count(self, columns: Columns, weights: npt.NDArray[np.float32]) -> None:
        if not self._direct:
            new = np.setdiff1d(columns, self.columns)
            if len(new):
                at = np.searchsorted(self.columns, new)
                self.columns = np.insert(self.columns, at, new)
                self.sizes = np.insert(self.sizes, at, 0)
                self.largest = np.insert(self.largest, at, 0)
            columns = np.searchsorted(self.columns, columns).astype(np.uint32)
        self.sizes += np.bincount(columns, minlength=len(self.columns))
        np.maximum.at(self.largest, columns, weights)

    def close(self) -> None:
        """No more rows: forget columns that never came."""
        held = np.flatnonzero(self.sizes)
        self.columns, self.sizes, self.largest = (
            self.columns[held],
            self.sizes[held],
            self.largest[held],
        )

    def write(
        self,
        section: SectionWriter,
        rows: Callable[[], Iterator[SparseRows]],
        n_rows: int,
        memory_bytes: int,
        filled: list[int],
        sums: list[int],
    ) -> None:
        """Append the lists, with their filled blocks and checksums."""
        ends = np.cumsum(self.sizes)
        start, most = 0, max(memory_bytes // 8, 1 << 16)  # postings at a time, of 4 bytes
        while start < len(ends):
            seen = int(ends[start - 1]) if start else 0
            stop = max(int(np.searchsorted(ends, seen + most, side="right")), start + 1)
            edges = np.concatenate(([0], ends[start:stop] - seen))
            postings, places = np.empty(int(edges[-1]), np.uint32), edges[:-1].copy()
            table = self._table(start, stop)
            row = 0
            for columns, weights, offsets in rows():
                lists = self._lists(table, columns, start, stop)
                kernels.deal_postings(
                    lists, weights, offsets, row, self.largest[start:stop], places, postings
                )
                row += len(offsets) - 1
            for a, b in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
                data, held = kernels.pack_impacts(postings[a:b], n_rows)
                section.append(data)
                filled.append(held)
                sums.append(zlib.crc32(data.data))
            start = stop

    def _table(self, start: int, stop: int) -> Columns | None:
        """The number of each column's list among those from `start` to `stop`."""
        if not self._direct:
            return None
        table = np.full(int(self.columns[-1]) + 1, NONE, np.uint32)
        table[self.columns[start:stop]] = np.arange(stop - start, dtype=np.uint32)
        return table

    def _lists(self, table: Columns | None, columns: Columns, start: int, stop: int) -> Columns:
        if table is not None:
            return table[columns]
        at = np.searchsorted(self.columns, columns)
        return np.where((at >= start) & (at < stop), at - start, NONE).astype(np.uint32)
