"""Segments of sparse fields as bigrain 0.1 wrote them: lists with the weights, no rows.

    keys        u64 (T,)    columns, ascending
    df          u32 (T,)    length of each list
    lists       bytes       per column: its rows (u32), then its weights (meta `weight`: u1|u2|f4)
    list_crc    u32 (T,)    checksum of each list, verified whenever it is read

They are read when they are opened, for the largest weights; merging writes them anew.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from bigrain import kernels
from bigrain.errors import DamagedError
from bigrain.index.base import Floats, Rows, UnitMap
from bigrain.index.sparse_segment import (
    LIST_BYTES,
    PART_ROWS,
    ImpactList,
    SparseRows,
    SparseSegment,
    list_bytes,
)
from bigrain.storage.segment import SegmentFile

__all__ = ["ListedSegment", "is_listed", "light_bytes_of_listed"]

OLD_BYTES = 8 + 8 + 4  # key, place, checksum
WEIGHT_BYTES = 16  # of a row that is read, about
Array = npt.NDArray[Any]


def is_listed(file: SegmentFile) -> bool:
    """Whether a segment is one of bigrain 0.1."""
    return "weights" not in file.sections and "keys" in file.sections


class ListedSegment(SparseSegment):
    """An opened segment whose rows are put together from its lists."""

    def __init__(self, file: SegmentFile) -> None:
        self.file = file
        self.units = UnitMap.read(file)
        n = self.units.n_rows
        self._keys = file.read("keys", "<u8", (None,))
        n_keys = len(self._keys)
        if (self._keys[1:] <= self._keys[:-1]).any() or (self._keys >> np.uint64(32)).any():
            raise DamagedError(file.name, "keys", "rising columns", "others")
        weight = file.meta.get("weight")
        if weight not in ("|u1", "<u2", "<f4"):
            raise DamagedError(file.name, "table", "a type of weights", weight)
        self._weight = np.dtype(str(weight))
        self._old_crc = file.read("list_crc", "<u4", (n_keys,))
        df = file.read("df", "<u4", (n_keys,)).astype(np.int64)
        if not df.all() or (df > n).any():
            raise DamagedError(file.name, "df", f"lists of 1 to {n} rows", "others")
        self._starts = np.concatenate(([0], np.cumsum(df)))
        file.section("lists", "|u1", (int(self._starts[-1]) * (4 + self._weight.itemsize),))
        self._describe(-(-n // PART_ROWS))

    def _describe(self, n_parts: int) -> None:
        """What a segment of today stores of its lists."""
        parts: list[list[tuple[int, int, float, int, int]]] = [[] for _ in range(n_parts)]
        for at, key in enumerate(self._keys.tolist()):
            rows, weights = self._read(at)
            edges = np.searchsorted(rows, PART_ROWS * np.arange(n_parts + 1)).tolist()
            for part, (a, b) in enumerate(zip(edges, edges[1:], strict=False)):
                if a < b:
                    blocks = np.count_nonzero(np.diff(rows[a:b] >> 5)) + 1
                    parts[part].append((at, key, float(weights[a:b].max()), b - a, int(blocks)))
        told = [one for part in parts for one in part]
        self.part_starts = np.concatenate(([0], np.cumsum([len(part) for part in parts])))
        at_, columns, largest, sizes, filled = zip(*told, strict=True) if told else ((),) * 5
        self._at = np.array(at_, np.int64)
        self.columns = np.array(columns, np.uint32)
        self.largest = np.array(largest, np.float32)
        self.sizes, self.filled = np.array(sizes, np.uint32), np.array(filled, np.uint32)
        lengths = [
            list_bytes(self.sizes[mine], self.filled[mine], self.part_rows(part))
            for part in range(n_parts)
            for mine in [self.lists_of(part)]
        ]
        self.list_places = np.concatenate(([0], np.cumsum(np.concatenate([[], *lengths])))).astype(
            np.int64
        )

    @property
    def memory_bytes(self) -> int:
        return light_bytes_of_listed(self.file)

    def _read(self, at: int) -> tuple[npt.NDArray[np.uint32], Floats]:
        """(rows, weights) of one of the lists that are stored."""
        width, begin, end = 4 + self._weight.itemsize, self._starts[at], self._starts[at + 1]
        raw = self.file.read_rows("lists", int(begin) * width, int(end) * width).tobytes()
        if (found := zlib.crc32(raw)) != int(self._old_crc[at]):
            wanted = f"crc32 {int(self._old_crc[at]):08x}"
            raise DamagedError(self.file.name, f"lists[{at}]", wanted, f"{found:08x}")
        middle = 4 * int(end - begin)
        rows = np.frombuffer(raw[:middle], "<u4")
        weights = np.frombuffer(raw[middle:], self._weight).astype(np.float32)
        rising = bool((rows[1:] > rows[:-1]).all()) and int(rows[-1]) < self.units.n_rows
        if not rising or not (np.isfinite(weights) & (weights > 0)).all():
            raise DamagedError(
                self.file.name, f"lists[{at}]", "rising rows, weights above 0", "others"
            )
        return rows, weights

    def read_list(self, at: int) -> ImpactList:
        """A list as `kernels.pack_impacts` lays it out."""
        part = self.part_of(at)
        rows, weights = self._read(int(self._at[at]))
        first = part * PART_ROWS
        a, b = np.searchsorted(rows, [first, first + PART_ROWS])
        postings = np.empty(b - a, np.uint32)
        # A row for each of them: where a row is empty its number moves on.
        offsets = np.searchsorted(rows[a:b], np.arange(first, first + self.part_rows(part) + 1))
        kernels.deal_postings(
            np.zeros(b - a, np.uint32), np.ascontiguousarray(weights[a:b]),
            offsets.astype(np.int64), 0, self.largest[at : at + 1], np.zeros(1, np.int64), postings,
        )  # fmt: skip
        return ImpactList(kernels.pack_impacts(postings, self.part_rows(part))[0])

    def _gather(self, rows: Rows, keys: npt.NDArray[np.int64]) -> SparseRows:
        """(columns, weights, offsets) of ascending rows, of some of the lists."""
        columns, of, data = [np.empty(0, np.uint32)], [np.empty(0, np.int64)], []
        data.append(np.empty(0, np.float32))
        for at in keys.tolist():
            members, weights = self._read(at)
            place = np.minimum(np.searchsorted(members, rows.astype(np.uint32)), len(members) - 1)
            held = np.flatnonzero(members[place] == rows)
            columns.append(np.full(len(held), self._keys[at], np.uint32))
            of.append(held)
            data.append(weights[place[held]])
        row_of = np.concatenate(of)
        order = np.argsort(row_of, kind="stable")
        ends = np.searchsorted(row_of[order], np.arange(len(rows) + 1)).astype(np.int64)
        return np.concatenate(columns)[order], np.concatenate(data)[order], ends

    def weights(self, rows: Rows) -> SparseRows:
        return self._gather(rows, np.arange(len(self._keys)))

    def score(self, rows: Rows, queries: Any, record_of: Array, query_of: Array) -> Floats:
        asked = np.flatnonzero(np.isin(self._keys, queries.columns))
        columns, weights, offsets = self._gather(rows, asked)
        records = kernels.encode_weights(columns, weights, offsets, 4)
        places = np.concatenate(([0], np.cumsum(8 * np.diff(offsets) + 4))).astype(np.int64)
        return kernels.score_weights(
            records, places, 4, queries.columns, queries.weights, queries.offsets, record_of,
            query_of,
        )  # fmt: skip

    def stretches(self, rows: Rows, most_bytes: int) -> Iterator[slice]:
        mean = WEIGHT_BYTES * int(self._starts[-1]) // max(self.units.n_rows, 1) + 1
        step = max(1, most_bytes // mean)
        for start in range(0, len(rows), step):
            yield slice(start, min(start + step, len(rows)))


def light_bytes_of_listed(file: SegmentFile) -> int:
    """What finds lists, of then and of now."""
    return (OLD_BYTES + LIST_BYTES) * file.section("keys").shape[0] + UnitMap.bytes_in(file)
