"""Inverted lists of format 1: rows (u32), then weights (meta `weight`: u1|u2|u4|f4), as arrays.

They are packed when they are read, so that searches know one form only.
"""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np

from bigrain import kernels
from bigrain.errors import DamagedError
from bigrain.index.impacts import Impacts
from bigrain.index.postings import Array, Listed, RowNumbers, Run, join
from bigrain.storage.segment import SegmentFile

__all__ = ["ROW_BYTES", "RawRun", "raw_weight", "values_of_weights"]

ROW_BYTES = 4


def raw_weight(file: SegmentFile) -> np.dtype[Any] | None:
    """The type of weights; None where the file's table does not tell one."""
    weight = file.meta.get("weight")
    lexical = file.meta.get("family") == "lexical"
    known = ("|u1", "<u2", "<u4") if lexical else ("|u1", "<u2", "<f4")
    return np.dtype(weight) if weight in known else None


def values_of_weights(weights: Array) -> RowNumbers:
    """What packed lists keep in the place of weights."""
    if weights.dtype.kind == "f":
        return np.ascontiguousarray(weights, np.float32).view(np.uint32)
    return weights.astype(np.uint32) - np.uint32(1)


class RawRun(Run):
    """A run of lists as arrays."""

    def __init__(self, file: SegmentFile, impacts: Impacts) -> None:
        super().__init__(file)
        weight = raw_weight(file)
        if weight is None:
            raise DamagedError(file.name, "table", "a type of weights", file.meta.get("weight"))
        self.weight, self._impacts = weight, impacts
        self._starts = np.zeros(len(self.keys) + 1, np.int64)
        np.cumsum(self.df, out=self._starts[1:])
        file.section("lists", "|u1", (int(self._starts[-1]) * self._width,))

    @property
    def _width(self) -> int:
        return ROW_BYTES + int(self.weight.itemsize)

    def read_list(self, at: int) -> Listed:
        rows, values = self.lists(at, at + 1)
        starts = np.array([0, len(rows)])
        impacts, units = self._impacts.make(rows, values, starts)
        data, _, _ = kernels.encode_lists(rows, impacts, values, starts)
        opened = kernels.posting_list(data, len(rows), self.unit_map.n_rows)
        return Listed(opened, float(units[0]) if len(units) else 1 / 255)

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
            weights = np.frombuffer(part[df * ROW_BYTES :], self.weight)
            if (mine[1:] <= mine[:-1]).any() or int(mine[-1]) >= self.unit_map.n_rows:
                limit = f"rising rows below {self.unit_map.n_rows}"
                raise DamagedError(self.file.name, f"lists[{a + i}]", limit, "others")
            if not (weights > 0).all() or not np.isfinite(weights).all():
                raise DamagedError(self.file.name, f"lists[{a + i}]", "weights above 0", "others")
            rows.append(mine)
            values.append(values_of_weights(weights.astype(weights.dtype.newbyteorder("="))))
        return join(rows, np.uint32), join(values, np.uint32)
