"""Dense fields: codes in memory propose, float rows on disk decide.

A segment holds the records of the full vectors in ascending order of unit (`rows`), and the codes
in the order of their lists: `blocks`, `scale`, for l2 `offset`, and `order`, the row of each. The
codec and the centroids that made the codes are with them, so a segment can be read alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from bigrain import kernels
from bigrain.codecs.dense import CodeSettings, PreparedQueries
from bigrain.codecs.partition import Partition
from bigrain.codecs.rows import RowCodec
from bigrain.errors import DamagedError
from bigrain.index.base import (
    Bitmap,
    Floats,
    Ranked,
    Rows,
    Selection,
    UnitMap,
    Units,
    View,
    merge_ranked,
)
from bigrain.index.dense_codec import FURTHEST, read_bounded, read_codec
from bigrain.index.effort import GRID, Calibration, Effort
from bigrain.storage.segment import SegmentFile

__all__ = ["DenseIndex", "DenseSegment", "DenseSpec", "chunk_rows", "light_bytes_of"]

CHUNK_ROWS = 4096
CHUNK_BYTES = 1 << 20  # being encoded: some five times as much passes through memory
READ_BYTES = 2 << 20
SPREAD = 0.2  # how much of a list's radius counts towards the best score to expect there
LEAST_SEEN = 4  # rows looked at for every candidate wanted
NEARLY_ALL = 0.8  # a filter that leaves this share changes nothing
UNCALIBRATED = 200  # candidates where no segment tells how many are needed


@dataclass(frozen=True)
class DenseSpec:
    """What a segment of this field looks like."""

    dim: int
    metric: str
    light_bytes: int
    heavy: str
    code: str = "rabitq"
    bits: int = 1
    reduction: str = "pca"

    @property
    def settings(self) -> CodeSettings:
        return CodeSettings(self.light_bytes, self.code, self.bits, self.reduction)

    @property
    def rows(self) -> RowCodec:
        return RowCodec(self.dim, self.heavy)

    @property
    def row_metric(self) -> str:
        """Cosine rows are stored with unit length, so their score is the inner product."""
        return "l2" if self.metric == "l2" else "ip"


def chunk_rows(spec: DenseSpec) -> int:
    """Rows handled at a time: CHUNK_BYTES as float32 at most."""
    return max(32, min(CHUNK_ROWS, CHUNK_BYTES // (4 * spec.dim)) // 32 * 32)


class DenseSegment:
    """An opened segment: codes in memory, rows read on demand."""

    def __init__(self, spec: DenseSpec, file: SegmentFile) -> None:
        self.spec, self.file = spec, file
        self.units = UnitMap.read(file)
        self.codec = read_codec(file, spec.dim, spec.metric)
        n, groups = self.units.n_rows, self.codec.groups
        self.blocks = file.read("blocks", "|u1", (-(-n // 32), groups, 16))
        self.offset = file.read("offset", "<f4", (n,)) if spec.metric == "l2" else None
        file.section("rows", "|u1", (n, spec.rows.record_bytes))
        if "starts" in file.sections:
            self.scale = file.read("scale", "<f2", (n,))
            self.scale_unit = _read_unit(file)
            self.partition, self.starts, self.order = _read_lists(file, n, spec.dim)
        else:  # segment format 1: one list, factors as float32
            self.scale, self.scale_unit = _rounded(file.read("scale", "<f4", (n,)))
            self.partition = Partition.single(spec.dim)
            self.starts, self.order = np.array([0, n], np.int64), None
        self.spread = np.zeros(self.partition.n_lists, np.float32)
        if "spread" in file.sections:
            self.spread = read_bounded(file, "spread", self.spread.shape, FURTHEST)
        self.calibration = _read_calibration(file)

    @property
    def memory_bytes(self) -> int:
        return light_bytes_of(self.file)

    # -- candidates -------------------------------------------------------------------------

    def bases(self, prepared: PreparedQueries) -> tuple[Floats, Floats]:
        """(Q, L): what every list's estimates begin with, and the best score to expect there."""
        bases = self.partition.products(prepared.routed)
        routes = bases + prepared.length[:, None] * (np.float32(SPREAD) * self.spread)
        return bases, np.asarray(routes, np.float32)

    def scan(
        self, prepared: PreparedQueries, effort: Effort, live: Bitmap | None, n_live: int
    ) -> list[Ranked]:
        """The best estimates per query. `live` is in the order of codes, `n_live` its bits."""
        bases, routes = self.bases(prepared)
        wanted = probed_lists(routes, effort.margin)
        if self.partition.n_lists > 1:
            self._widen(wanted, routes, n_live, effort.n)
        keep = min(effort.n, self.units.n_rows)
        found, estimates, counts = self._scan(prepared, wanted, bases, live, keep)
        # What a filter leaves may lie in lists that nobody would look into.
        short = (counts < min(keep, n_live)) & ~wanted.all(axis=1)
        if short.any():
            wanted[short] = True
            found, estimates, counts = self._scan(prepared, wanted, bases, live, keep)
        rows = found if self.order is None else self.order[found].astype(np.int64)
        return [
            Ranked(self.units.units(r[:c]), e[:c] + constant)
            for r, e, c, constant in zip(
                rows, estimates, counts.tolist(), prepared.constant, strict=True
            )
        ]

    def _scan(
        self,
        prepared: PreparedQueries,
        wanted: npt.NDArray[np.bool_],
        bases: Floats,
        live: Bitmap | None,
        keep: int,
    ) -> tuple[Rows, Floats, Rows]:
        unit = np.float32(self.scale_unit)
        return kernels.scan_lists(
            self.blocks,
            self.starts,
            prepared.luts,
            prepared.scale * unit,
            prepared.bias * unit,
            self.scale,
            self.offset,
            live,
            np.concatenate(([0], np.cumsum(wanted.sum(axis=1)))),
            np.nonzero(wanted)[1].astype(np.int32),
            bases[wanted],
            keep,
        )

    def _widen(self, wanted: npt.NDArray[np.bool_], routes: Floats, n_live: int, n: int) -> None:
        """Add lists, best first, where too few live rows would be seen.

        A filter thins lists out, and the neighbours it leaves lie farther away: as many live rows
        are looked at as there would be rows without it.
        """
        share = n_live / max(1, self.units.n_rows)
        sizes = np.diff(self.starts)
        seen = wanted @ sizes
        least = np.maximum(seen, LEAST_SEEN * n)
        if share <= NEARLY_ALL:
            least = least / max(share, 1e-9)
        least = np.minimum(least, self.units.n_rows)
        for q in np.flatnonzero(seen < least):
            best = np.argsort(-routes[q], kind="stable")
            enough = int(np.searchsorted(np.cumsum(sizes[best]), least[q])) + 1
            wanted[q, best[:enough]] = True

    def estimate(self, prepared: PreparedQueries, rows: Rows) -> Floats:
        """Scores of single rows for the first of the prepared queries, from their codes."""
        at = rows if self.order is None else self._places[rows].astype(np.int64)
        lane = at % 32
        nibbles = self.blocks[at // 32, :, lane % 16] >> np.where(lane < 16, 0, 4)[:, None]
        sums = prepared.luts[0][np.arange(nibbles.shape[1]), nibbles & 15].sum(1, dtype=np.int64)
        scale = self.scale[at].astype(np.float32) * np.float32(self.scale_unit)
        found = scale * (prepared.scale[0] * sums + prepared.bias[0]) + prepared.constant[0]
        found = found + self.partition.products(prepared.routed[:1])[0][self.lists(at)]
        if self.offset is not None:
            found = found + self.offset[at]
        return np.asarray(found, np.float32)

    def lists(self, places: Rows) -> Rows:
        """The list in which each code lies."""
        return np.searchsorted(self.starts, places, side="right") - 1

    @cached_property
    def _places(self) -> npt.NDArray[np.uint32]:
        """Row -> place of its code; only passages of long documents are looked up."""
        assert self.order is not None
        places = np.empty_like(self.order)
        places[self.order] = np.arange(len(places), dtype=np.uint32)
        return places

    def as_codes_lie(self, live: Bitmap) -> Bitmap:
        """A bitmap of rows as a bitmap of codes."""
        if self.order is None:
            return live
        alive = np.unpackbits(live, count=self.units.n_rows, bitorder="little")
        return np.packbits(alive[self.order], bitorder="little")

    # -- the originals ----------------------------------------------------------------------

    def score(self, rows: Rows, queries: Floats, query_of: npt.NDArray[np.int32]) -> Floats:
        """Exact scores of pairs of a row and a query; a row named twice is read once."""
        distinct, record_of = np.unique(rows, return_inverse=True)
        by_record = np.argsort(record_of, kind="stable")
        ends = np.searchsorted(record_of[by_record], np.arange(len(distinct) + 1))
        scores = np.empty(len(rows), np.float32)
        step = chunk_rows(self.spec)
        for start in range(0, len(distinct), step):
            part = distinct[start : start + step]
            pairs = by_record[ends[start] : ends[start + len(part)]]
            records = self.file.gather_rows("rows", part)
            self.check(records, part)
            found = self.spec.rows.score_pairs(
                records, queries, (record_of[pairs] - start).astype(np.int32), query_of[pairs],
                self.spec.row_metric,
            )  # fmt: skip
            scores[pairs] = self.finite(found)
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

    def check(self, records: npt.NDArray[np.uint8], rows: Rows) -> None:
        wrong = self.spec.rows.first_damaged(records)
        if wrong is not None:
            raise DamagedError(
                self.file.name, "rows", "a matching checksum", f"another in row {int(rows[wrong])}"
            )


def light_bytes_of(file: SegmentFile) -> int:
    """Codes, their factors, the lists, and the map of a segment with gaps."""
    names = ("blocks", "scale", "offset", "order", "starts", "centroids", "centroid_scale")
    parts = [file.sections[name] for name in names if name in file.sections]
    return sum(part.n_bytes for part in parts) + UnitMap.bytes_in(file)


def probed_lists(routes: Floats, margin: float) -> npt.NDArray[np.bool_]:
    """(Q, L): the lists within `margin` times (best - mean) of the best one, by routes (Q, L)."""
    if margin == np.inf:
        return np.ones(routes.shape, bool)
    best = routes.max(axis=1, keepdims=True)
    reach = best - routes.mean(axis=1, keepdims=True)
    return np.asarray(routes >= best - np.float32(margin) * reach, bool)


class DenseIndex:
    """All dense segments of a field at one snapshot."""

    def __init__(self, spec: DenseSpec, views: Sequence[View[DenseSegment]]) -> None:
        self.spec, self.views = spec, views
        self._efforts: dict[tuple[float, int], Effort] = {}
        self._live: dict[int, Bitmap] = {}  # by view, in the order of codes
        self._selected: WeakKeyDictionary[Selection, dict[int, tuple[Bitmap, int]]] = (
            WeakKeyDictionary()
        )

    @property
    def n_rows(self) -> int:
        return sum(view.n_live for view in self.views)

    def effort(self, recall: float, k: int) -> Effort:
        """What finds `recall` of the true top k: the most that any segment needs."""
        if (recall, k) not in self._efforts:
            told = [v.segment.calibration for v in self.views if v.n_live]
            efforts = [c.effort(recall, k, self.n_rows) for c in told if c is not None]
            if not efforts:
                efforts = [Effort(max(UNCALIBRATED, 2 * k))]
            n, margin = max(e.n for e in efforts), max(e.margin for e in efforts)
            self._efforts[recall, k] = Effort(min(max(n, k), max(self.n_rows, 1)), margin)
        return self._efforts[recall, k]

    def candidates(
        self, queries: Sequence[Any], effort: Effort, selection: Selection | None
    ) -> list[Ranked]:
        """Per query the best units by the codes in memory. `queries` is (Q, dim) float32."""
        batch = np.asarray(queries, np.float32)
        prepared: dict[str, PreparedQueries] = {}
        lists: list[list[Ranked]] = [[] for _ in batch]
        for i, view in enumerate(self.views):
            codec = view.segment.codec
            if codec.id not in prepared:
                prepared[codec.id] = codec.prepare(batch)
            live, n_live = self._alive(i, selection)
            found = view.segment.scan(prepared[codec.id], effort, live, n_live)
            for collected, ranked in zip(lists, found, strict=True):
                collected.append(ranked)
        return [merge_ranked(collected, effort.n) for collected in lists]

    def _alive(self, i: int, selection: Selection | None) -> tuple[Bitmap | None, int]:
        """(bitmap in the order of codes, how many are live and selected) of a view."""
        view = self.views[i]
        if selection is None:
            if view.live is not None and i not in self._live:
                self._live[i] = view.segment.as_codes_lie(view.live)
            return self._live.get(i), view.n_live
        kept = self._selected.setdefault(selection, {})
        if i not in kept:
            bits = selection.bitmap(view)
            kept[i] = view.segment.as_codes_lie(bits), int(np.bitwise_count(bits).sum())
        return kept[i]

    def estimate(self, query: Any, units: Units) -> Floats:
        """The light grain's scores of single units, NaN where there is no live row."""
        batch = np.asarray(query, np.float32)[None]
        estimates = np.full(len(units), np.nan, np.float32)
        for view in self.views:
            at, rows = view.locate(units)
            for start in range(0, len(at), CHUNK_ROWS):
                prepared = view.segment.codec.prepare(batch)
                part = slice(start, start + CHUNK_ROWS)
                estimates[at[part]] = view.segment.estimate(prepared, rows[part])
        return estimates

    def score(self, query: Any, units: Units) -> Floats:
        """Exact scores of units for one query (dim,), NaN where there is no live row."""
        return self.score_many([query], [units])[0]

    def score_many(self, queries: Sequence[Any], units: Sequence[Units]) -> list[Floats]:
        """Exact scores of each query's units; every row is read once for all of them."""
        together = np.concatenate(units)
        query_of = np.repeat(np.arange(len(units), dtype=np.int32), [len(u) for u in units])
        batch = np.ascontiguousarray(queries, np.float32)
        scores = np.full(len(together), np.nan, np.float32)
        for view in self.views:
            at, rows = view.locate(together)
            if len(at):
                scores[at] = view.segment.score(rows, batch, query_of[at])
        return np.split(scores, np.cumsum([len(u) for u in units])[:-1])

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


# -- reading what a segment was made with ---------------------------------------------------


def _read_lists(
    file: SegmentFile, n: int, dim: int
) -> tuple[Partition, Rows, npt.NDArray[np.uint32] | None]:
    n_lists = max(1, file.section("starts").shape[0] - 1)
    starts = file.read("starts", "<i8", (n_lists + 1,))
    if starts[0] != 0 or starts[-1] != n or (np.diff(starts) < 0).any():
        raise DamagedError(file.name, "starts", f"numbers rising from 0 to {n}", "others")
    if n_lists == 1:
        return Partition.single(dim), starts, None
    table = file.read("centroids", "|i1", (n_lists, dim))
    partition = Partition.of(table, read_bounded(file, "centroid_scale", (n_lists,), FURTHEST))
    order = file.read("order", "<u4", (n,))
    seen = np.zeros(n, bool)
    for start in range(0, n, CHUNK_ROWS):
        part = order[start : start + CHUNK_ROWS]
        seen[part[part < n]] = True
    if not seen.all():
        raise DamagedError(file.name, "order", f"every row below {n} once", "others")
    return partition, starts, order


def _read_calibration(file: SegmentFile) -> Calibration | None:
    if "calibration_gaps" not in file.sections:
        return None
    shape = file.section("calibration_gaps").shape
    gaps, ranks = file.read("calibration_gaps", "<f4"), file.read("calibration_ranks", "<i4", shape)
    probed = read_bounded(file, "calibration_probed", GRID.shape, 1)
    depths = Calibration.depths()
    if shape[1:] != (depths,) or np.isnan(gaps).any() or (ranks < 1).any():
        raise DamagedError(file.name, "calibration_gaps", f"(queries, {depths})", shape)
    return Calibration(gaps, ranks, probed)


def _read_unit(file: SegmentFile) -> float:
    unit = file.meta.get("scale_unit")
    if not isinstance(unit, float) or not 0 < unit <= FURTHEST:
        raise DamagedError(file.name, "table", "a scale_unit above 0", unit)
    return unit


def _rounded(scale: Floats) -> tuple[npt.NDArray[np.float16], float]:
    """Factors as float16, in units of the largest."""
    unit = float(scale.max(initial=0)) or 1.0
    return (scale / np.float32(unit)).astype(np.float16), unit
