"""Making the codes of a segment: fitted to a sample, kept as they come, written list by list.

A first pass over the vectors takes a sample, from which the frame of the codes is fitted, a second
one the centroids of a large segment; codes that are learned take a third one, of residuals. Then
the vectors come once more to be coded. Codes wait in a file beside the segment until they are
written in the order of their lists, so that memory is 2 bytes a row and the sample.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bigrain.codecs.dense import CodeSettings, DenseCodec
from bigrain.codecs.frame import Frame
from bigrain.codecs.nibbles import BLOCK, blocks_of, packed_bytes
from bigrain.codecs.partition import Partition, list_count, quantise
from bigrain.index.base import Floats, Rows
from bigrain.index.coded import chunk_rows
from bigrain.index.coded_codec import write_codec
from bigrain.index.effort import Calibration
from bigrain.storage.files import Files
from bigrain.storage.segment import SegmentWriter
from bigrain.storage.spill import Spill

__all__ = [
    "Chunks",
    "ListedCodes",
    "Reservoir",
    "fit_codes",
    "in_steps",
    "learned_bytes",
    "sample_step",
]

SPILL_BUFFER = 1 << 18
SAMPLE_ROWS = 20_000
SAMPLE_BYTES = 64 << 20  # of the sample that k-means sees, one byte a number
LEARNED_BYTES = 16 << 20  # of the sample that codes are learned from, as float32
SORTED_AT_ONCE = 1 << 15
TRUSTED_FIT_ROWS = 2_000  # a codec fitted on fewer is replaced when more vectors are at hand
Array = npt.NDArray[Any]
Chunks = Callable[[], Iterator[Floats]]
Watch = Callable[[Iterator[Floats]], Iterator[Floats]]


def fit_codes(
    settings: CodeSettings,
    metric: str,
    chunks: Chunks,
    n: int,
    dim: int,
    *,
    codec: DenseCodec | None,
    watch: Watch,
    memory_bytes: int,
    like: Floats | None = None,
) -> tuple[DenseCodec, Partition]:
    """The codec and the lists of n vectors, which `chunks` gives some at a time, again and again.

    `codec`: taken over where it suits and was fitted to enough; whole, where it was learned.
    `watch` is shown a sample of them.
    """
    n_lists = list_count(n)
    sample = watch(sampled(chunks(), sample_step(n, SAMPLE_ROWS)))
    if codec is not None and not codec.suits(settings):
        codec = None
    trusted = codec is not None and codec.fitted_on >= min(n, TRUSTED_FIT_ROWS)
    if codec is None or not (trusted or codec.lasts):
        codec = None
        frame = Frame.fit(
            sample, dim, settings.width(dim), metric=metric,
            reduction=settings.reduction, queries=like,
        )  # fmt: skip
    else:
        frame = codec.frame
        for _ in sample:
            pass
    partition = Partition.single(dim)
    if n_lists > 1:
        partition = _fit_partition(chunks, n, n_lists, frame, memory_bytes)
    if codec is None or not (codec.learned_from or codec.quantiser.scaled):
        residuals = _residuals(chunks, n, frame, partition) if settings.learned else None
        codec = DenseCodec.fit(frame, settings, residuals)
    return codec, partition


class ListedCodes:
    """The codes of all rows, on disk as they come, until they are written list by list."""

    def __init__(
        self,
        files: Files,
        path: Path,
        n: int,
        codec: DenseCodec,
        partition: Partition,
    ) -> None:
        self.codec, self.partition = codec, partition
        self._l2, self._bytes = codec.frame.metric == "l2", packed_bytes(codec.groups)
        self._spill = Spill(
            files, path, np.uint8, (self._bytes + 8,), buffer_bytes=SPILL_BUFFER
        )  # symbols, scale, offset
        self.lists: npt.NDArray[Any] = np.zeros(
            n, np.uint16 if partition.n_lists <= 1 << 16 else np.int32
        )
        self.sizes = np.zeros(partition.n_lists, np.int64)
        self._residuals = np.zeros(partition.n_lists)  # sums of squares
        self._offsets = np.zeros(partition.n_lists)  # sums, only for l2
        self._unit = 0.0

    def append(self, vectors: Floats) -> None:
        """Encode the next (n, d) vectors."""
        centred = vectors - self.codec.centre
        lists = self.partition.assign(centred)
        centroids = self.partition.centroids(lists)
        codes = self.codec.encode(centred, centroids)
        factors = np.zeros((len(vectors), 2), "<f4")
        factors[:, 0] = codes.scale
        if codes.offset is not None:
            factors[:, 1] = codes.offset
        start = self._spill.n_rows
        self._spill.append(np.concatenate((codes.symbols, factors.view(np.uint8)), axis=1))
        self.lists[start : start + len(vectors)] = lists
        self.sizes += np.bincount(lists, minlength=self.partition.n_lists)
        self._offsets += np.bincount(lists, factors[:, 1], self.partition.n_lists)
        squared = np.square(centred - centroids).sum(axis=1)
        self._residuals += np.bincount(lists, squared, self.partition.n_lists)
        self._unit = max(self._unit, float(codes.scale.max(initial=0)))

    @property
    def spread(self) -> Floats:
        """(L,) root mean square of the residuals in each list."""
        return np.sqrt(self._residuals / np.maximum(self.sizes, 1)).astype(np.float32)

    @property
    def list_offset(self) -> Floats | None:
        """(L,) mean of the offsets in each list; only for l2."""
        if not self._l2 or self.partition.n_lists == 1:
            return None
        return (self._offsets / np.maximum(self.sizes, 1)).astype(np.float32)

    def estimates(self, rows: Rows, turned: Floats, bases: Floats) -> Floats:
        """(Q, n) estimates of rows (n,) by queries in the coordinates of codes."""
        symbols, factors = self._codes(rows)
        decoded = self.codec.quantiser.decode(symbols)
        found = factors[:, 0] * (turned @ decoded.T) + bases[:, self.lists[rows]]
        return np.asarray(found + factors[:, 1], np.float32)

    def _codes(self, rows: Rows) -> tuple[npt.NDArray[np.uint8], Floats]:
        """Symbols and (n, 2) factors of rows."""
        if len(rows) and rows[-1] - rows[0] == len(rows) - 1:
            records = self._spill.read(int(rows[0]), int(rows[-1]) + 1)
        else:
            records = self._spill.gather(rows)
        factors = np.ascontiguousarray(records[:, self._bytes :]).view("<f4")
        return records[:, : self._bytes], factors.astype(np.float32, copy=False)

    def write(self, writer: SegmentWriter, calibration: Calibration | None) -> dict[str, Any]:
        """Write codes, lists and codec; returns what belongs into the segment's meta."""
        groups, unit = self.codec.groups, np.float32(self._unit or 1.0)
        step = chunk_rows(self.codec.frame.dim)
        with writer.section("blocks", np.uint8, (groups, 16)) as section:
            for rows in in_steps(self._ordered(), step // BLOCK * BLOCK):
                symbols, _ = self._codes(rows)
                section.append(blocks_of(symbols, groups))
        for at, name in enumerate(("scale", "offset") if self._l2 else ("scale",)):
            with writer.section(name, "<f4" if at else "<f2") as section:
                for rows in in_steps(self._ordered(), step):
                    factors = self._codes(rows)[1][:, at]
                    section.append(factors if at else factors / unit)
        writer.add("starts", np.concatenate(([0], np.cumsum(self.sizes))).astype("<i8"))
        if self.partition.n_lists > 1:
            with writer.section("order", "<u4") as section:
                for rows in self._ordered():
                    section.append(rows)
            writer.add("centroids", self.partition.table)
            self.partition.forget_table()
            writer.add("centroid_scale", self.partition.scale.astype("<f4"))
        writer.add("spread", self.spread.astype("<f4"))
        if self.list_offset is not None:
            writer.add("list_offset", self.list_offset.astype("<f4"))
        if calibration is not None:
            writer.add("calibration_gaps", calibration.gaps.astype("<f4"))
            writer.add("calibration_ranks", calibration.ranks.astype("<i4"))
            writer.add("calibration_probed", calibration.probed.astype("<f4"))
            if calibration.dips is not None:
                writer.add("calibration_dips", calibration.dips.astype("<f4"))
        return {"scale_unit": float(unit), **write_codec(writer, self.codec)}

    def _ordered(self) -> Iterator[Rows]:
        """The rows list by list, ascending in each, some lists at a time."""
        if self.partition.n_lists == 1:
            for start in range(0, len(self.lists), SORTED_AT_ONCE):
                yield np.arange(start, min(start + SORTED_AT_ONCE, len(self.lists)))
            return
        ends = np.cumsum(self.sizes)
        first = 0
        while first < len(ends):
            seen = int(ends[first - 1]) if first else 0
            last = max(int(np.searchsorted(ends, seen + SORTED_AT_ONCE, side="right")), first + 1)
            rows = np.flatnonzero((self.lists >= first) & (self.lists < last))
            yield rows[np.argsort(self.lists[rows], kind="stable")]
            first = last

    def discard(self) -> None:
        self._spill.discard()


class Reservoir:
    """About SIZE of the vectors of the sample of n that `fit_codes` shows."""

    SIZE = 300

    def __init__(self, dim: int, n: int) -> None:
        self._every, self._seen = max(1, min(n, SAMPLE_ROWS) // self.SIZE), 0
        self._parts = [np.empty((0, dim), np.float32)]

    def watch(self, parts: Iterator[Floats]) -> Iterator[Floats]:
        for part in parts:
            self._parts.append(part[-self._seen % self._every :: self._every].copy())
            self._seen += len(part)
            yield part

    def rows(self) -> Floats:
        together, self._parts = np.concatenate(self._parts), []
        return together


def learned_bytes(width: int, settings: CodeSettings) -> int:
    """About what learning a code takes: copies of the sample, and parts of a rotation."""
    sample = min(4 * SAMPLE_ROWS * width, LEARNED_BYTES)
    return 5 * sample + 80 * width**2


def _residuals(chunks: Chunks, n: int, frame: Frame, partition: Partition) -> Floats:
    """A sample of the vectors as codes will see them: less their centroids, reduced."""
    wanted = min(SAMPLE_ROWS, LEARNED_BYTES // (4 * frame.width))
    step = sample_step(n, wanted)
    sample = np.empty((-(-n // step), frame.width), np.float32)
    start = 0
    for vectors in sampled(chunks(), step):
        centred = vectors - frame.centre
        centred -= partition.centroids(partition.assign(centred))
        sample[start : start + len(vectors)] = frame.reduced(centred)
        start += len(vectors)
    return sample[:start]


def _fit_partition(
    chunks: Chunks, n: int, n_lists: int, frame: Frame, memory_bytes: int
) -> Partition:
    wanted = min(memory_bytes // 4, SAMPLE_BYTES) // len(frame.centre)
    step = sample_step(n, max(2 * n_lists, wanted))
    rows = np.empty((-(-n // step), len(frame.centre)), np.int8)
    scales = np.empty(len(rows), np.float32)
    start = 0
    for vectors in sampled(chunks(), step):
        part = slice(start, start + len(vectors))
        rows[part], scales[part] = quantise(vectors - frame.centre)
        start += len(vectors)
    return Partition.fit(rows[:start], scales[:start], n_lists, frame.seed)


def in_steps(parts: Iterable[Array], step: int) -> Iterator[Array]:
    """The same rows, `step` at a time."""
    held: list[Array] = []
    n = 0
    for part in parts:
        while len(part):
            held.append(part[: step - n])
            n += len(held[-1])
            part = part[len(held[-1]) :]
            if n == step:
                yield held[0] if len(held) == 1 else np.concatenate(held)
                held, n = [], 0
    if held:
        yield held[0] if len(held) == 1 else np.concatenate(held)


def sample_step(n: int, wanted: int) -> int:
    """Every how many-th of n vectors to take for about `wanted` of them."""
    return max(1, n // max(1, wanted))


def sampled(chunks: Iterator[Floats], step: int) -> Iterator[Floats]:
    """Every `step`-th vector."""
    seen = 0
    for vectors in chunks:
        yield vectors[-seen % step :: step].astype(np.float32, copy=False)
        seen += len(vectors)
