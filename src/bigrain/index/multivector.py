"""Multi-vector fields: token vectors on disk, scored by exact MaxSim.

    tokens      f2 (T, dim)   all documents' tokens, one after another
    token_ends  u8 (n,)       where each row's tokens end
    token_crc   u4 (n,)       checksum of each row's tokens, verified whenever they are read

A query is an (m, dim) float32 array.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bigrain import kernels
from bigrain.errors import DamagedError
from bigrain.index.base import (
    Floats,
    Keep,
    Ranked,
    Rows,
    Selection,
    UnitMap,
    Units,
    View,
    merge_ranked,
)
from bigrain.index.dense import last_of_each
from bigrain.storage.files import Files
from bigrain.storage.segment import SegmentFile, SegmentWriter
from bigrain.storage.spill import Spill

__all__ = ["MultiVectorBuilder", "MultiVectorIndex", "MultiVectorSegment", "merge_multivector"]

CHUNK_BYTES = 16 << 20
Tokens = npt.NDArray[np.float16]


class MultiVectorSegment:
    """An opened segment: offsets in memory, tokens read on demand."""

    def __init__(self, file: SegmentFile) -> None:
        self.file = file
        self.units = UnitMap.read(file)
        self.offsets = np.zeros(self.units.n_rows + 1, np.int64)
        self.offsets[1:] = file.read("token_ends")
        n_tokens = file.section("tokens").shape[0]
        if self.offsets[-1] != n_tokens or (np.diff(self.offsets) < 0).any():
            raise DamagedError(file.name, "token_ends", f"up to {n_tokens}", self.offsets[-1])
        self._crc = file.read("token_crc")

    @property
    def memory_bytes(self) -> int:
        return self.offsets.nbytes + self._crc.nbytes + self.units.n_bytes

    def tokens(self, start: int, stop: int) -> Tokens:
        """Tokens of the rows start..stop, every row's checksum verified."""
        low, high = int(self.offsets[start]), int(self.offsets[stop])
        tokens: Tokens = self.file.read_rows("tokens", low, high)
        edges = (self.offsets[start : stop + 1] - low).tolist()
        for row, (a, b) in enumerate(zip(edges, edges[1:], strict=False), start):
            found = zlib.crc32(tokens[a:b].data.cast("B")) if b > a else 0
            if found != int(self._crc[row]):
                raise DamagedError(
                    self.file.name,
                    f"tokens of row {row}",
                    f"crc32 {int(self._crc[row]):08x}",
                    f"{found:08x}",
                )
        return tokens

    def chunks(self) -> Iterator[tuple[int, int]]:
        """Row ranges of about CHUNK_BYTES of tokens."""
        per_chunk = max(1, CHUNK_BYTES // max(self.file.section("tokens").row_bytes, 1))
        start = 0
        while start < self.units.n_rows:
            limit = int(self.offsets[start]) + per_chunk
            stop = int(np.searchsorted(self.offsets, limit, side="right")) - 1
            stop = min(max(stop, start + 1), self.units.n_rows)
            yield start, stop
            start = stop


class MultiVectorIndex:
    """All segments of a multi-vector field at one snapshot."""

    def __init__(self, views: Sequence[View[MultiVectorSegment]]) -> None:
        self.views = views

    @property
    def n_rows(self) -> int:
        return sum(view.n_live for view in self.views)

    def candidates(
        self, queries: Sequence[Any], n: int, selection: Selection | None
    ) -> list[Ranked]:
        return self.exact(queries, n, selection)

    def exact(self, queries: Sequence[Any], k: int, selection: Selection | None) -> list[Ranked]:
        """Per query the best k by MaxSim over every token."""
        best = [Ranked(np.empty(0, np.int64), np.empty(0, np.float32)) for _ in queries]
        for view in self.views:
            segment, bitmap = view.segment, view.bitmap(selection)
            for start, stop in segment.chunks():
                tokens = segment.tokens(start, stop).astype(np.float32)
                offsets = segment.offsets[start : stop + 1] - segment.offsets[start]
                rows = np.arange(start, stop)
                if bitmap is not None:
                    rows = rows[((bitmap[rows >> 3] >> (rows & 7)) & 1).astype(bool)]
                for i, query in enumerate(queries):
                    scores = kernels.maxsim(np.asarray(query, np.float32), tokens, offsets)
                    found = Ranked(segment.units.units(rows), scores[rows - start])
                    best[i] = merge_ranked([best[i], found], k)
        return best

    def score(self, query: Any, units: Units) -> Floats:
        """MaxSim of single units, NaN where there is no live row."""
        scores = np.full(len(units), np.nan, np.float32)
        for view in self.views:
            at, rows = view.locate(units)
            for i, row in zip(at.tolist(), rows.tolist(), strict=True):
                tokens = view.segment.tokens(row, row + 1).astype(np.float32)
                offsets = np.array([0, len(tokens)], np.int64)
                scores[i] = kernels.maxsim(np.asarray(query, np.float32), tokens, offsets)[0]
        return scores


class MultiVectorBuilder:
    """Pending token vectors of one field."""

    def __init__(self, dim: int, files: Files, spill: Path) -> None:
        self._dim = dim
        self._tokens = Spill(files, spill, "<f2", (dim,))
        self._units: list[Units] = []
        self._counts: list[npt.NDArray[np.int64]] = []

    def append(self, units: Units, values: Any) -> None:
        """Add ragged tokens: (values (T, dim), offsets (n + 1,))."""
        tokens, offsets = values
        self._tokens.append(tokens)
        self._units.append(units)
        self._counts.append(np.diff(offsets))

    def seal(self, keep: Keep, path: Path, files: Files) -> Units:
        """Write the segment; returns its units (none: no file)."""
        if not self._units:
            return np.empty(0, np.int64)
        units = np.concatenate(self._units)
        offsets = np.concatenate(([0], np.cumsum(np.concatenate(self._counts))))
        positions = last_of_each(units)
        positions = positions[keep(units[positions])]
        records = (self._tokens.read(int(offsets[p]), int(offsets[p + 1])) for p in positions)
        return _write(files, path, self._dim, units[positions], records)

    def discard(self) -> None:
        self._tokens.discard()
        self._units.clear()
        self._counts.clear()


def merge_multivector(
    dim: int, files: Files, path: Path, views: Sequence[View[MultiVectorSegment]]
) -> Units:
    """One segment out of the live rows of several."""
    places: list[tuple[int, View[MultiVectorSegment], int]] = []
    for view in views:
        rows: Rows = view.live_rows()
        units = view.segment.units.units(rows).tolist()
        places += [(u, view, r) for u, r in zip(units, rows.tolist(), strict=True)]
    places.sort(key=lambda place: place[0])
    records = (view.segment.tokens(row, row + 1) for _, view, row in places)
    return _write(files, path, dim, np.array([u for u, _, _ in places], np.int64), records)


def _write(files: Files, path: Path, dim: int, units: Units, records: Iterator[Tokens]) -> Units:
    if not len(units):
        return units
    writer = SegmentWriter(files, path)
    try:
        crc, counts = [], []
        with writer.section("tokens", "<f2", (dim,)) as section:
            for tokens in records:
                section.append(tokens)
                counts.append(len(tokens))
                crc.append(zlib.crc32(np.ascontiguousarray(tokens).data.cast("B")))
        writer.add("token_ends", np.cumsum(counts).astype("<u8"))
        writer.add("token_crc", np.array(crc, "<u4"))
        writer.finish({"family": "multivector", **UnitMap.write(writer, units)})
    except BaseException:
        writer.abandon()
        raise
    return units
