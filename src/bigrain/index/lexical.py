"""Lexical fields: BM25 with statistics that are exact for the snapshot, deletions included.

Lucene's formula (papers/B-2 section 2.6):

    score(q, d) = sum_t idf_t * tf / (tf + k1 (1 - b + b |d| / avgdl))
    idf_t = ln(1 + (N - df_t + 0.5) / (df_t + 0.5))

N, df and avgdl count live documents only, so scores equal those of an index built afresh.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bigrain import kernels
from bigrain.index.base import (
    Bitmap,
    Floats,
    Ranked,
    Rows,
    Selection,
    Units,
    View,
    merge_ranked,
)
from bigrain.index.effort import Effort
from bigrain.index.postings import ListCache, PostingsSegment, key_of_word, weights_of

__all__ = ["Bm25", "LexicalIndex", "Term"]

CHUNK = 1 << 16
KNOWN_WORDS = 10_000  # about 2 MB


@dataclass(frozen=True, slots=True)
class Bm25:
    """Saturation `k1` and length normalisation `b`."""

    k1: float
    b: float


@dataclass(frozen=True, slots=True)
class Term:
    """A query word in one snapshot: its weight and where its lists are (-1: nowhere)."""

    word: str
    weight: float  # idf times the query's weight
    places: tuple[int, ...]


class LexicalIndex:
    """All inverted segments of a lexical field at one snapshot.

    A query maps words to weights: how often it says each, or any number from 0.
    """

    def __init__(
        self, bm25: Bm25, views: Sequence[View[PostingsSegment]], cache: ListCache
    ) -> None:
        self.bm25, self.views, self._cache = bm25, views, cache
        self._df: dict[str, tuple[int, tuple[int, ...]]] = {}
        self._n = sum(view.n_live for view in views)
        self._norms: list[Floats] = []
        total = 0
        for view in views:
            lengths = view.segment.file.read("lengths")
            for start in range(0, len(lengths), CHUNK):
                total += _live_sum(lengths, start, view.live)
            self._norms.append(lengths.view("<f4"))  # what they become, in the same memory
        self.average_length = total / self._n if self._n else 0.0
        k1, b, average = bm25.k1, bm25.b, self.average_length or 1.0
        for norms in self._norms:
            for start in range(0, len(norms), CHUNK):
                part = norms[start : start + CHUNK]
                counts = part.view("<u4").astype(np.float32)
                part[:] = k1 * (1 - b + b * (counts / np.float32(average)))

    @property
    def n_rows(self) -> int:
        return self._n

    def terms(self, query: Mapping[str, float]) -> list[Term]:
        """The query's words that live documents hold, in its order."""
        found = []
        for word, weight in query.items():
            df, places = self._look_up(word)
            if df:
                idf = math.log(1 + (self._n - df + 0.5) / (df + 0.5))
                found.append(Term(word, idf * weight, places))
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
            if len(self._df) >= KNOWN_WORDS:
                self._df.clear()
            known = self._df[word] = df, tuple(places)
        return known

    def effort(self, recall: float | None, k: int) -> Effort:
        """Candidates are exact: k of them."""
        return Effort(k)

    def candidates(
        self, queries: Sequence[Any], effort: Effort, selection: Selection | None
    ) -> list[Ranked]:
        """Per query the n best units with a score above 0; the scores are exact already."""
        return [self._search(self.terms(words), effort.n, selection) for words in queries]

    def exact(self, queries: Sequence[Any], k: int, selection: Selection | None) -> list[Ranked]:
        return self.candidates(queries, Effort(k), selection)

    def _search(self, terms: Sequence[Term], n: int, selection: Selection | None) -> Ranked:
        lists = []
        for i, (view, norms) in enumerate(zip(self.views, self._norms, strict=True)):
            present = [(t.places[i], t.weight) for t in terms if t.places[i] >= 0]
            if not present:
                continue
            with self._cache.scratch.zeros(len(norms)) as scores:
                for at, weight in present:
                    rows, tfs = self._cache.get(view.segment.run, at)
                    kernels.accumulate_bm25(rows, tfs, norms, weight, scores)
                found, top = kernels.top_k(scores, n, view.bitmap(selection), 0.0)
            lists.append(Ranked(view.segment.units.units(found), top))
        return merge_ranked(lists, n)

    def score(self, query: Any, units: Units) -> Floats:
        """BM25 of single units: 0 without a common word, NaN where there is no live row."""
        terms = self.terms(query)
        scores = np.full(len(units), np.nan, np.float32)
        for i, (view, norms) in enumerate(zip(self.views, self._norms, strict=True)):
            at, rows = view.locate(units)
            found = np.zeros(len(at), np.float32)
            for term in terms:
                found += self._parts(term, i, view, norms, rows)
            scores[at] = found
        return scores

    def contributions(self, query: Any, units: Units) -> npt.NDArray[np.float32]:
        """(terms, units) array: what every term of `terms(query)` adds to the scores."""
        terms = self.terms(query)
        parts = np.full((max(len(terms), 1), len(units)), np.nan, np.float32)
        for i, (view, norms) in enumerate(zip(self.views, self._norms, strict=True)):
            at, rows = view.locate(units)
            parts[:, at] = 0
            for part, term in zip(parts, terms, strict=False):
                part[at] = self._parts(term, i, view, norms, rows)
        return parts

    def _parts(
        self, term: Term, i: int, view: View[PostingsSegment], norms: Floats, rows: Rows
    ) -> Floats:
        """What a term adds to the scores of rows of the i-th segment."""
        if term.places[i] < 0:
            return np.zeros(len(rows), np.float32)
        tf = weights_of(self._cache.get(view.segment.run, term.places[i]), rows)
        # A norm may be 0 (k1=0): rows without the word score 0, not 0/0.
        below = np.where(tf > 0, tf + norms[rows], np.float32(1))
        return np.asarray(np.float32(term.weight) * tf / below, np.float32)


def _live_sum(lengths: npt.NDArray[np.uint32], start: int, live: Bitmap | None) -> int:
    part = lengths[start : start + CHUNK]
    if live is not None:
        bits = np.unpackbits(live[start // 8 :], count=len(part), bitorder="little")
        part = part[bits.astype(bool)]
    return int(part.sum(dtype=np.int64))
