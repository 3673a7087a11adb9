"""Dense fields: codes in memory propose, float rows on disk decide.

A segment holds the records of the full vectors in ascending order of unit (`rows`), and the codes
in the order of their lists: `blocks`, `scale`, for l2 `offset`, and `order`, the row of each. The
codec and the centroids that made the codes are with them, so a segment can be read alone.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import ceil, sqrt
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from bigrain import kernels
from bigrain.codecs.dense import CodeSettings, PreparedQueries
from bigrain.codecs.nibbles import BLOCK
from bigrain.codecs.partition import Partition, list_count
from bigrain.codecs.rows import RowCodec
from bigrain.errors import DamagedError
from bigrain.index.base import (
    Bitmap,
    Floats,
    Ranked,
    RankedBatch,
    Rows,
    Selection,
    UnitMap,
    Units,
    View,
    merge_ranked,
)
from bigrain.index.dense_codec import FURTHEST, read_bounded, read_codec
from bigrain.index.effort import DEFAULT_RECALL, GRID, Calibration, Effort, LiveQueries
from bigrain.storage.segment import SegmentFile

__all__ = [
    "DenseIndex",
    "DenseSegment",
    "DenseSpec",
    "chunk_rows",
    "light_bytes_for",
    "light_bytes_of",
]

CHUNK_ROWS = 4096
CHUNK_BYTES = 1 << 20  # being encoded: some five times as much passes through memory
READ_BYTES = 2 << 20
SPREAD = 0.2  # how much of a list's radius counts towards the best score to expect there
LEAST_SEEN = 4  # rows looked at for every candidate wanted
NEARLY_ALL = 0.8  # a filter that leaves this share changes nothing
UNCALIBRATED = 200  # candidates where no segment tells how many are needed

Probes = tuple[npt.NDArray[np.int64], npt.NDArray[np.int32], Floats]


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

    @cached_property
    def rows(self) -> RowCodec:
        return RowCodec(self.dim, self.heavy)

    @property
    def row_metric(self) -> str:
        """Cosine rows are stored with unit length, so their score is the inner product."""
        return "l2" if self.metric == "l2" else "ip"


def chunk_rows(spec: DenseSpec) -> int:
    """Rows handled at a time: CHUNK_BYTES as float32 at most."""
    return max(32, min(CHUNK_ROWS, CHUNK_BYTES // (4 * spec.dim)) // 32 * 32)


@dataclass(frozen=True)
class Live:
    """Which codes of a segment count: those alive, or of them those that a filter selects."""

    bits: Bitmap | None  # in the order of codes; None: all
    n: int
    in_list: Rows  # (L,)


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
        if file.meta.get("heavy", spec.heavy) != spec.heavy:
            raise DamagedError(file.name, "table", f"rows of {spec.heavy}", file.meta["heavy"])
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
        self.list_offset = None
        if "list_offset" in file.sections:
            self.list_offset = read_bounded(file, "list_offset", self.spread.shape, FURTHEST**2)
        self.sizes = np.diff(self.starts)
        self.calibration = _read_calibration(file)

    @property
    def memory_bytes(self) -> int:
        return light_bytes_of(self.file)

    # -- candidates -------------------------------------------------------------------------

    def bases(self, prepared: PreparedQueries) -> tuple[Floats, Floats]:
        """(Q, L): what every list's estimates begin with, and the best score to expect there."""
        bases = self.partition.products(prepared.routed)
        return bases, expected_best(prepared, bases, self.spread, self.list_offset)

    def scan(self, prepared: PreparedQueries, effort: Effort, live: Live) -> RankedBatch:
        """The best estimates per query. No more live rows than are wanted are all returned."""
        keep = min(effort.n, live.n)
        if not keep:
            none = np.empty((len(prepared.constant), 0), np.float32)
            return RankedBatch(none.astype(np.int64), none)
        probes = self.probes(prepared, Effort(effort.n) if live.n <= keep else effort, live)
        found, estimates, counts = self._scan(prepared, probes, live.bits, keep)
        # What a filter leaves may lie in lists that nobody would look into.
        few = bool(counts.min(initial=keep) < keep)
        if few and effort.margin < np.inf:
            short = counts < keep
            again = prepared.take(np.flatnonzero(short))
            probes = self.probes(again, Effort(effort.n), live)
            found[short], estimates[short], _ = self._scan(again, probes, live.bits, keep)
        rows = found if self.order is None else self.order[found].astype(np.int64)
        units = self.units.units(rows)
        if few:
            units[found < 0] = -1
        estimates += prepared.constant[:, None]
        return RankedBatch(units, estimates)

    def probes(self, prepared: PreparedQueries, effort: Effort, live: Live) -> Probes:
        """The lists each query looks into, and what their estimates begin with.

        A filter thins lists out, and the neighbours it leaves lie farther away: as many live rows
        are looked at as there would be rows without it.
        """
        n_queries = len(prepared.constant)
        if self.partition.n_lists == 1:
            zeros = np.zeros(n_queries, np.int32)
            return np.arange(n_queries + 1), zeros, zeros.astype(np.float32)
        most = live.n > NEARLY_ALL * self.units.n_rows
        return kernels.route_lists(
            self.partition.panels,
            self.sizes,
            self.sizes if most else live.in_list,
            self.partition.scale,
            self.spread,
            self.list_offset,
            SPREAD,
            *prepared.rounded,
            prepared.length,
            effort.margin,
            LEAST_SEEN * effort.n,
        )

    def _scan(
        self, prepared: PreparedQueries, probes: Probes, live: Bitmap | None, keep: int
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
            *probes,
            keep,
        )

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

    def live(self, rows: Bitmap | None) -> Live:
        """A bitmap of rows (None: all) in the order of codes, counted."""
        if rows is None:
            return Live(None, self.units.n_rows, self.sizes)
        alive = np.unpackbits(rows, count=self.units.n_rows, bitorder="little")
        if self.order is not None:
            alive = alive[self.order]
            rows = np.packbits(alive, bitorder="little")
        sizes = np.zeros_like(self.sizes)
        filled = np.flatnonzero(self.sizes)
        sizes[filled] = np.add.reduceat(alive, self.starts[filled], dtype=np.int64)
        return Live(rows, int(sizes.sum()), sizes)

    # -- the originals ----------------------------------------------------------------------

    def score(self, rows: Rows, queries: Floats, query_of: npt.NDArray[np.int32]) -> Floats:
        """Exact scores of pairs of a row and a query; a row named twice is read once."""
        step = chunk_rows(self.spec)
        if len(rows) <= step and (rows[1:] > rows[:-1]).all():
            return self._score_read(rows, queries, np.arange(len(rows), dtype=np.int32), query_of)
        distinct, record_of = np.unique(rows, return_inverse=True)
        by_record = np.argsort(record_of, kind="stable")
        ends = np.searchsorted(record_of[by_record], np.arange(len(distinct) + 1))
        scores = np.empty(len(rows), np.float32)
        for start in range(0, len(distinct), step):
            part = distinct[start : start + step]
            pairs = by_record[ends[start] : ends[start + len(part)]]
            which = (record_of[pairs] - start).astype(np.int32)
            scores[pairs] = self._score_read(part, queries, which, query_of[pairs])
        return scores

    def _score_read(
        self,
        rows: Rows,
        queries: Floats,
        record_of: npt.NDArray[np.int32],
        query_of: npt.NDArray[np.int32],
    ) -> Floats:
        """Read rows, and score pairs of one of them and a query."""
        records = self.file.gather_rows("rows", rows)
        self.check(records, rows)
        codec, metric = self.spec.rows, self.spec.row_metric
        return self.finite(codec.score_pairs(records, queries, record_of, query_of, metric))

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
    names = (
        "blocks",
        "scale",
        "offset",
        "order",
        "starts",
        "centroids",
        "centroid_scale",
        "list_offset",
    )
    parts = [file.sections[name] for name in names if name in file.sections]
    return sum(part.n_bytes for part in parts) + UnitMap.bytes_in(file)


