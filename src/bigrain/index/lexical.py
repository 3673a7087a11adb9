"""Lexical fields: BM25 with statistics that are exact for the snapshot, deletions included.

N, df and the mean length count live documents only, so scores equal those of an index built afresh.
Impacts were made by the mean length of the time of writing: `Saturation.excess` says how much more
a posting may add now, and exact scores come from counts and lengths.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from bigrain import kernels
from bigrain.index.alternatives import AnyOf, best_only
from bigrain.index.base import Bitmap, Floats, Ranked, Rows, Selection, Units, View, merge_ranked
from bigrain.index.bm25 import IMPACTS, Bm25
from bigrain.index.effort import Effort
from bigrain.index.inverted import PostingsSegment
from bigrain.index.postings import ListCache, key_of_word

__all__ = ["LexicalIndex", "Term"]

CHUNK = 1 << 16
KNOWN_WORDS = 10_000  # about 2 MB
PARTS_AT_ONCE = 1 << 20  # terms times units


class Term(NamedTuple):
    """A query word in one snapshot: its weight and where its lists are (-1: nowhere)."""

    word: str
    weight: float  # idf times gain times the query's weight
    places: tuple[int, ...]
    group: int = -1  # of the terms of one group a row gets the best only; -1: of none


class LexicalIndex:
    """All inverted segments of a lexical field at one snapshot.

    A query maps words, and `AnyOf` several words, to weights: how often it says each, or any finite
    number from 0.
    """

    def __init__(
        self, bm25: Bm25, views: Sequence[View[PostingsSegment]], cache: ListCache
    ) -> None:
        self.bm25, self.views, self._cache = bm25, views, cache
        self._words: dict[str, tuple[int, float, tuple[int, ...]]] = {}
        self._n = sum(view.n_live for view in views)
        total = sum(_live_sum(view.segment.lengths, view.live) for view in views)
        self.average_length = total / self._n if self._n else 0.0
        self.saturation = bm25.saturation(self.average_length)
        self._excess = [
            self.saturation.excess(view.segment.saturation, view.segment.longest) for view in views
        ]

    @property
    def n_rows(self) -> int:
        return self._n

    def terms(self, query: Mapping[Any, float]) -> list[Term]:
        """The query's words that live documents hold, in its order."""
        found: list[Term] = []
        for group, (asked, weight) in enumerate(query.items()):
            if isinstance(asked, AnyOf):
                found += self._alternatives(asked, weight, group)
                continue
            _, worth, places = self._look_up(asked)
            if places:
                found.append(Term(asked, worth * weight, places))
        return found

    def _alternatives(self, asked: AnyOf, weight: float, group: int) -> list[Term]:
        looked = [(word, share, *self._look_up(word)[1:]) for word, share in asked.words]
        there = [one for one in looked if one[3]]
        least = min((worth for _, _, worth, _ in there), default=0.0)
        return [Term(word, least * share * weight, places, group)
                for word, share, _, places in there]  # fmt: skip

    def n_with(self, word: str) -> int:
        """How many live units hold a word."""
        return self._look_up(word)[0]

    def mark(self, word: str, flags: npt.NDArray[np.bool_], first: int) -> None:
        """Set the flags of the live units from `first` on that hold a word."""
        for view, rows in self._held(word):
            for start in range(0, len(rows), CHUNK):
                some = rows[start : start + CHUNK].astype(np.int64)
                units = view.segment.units.units(some[view.is_live(some)]) - first
                flags[units[(units >= 0) & (units < len(flags))]] = True

    def first_with(self, word: str, n: int) -> list[int]:
        """The first n live units that hold a word."""
        found: list[int] = []
        for view, rows in self._held(word):
            units: list[int] = []
            for start in range(0, len(rows), CHUNK):
                some = rows[start : start + CHUNK].astype(np.int64)
                units += view.segment.units.units(some[view.is_live(some)][:n]).tolist()
                if len(units) >= n:
                    break
            found += units
        return sorted(found)[:n]

    def _held(self, word: str) -> Iterator[tuple[View[PostingsSegment], npt.NDArray[np.uint32]]]:
        """The rows of each segment that hold a word, dead ones too."""
        for view, at in zip(self.views, self._look_up(word)[2], strict=False):
            if at >= 0:
                yield view, self._cache.get(view.segment.run, at).decode()[0]

    def holds(self, word: str, units: Units) -> npt.NDArray[np.bool_]:
        """Whether each unit (n,) is live and holds a word."""
        held = np.zeros(len(units), bool)
        for view, at in zip(self.views, self._look_up(word)[2], strict=False):
            if at >= 0:
                where, rows = view.locate(units)
                members = self._cache.get(view.segment.run, at)
                held[where] = members.look_up(rows.astype(np.uint32)) >= 0
        return held

    def _look_up(self, word: str) -> tuple[int, float, tuple[int, ...]]:
        """How many live units hold a word, its worth, and where its lists are (-1: nowhere)."""
        known = self._words.get(word)
        if known is None:
            raw = word.encode("utf-8", "surrogatepass")
            key = key_of_word(raw)
            df, places = 0, []
            for view in self.views:
                run = view.segment.run
                at = run.find(key)
                if at >= 0 and run.terms(at, at + 1) != [raw]:
                    at = -1  # another word of the same key
                if at >= 0:
                    live = view.live
                    df += int(
                        run.df[at] if live is None else self._cache.get(run, at).count_live(live)
                    )
                places.append(at)
            if len(self._words) >= KNOWN_WORDS:
                self._words.clear()
            if df:
                known = df, self.bm25.idf(self._n, df) * self.bm25.gain, tuple(places)
            else:
                known = 0, 0.0, ()  # only deleted rows have it
            self._words[word] = known
        return known

    def effort(self, recall: float | None, k: int) -> Effort:
        """Candidates are exact: k of them."""
        return Effort(k)

    def candidates(
        self, queries: Sequence[Any], effort: Effort, selection: Selection | None
    ) -> list[Ranked]:
        """Per query the n best units with a score above 0; the scores are exact already."""
        return [self._search(self.terms(query), effort.n, selection) for query in queries]

    def exact(self, queries: Sequence[Any], k: int, selection: Selection | None) -> list[Ranked]:
        return self.candidates(queries, Effort(k), selection)

    def _search(self, terms: Sequence[Term], n: int, selection: Selection | None) -> Ranked:
        best = Ranked(np.empty(0, np.int64), np.empty(0, np.float32))
        for i, view in enumerate(self.views):
            lists, weights = self._lists(terms, i)
            if not lists:
                continue
            rows, scores = kernels.search_lists(
                lists,
                weights,
                weights * (self._excess[i] / IMPACTS),
                view.segment.lengths,
                self.saturation.flat,
                self.saturation.slope,
                view.bitmap(selection),
                view.segment.units.n_rows,
                n,
                _floor(best, n),
            )
            if len(rows):
                found = Ranked(view.segment.units.units(rows), scores)
                best = merge_ranked([best, found], n) if len(best.units) else found
        return best

    def _lists(
        self, terms: Sequence[Term], i: int
    ) -> tuple[list[kernels.PostingList], npt.NDArray[np.float64]]:
        """The lists of a query in the i-th segment, and their weights."""
        segment = self.views[i].segment
        present: list[tuple[kernels.PostingList, float]] = []
        for group, some in groupby(terms, key=lambda term: term.group):
            found = [
                (self._cache.get(segment.run, term.places[i]), term.weight)
                for term in some
                if term.places[i] >= 0
            ]
            if group >= 0:
                n_rows = segment.units.n_rows
                found = best_only(found, n_rows, segment.lengths, self.saturation)
            present += found
        return [one for one, _ in present], np.array([weight for _, weight in present], np.float64)

    def score(self, query: Any, units: Units) -> Floats:
        """BM25 of single units: 0 without a common word, NaN where there is no live row."""
        terms = self.terms(query)
        scores = np.full(len(units), np.nan, np.float32)
        if any(term.group >= 0 for term in terms):  # making lists would take longer
            step = max(1, PARTS_AT_ONCE // len(terms))
            for start in range(0, len(units), step):
                some = slice(start, start + step)
                scores[some] = self.contributions(query, units[some]).sum(axis=0, dtype=np.float64)
            return scores
        for i, view in enumerate(self.views):
            at, rows = view.locate(units)
            if len(at):
                lists, weights = self._lists(terms, i)
                scores[at] = kernels.score_lists(
                    lists,
                    weights,
                    view.segment.lengths,
                    self.saturation.flat,
                    self.saturation.slope,
                    view.segment.units.n_rows,
                    rows.astype(np.uint32),
                )
        return scores

    def contributions(self, query: Any, units: Units) -> npt.NDArray[np.float32]:
        """(terms, units) array: what every term of `terms(query)` adds to the scores.

        Of alternatives all but the best add 0.
        """
        terms = self.terms(query)
        parts = np.full((max(len(terms), 1), len(units)), np.nan, np.float32)
        for i, view in enumerate(self.views):
            at, rows = view.locate(units)
            parts[:, at] = 0
            for part, term in zip(parts, terms, strict=False):
                part[at] = self._parts(term, i, view, rows)
        for group in _groups(terms):
            some = parts[group]
            some[np.arange(len(some))[:, None] != some.argmax(axis=0)] *= 0  # NaN stays
        return parts

    def _parts(
        self, term: Term, i: int, view: View[PostingsSegment], rows: Rows
    ) -> npt.NDArray[np.float64]:
        """What a term adds to the scores of rows of the i-th segment."""
        added = np.zeros(len(rows))
        if term.places[i] >= 0 and len(rows):
            members = self._cache.get(view.segment.run, term.places[i])
            counts = members.look_up(rows.astype(np.uint32)) + 1
            held = counts > 0
            lengths = view.segment.lengths[rows[held]]
            added[held] = term.weight * self.saturation.parts(counts[held], lengths)
        return added


def _groups(terms: Sequence[Term]) -> Iterator[slice]:
    """Where the terms of each group stand."""
    for group, some in groupby(range(len(terms)), key=lambda at: terms[at].group):
        if group >= 0:
            at = list(some)
            yield slice(at[0], at[-1] + 1)


def _floor(best: Ranked, n: int) -> float:
    """What a score must exceed to matter beside n others; equal ones still do, by their units."""
    if not n or len(best.scores) < n:
        return 0.0
    return float(np.nextafter(best.scores[n - 1], np.float32(0)))


def _live_sum(lengths: npt.NDArray[Any], live: Bitmap | None) -> int:
    if live is None:
        return int(lengths.sum(dtype=np.int64))
    total = 0
    for start in range(0, len(lengths), CHUNK):
        part = lengths[start : start + CHUNK]
        bits = np.unpackbits(live[start // 8 :], count=len(part), bitorder="little")
        total += int(part[bits.astype(bool)].sum(dtype=np.int64))
    return total
