"""Dense fields: 1-bit rotated codes in memory propose, float rows on disk decide.

A segment holds, in ascending order of unit, the codes (`blocks`, `scale`, for l2 `offset`), the
records of the full vectors (`rows`), and the codec that made the codes, so it can be read alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bigrain import kernels
from bigrain.codecs.rabitq import LightCodes, PreparedQueries, RabitqCodec
from bigrain.codecs.rows import RowCodec
from bigrain.errors import DamagedError, StorageError
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
from bigrain.index.numbering import Numbering, UnitLog, alive_bitmap, number_rows
from bigrain.storage.files import Files
from bigrain.storage.segment import SegmentFile, SegmentWriter
from bigrain.storage.spill import Spill

__all__ = [
    "DenseBuilder",
    "DenseIndex",
    "DenseSegment",
    "DenseSpec",
    "light_bytes_of",
    "merge_dense",
]

CHUNK_ROWS = 4096  # a multiple of 32, so that blocks of chunks can be joined
CHUNK_BYTES = 1 << 20  # being encoded: some five times as much passes through memory
READ_BYTES = 2 << 20
SPILL_BUFFER = 1 << 18
SAMPLE_ROWS = 20_000
TRUSTED_FIT_ROWS = 2_000  # a codec fitted on fewer is replaced when more vectors are at hand
FURTHEST = 1e16  # a centre: beyond every vector that is let in


@dataclass(frozen=True)
class DenseSpec:
    """What a segment of this field looks like."""

    dim: int
    metric: str
    light_bytes: int
    heavy: str

    @property
    def rows(self) -> RowCodec:
        return RowCodec(self.dim, self.heavy)

    @property
    def row_metric(self) -> str:
        """Cosine rows are stored with unit length, so their score is the inner product."""
        return "l2" if self.metric == "l2" else "ip"


class DenseSegment:
    """An opened segment: codes in memory, rows read on demand."""

    def __init__(self, spec: DenseSpec, file: SegmentFile) -> None:
        self.spec, self.file = spec, file
        self.units = UnitMap.read(file)
        self.codec = _read_codec(file, spec)
        n, groups = self.units.n_rows, -(-self.codec.width // 4)
        offset = file.read("offset", "<f4", (n,)) if spec.metric == "l2" else None
        blocks = file.read("blocks", "|u1", (-(-n // 32), groups, 16))
        self.codes = LightCodes(blocks, file.read("scale", "<f4", (n,)), offset)
        file.section("rows", "|u1", (n, spec.rows.record_bytes))

    @property
    def memory_bytes(self) -> int:
        return light_bytes_of(self.file)

    def scan(
        self, prepared: PreparedQueries, n: int, live: npt.NDArray[np.uint8] | None
    ) -> list[Ranked]:
        """The n best estimates per query."""
        rows, estimates, counts = kernels.scan_codes(
            self.codes.blocks,
            self.units.n_rows,
            prepared.luts,
            prepared.scale,
            prepared.bias,
            self.codes.scale,
            self.codes.offset,
            live,
            min(n, self.units.n_rows),
        )
        return [
            Ranked(self.units.units(r[:c]), e[:c] + constant)
            for r, e, c, constant in zip(
                rows, estimates, counts.tolist(), prepared.constant, strict=True
            )
        ]

    def score(self, rows: npt.NDArray[np.int64], query: Floats) -> Floats:
        """Exact scores of single rows."""
        scores = np.empty(len(rows), np.float32)
        step = chunk_rows(self.spec)
        for start in range(0, len(rows), step):
            part = rows[start : start + step]
            records = self.file.gather_rows("rows", part)
            self.check(records, part)
            scores[start : start + step] = self.score_records(records, query)
        return scores

    def score_records(self, records: npt.NDArray[np.uint8], query: Floats) -> Floats:
        """Exact scores of records that were checked."""
        return self.finite(self.spec.rows.score(records, query, self.spec.row_metric))

    def finite(self, numbers: Floats) -> Floats:
        """Numbers that come from rows, all of which were finite when they were written."""
        if not np.isfinite(numbers).all():
            raise DamagedError(self.file.name, "rows", "finite numbers", "others")
        return numbers

    def records(self) -> Iterator[tuple[int, npt.NDArray[np.uint8]]]:
        """(first row, records) of the whole segment in chunks, every checksum verified."""
        step = max(32, READ_BYTES // self.spec.rows.record_bytes // 32 * 32)
        for start in range(0, self.units.n_rows, step):
            stop = min(start + step, self.units.n_rows)
            records = self.file.read_rows("rows", start, stop)
            self.check(records, np.arange(start, stop))
            yield start, records

    def check(self, records: npt.NDArray[np.uint8], rows: npt.NDArray[np.int64]) -> None:
        wrong = self.spec.rows.first_damaged(records)
        if wrong is not None:
            raise DamagedError(
                self.file.name, "rows", "a matching checksum", f"another in row {int(rows[wrong])}"
            )


def light_bytes_of(file: SegmentFile) -> int:
    """Codes, their factors, and the map of a segment with gaps."""
    parts = [file.sections[name] for name in ("blocks", "scale", "offset") if name in file.sections]
    return sum(part.n_bytes for part in parts) + UnitMap.bytes_in(file)


class DenseIndex:
    """All dense segments of a field at one snapshot."""

    def __init__(self, spec: DenseSpec, views: Sequence[View[DenseSegment]]) -> None:
        self.spec, self.views = spec, views

    @property
    def n_rows(self) -> int:
        return sum(view.n_live for view in self.views)

    def candidates(
        self, queries: Sequence[Any], n: int, selection: Selection | None
    ) -> list[Ranked]:
        """Per query the n best units by the codes in memory. `queries` is (Q, dim) float32."""
        batch = np.asarray(queries, np.float32)
        prepared: dict[str, PreparedQueries] = {}
        lists: list[list[Ranked]] = [[] for _ in batch]
        for view in self.views:
            codec = view.segment.codec
            if codec.id not in prepared:
                prepared[codec.id] = codec.prepare(batch)
            found = view.segment.scan(prepared[codec.id], n, view.bitmap(selection))
            for collected, ranked in zip(lists, found, strict=True):
                collected.append(ranked)
        return [merge_ranked(collected, n) for collected in lists]

    def estimate(self, query: Any, units: Units) -> Floats:
        """The light grain's scores of single units, NaN where there is no live row."""
        batch = np.asarray(query, np.float32)[None]
        estimates = np.full(len(units), np.nan, np.float32)
        for view in self.views:
            at, rows = view.locate(units)
            for start in range(0, len(at), CHUNK_ROWS):
                prepared = view.segment.codec.prepare(batch)
                part = slice(start, start + CHUNK_ROWS)
                estimates[at[part]] = view.segment.codes.estimate(prepared, rows[part])
        return estimates

    def score(self, query: Any, units: Units) -> Floats:
        """Exact scores of units for one query (dim,), NaN where there is no live row."""
        scores = np.full(len(units), np.nan, np.float32)
        for view in self.views:
            at, rows = view.locate(units)
            if len(at):
                scores[at] = view.segment.score(rows, np.asarray(query, np.float32))
        return scores

    def exact(self, queries: Sequence[Any], k: int, selection: Selection | None) -> list[Ranked]:
        """Per query the true best k, by reading every row once."""
        batch = np.asarray(queries, np.float32)
        best = [Ranked(np.empty(0, np.int64), np.empty(0, np.float32)) for _ in batch]
        for view in self.views:
            bitmap = view.bitmap(selection)
            for start, records in view.segment.records():
                live = None
                if bitmap is not None:
                    live = np.ascontiguousarray(
                        bitmap[start // 8 : (start + len(records) + 7) // 8]
                    )
                for i, query in enumerate(batch):
                    scores = view.segment.score_records(records, query)
                    rows, top = kernels.top_k(scores, k, live, -np.inf)
                    found = Ranked(view.segment.units.units(rows + start), top)
                    best[i] = merge_ranked([best[i], found], k)
        return best


class DenseBuilder:
    """Pending vectors of one field, on disk as they will be stored."""

    def __init__(
        self, spec: DenseSpec, files: Files, spill: Path, codec: RabitqCodec | None
    ) -> None:
        self._spec, self._codec = spec, codec
        self._rows = Spill(files, spill, spec.heavy, (spec.dim,), buffer_bytes=SPILL_BUFFER)
        self._log = UnitLog()

    def append(self, units: Units, values: Any) -> None:
        """Add (n, dim) float32 vectors; of a unit given twice the last one counts."""
        step = chunk_rows(self._spec)
        for start in range(0, len(values), step):
            self._rows.append(values[start : start + step])
        self._log.append(units)

    def seal(self, keep: Keep, path: Path, files: Files) -> int:
        """Write the segment; returns its number of rows (0: no file)."""
        units, positions = self._log.unit_map()
        numbering = number_rows([units], [alive_bitmap(units, keep)])

        def chunks() -> Iterator[Floats]:
            for _, rows in numbering.places():
                yield from self._read(rows if positions is None else positions[rows])

        if numbering.n_rows:
            write_dense(self._spec, files, path, numbering, chunks, self._codec)
        return numbering.n_rows

    def _read(self, wanted: Rows) -> Iterator[Floats]:
        step = chunk_rows(self._spec)
        for start in range(0, len(wanted), step):
            part = wanted[start : start + step]
            low, high = int(part.min()), int(part.max()) + 1
            if high - low > 2 * step:
                yield np.concatenate([self._rows.read(p, p + 1) for p in part.tolist()])
            else:
                yield self._rows.read(low, high)[part - low]

    def discard(self) -> None:
        self._rows.discard()
        self._log = UnitLog()


def merge_dense(
    spec: DenseSpec, files: Files, path: Path, views: Sequence[View[DenseSegment]]
) -> int:
    """One segment out of the live rows of several, its codes fitted anew; its number of rows."""
    segments = [view.segment for view in views]
    numbering = number_rows([s.units for s in segments], [view.live for view in views])

    def chunks() -> Iterator[Floats]:
        step = chunk_rows(spec)
        for run, all_rows in numbering.places():
            for start in range(0, len(all_rows), step):
                rows = all_rows[start : start + step]
                records = segments[run].file.gather_rows("rows", rows)
                segments[run].check(records, rows)
                yield segments[run].finite(spec.rows.decode(records))

    if numbering.n_rows:
        write_dense(spec, files, path, numbering, chunks, None)
    return numbering.n_rows


def write_dense(
    spec: DenseSpec,
    files: Files,
    path: Path,
    numbering: Numbering,
    chunks: Callable[[], Iterator[Floats]],
    codec: RabitqCodec | None,
) -> None:
    """Stream vectors, in ascending order of unit, into a segment file.

    They are read twice where a codec is fitted. Codes wait in a file beside the segment until its
    rows are written.
    """
    n = numbering.n_rows
    if codec is None or (codec.fitted_on < TRUSTED_FIT_ROWS and codec.fitted_on < n):
        codec = RabitqCodec.fit(
            _sample(chunks(), n), spec.dim, metric=spec.metric, light_bytes=spec.light_bytes
        )
    groups = -(-codec.width // 4)
    spilled = [
        Spill(files, path.with_name(path.name + ending), kind, row, buffer_bytes=SPILL_BUFFER)
        for ending, kind, row in ((".blocks", "|u1", (groups, 16)), (".factors", "<f4", (2,)))
    ]
    blocks, factors = spilled
    writer = SegmentWriter(files, path)
    try:
        with writer.section("rows", np.uint8, (spec.rows.record_bytes,)) as section:
            for vectors in _in_blocks(chunks(), chunk_rows(spec)):
                section.append(spec.rows.encode(vectors))
                code = codec.encode(vectors)
                blocks.append(code.blocks)
                both = np.zeros((len(vectors), 2), np.float32)
                both[:, 0] = code.scale
                if code.offset is not None:
                    both[:, 1] = code.offset
                factors.append(both)
        step = chunk_rows(spec)
        with writer.section("blocks", np.uint8, (groups, 16)) as section:
            for start in range(0, blocks.n_rows, step):
                section.append(blocks.read(start, min(start + step, blocks.n_rows)))
        for at, name in enumerate(("scale", "offset") if codec.metric == "l2" else ("scale",)):
            with writer.section(name, "<f4") as section:
                for start in range(0, n, step):
                    section.append(factors.read(start, min(start + step, n))[:, at])
        units = UnitMap.write(writer, numbering.units)
        writer.finish({"family": "dense", **units, **_write_codec(writer, codec)})
    except BaseException:
        writer.abandon()
        raise
    finally:
        for spill in spilled:
            with suppress(StorageError):  # the next writer sweeps what cannot be removed
                spill.discard()


def chunk_rows(spec: DenseSpec) -> int:
    """Rows handled at a time: whole blocks of codes, CHUNK_BYTES as float32 at most."""
    return max(32, min(CHUNK_ROWS, CHUNK_BYTES // (4 * spec.dim)) // 32 * 32)


def _in_blocks(parts: Iterator[Floats], step: int) -> Iterator[Floats]:
    """The same vectors as float32, `step` at a time, so that blocks of codes can be joined."""
    held: list[Floats] = []
    n = 0
    for part in parts:
        while len(part):
            held.append(part[: step - n].astype(np.float32, copy=False))
            n += len(held[-1])
            part = part[len(held[-1]) :]
            if n == step:
                yield held[0] if len(held) == 1 else np.concatenate(held)
                held, n = [], 0
    if held:
        yield held[0] if len(held) == 1 else np.concatenate(held)


def _sample(chunks: Iterator[Floats], n: int) -> Iterator[Floats]:
    """About SAMPLE_ROWS of n vectors, spread evenly."""
    step = max(1, n // SAMPLE_ROWS)
    seen = 0
    for vectors in chunks:
        yield vectors[-seen % step :: step].astype(np.float32, copy=False)
        seen += len(vectors)


def _write_codec(writer: SegmentWriter, codec: RabitqCodec) -> dict[str, Any]:
    writer.add("codec_centre", codec.centre.astype("<f4"))
    if codec.projection is not None:
        writer.add("codec_projection", codec.projection.astype("<f4"))
    return {
        "codec": {
            "name": "rabitq1",
            "metric": codec.metric,
            "width": codec.width,
            "seed": codec.seed,
            "fitted_on": codec.fitted_on,
        }
    }


def _read_codec(file: SegmentFile, spec: DenseSpec) -> RabitqCodec:
    width = file.number("codec", "width")
    if width != min(8 * spec.light_bytes, spec.dim):
        raise DamagedError(
            file.name, "table", f"a code of {spec.light_bytes} bytes", f"{width} bits"
        )
    if file.meta["codec"].get("metric") != spec.metric:
        raise DamagedError(file.name, "table", f"metric {spec.metric}", file.meta["codec"])
    projection = None
    if width < spec.dim:
        projection = _read_bounded(file, "codec_projection", (width, spec.dim), 2)
    return RabitqCodec(
        metric=spec.metric,
        width=width,
        seed=file.number("codec", "seed", high=2**64 - 1),
        centre=_read_bounded(file, "codec_centre", (spec.dim,), FURTHEST),
        projection=projection,
        fitted_on=file.number("codec", "fitted_on"),
    )


def _read_bounded(file: SegmentFile, name: str, shape: tuple[int, ...], largest: float) -> Floats:
    values: Floats = file.read(name, "<f4", shape)
    if not (np.abs(values) <= largest).all():
        raise DamagedError(file.name, name, f"numbers up to {largest:g}", "others")
    return values