def light_bytes_for(spec: DenseSpec, n_rows: int) -> int:
    """The same, but for the map of gaps, of a segment that is yet to be written."""
    l2, lists = 4 * (spec.metric == "l2"), list_count(n_rows)
    n_bytes = -(-n_rows // BLOCK) * spec.settings.groups(spec.dim) * (BLOCK // 2)
    n_bytes += n_rows * (2 + l2) + 8 * (lists + 1)
    if lists > 1:
        n_bytes += 4 * n_rows + lists * (spec.dim + 4 + l2)
    return n_bytes


def expected_best(
    prepared: PreparedQueries, bases: Floats, spread: Floats, list_offset: Floats | None
) -> Floats:
    """(Q, L): the best score to expect in every list, less what is the same in all.

    The mean score of its rows, and as much more as rows SPREAD times their root mean square
    distance from the centroid c nearer to the query may have: |q| times that under inner product;
    under Euclidean distance 2 |q - c| times that, |q - c|^2 being what the mean score leaves.
    """
    reach = np.float32(SPREAD) * spread
    if list_offset is None:
        return np.asarray(bases + prepared.length[:, None] * reach, np.float32)
    mean = bases + list_offset
    apart = np.square(prepared.length / 2)[:, None] - mean - np.square(spread)
    return np.asarray(mean + 2 * reach * np.sqrt(np.maximum(apart, 0)), np.float32)


class DenseIndex:
    """All dense segments of a field at one snapshot."""

    def __init__(self, spec: DenseSpec, views: Sequence[View[DenseSegment]]) -> None:
        self.spec, self.views = spec, views
        self.n_rows = sum(view.n_live for view in views)
        self._asked: LiveQueries | None = None
        self._efforts: dict[tuple[float, int], Effort] = {}
        self._live: dict[int, Live] = {}  # by view
        self._selected: WeakKeyDictionary[Selection, dict[int, Live]] = WeakKeyDictionary()

    def effort(self, recall: float | None, k: int) -> Effort:
        """What finds `recall` of the true top k: the most that any segment needs."""
        recall = DEFAULT_RECALL if recall is None else recall
        if (recall, k) not in self._efforts:
            told = [v.segment.calibration for v in self.views if v.n_live]
            live = self._asked
            efforts = [c.effort(recall, k, self.n_rows, live) for c in told if c is not None]
            if not efforts:
                efforts = [Effort(max(UNCALIBRATED, 2 * k))]
                if live is not None:
                    efforts.append(Calibration.unknown().effort(recall, k, self.n_rows, live))
            n, margin = max(e.n for e in efforts), max(e.margin for e in efforts)
            n = max(n, k)
            apart = n if any(c is not None for c in told) and None in told else 0
            n += sum(self._places_apart(apart).values())
            self._efforts[recall, k] = Effort(min(n, max(self.n_rows, 1)), margin, apart)
        return self._efforts[recall, k]

    def _places_apart(self, n: int) -> dict[int, int]:
        """Of n candidates, how many each small segment where nothing was measured has for itself.

        Of m rows in N they are n sqrt(m / N): the best of few rows lie less deep, but not so much
        as there are fewer.
        """
        unknown = [i for i, v in enumerate(self.views) if v.segment.calibration is None]
        return {
            i: min(live, ceil(n * sqrt(live / self.n_rows)))
            for i in unknown
            if n and (live := self.views[i].n_live)
        }

    def heed(self, live: LiveQueries | None) -> None:
        """From now on efforts are enough for these queries too."""
        self._asked = live
        self._efforts = {}

    def candidates(
        self, queries: Sequence[Any], effort: Effort, selection: Selection | None
    ) -> RankedBatch:
        """Per query the best units by the codes in memory. `queries` is (Q, dim) float32."""
        batch = np.asarray(queries, np.float32)
        prepared: dict[str, PreparedQueries] = {}
        found = []
        for i, view in enumerate(self.views):
            codec = view.segment.codec
            if codec.id not in prepared:
                prepared[codec.id] = codec.prepare(batch)
            found.append(view.segment.scan(prepared[codec.id], effort, self._alive(i, selection)))
        if len(found) == 1:
            return found[0]
        apart = self._places_apart(effort.apart)
        return RankedBatch.of(
            [_merged([part[q] for part in found], apart, effort.n) for q in range(len(batch))]
        )

    def _alive(self, i: int, selection: Selection | None) -> Live:
        """What is live in a view, and selected."""
        view = self.views[i]
        kept = self._live if selection is None else self._selected.setdefault(selection, {})
        if i not in kept:
            kept[i] = view.segment.live(view.bitmap(selection))
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

    def vectors(self, units: Units) -> Floats:
        """(n, dim) stored vectors of those units that have a live row, in any order."""
        parts = [np.empty((0, self.spec.dim), np.float32)]
        for view in self.views:
            rows = np.unique(view.locate(units)[1])
            if len(rows):
                records = view.segment.file.gather_rows("rows", rows)
                view.segment.check(records, rows)
                parts.append(view.segment.finite(self.spec.rows.decode(records)))
        return np.concatenate(parts)

    def score(self, query: Any, units: Units) -> Floats:
        """Exact scores of units for one query (dim,), NaN where there is no live row."""
        return self.score_pairs([query], units, np.zeros(len(units), np.int32))

    def score_pairs(
        self, queries: Sequence[Any], units: Units, query_of: npt.NDArray[np.int32]
    ) -> Floats:
        """Exact scores (m,) of pairs of a unit and a query; every row is read once for all."""
        batch = np.ascontiguousarray(queries, np.float32)
        scores = np.full(len(units), np.nan, np.float32)
        for view in self.views:
            at, rows = view.locate(units)
            if len(at):
                scores[at] = view.segment.score(rows, batch, query_of[at])
        return scores

    def exact(self, queries: Sequence[Any], k: int, selection: Selection | None) -> list[Ranked]:
        """Per query the true best k, by reading every row once."""
        steps = self.exact_steps(queries, k, selection)
        while True:
            try:
                next(steps)
            except StopIteration as done:
                best: list[Ranked] = done.value
                return best

    def exact_steps(
        self, queries: Sequence[Any], k: int, selection: Selection | None
    ) -> Generator[int, None, list[Ranked]]:
        """`exact` in steps; each yields how many rows it has read."""
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
                yield len(records)
        return best


def _merged(lists: Sequence[Ranked], apart: Mapping[int, int], n: int) -> Ranked:
    """The best n of all lists, among them so many of some as these have `apart`."""
    if not apart:
        return merge_ranked(lists, n)
    parts, rest = [], list(lists)
    for i, own in apart.items():
        units, scores = lists[i].units, lists[i].scores
        parts.append(Ranked(units[:own], scores[:own]))
        rest[i] = Ranked(units[own:], scores[own:])
    left = n - sum(len(part.units) for part in parts)
    return merge_ranked([*parts, merge_ranked(rest, max(0, left))], n)


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
