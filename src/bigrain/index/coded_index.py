"""How the codes of several segments are asked as one, and how far they are looked through."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Mapping, Sequence
from math import ceil, sqrt
from typing import Any, Generic, Self, TypeVar
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from bigrain.codecs.dense import PreparedQueries
from bigrain.index.base import (
    Floats,
    Ranked,
    RankedBatch,
    Selection,
    Units,
    View,
    merge_ranked,
)
from bigrain.index.coded import CodedSegment, Live
from bigrain.index.effort import DEFAULT_RECALL, Calibration, Effort, LiveQueries, Own

__all__ = ["CodedIndex"]

UNCALIBRATED = 200  # candidates where no segment tells how many are needed
CHUNK_ROWS = 4096
S = TypeVar("S", bound=CodedSegment)


class CodedIndex(ABC, Generic[S]):
    """The codes of all segments of a field at one snapshot."""

    errs_by_length = False  # whether estimates err with the length of the query, and no more

    def __init__(self, views: Sequence[View[S]]) -> None:
        self.views = views
        self.n_rows = sum(view.n_live for view in views)
        self._asked: LiveQueries | None = None
        self._efforts: dict[tuple[float, int], Effort] = {}
        self._live: dict[int, Live] = {}  # by view
        self._selected: WeakKeyDictionary[Selection, dict[int, Live]] = WeakKeyDictionary()

    @abstractmethod
    def prepare(self, segment: S, queries: Sequence[Any]) -> PreparedQueries:
        """Queries as the codes of a segment are asked."""

    def depth_of(self, query: Any) -> float:
        """How deep its neighbours lie, where those of the sample queries lie at depth 1."""
        return 1.0

    @abstractmethod
    def exact_steps(
        self, queries: Sequence[Any], k: int, selection: Selection | None
    ) -> Generator[int, None, list[Ranked]]:
        """`exact` in steps; each yields how many rows it has read."""

    @abstractmethod
    def among(self, views: Sequence[View[S]]) -> Self:
        """An index like this one of other rows."""

    @abstractmethod
    def queries_from(self, units: Units, seed: int) -> tuple[Any, str]:
        """Queries (a list, or an array) made of live units, and what they are in words."""

    def exact(self, queries: Sequence[Any], k: int, selection: Selection | None) -> list[Ranked]:
        """Per query the true best k, by reading every original once."""
        steps = self.exact_steps(queries, k, selection)
        while True:
            try:
                next(steps)
            except StopIteration as done:
                best: list[Ranked] = done.value
                return best

    @abstractmethod
    def score_pairs(
        self, queries: Sequence[Any], units: Units, query_of: npt.NDArray[np.int32]
    ) -> Floats:
        """Exact scores (m,) of pairs of a unit and a query, NaN where there is no live row."""

    def score(self, query: Any, units: Units) -> Floats:
        """Exact scores of units for one query, NaN where there is no live row."""
        return self.score_pairs([query], units, np.zeros(len(units), np.int32))

    def effort(self, recall: float | None, k: int) -> Effort:
        """What finds `recall` of the true top k: the most that any segment needs."""
        recall = DEFAULT_RECALL if recall is None else recall
        if (recall, k) not in self._efforts:
            told = {v.segment.file.name: v.segment.calibration for v in self.views if v.n_live}
            live = self._asked
            own = {
                name: known.effort(recall, k, self.n_rows, live)
                for name, known in told.items()
                if known is not None
            }
            each = tuple(Own(name, e.margin, e.reach) for name, e in own.items())
            efforts = list(own.values())
            if not efforts:
                efforts = [Effort(max(UNCALIBRATED, 2 * k))]
                if live is not None:
                    efforts.append(Calibration.unknown().effort(recall, k, self.n_rows, live))
            n, margin = max(e.n for e in efforts), max(e.margin for e in efforts)
            n, reach = max(n, k), max(e.reach for e in efforts)
            apart = n if 0 < len(own) < len(told) else 0
            n += sum(self._places_apart(apart).values())
            self._efforts[recall, k] = Effort(
                min(n, max(self.n_rows, 1)), margin, apart, reach,
                max(e.rank for e in efforts), each,
            )  # fmt: skip
        return self._efforts[recall, k]

    def effort_for(self, query: Any, effort: Effort, k: int, most: int) -> Effort:
        """What `effort` comes to for one query: at least k candidates, and at most `most`."""
        n = ceil(effort.n * self.depth_of(query))
        if effort.n >= self.n_rows or n == effort.n:
            return effort
        return effort.deeper(min(max(n, k), max(most, effort.n), self.n_rows))

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
        """Per query the best units by the codes in memory, as far as the effort's reach."""
        prepared: dict[str, PreparedQueries] = {}
        found, doubts = [], []
        alive = [self._alive(i, selection) for i in range(len(self.views))]
        if sum(live.n for live in alive) <= effort.n:
            effort = effort.endless()
        for view, live in zip(self.views, alive, strict=True):
            segment = view.segment
            if segment.code_id not in prepared:
                prepared[segment.code_id] = self.prepare(segment, queries)
            asked, own = prepared[segment.code_id], effort.of(segment.file.name)
            found.append(segment.scan(asked, own, live))
            doubts.append((own if own.reach < np.inf else effort).doubt(asked.length))
        if len(found) == 1:
            return found[0]
        apart = self._places_apart(effort.apart)
        return RankedBatch.of(
            [
                _merged(
                    [part[q] for part in found],
                    [np.inf if doubt is None else float(doubt[q]) for doubt in doubts],
                    apart,
                    effort,
                )
                for q in range(len(queries))
            ]
        )

    def doubt(self, queries: Sequence[Any], effort: Effort) -> Floats | None:
        """(Q,) how far below the estimate number `rank` the effort reaches; None: without end."""
        if effort.reach == np.inf or effort.apart or not self.views:
            return None
        segments = {view.segment.code_id: view.segment for view in self.views}
        lengths = [self.prepare(segment, queries).length for segment in segments.values()]
        return effort.doubt(np.max(lengths, axis=0))

    def _alive(self, i: int, selection: Selection | None) -> Live:
        """What is live in a view, and selected."""
        view = self.views[i]
        kept = self._live if selection is None else self._selected.setdefault(selection, {})
        if i not in kept:
            kept[i] = view.segment.live(view.bitmap(selection))
        return kept[i]

    def estimate(self, query: Any, units: Units) -> Floats:
        """The light grain's scores of single units, NaN where there is no live row."""
        estimates = np.full(len(units), np.nan, np.float32)
        for view in self.views:
            at, rows = view.locate(units)
            if not len(at):
                continue
            prepared = self.prepare(view.segment, [query])
            for start in range(0, len(at), CHUNK_ROWS):
                part = slice(start, start + CHUNK_ROWS)
                estimates[at[part]] = view.segment.estimate(prepared, rows[part])
        return estimates


def _merged(
    lists: Sequence[Ranked], doubts: Sequence[float], apart: Mapping[int, int], effort: Effort
) -> Ranked:
    """The best n of all lists, each as far below estimate number `rank` as its doubt; among them
    so many of some as these have `apart`."""
    parts, rest = [], list(lists)
    for i, own in apart.items():
        units, scores = lists[i].units, lists[i].scores
        parts.append(Ranked(units[:own], scores[:own]))
        rest[i] = Ranked(units[own:], scores[own:])
    if effort.reach < np.inf:
        best = merge_ranked(lists, effort.rank).scores
        if len(best) == effort.rank:
            rest = [
                _down_to(one, best[-1] - doubt) for one, doubt in zip(rest, doubts, strict=True)
            ]
    left = effort.n - sum(len(part.units) for part in parts)
    merged = merge_ranked(rest, max(0, left))
    return merge_ranked([*parts, merged], effort.n) if parts else merged


def _down_to(ranked: Ranked, least: float) -> Ranked:
    n = int((ranked.scores >= least).sum())
    return Ranked(ranked.units[:n], ranked.scores[:n])
