"""The postings of sparse segments that weigh most, by falling impact, and the search in them.

A search adds up only what adds much (score at a time: Lin and Trotman, Anytime ranking for
impact-ordered indexes, ICTIR 2015): the postings that each add at least a share of what the query
can score. Of the lightest weights of a segment there are none here (static pruning, as in Seismic:
Bruch et al., SIGIR 2024). Lists are made from those that are stored when they are first needed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from bigrain import kernels
from bigrain.index.base import EMPTY, RankedBatch, Selection, View
from bigrain.index.postings import ListCache
from bigrain.index.sparse_queries import Queries
from bigrain.index.sparse_segment import LARGEST_IMPACT, PART_ROWS

if TYPE_CHECKING:
    from bigrain.index.sparse import SparseLists

__all__ = ["OrderedLists", "Promising"]

KEPT = 0.4  # of a segment's weights, the largest
SAMPLED = 512  # rows whose weights tell which these are
LARGEST_SUM = 65_000  # of 65,535: factors are for impacts up to 2047
MANY_COLUMNS = 40  # of a query
MOST_COLUMNS = 1000  # of a query: with more a column's share of the sums is too coarse

Array = npt.NDArray[Any]


class OrderedList(NamedTuple):
    """Postings as `kernels.order_impacts` gives them."""

    data: npt.NDArray[np.uint32]

    @property
    def n_bytes(self) -> int:
        return self.data.nbytes


class OrderedLists:
    """The heavy postings of one segment's lists, made anew whenever the cache has lost them."""

    def __init__(self, segment: SparseLists) -> None:
        self.file, self._segment = segment.file, segment
        n = segment.units.n_rows
        rows = np.unique(np.linspace(0, n - 1, min(n, SAMPLED)).astype(np.int64))
        weights = segment.weights(rows)[1]
        self._floor = float(np.quantile(weights, 1 - KEPT)) if len(weights) else 0.0

    def read_list(self, at: int) -> OrderedList:
        segment = self._segment
        rows = segment.part_rows(segment.part_of(at))
        least = int(self._floor / float(segment.largest[at]) * LARGEST_IMPACT)
        size, filled = int(segment.sizes[at]), int(segment.filled[at])
        data = segment.read_list(at).data
        return OrderedList(kernels.order_impacts(data, size, filled, rows, least))


@dataclass(frozen=True)
class _Part:
    """What some queries ask of a part of a segment."""

    view: View[Any]
    lists: OrderedLists
    first: int  # row
    at: npt.NDArray[np.int64]  # the lists, of query after query
    query_of: npt.NDArray[np.int64]
    gains: npt.NDArray[np.float64]  # what the largest impact of each adds to the score


