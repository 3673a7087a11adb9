"""Inverted lists of format 1: rows (u32), then counts (meta `weight`: u1|u2|u4), as arrays.

They are packed when they are read, so that searches know one form only.
"""

from __future__ import annotations

import zlib

import numpy as np

from bigrain import kernels
from bigrain.errors import DamagedError
from bigrain.index.bm25 import Saturation
from bigrain.index.postings import Array, RowNumbers, Run, join
from bigrain.storage.segment import SegmentFile

__all__ = ["RawRun"]

ROW_BYTES = 4
COUNT_TYPES = ("|u1", "<u2", "<u4")


class RawRun(Run):
    """A run of lists as arrays."""

    def __init__(self, file: SegmentFile, saturation: Saturation, lengths: Array) -> None:
        super().__init__(file)
        counts = file.meta.get("weight")
        if counts not in COUNT_TYPES:
            raise DamagedError(file.name, "table", "a type of counts", counts)
        self._type = np.dtype(str(counts))
        self._saturation, self._lengths = saturation, lengths
        self._starts = np.zeros(len(self.keys) + 1, np.int64)
        np.cumsum(self.df, out=self._starts[1:])
        file.section("lists", "|u1", (int(self._starts[-1]) * self._width,))

    @property
    def _width(self) -> int:
        return ROW_BYTES + self._type.itemsize

    def read_list(self, at: int) -> kernels.PostingList:
        rows, values = self.lists(at, at + 1)
        impacts = self._saturation.impacts(values.astype(np.int64) + 1, self._lengths[rows])
        data, _, _ = kernels.encode_lists(rows, impacts, values, np.array([0, len(rows)]))
        return kernels.posting_list(data, len(rows), self.unit_map.n_rows)

    def lists(self, a: int, b: int) -> tuple[RowNumbers, RowNumbers]:
        checksums = self.file.read_rows("list_crc", a, b).tolist()
        starts = self._starts[a : b + 1]
        blob = self.file.read_rows(
            "lists", int(starts[0]) * self._width, int(starts[-1]) * self._width
        ).data
        rows, values, at = [], [], 0
        for i, (df, expected) in enumerate(zip(np.diff(starts).tolist(), checksums, strict=True)):
            part = blob[at : at + df * self._width]
            at += df * self._width
            found = zlib.crc32(part)
            if found != expected:
                name = f"lists[{a + i}]"
                raise DamagedError(self.file.name, name, f"crc32 {expected:08x}", f"{found:08x}")
            mine = np.frombuffer(part[: df * ROW_BYTES], "<u4").astype(np.uint32)
            counts = np.frombuffer(part[df * ROW_BYTES :], self._type)
            if (mine[1:] <= mine[:-1]).any() or int(mine[-1]) >= self.unit_map.n_rows:
                limit = f"rising rows below {self.unit_map.n_rows}"
                raise DamagedError(self.file.name, f"lists[{a + i}]", limit, "others")
            if not counts.all():
                raise DamagedError(self.file.name, f"lists[{a + i}]", "counts from 1", "others")
            rows.append(mine)
            values.append(counts.astype(np.uint32) - np.uint32(1))
        return join(rows, np.uint32), join(values, np.uint32)
