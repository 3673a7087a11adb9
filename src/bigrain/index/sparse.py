"""Sparse fields: non-negative weights over numbered columns, scored by inner product, exactly.

A query is a pair (columns u64 (m,), weights f32 (m,)).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from bigrain import kernels
from bigrain.index.base import Floats, Ranked, Rows, Selection, Units, View, merge_ranked
from bigrain.index.effort import Effort
from bigrain.index.inverted import PostingsSegment
from bigrain.index.postings import ListCache, Listed

__all__ = ["SparseIndex"]


class SparseIndex:
    """All inverted segments of a sparse field at one snapshot."""

    def __init__(self, views: Sequence[View[PostingsSegment]], cache: ListCache) -> None:
        self.views, self._cache = views, cache

    @property
    def n_rows(self) -> int:
        return sum(view.n_live for view in self.views)

    def effort(self, recall: float, k: int) -> Effort:
        """Candidates are exact: k of them."""
        return Effort(k)

    def candidates(
        self, queries: Sequence[Any], effort: Effort, selection: Selection | None
    ) -> list[Ranked]:
        """Per query the n best units with a score above 0."""
        return [self._search(query, effort.n, selection) for query in queries]

    def exact(self, queries: Sequence[Any], k: int, selection: Selection | None) -> list[Ranked]:
        return self.candidates(queries, Effort(k), selection)

    def _search(self, query: Any, n: int, selection: Selection | None) -> Ranked:
        found = []
        for view in self.views:
            listed, weights = self._lists(query, view)
            if not listed:
                continue
            rows, scores = kernels.search_lists(
                [each.list for each in listed],
                weights,
                weights * np.array([each.unit for each in listed]),
                None,
                0.0,
                0.0,
                view.bitmap(selection),
                view.segment.units.n_rows,
                n,
            )
            found.append(Ranked(view.segment.units.units(rows), scores))
        return merge_ranked(found, n)

    def _lists(
        self, query: Any, view: View[PostingsSegment]
    ) -> tuple[list[Listed], npt.NDArray[np.float64]]:
        """The lists of a query in a segment, and their weights."""
        run = view.segment.run
        places = [run.find(column) for column in query[0].tolist()]
        at = [i for i, place in enumerate(places) if place >= 0]
        return [self._cache.get(run, places[i]) for i in at], query[1][at].astype(np.float64)

    def score(self, query: Any, units: Units) -> Floats:
        """Inner products of single units: 0 without a common column, NaN without a live row."""
        scores = np.full(len(units), np.nan, np.float32)
        for view in self.views:
            at, rows = view.locate(units)
            if len(at):
                listed, weights = self._lists(query, view)
                scores[at] = kernels.score_lists(
                    [each.list for each in listed],
                    weights,
                    None,
                    0.0,
                    0.0,
                    view.segment.units.n_rows,
                    rows.astype(np.uint32),
                )
        return scores

    def contributions(self, query: Any, units: Units) -> Floats:
        """(columns, units) array: what every column of the query adds to the scores."""
        columns, weights = query
        parts = np.full((max(len(columns), 1), len(units)), np.nan, np.float32)
        for view in self.views:
            at, rows = view.locate(units)
            parts[:, at] = 0
            for part, column, weight in zip(
                parts, columns.tolist(), weights.tolist(), strict=False
            ):
                part[at] = weight * self._weights(view, column, rows)
        return parts

    def _weights(
        self, view: View[PostingsSegment], column: int, rows: Rows
    ) -> npt.NDArray[np.float64]:
        """The weights of one column in some rows, 0 where they have none."""
        place = view.segment.run.find(column)
        if place < 0 or not len(rows):
            return np.zeros(len(rows))
        values = self._cache.get(view.segment.run, place).list.look_up(rows.astype(np.uint32))
        found = np.maximum(values, 0).astype(np.uint32).view(np.float32)
        return np.where(values >= 0, found, 0).astype(np.float64)
