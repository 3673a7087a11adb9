"""Sparse fields: non-negative weights over numbered columns, scored by inner product.

Lists of impacts propose every row that may be among the best, or, when less than everything is
asked for, the best by a query's heaviest columns; the stored vectors decide. A query is a pair
(columns u32 (m,) rising, weights f32 (m,)).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from bigrain import kernels
from bigrain.index.base import (
    EMPTY,
    Floats,
    Ranked,
    RankedBatch,
    Rows,
    Selection,
    UnitMap,
    Units,
    View,
)
from bigrain.index.effort import Effort
from bigrain.index.postings import ListCache
from bigrain.index.sparse_effort import SparseCalibration
from bigrain.index.sparse_ordered import MOST_COLUMNS, Promising
from bigrain.index.sparse_queries import Queries
from bigrain.index.sparse_segment import LARGEST_IMPACT, PART_ROWS, ImpactList, SparseRows
from bigrain.storage.segment import SegmentFile
from bigrain.types import SparseMatrix

__all__ = ["SparseIndex", "SparseLists"]

READ_BYTES = 8 << 20  # of records scored at a time
LARGEST_SUM = 0.9 * 2**32
ROUNDING = 1 << 10  # of scores to float32, in units of sums
MOST_EFFORTS = 1000  # that are remembered
MANY = 1000  # candidates beyond which all but the best are dropped at once

Array = npt.NDArray[Any]


class SparseLists(Protocol):
    """An opened segment, of whichever format."""

    file: SegmentFile
    units: UnitMap
    columns: npt.NDArray[np.uint32]
    largest: npt.NDArray[np.float32]
    sizes: npt.NDArray[np.uint32]
    filled: npt.NDArray[np.uint32]
    list_places: npt.NDArray[np.int64]

    @property
    def n_parts(self) -> int: ...
    @property
    def memory_bytes(self) -> int: ...
    def part_of(self, at: int) -> int: ...
    def part_rows(self, part: int) -> int: ...
    def find(self, part: int, columns: npt.NDArray[np.uint32]) -> npt.NDArray[np.int64]: ...
    def read_list(self, at: int) -> ImpactList: ...
    def weights(self, rows: Rows) -> SparseRows: ...
    def stretches(self, rows: Rows, most_bytes: int) -> Iterator[slice]: ...
    def score(self, rows: Rows, queries: Queries, record_of: Array, query_of: Array) -> Floats:
        """Inner products of pairs of one of ascending rows and a query."""
        ...


@dataclass(frozen=True)
class _Found:
    """Units of all queries with what they score at most, and at least."""

    units: Units
    query_of: npt.NDArray[np.int64]
    most: npt.NDArray[np.float64]
    least: npt.NDArray[np.float64]


class SparseIndex:
    """All segments of a sparse field at one snapshot."""

    def __init__(self, views: Sequence[View[Any]], cache: ListCache) -> None:
        self.views, self._cache = views, cache
        self.promising = Promising(views, cache)
        self._calibration: SparseCalibration | None = None
        self._efforts: dict[tuple[float, int], Effort] = {}

    @property
    def n_rows(self) -> int:
        return sum(view.n_live for view in self.views)

    def by_idf(self, query: Any) -> Any:
        """The query, each weight times ln(1 + (N - df + .5)/(df + .5)): the idf of BM25.

        N rows, df of them with the column; deleted ones count until they are merged away.
        """
        columns, weights = query
        n, df = 0, np.zeros(len(columns))
        for view in self.views:
            segment = view.segment
            n += segment.units.n_rows
            for part in range(segment.n_parts):
                at = segment.find(part, np.asarray(columns, np.uint32))
                df[at >= 0] += segment.sizes[at[at >= 0]]
        idf = np.log1p((n - df + 0.5) / (df + 0.5))
        return columns, (np.asarray(weights) * idf).astype(np.float32)

    # -- how far to look --------------------------------------------------------------------

    def effort(self, recall: float | None, k: int) -> Effort:
        """Everything that may be among the best k, unless less is asked for."""
        if recall is None or recall >= 1 or self.n_rows < SparseCalibration.LEAST_ROWS:
            return Effort(k)
        if (recall, k) not in self._efforts:
            if self._calibration is None:
                self._calibration = SparseCalibration.measured(self)
            if len(self._efforts) >= MOST_EFFORTS:
                self._efforts.clear()
            self._efforts[recall, k] = self._calibration.effort(recall, k)
        return self._efforts[recall, k]

    # -- candidates -------------------------------------------------------------------------

    def candidates(
        self, queries: Sequence[Any], effort: Effort, selection: Selection | None
    ) -> Sequence[Ranked]:
        """Per query the units that may be among the best n, with what they score at most; of a
        finite margin, the best n by postings that add at least that share of what the query can
        score, with what these add up to.

        Only units with a score above 0.
        """
        asked = Queries.of(queries)
        if effort.margin < np.inf and len(asked) and asked.widest <= MOST_COLUMNS:
            batch, _ = self.promising.search(asked, effort.n, effort.margin, selection)
            return self._completed(batch, queries, effort.n, selection)
        parts = [
            found
            for view in self.views
            for part in range(view.segment.n_parts)
            for found in self._search(view, part, asked, effort, selection)
        ]
        if len(parts) == 1:  # they come in this order
            units, query_of = parts[0].units, parts[0].query_of
            most, least = parts[0].most, parts[0].least
        else:
            units = np.concatenate([EMPTY, *(f.units for f in parts)])
            query_of = np.concatenate([EMPTY, *(f.query_of for f in parts)])
            most = np.concatenate([np.empty(0), *(f.most for f in parts)])
            least = np.concatenate([np.empty(0), *(f.least for f in parts)])
            order = np.lexsort((units, -most, query_of))
            units, query_of, most, least = units[order], query_of[order], most[order], least[order]
        ends = np.searchsorted(query_of, np.arange(len(asked) + 1)).tolist()
        ranked = []
        for q, (a, b) in enumerate(zip(ends, ends[1:], strict=False)):
            if b - a > effort.n and len(parts) > 1:
                # No more than n may surely score as much as the n-th surely scores.
                surely = np.partition(least[a:b], b - a - effort.n)[b - a - effort.n]
                b = a + int(np.searchsorted(-most[a:b], -surely, side="right"))
            found = Ranked(units[a:b], most[a:b].astype(np.float32))
            if len(found.units) > 8 * effort.n + MANY:
                found = self._best(queries[q], found.units, effort.n)
            ranked.append(found)
        return ranked

    def _completed(
        self, found: RankedBatch, queries: Sequence[Any], n: int, selection: Selection | None
    ) -> RankedBatch:
        """Queries whose heavy postings hold fewer than n units are asked in full."""
        short = np.flatnonzero((found.units >= 0).sum(axis=1) < n)
        if not len(short):
            return found
        ranked = list(found)
        whole = self.candidates([queries[q] for q in short.tolist()], Effort(n), selection)
        for q, one in zip(short.tolist(), whole, strict=True):
            ranked[q] = one
        return RankedBatch.of(ranked)

    def _search(
        self,
        view: View[Any],
        part: int,
        asked: Queries,
        effort: Effort,
        selection: Selection | None,
    ) -> Iterator[_Found]:
        """What a part of a segment holds, as many queries at a time as lists may be held."""
        segment, first = view.segment, part * PART_ROWS
        at = segment.find(part, asked.columns)
        query_of = asked.query_of
        known = at >= 0
        at, query_of = at[known], query_of[known]
        most = asked.weights[known].astype(np.float64) * segment.largest[at]
        counts = np.bincount(query_of, minlength=len(asked))
        total = np.bincount(query_of, most, minlength=len(asked)).astype(np.float64)
        spare = LARGEST_SUM - 2 * LARGEST_IMPACT * counts
        unit = np.divide(spare, total, out=np.zeros_like(total), where=total > 0)
        factors = (most * unit[query_of] / LARGEST_IMPACT).astype(np.uint32) + np.uint32(1)
        off = np.bincount(query_of, factors + 2.0 * LARGEST_IMPACT, minlength=len(asked))
        slack = np.minimum(off + ROUNDING, LARGEST_SUM).astype(np.uint64)
        live = view.bitmap(selection)
        n_rows = segment.part_rows(part)
        if live is not None:
            live = np.ascontiguousarray(live[first // 8 : (first + n_rows + 7) // 8])
        ends = np.concatenate(([0], np.cumsum(counts)))
        sizes = segment.list_places[at + 1] - segment.list_places[at]
        for a, b in self._cache.together(sizes, ends):
            some = slice(int(ends[a]), int(ends[b]))
            lists, which = at[some], np.arange(len(at[some]))  # of one query all differ
            if b - a > 1:
                lists, which = np.unique(lists, return_inverse=True)
            data = [held.data for held in self._cache.get_many(segment, lists.tolist())]
            found, rows, sums = kernels.search_impacts(
                data,
                segment.filled[lists],
                segment.sizes[lists],
                n_rows,
                (ends[a : b + 1] - ends[a]).astype(np.int64),
                which.astype(np.int32).ravel(),
                factors[some],
                slack[a:b],
                effort.n,
                live,
            )
            of = np.repeat(np.arange(a, b), np.diff(found))
            yield _Found(
                segment.units.units(rows.astype(np.int64) + first),
                of,
                sums / unit[of],
                (sums - slack[of].astype(np.float64)) / unit[of],
            )

    # -- the vectors themselves -------------------------------------------------------------

    def exact(self, queries: Sequence[Any], k: int, selection: Selection | None) -> list[Ranked]:
        found = self.candidates(queries, Effort(k), selection)
        scores = self.score_many(queries, [ranked.units for ranked in found])
        return [
            _first(ranked.units, scored, k) for ranked, scored in zip(found, scores, strict=True)
        ]

    def _best(self, query: Any, units: Units, n: int) -> Ranked:
        return _first(units, self.score(query, units), n)

    def score(self, query: Any, units: Units) -> Floats:
        """Inner products of single units: 0 without a common column, NaN without a live row."""
        return self.score_many([query], [units])[0]

    def score_many(self, queries: Sequence[Any], units: Sequence[Units]) -> list[Floats]:
        """Scores of each query's units; every row is read once for all of them."""
        counts = [len(some) for some in units]
        query_of = np.repeat(np.arange(len(units)), counts)
        scores = self.score_pairs(queries, np.concatenate([EMPTY, *units]), query_of)
        return np.split(scores, np.cumsum(counts)[:-1])

    def score_pairs(self, queries: Sequence[Any], units: Units, query_of: Array) -> Floats:
        """Scores of units (m,), each for its query (m,), in the order of queries."""
        asked = Queries.of(queries)
        scores = np.full(len(units), np.nan, np.float32)
        for view in self.views:
            at, rows = view.locate(units)
            if not len(rows):
                continue
            distinct, record_of = rows, np.arange(len(rows))
            if (rows[1:] <= rows[:-1]).any():
                distinct, record_of = np.unique(rows, return_inverse=True)
            parts = list(view.segment.stretches(distinct, READ_BYTES))
            order = np.argsort(record_of, kind="stable") if len(parts) > 1 else record_of
            for part in parts:
                pairs: Any = slice(None)
                if len(parts) > 1:
                    ends = np.searchsorted(record_of[order], [part.start, part.stop])
                    pairs = np.sort(order[ends[0] : ends[1]])
                scores[at[pairs]] = view.segment.score(
                    distinct[part],
                    asked,
                    (record_of[pairs] - part.start).astype(np.int32),
                    query_of[at[pairs]].astype(np.int32),
                )
        return scores

    def matrix(self) -> tuple[Units, SparseMatrix]:
        """(units, vectors) of everything that lives, in the order of units."""
        units: list[Units] = [EMPTY]
        parts: list[SparseRows] = []
        for view in self.views:
            rows = view.live_rows()
            for some in view.segment.stretches(rows, READ_BYTES):
                parts.append(view.segment.weights(rows[some]))
                units.append(view.segment.units.units(rows[some]))
        counts = np.concatenate([EMPTY, *(np.diff(offsets) for _, _, offsets in parts)])
        columns = np.concatenate([EMPTY, *(columns for columns, _, _ in parts)]).astype(np.int64)
        weights = np.concatenate([np.empty(0, np.float32), *(w for _, w, _ in parts)])
        together = np.concatenate(units)
        if (order := np.argsort(together, kind="stable")).size and (np.diff(order) != 1).any():
            entry = np.argsort(
                np.argsort(order)[np.repeat(np.arange(len(order)), counts)], kind="stable"
            )
            columns, weights, counts = columns[entry], weights[entry], counts[order]
        ends = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
        width = int(columns.max(initial=-1)) + 1
        return together[order], SparseMatrix(weights, columns, ends, (len(order), width))

    def contributions(self, query: Any, units: Units) -> Floats:
        """(columns, units) array: what every column of the query adds to the scores."""
        asked = np.asarray(query[0], np.uint32)
        parts = np.zeros((max(len(asked), 1), len(units)), np.float32)
        known = np.zeros(len(units), bool)
        for view in self.views:
            at, rows = view.locate(units)
            known[at] = True
            distinct, which = np.unique(rows, return_inverse=True)
            for some in view.segment.stretches(distinct, READ_BYTES):
                columns, weights, offsets = view.segment.weights(distinct[some])
                row_of = np.repeat(np.arange(some.start, some.stop), np.diff(offsets))
                held = np.zeros((len(asked), some.stop - some.start), np.float32)
                place = np.searchsorted(asked, columns)
                place[place == len(asked)] = 0
                common = np.flatnonzero(asked[place] == columns) if len(asked) else EMPTY
                held[place[common], row_of[common] - some.start] = weights[common]
                here = np.flatnonzero((which >= some.start) & (which < some.stop))
                if len(asked):
                    products = held[:, which[here] - some.start] * query[1][:, None]
                    parts[:, at[here]] = products
        parts[:, ~known] = np.nan
        return parts


def _first(units: Units, scores: Floats, k: int) -> Ranked:
    order = np.lexsort((units, -scores))[:k]
    order = order[scores[order] > 0]
    return Ranked(units[order], scores[order])