class Promising:
    """Searches of some segments by their heavy postings."""

    def __init__(self, views: Sequence[View[Any]], cache: ListCache) -> None:
        self._views, self._cache = views, cache
        self._lists: dict[str, OrderedLists] = {}

    def _ordered(self, segment: SparseLists) -> OrderedLists:
        name = segment.file.name
        if name not in self._lists:
            self._lists[name] = OrderedLists(segment)
        return self._lists[name]

    def _parts(self, asked: Queries) -> tuple[list[_Part], npt.NDArray[np.float64]]:
        """(the parts, what each query can score at most in any of them)."""
        query_of = asked.query_of
        most = np.zeros(len(query_of))
        parts = []
        for view in self._views:
            segment = view.segment
            for part in range(segment.n_parts):
                at = segment.find(part, asked.columns)
                known = np.flatnonzero(at >= 0)
                at = at[known]
                gains = asked.weights[known].astype(np.float64) * segment.largest[at]
                most[known] = np.maximum(most[known], gains)
                lists, first = self._ordered(segment), part * PART_ROWS
                parts.append(_Part(view, lists, first, at, query_of[known], gains))
        return parts, np.bincount(query_of, most, minlength=len(asked)).astype(np.float64)

    @staticmethod
    def _least(
        part: _Part, asked: Queries, total: npt.NDArray[np.float64], share: float
    ) -> npt.NDArray[np.float64]:
        """For each list the impact from which on a posting adds enough.

        Of a query of more than MANY_COLUMNS less is enough: no column adds much.
        """
        enough = share * total / np.maximum(1, np.diff(asked.offsets) / MANY_COLUMNS)
        return np.ceil(enough[part.query_of] * LARGEST_IMPACT / part.gains)

    def search(
        self, asked: Queries, n: int, share: float, selection: Selection | None
    ) -> tuple[RankedBatch, int]:
        """Per query the n units with the largest sums over postings that add at least `share` of
        what the query can score; and how many postings were looked at.

        Scores are these sums, rounded down.
        """
        parts, total = self._parts(asked)
        unit = np.divide(LARGEST_SUM, total, out=np.zeros_like(total), where=total > 0)
        found = [
            one
            for part in parts
            for one in self._of_part(part, asked, n, share, total, unit, selection)
        ]
        units = np.concatenate([EMPTY, *(units for units, _, _, _ in found)])
        query_of = np.concatenate([EMPTY, *(of for _, of, _, _ in found)])
        sums = np.concatenate([np.empty(0, np.uint32), *(sums for _, _, sums, _ in found)])
        if len(found) > 1:
            order = np.lexsort((units, -sums.astype(np.int64), query_of))
            units, query_of, sums = units[order], query_of[order], sums[order]
        starts = np.searchsorted(query_of, np.arange(len(asked) + 1))
        place = np.arange(len(units)) - starts[query_of]
        if len(found) > 1:
            kept = place < n
            units, query_of, sums, place = units[kept], query_of[kept], sums[kept], place[kept]
        shape = len(asked), int(place.max(initial=-1)) + 1
        ranked = RankedBatch(np.full(shape, -1, np.int64), np.full(shape, -np.inf, np.float32))
        ranked.units[query_of, place] = units
        ranked.scores[query_of, place] = sums / unit[query_of]
        return ranked, sum(looked for _, _, _, looked in found)

    def _of_part(
        self,
        part: _Part,
        asked: Queries,
        n: int,
        share: float,
        total: npt.NDArray[np.float64],
        unit: npt.NDArray[np.float64],
        selection: Selection | None,
    ) -> Iterator[tuple[Array, Array, Array, int]]:
        """(units, query of each, sums, postings looked at), as many queries at a time as lists may
        be held.
        """
        segment = part.view.segment
        least = self._least(part, asked, total, share)
        kept = np.flatnonzero(least <= LARGEST_IMPACT)
        at, query_of, impacts = part.at[kept], part.query_of[kept], least[kept].astype(np.uint32)
        factors = part.gains[kept] * unit[query_of] * (65536 / LARGEST_IMPACT)
        n_rows = segment.part_rows(part.first // PART_ROWS)
        live = part.view.bitmap(selection)
        if live is not None:
            live = np.ascontiguousarray(live[part.first // 8 : (part.first + n_rows + 7) // 8])
        ends = np.searchsorted(query_of, np.arange(len(asked) + 1))
        for a, b in self._cache.together(4 * segment.sizes[at].astype(np.int64), ends):
            some = slice(int(ends[a]), int(ends[b]))
            lists, which = at[some], np.arange(len(at[some]))  # of one query all differ
            if b - a > 1:
                lists, which = np.unique(lists, return_inverse=True)
            found, rows, sums, looked = kernels.search_ordered(
                [held.data for held in self._cache.get_many(part.lists, lists.tolist())],
                n_rows,
                (ends[a : b + 1] - ends[a]).astype(np.int64),
                which.astype(np.int32).ravel(),
                factors[some].astype(np.uint32),
                impacts[some],
                n,
                live,
            )
            units = segment.units.units(rows.astype(np.int64) + part.first)
            yield units, np.repeat(np.arange(a, b), np.diff(found)), sums, looked
