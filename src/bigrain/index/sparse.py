"""Sparse fields: non-negative weights over numbered columns, scored by inner product, exactly.

A query is a pair (columns u64 (m,), weights f32 (m,)).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bigrain import kernels
from bigrain.index.base import Floats, Ranked, Selection, Units, View, merge_ranked
from bigrain.index.effort import Effort
from bigrain.index.postings import ListCache, PostingsSegment, weights_of

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
        columns, weights = query
        lists = []
        for view in self.views:
            run = view.segment.run
            with self._cache.scratch.zeros(view.segment.units.n_rows) as scores:
                for column, weight in zip(columns.tolist(), weights.tolist(), strict=True):
                    at = run.find(column)
                    if at >= 0:
                        rows, values = self._cache.get(run, at)
                        kernels.accumulate_weights(rows, values, weight, scores)
                found, top = kernels.top_k(scores, n, view.bitmap(selection), 0.0)
            lists.append(Ranked(view.segment.units.units(found), top))
        return merge_ranked(lists, n)

    def score(self, query: Any, units: Units) -> Floats:
        """Inner products of single units: 0 without a common column, NaN without a live row."""
        columns, weights = query
        scores = np.full(len(units), np.nan, np.float32)
        for view in self.views:
            at, rows = view.locate(units)
            found = np.zeros(len(at), np.float32)
            for column, weight in zip(columns.tolist(), weights.tolist(), strict=True):
                place = view.segment.run.find(column)
                if place >= 0:
                    listed = self._cache.get(view.segment.run, place)
                    found += weights_of(listed, rows) * np.float32(weight)
            scores[at] = found
        return scores

    def contributions(self, query: Any, units: Units) -> Floats:
        """(columns, units) array: what every column of the query adds to the scores."""
        columns, weights = query
        parts = np.zeros((max(len(columns), 1), len(units)), np.float32)
        known = np.zeros(len(units), bool)
        for view in self.views:
            run = view.segment.run
            at, rows = view.locate(units)
            known[at] = True
            for part, column, weight in zip(
                parts, columns.tolist(), weights.tolist(), strict=False
            ):
                place = run.find(column)
                if place >= 0:
                    part[at] = weights_of(self._cache.get(run, place), rows) * np.float32(weight)
        parts[:, ~known] = np.nan
        return parts
