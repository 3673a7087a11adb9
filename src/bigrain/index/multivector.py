"""Multi-vector fields: token vectors on disk, scored by exact MaxSim.

    tokens      f2 (T, dim)   all documents' tokens, one after another
    token_ends  u8 (n,)       where each row's tokens end
    token_crc   u4 (n,)       checksum of each row's tokens, verified whenever they are read

A query is an (m, dim) float32 array.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bigrain import kernels
from bigrain.errors import DamagedError, StorageError
from bigrain.index.base import (
    Floats,
    Keep,
    Ranked,
    Selection,
    UnitMap,
    Units,
    View,
    merge_ranked,
)
from bigrain.index.effort import Effort
from bigrain.index.numbering import Numbering, UnitLog, alive_bitmap, number_rows
from bigrain.storage.files import Files
from bigrain.storage.segment import SegmentFile, SegmentWriter
from bigrain.storage.spill import Spill

__all__ = [
    "MultiVectorBuilder",
    "MultiVectorIndex",
    "MultiVectorSegment",
    "light_bytes_of",
    "merge_multivector",
]

CHUNK_BYTES = 1 << 20
SPILL_BUFFER = 1 << 18
HELD_ROWS = 4096
Tokens = npt.NDArray[np.float16]


class MultiVectorSegment:
    """An opened segment: offsets in memory, tokens read on demand."""

    def __init__(self, file: SegmentFile, dim: int) -> None:
        self.file = file
        self.units = UnitMap.read(file)
        n = self.units.n_rows
        n_tokens = file.section("tokens", "<f2", (None, dim)).shape[0]
        self.offsets = np.zeros(n + 1, np.int64)
        self.offsets[1:] = file.read("token_ends", "<u8", (n,)).astype(np.int64)
        if self.offsets[-1] != n_tokens or (self.offsets[1:] < self.offsets[:-1]).any():
            raise DamagedError(file.name, "token_ends", f"up to {n_tokens}", self.offsets[-1])
        self._crc = file.read("token_crc", "<u4", (n,))

    @property
    def memory_bytes(self) -> int:
        return light_bytes_of(self.file)

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


def light_bytes_of(file: SegmentFile) -> int:
    """Offsets and checksums, and the map of a segment with gaps."""
    rows = file.section("token_ends").shape[0]
    return 8 * (rows + 1) + 4 * rows + UnitMap.bytes_in(file)


class MultiVectorIndex:
    """All segments of a multi-vector field at one snapshot."""

    def __init__(self, views: Sequence[View[MultiVectorSegment]]) -> None:
        self.views = views

    @property
    def n_rows(self) -> int:
        return sum(view.n_live for view in self.views)

    def effort(self, recall: float | None, k: int) -> Effort:
        """Candidates are exact: k of them."""
        return Effort(k)

    def candidates(
        self, queries: Sequence[Any], effort: Effort, selection: Selection | None
    ) -> list[Ranked]:
        return self.exact(queries, effort.n, selection)

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
        self._tokens = Spill(files, spill, "<f2", (dim,), buffer_bytes=SPILL_BUFFER)
        self._log = UnitLog()
        self._counts: list[npt.NDArray[np.uint32]] = []

    def append(self, units: Units, values: Any) -> None:
        """Add ragged tokens: (values (T, dim), offsets (n + 1,))."""
        tokens, offsets = values
        self._tokens.append(tokens)
        self._log.append(units)
        self._counts.append(np.diff(offsets).astype(np.uint32))

    def seal(self, keep: Keep, path: Path, files: Files) -> int:
        """Write the segment; returns its number of rows (0: no file)."""
        units, positions = self._log.unit_map()
        numbering = number_rows([units], [alive_bitmap(units, keep)])
        offsets = np.zeros(self._log.n_rows + 1, np.int64)
        if self._counts:
            np.cumsum(np.concatenate(self._counts), out=offsets[1:])

        def records() -> Iterator[Tokens]:
            for _, rows in numbering.places():
                for row in (rows if positions is None else positions[rows]).tolist():
                    yield self._tokens.read(int(offsets[row]), int(offsets[row + 1]))

        return _write(files, path, self._dim, numbering, records())

    def discard(self) -> None:
        self._tokens.discard()
        self._log = UnitLog()
        self._counts.clear()


def merge_multivector(
    dim: int, files: Files, path: Path, views: Sequence[View[MultiVectorSegment]]
) -> int:
    """One segment out of the live rows of several; its number of rows."""
    segments = [view.segment for view in views]
    numbering = number_rows([s.units for s in segments], [view.live for view in views])

    def records() -> Iterator[Tokens]:
        for run, rows in numbering.places():
            for row in rows.tolist():
                yield segments[run].tokens(row, row + 1)

    return _write(files, path, dim, numbering, records())


def _write(
    files: Files, path: Path, dim: int, numbering: Numbering, records: Iterator[Tokens]
) -> int:
    if not numbering.n_rows:
        return 0
    rows = Spill(
        files, path.with_name(path.name + ".tokens"), "<u8", (2,), buffer_bytes=SPILL_BUFFER
    )
    writer = SegmentWriter(files, path)
    try:
        end = 0
        held: list[tuple[int, int]] = []  # (end, checksum) of rows
        with writer.section("tokens", "<f2", (dim,)) as section:
            for tokens in records:
                section.append(tokens)
                end += len(tokens)
                held.append((end, zlib.crc32(np.ascontiguousarray(tokens).data.cast("B"))))
                if len(held) == HELD_ROWS:
                    rows.append(np.array(held, np.uint64))
                    held.clear()
        rows.append(np.array(held, np.uint64).reshape(-1, 2))
        for at, (name, kind) in enumerate((("token_ends", "<u8"), ("token_crc", "<u4"))):
            with writer.section(name, kind) as section:
                for start in range(0, rows.n_rows, HELD_ROWS):
                    part = rows.read(start, min(start + HELD_ROWS, rows.n_rows))
                    section.append(part[:, at].astype(kind))
        units = UnitMap.write(writer, numbering.units)
        writer.finish({"family": "multivector", **units})
    except BaseException:
        writer.abandon()
        raise
    finally:
        with suppress(StorageError):  # the next writer sweeps what cannot be removed
            rows.discard()
    return numbering.n_rows
