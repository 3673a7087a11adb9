"""Segments of multi-vector fields as bigrain 0.1 wrote them: tokens without codes.

    tokens      f2 (T, dim)   all documents' tokens, one after another
    token_ends  u8 (n,)       where each row's tokens end
    token_crc   u4 (n,)       checksum of each row's tokens

Searches look at every token; merging writes them anew.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from bigrain.codecs.partition import Partition
from bigrain.codecs.tokens import TokenCodec
from bigrain.errors import DamagedError
from bigrain.index.base import Bitmap, Floats, RankedBatch, Rows, UnitMap, merge_ranked
from bigrain.index.coded import Live
from bigrain.index.effort import Effort
from bigrain.index.multivector import (
    NONE,
    READ_BYTES,
    MultiVectorSegment,
    Ragged,
    best_rows,
    joined_queries,
)
from bigrain.index.token_records import Offsets, TokenRecords
from bigrain.storage.segment import SegmentFile

__all__ = ["PlainSegment", "is_plain", "light_bytes_of_plain"]


class _Asked(NamedTuple):
    """Queries as they are."""

    tokens: Floats
    offsets: Offsets

    @property
    def n(self) -> int:
        return len(self.offsets) - 1

    def take(self, some: npt.NDArray[np.int64]) -> _Asked:
        parts = [self.tokens[self.offsets[q] : self.offsets[q + 1]] for q in some.tolist()]
        return _Asked(*joined_queries(parts))


def is_plain(file: SegmentFile) -> bool:
    """Whether a segment is one of bigrain 0.1."""
    return "token_ends" in file.sections


class _PlainRecords(TokenRecords):
    """Tokens whose checksums are in memory."""

    def __init__(self, file: SegmentFile, dim: int, n_rows: int) -> None:
        self.file = file
        self.codec = TokenCodec.fit("float16", dim)
        n_tokens = file.section("tokens", "<f2", (None, dim)).shape[0]
        ends = file.read("token_ends", "<u8", (n_rows,)).astype(np.int64)
        self._ends = np.concatenate(([0], ends))
        if self._ends[-1] != n_tokens or (self._ends[1:] <= self._ends[:-1]).any():
            raise DamagedError(file.name, "token_ends", f"rising to {n_tokens}", "others")
        self._crc = file.read("token_crc", "<u4", (n_rows,))

    def lengths(self, rows: Rows) -> Offsets:
        return self.counts(rows).astype(np.int64) * self.codec.token_bytes

    def counts(self, rows: Rows) -> npt.NDArray[np.int32]:
        return np.asarray(self._ends[rows + 1] - self._ends[rows], np.int32)

    def read(self, rows: Rows) -> tuple[npt.NDArray[np.uint8], Offsets]:
        parts = []
        for row in rows.tolist():
            tokens = self.file.read_rows("tokens", int(self._ends[row]), int(self._ends[row + 1]))
            found, wanted = zlib.crc32(tokens.data.cast("B")), int(self._crc[row])
            if found != wanted:
                raise DamagedError(
                    self.file.name, f"tokens of row {row}", f"crc32 {wanted:08x}", f"{found:08x}"
                )
            parts.append(tokens.reshape(-1).view(np.uint8))
        places = np.concatenate(([0], np.cumsum(self.lengths(rows))))
        return np.concatenate([np.empty(0, np.uint8), *parts]), places

    def payload(self, rows: Rows) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int32]]:
        return self.read(rows)[0], self.counts(rows)


class PlainSegment(MultiVectorSegment):
    """An opened segment; what it proposes is exact."""

    code_id = "plain"
    surrogate_id = "plain"
    calibration = None

    def __init__(self, dim: int, file: SegmentFile) -> None:
        self.file = file
        self.units = UnitMap.read(file)
        self.records = _PlainRecords(file, dim, self.units.n_rows)
        self.partition = Partition.single(dim)

    @property
    def memory_bytes(self) -> int:
        return light_bytes_of_plain(self.file)

    def prepare(self, queries: Sequence[Any]) -> Any:
        return _Asked(*joined_queries(queries))

    def live(self, rows: Bitmap | None) -> Live:
        n = self.units.n_rows
        if rows is not None:
            n = int(np.unpackbits(rows, count=n, bitorder="little").sum())
        return Live(rows, n, np.array([n]))

    def scan(self, prepared: Any, effort: Effort, live: Live) -> RankedBatch:
        ragged: Ragged = (prepared.tokens, prepared.offsets)
        best = [NONE] * prepared.n
        for _, found in best_rows(self, live.bits, ragged, effort.n):
            best = [merge_ranked([a, b], effort.n) for a, b in zip(best, found, strict=True)]
        return RankedBatch.of(best)

    def estimate(self, prepared: Any, rows: Rows) -> Floats:
        order = np.argsort(rows)
        found = np.empty(len(rows), np.float32)
        for part in self.records.stretches(rows[order], READ_BYTES):
            some = rows[order[part]]
            ones = np.zeros(len(some), np.int32)
            found[order[part]] = self.records.score(
                some, prepared.tokens, prepared.offsets, np.arange(len(some)), ones
            )
        return found


def light_bytes_of_plain(file: SegmentFile) -> int:
    """Where tokens end, checksums, and the map of a segment with gaps."""
    rows = file.section("token_ends").shape[0]
    return 8 * (rows + 1) + 4 * rows + UnitMap.bytes_in(file)
