"""Lexical fields: BM25 with statistics that are exact for the snapshot, deletions included.

Lucene's formula (papers/B-2 section 2.6):

    score(q, d) = sum_t idf_t * tf / (tf + k1 (1 - b + b |d| / avgdl))
    idf_t = ln(1 + (N - df_t + 0.5) / (df_t + 0.5))

N, df and avgdl count live documents only, so scores equal those of an index built afresh.
"""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bigrain import kernels
from bigrain.index.base import Floats, Ranked, Selection, Units, View, merge_ranked
from bigrain.index.builder import key_of_word
from bigrain.index.postings import ListCache, PostingsSegment, weights_of

__all__ = ["Bm25", "LexicalIndex", "Term"]


@dataclass(frozen=True, slots=True)
class Bm25:
    """Saturation `k1` and length normalisation `b`."""

    k1: float
    b: float


@dataclass(frozen=True, slots=True)
class Term:
    """A query word in one snapshot: its weight and where its lists are (-1: nowhere)."""

    word: str
    weight: float  # idf times the number of times the query says it
    places: tuple[int, ...]


class LexicalIndex:
    """All inverted segments of a lexical field at one snapshot. A query is a list of words."""

    def __init__(
        self, bm25: Bm25, views: Sequence[View[PostingsSegment]], cache: ListCache
    ) -> None:
        self.bm25, self.views, self._cache = bm25, views, cache
        self._local = threading.local()
        self._df: dict[str, tuple[int, tuple[int, ...]]] = {}
        lengths = [self._lengths(view) for view in views]
        self._n = sum(view.n_live for view in views)
        total = sum(
            float(view_lengths[view.live_rows()].sum(dtype=np.float64))
            for view, view_lengths in zip(views, lengths, strict=True)
        )
        self.average_length = total / self._n if self._n else 0.0
        k1, b, average = bm25.k1, bm25.b, self.average_length or 1.0
        self._norms: list[Floats] = [
            np.asarray(k1 * (1 - b + b * (n / np.float32(average))), np.float32) for n in lengths
        ]

    @staticmethod
    def _lengths(view: View[PostingsSegment]) -> npt.NDArray[np.float32]:
        lengths = view.segment.run.lengths
        assert lengths is not None
        return lengths.astype(np.float32)

    @property
    def n_rows(self) -> int:
        return self._n

    def terms(self, words: Sequence[str]) -> list[Term]:
        """The query's distinct words that live documents hold, in order of first mention."""
        found = []
        for word, count in Counter(words).items():
            df, places = self._look_up(word)
            if df:
                idf = math.log(1 + (self._n - df + 0.5) / (df + 0.5))
                found.append(Term(word, idf * count, places))
        return found

    def _look_up(self, word: str) -> tuple[int, tuple[int, ...]]:
        known = self._df.get(word)
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
                    if view.live is None:
                        df += int(run.starts[at + 1] - run.starts[at])
                    else:
                        df += kernels.count_live(self._cache.get(run, at)[0], view.live)
                places.append(at)
            if len(self._df) > 100_000:
                self._df.clear()
            known = self._df[word] = df, tuple(places)
        return known

    def candidates(
        self, queries: Sequence[Any], n: int, selection: Selection | None
    ) -> list[Ranked]:
        """Per query the n best units with a score above 0; the scores are exact already."""
        return [self._search(self.terms(words), n, selection) for words in queries]

    def exact(self, queries: Sequence[Any], k: int, selection: Selection | None) -> list[Ranked]:
        return self.candidates(queries, k, selection)

    def _search(self, terms: Sequence[Term], n: int, selection: Selection | None) -> Ranked:
        lists = []
        for i, (view, norms) in enumerate(zip(self.views, self._norms, strict=True)):
            present = [(t.places[i], t.weight) for t in terms if t.places[i] >= 0]
            if not present:
                continue
            scores = self._scratch(len(norms))
            for at, weight in present:
                rows, tfs = self._cache.get(view.segment.run, at)
                kernels.accumulate_bm25(rows, tfs, norms, weight, scores)
            found, top = kernels.top_k(scores, n, view.bitmap(selection), 0.0)
            lists.append(Ranked(view.segment.units.units(found), top))
        return merge_ranked(lists, n)

    def _scratch(self, n: int) -> Floats:
        """A zeroed array that this thread uses again for the next query."""
        held: Floats | None = getattr(self._local, "scores", None)
        if held is None or len(held) < n:
            held = self._local.scores = np.empty(n, np.float32)
        scores = held[:n]
        scores.fill(0)
        return scores

    def score(self, query: Any, units: Units) -> Floats:
        """BM25 of single units: 0 without a common word, NaN where there is no live row."""
        return np.asarray(self.contributions(query, units).sum(axis=0, dtype=np.float32))

    def contributions(self, query: Any, units: Units) -> npt.NDArray[np.float32]:
        """(terms, units) array: what every term of `terms(query)` adds to the scores."""
        terms = self.terms(query)
        parts = np.zeros((max(len(terms), 1), len(units)), np.float32)
        known = np.zeros(len(units), bool)
        for i, (view, norms) in enumerate(zip(self.views, self._norms, strict=True)):
            at, rows = view.locate(units)
            known[at] = True
            for part, term in zip(parts, terms, strict=False):
                if term.places[i] >= 0:
                    tf = weights_of(self._cache.get(view.segment.run, term.places[i]), rows)
                    # A norm may be 0 (k1=0): rows without the word score 0, not 0/0.
                    below = np.where(tf > 0, tf + norms[rows], np.float32(1))
                    part[at] = np.float32(term.weight) * tf / below
        parts[:, ~known] = np.nan
        return parts
