"""Dense fields: 1-bit rotated codes in memory propose, float rows on disk decide.

A segment holds, in ascending order of unit, the codes (`blocks`, `scale`, for l2 `offset`), the
records of the full vectors (`rows`), and the codec that made the codes, so it can be read alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bigrain import kernels
from bigrain.codecs.rabitq import LightCodes, PreparedQueries, RabitqCodec
from bigrain.codecs.rows import RowCodec
from bigrain.errors import DamagedError
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
from bigrain.storage.files import Files
from bigrain.storage.segment import SegmentFile, SegmentWriter
from bigrain.storage.spill import Spill

__all__ = ["DenseBuilder", "DenseIndex", "DenseSegment", "DenseSpec", "merge_dense"]

CHUNK_ROWS = 8192  # a multiple of 32, so that blocks of chunks can be joined
SAMPLE_ROWS = 20_000
TRUSTED_FIT_ROWS = 2_000  # a codec fitted on fewer is replaced when more vectors are at hand


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
        self.codec = _read_codec(file)
        offset = file.read("offset") if "offset" in file.sections else None
        self.codes = LightCodes(file.read("blocks"), file.read("scale"), offset)
        n, width = self.units.n_rows, self.codec.width
        for name, shape in (
            ("blocks", (-(-n // 32), -(-width // 4), 16)),
            ("scale", (n,)),
            ("rows", (n, spec.rows.record_bytes)),
        ):
            if file.section(name).shape != shape:
                raise DamagedError(file.name, name, shape, file.section(name).shape)

    @property
    def memory_bytes(self) -> int:
        return self.codes.n_bytes + self.units.n_bytes

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
        records = self.file.gather_rows("rows", rows)
        self.check(records, rows)
        return self.spec.rows.score(records, query, self.spec.row_metric)

    def records(self) -> Iterator[tuple[int, npt.NDArray[np.uint8]]]:
        """(first row, records) of the whole segment in chunks, every checksum verified."""
        for start in range(0, self.units.n_rows, CHUNK_ROWS):
            stop = min(start + CHUNK_ROWS, self.units.n_rows)
            records = self.file.read_rows("rows", start, stop)
            self.check(records, np.arange(start, stop))
            yield start, records

    def check(self, records: npt.NDArray[np.uint8], rows: npt.NDArray[np.int64]) -> None:
        wrong = self.spec.rows.first_damaged(records)
        if wrong is not None:
            raise DamagedError(
                self.file.name, "rows", "a matching checksum", f"another in row {int(rows[wrong])}"
            )


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
            if len(at):
                prepared = view.segment.codec.prepare(batch)
                estimates[at] = view.segment.codes.estimate(prepared, rows)
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
                    scores = self.spec.rows.score(records, query, self.spec.row_metric)
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
        self._rows = Spill(files, spill, spec.heavy, (spec.dim,))
        self._units: list[Units] = []

    def append(self, units: Units, values: Any) -> None:
        """Add (n, dim) float32 vectors; of a unit given twice the last one counts."""
        self._rows.append(values)
        self._units.append(units)

    def seal(self, keep: Keep, path: Path, files: Files) -> Units:
        """Write the segment; returns its units (none: no file)."""
        units = np.concatenate(self._units) if self._units else np.empty(0, np.int64)
        positions = last_of_each(units)
        positions = positions[keep(units[positions])]
        if not len(positions):
            return positions

        def chunks() -> Iterator[Floats]:
            for start in range(0, len(positions), CHUNK_ROWS):
                wanted = positions[start : start + CHUNK_ROWS]
                low, high = int(wanted.min()), int(wanted.max()) + 1
                if high - low > 4 * CHUNK_ROWS:
                    part = np.stack([self._rows.read(p, p + 1)[0] for p in wanted.tolist()])
                else:
                    part = self._rows.read(low, high)[wanted - low]
                yield part.astype(np.float32)

        write_dense(self._spec, files, path, units[positions], chunks, self._codec)
        return units[positions]

    def discard(self) -> None:
        self._rows.discard()
        self._units.clear()


def merge_dense(
    spec: DenseSpec, files: Files, path: Path, views: Sequence[View[DenseSegment]]
) -> Units:
    """One segment out of the live rows of several, its codes fitted anew."""
    ordered = sorted(views, key=lambda view: view.segment.units.first)
    live = [view.segment.units.units(view.live_rows()) for view in ordered]
    units = np.concatenate(live) if live else np.empty(0, np.int64)
    if not len(units):
        return units
    units.sort()

    def chunks() -> Iterator[Floats]:
        for start in range(0, len(units), CHUNK_ROWS):
            part = units[start : start + CHUNK_ROWS]
            out = np.empty((len(part), spec.dim), np.float32)
            for view in ordered:
                at, rows = view.locate(part)
                if len(at):
                    records = view.segment.file.gather_rows("rows", rows)
                    view.segment.check(records, rows)
                    out[at] = spec.rows.decode(records)
            yield out

    write_dense(spec, files, path, units, chunks, None)
    return units


def write_dense(
    spec: DenseSpec, files: Files, path: Path, units: Units, chunks: Any, codec: RabitqCodec | None
) -> None:
    """Stream vectors (ascending units, chunks of CHUNK_ROWS) into a segment file."""
    if codec is None or (codec.fitted_on < TRUSTED_FIT_ROWS and codec.fitted_on < len(units)):
        sample = _sample(chunks, len(units))
        codec = RabitqCodec.fit(sample, metric=spec.metric, light_bytes=spec.light_bytes)
    writer = SegmentWriter(files, path)
    try:
        codes: list[LightCodes] = []
        with writer.section("rows", np.uint8, (spec.rows.record_bytes,)) as section:
            for vectors in chunks():
                section.append(spec.rows.encode(vectors))
                codes.append(codec.encode(vectors))
        with writer.section("blocks", np.uint8, codes[0].blocks.shape[1:]) as section:
            for code in codes:
                section.append(code.blocks)
        writer.add("scale", np.concatenate([code.scale for code in codes]).astype("<f4"))
        if codec.metric == "l2":
            offsets = [code.offset for code in codes if code.offset is not None]
            writer.add("offset", np.concatenate(offsets).astype("<f4"))
        meta = {"family": "dense", **UnitMap.write(writer, units), **_write_codec(writer, codec)}
        writer.finish(meta)
    except BaseException:
        writer.abandon()
        raise


def _sample(chunks: Any, n: int) -> Floats:
    """About SAMPLE_ROWS vectors, spread evenly."""
    step = max(1, n // SAMPLE_ROWS)
    return np.concatenate([vectors[::step].copy() for vectors in chunks()])


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


def _read_codec(file: SegmentFile) -> RabitqCodec:
    meta = file.meta["codec"]
    projection = file.read("codec_projection") if "codec_projection" in file.sections else None
    return RabitqCodec(
        metric=str(meta["metric"]),
        width=int(meta["width"]),
        seed=int(meta["seed"]),
        centre=file.read("codec_centre"),
        projection=projection,
        fitted_on=int(meta["fitted_on"]),
    )


def last_of_each(units: Units) -> npt.NDArray[np.int64]:
    """Positions of the last occurrence of every distinct unit, in ascending order of unit."""
    order = np.argsort(units, kind="stable")
    ordered = units[order]
    last = np.ones(len(units), bool)
    last[:-1] = ordered[1:] != ordered[:-1]
    return order[last]
