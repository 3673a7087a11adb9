"""Substring fields: exact counts of any string, and scores from distinctive n-grams.

The n-grams of a query are its stretches of `shortest` to `longest` words, as the query spells them,
that occur in live documents. They are taken from the rarest on, for as long as they occur WORK
times together (at most MOST of them): what is more common tells little, and costs most. The score
is SEAL's (Bevilacqua et al. 2022, papers/B-1 section 1.7), with the n-gram's share of the query in
place of a language model's probability, and without the smoothing that one needs:

    p = times in the query / (words of the query + 1)
    r = occurrences / characters
    w = max(0, log(p (1 - r)) - log(r (1 - p)))^2
    score(d) = sum over the n-grams in d, in falling order of w, of w (1 - b + b new), b = 0.8

`new` is the share of the n-gram's words that no n-gram before it in d had: what overlaps is not
counted twice. Occurrences and characters are those of live documents, so scores equal those of an
index built afresh, and what is returned is exactly the best k.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bigrain.index.base import (
    EMPTY,
    Bitmap,
    Floats,
    Ranked,
    Rows,
    Selection,
    Units,
    View,
    merge_ranked,
)
from bigrain.index.blocks import BlockCache
from bigrain.index.effort import Effort
from bigrain.index.fm import Range, SubstringSegment
from bigrain.index.scratch import Scratch

__all__ = ["MOST", "WORK", "Ngram", "NgramQuery", "SubstringIndex", "Tally", "weight_of"]

WORK, MOST = 1 << 16, 256
POWER, OVERLAP = 2, 0.8
ENDS_AT_ONCE = 64
CELLS = 1 << 20  # of (rows, n-grams and words) looked at together
CHUNK = 1 << 16
ROW_BITS = 32
BYTES_PER_RANGE, BYTES_PER_NGRAM = 32, 1000
Counts = npt.NDArray[np.int64]
Postings = tuple[Rows, Counts]  # rows of a segment, rising, and the occurrences in each


@dataclass(frozen=True)
class NgramQuery:
    """A query in the form of the texts: its words begin and end at these bytes."""

    text: bytes
    words: tuple[str, ...]
    starts: tuple[int, ...]
    ends: tuple[int, ...]


@dataclass(frozen=True)
class Ngram:
    """An n-gram of a query in one snapshot."""

    text: bytes
    words: frozenset[str]
    count: int
    weight: float


@dataclass(frozen=True)
class _Known:
    """The n-grams of a query, and per segment and n-gram the suffixes in every shard."""

    ngrams: list[Ngram]
    ranges: list[list[Sequence[Range]]]


@dataclass(frozen=True)
class Tally:
    """Occurrences of a pattern: in all, in how many documents, and the units with the most."""

    total: int
    n_documents: int
    units: Units
    counts: Counts


def weight_of(times: int, n_words: int, count: int, n_characters: int) -> float:
    """The weight of an n-gram, as the module describes it."""
    if count >= n_characters:
        return 0.0
    # A character of several words makes several n-grams of one text.
    p, r = min(times, n_words) / (n_words + 1), count / n_characters
    return float(max(0.0, math.log(p * (1 - r)) - math.log(r * (1 - p))) ** POWER)


class SubstringIndex:
    """All segments of a substring field at one snapshot."""

    def __init__(
        self,
        shortest: int,
        longest: int,
        views: Sequence[View[SubstringSegment]],
        cache: BlockCache,
        scratch: Scratch,
    ) -> None:
        self.views, self._cache, self._scratch = views, cache, scratch
        self._shortest, self._longest = shortest, longest
        self._own = object()  # what is kept in the cache for this snapshot alone
        self.n_characters = sum(_live_sum(view) for view in views)

    @property
    def n_rows(self) -> int:
        return sum(view.n_live for view in self.views)

    # -- substrings ---------------------------------------------------------------------------

    def count(self, pattern: bytes) -> int:
        """Occurrences in live documents, overlapping ones included."""
        return sum(self._count(view, self._ranges(view, pattern), view.live) for view in self.views)

    def documents_with(self, pattern: bytes, selection: Selection | None = None) -> Units:
        """The live and selected units that hold a pattern, ascending."""
        found = [EMPTY]
        for view in self.views:
            ((rows, _),) = self._postings(
                view, [self._ranges(view, pattern)], view.bitmap(selection)
            )
            found.append(view.segment.units.units(rows))
        return np.sort(np.concatenate(found))

    def tally(self, pattern: bytes, k: int, selection: Selection | None) -> Tally:
        """Count a pattern in every live and selected unit; the k with the most, ties by unit."""
        total = n_documents = 0
        best: list[tuple[Units, Counts]] = []
        for view in self.views:
            with self._scratch.zeros(view.segment.units.n_rows) as counts:
                for rows in self._rows(view, self._ranges(view, pattern)):
                    distinct, times = np.unique(rows, return_counts=True)
                    counts[distinct] += times.astype(np.uint32)
                live = view.bitmap(selection)
                for start in range(0, len(counts), CHUNK):
                    part = _kept(counts[start : start + CHUNK], live, start)
                    rows = np.flatnonzero(part)
                    total += int(part.sum(dtype=np.int64))
                    n_documents += len(rows)
                    units = view.segment.units.units(rows + start)
                    best.append((units, part[rows].astype(np.int64)))
                    best = [_most(best, k)]
        units, found = _most(best, k)
        return Tally(total, n_documents, units, found)

    def _ranges(self, view: View[SubstringSegment], pattern: bytes) -> list[Range]:
        """Per shard the suffixes that begin with a pattern."""
        return [shard.find(self._cache, pattern) for shard in view.segment.shards]

    def _rows(self, view: View[SubstringSegment], ranges: Sequence[Range]) -> Iterator[Rows]:
        for shard, found in zip(view.segment.shards, ranges, strict=False):
            yield from shard.rows(self._cache, found)

    def _count(
        self, view: View[SubstringSegment], ranges: Sequence[Range], live: Bitmap | None
    ) -> int:
        raw = sum(high - low for low, high in ranges)
        if live is None or not raw:
            return raw
        return sum(int(_has(live, rows).sum()) for rows in self._rows(view, ranges))

    def _postings(
        self, view: View[SubstringSegment], many: Sequence[Sequence[Range]], live: Bitmap | None
    ) -> list[Postings]:
        """Per pattern the rows that live (None: all), and the occurrences in each."""
        found: list[Postings | None] = []
        waiting: list[int] = []
        work = 0
        for i, ranges in enumerate(many):
            found.append(self._cache.get(_key(view, ranges)))
            if found[-1] is not None:
                continue
            raw = sum(high - low for low, high in ranges)
            if raw > WORK:
                parts = [_distinct(rows, live) for rows in self._rows(view, ranges)]
                found[-1] = _added(parts)
                continue
            waiting.append(i)
            work += raw
            if work > WORK:
                self._look_up(view, many, waiting, found)
                waiting, work = [], 0
        self._look_up(view, many, waiting, found)
        held = [one for one in found if one is not None]
        if live is None:
            return held
        alive = [_has(live, rows) for rows, _ in held]
        return [(r[lives], c[lives]) for (r, c), lives in zip(held, alive, strict=True)]

    def _look_up(
        self,
        view: View[SubstringSegment],
        many: Sequence[Sequence[Range]],
        wanted: Sequence[int],
        found: list[Postings | None],
    ) -> None:
        """Postings of some patterns together, dead rows included, which are kept for the next."""
        parts: list[Counts] = [EMPTY]
        for s, shard in enumerate(view.segment.shards):
            ranges = [(i, *many[i][s]) for i in wanted if len(many[i]) and many[i][s][1]]
            suffixes = [np.arange(low, high) for _, low, high in ranges]
            if suffixes:
                owners = np.repeat([i for i, _, _ in ranges], [len(part) for part in suffixes])
                rows = shard.rows_of(self._cache, np.concatenate(suffixes))
                parts.append(owners << ROW_BITS | rows)
        pairs, counts = np.unique(np.concatenate(parts), return_counts=True)
        edges = np.searchsorted(pairs >> ROW_BITS, [*wanted, len(many)]).tolist()
        for i, start, stop in zip(wanted, edges, edges[1:], strict=False):
            rows = pairs[start:stop] & ((1 << ROW_BITS) - 1)
            found[i] = rows, counts[start:stop].astype(np.int64)
            self._cache.keep(_key(view, many[i]), found[i], 16 * len(rows))

    # -- n-grams ------------------------------------------------------------------------------

    def ngrams(self, query: NgramQuery) -> list[Ngram]:
        """The n-grams that score, the most distinctive first."""
        return self._of(query).ngrams

    def _of(self, query: NgramQuery) -> _Known:
        key = self._own, query
        found: _Known | None = self._cache.get(key)
        if found is None:
            found = self._distinctive(query)
            n_ranges = sum(len(ranges) for of_view in found.ranges for ranges in of_view)
            n_bytes = BYTES_PER_RANGE * n_ranges + BYTES_PER_NGRAM * len(found.ngrams)
            self._cache.keep(key, found, n_bytes + 3 * len(query.text))
        return found

    def _distinctive(self, query: NgramQuery) -> _Known:
        n = len(query.words)
        times: dict[bytes, int] = {}
        words: dict[bytes, frozenset[str]] = {}
        for at in range(n):
            for stop in range(at + self._shortest, min(at + self._longest, n) + 1):
                text = query.text[query.starts[at] : query.ends[stop - 1]]
                times[text] = times.get(text, 0) + 1
                words[text] = words.get(text, frozenset()).union(query.words[at:stop])
        counts = dict.fromkeys(times, 0)
        places = [self._ngram_ranges(view, query) for view in self.views]
        for view, ranges in zip(self.views, places, strict=True):
            counted = self._counts(view, list(ranges.values()))
            for text, count in zip(ranges, counted, strict=True):
                counts[text] += count
        there = sorted((count, -len(text), text) for text, count in counts.items() if count)
        found, work = [], 0
        for count, _, text in there[:MOST]:
            work += count
            if work > WORK:
                break
            weight = weight_of(times[text], n, count, self.n_characters)
            if weight > 0:
                found.append(Ngram(text, words[text], count, weight))
        found.sort(key=lambda g: (-g.weight, -len(g.text), g.text))
        return _Known(found, [[ranges.get(g.text, ()) for g in found] for ranges in places])

    def _counts(self, view: View[SubstringSegment], many: Sequence[Sequence[Range]]) -> list[int]:
        """Occurrences in live rows, by pattern."""
        raw = [sum(high - low for low, high in ranges) for ranges in many]
        if view.live is None:
            return raw
        few = [ranges for ranges, n in zip(many, raw, strict=True) if n <= WORK]
        counted = iter(self._postings(view, few, view.live))
        return [
            int(next(counted)[1].sum()) if n <= WORK else self._count(view, ranges, view.live)
            for ranges, n in zip(many, raw, strict=True)
        ]

    def _ngram_ranges(
        self, view: View[SubstringSegment], query: NgramQuery
    ) -> dict[bytes, list[Range]]:
        """Per n-gram that occurs, the suffixes in every shard.

        N-grams that end with the same word share their last bytes: each end goes back through the
        text, many ends in step, and notes its range at every word.
        """
        n_shards = len(view.segment.shards)
        found: dict[bytes, list[Range]] = {}
        word_at = np.full(len(query.text) + 1, -1, np.int64)
        word_at[list(query.starts[::-1])] = np.arange(len(query.starts))[
            ::-1
        ]  # of several the first
        symbols = np.frombuffer(query.text, np.uint8)
        ends = np.array(query.ends, np.int64)
        for s, shard in enumerate(view.segment.shards):
            for start in range(0, len(ends), ENDS_AT_ONCE):
                word = np.arange(start, min(start + ENDS_AT_ONCE, len(ends)))
                least = np.array(query.starts, np.int64)[np.maximum(word - self._longest + 1, 0)]
                at = ends[word] - 1
                firsts = [shard.first(int(symbol)) for symbol in symbols[at]]
                low, high = np.array(firsts, np.int64).reshape(-1, 2).T.copy()
                while True:
                    begun = word_at[at]
                    noted = (begun >= 0) & (word - begun + 1 >= self._shortest) & (low < high)
                    for i in np.flatnonzero(noted).tolist():
                        text = query.text[int(at[i]) : int(ends[word[i]])]
                        of_text = found.setdefault(text, [(0, 0)] * n_shards)
                        of_text[s] = int(low[i]), int(high[i])
                    on = (at > least) & (low < high)
                    if not on.any():
                        break
                    word, least, at, low, high = word[on], least[on], at[on] - 1, low[on], high[on]
                    low, high = shard.extend(self._cache, low, high, symbols[at])
        return found

    # -- searching ----------------------------------------------------------------------------

    def effort(self, recall: float | None, k: int) -> Effort:
        """Candidates are exact: k of them."""
        return Effort(k)

    def candidates(
        self, queries: Sequence[Any], effort: Effort, selection: Selection | None
    ) -> list[Ranked]:
        """Per query the n best units with a score above 0; the scores are exact already."""
        return [self._search(query, effort.n, selection) for query in queries]

    def exact(self, queries: Sequence[Any], k: int, selection: Selection | None) -> list[Ranked]:
        return self.candidates(queries, Effort(k), selection)

    def _search(self, query: NgramQuery, n: int, selection: Selection | None) -> Ranked:
        known, best = self._of(query), Ranked(EMPTY, np.empty(0, np.float32))
        for i, view in enumerate(self.views if known.ngrams else ()):
            held = self._held(i, known, view.bitmap(selection))
            for part, added in _scored(np.unique(np.concatenate(held)), held, known.ngrams):
                scores = _sum(added)
                order = np.lexsort((part, -scores))[:n]
                found = Ranked(view.segment.units.units(part[order]), scores[order])
                best = merge_ranked([best, found], n)
        return best

    def score(self, query: Any, units: Units) -> Floats:
        """Scores of single units: 0 without a common n-gram, NaN where there is no live row."""
        scores = np.full(len(units), np.nan, np.float32)
        for at, added in self._parts(query, units):
            scores[at] = _sum(added)
        return scores

    def contributions(self, query: NgramQuery, units: Units) -> npt.NDArray[np.float64]:
        """(units, n-grams) array: what each of `ngrams(query)` adds to the scores."""
        parts = np.full((len(units), len(self.ngrams(query))), np.nan)
        for at, added in self._parts(query, units):
            parts[at] = added
        return parts

    def _parts(
        self, query: NgramQuery, units: Units
    ) -> Iterator[tuple[Rows, npt.NDArray[np.float64]]]:
        """(positions in `units`, what each n-gram adds there) of the units that live."""
        known = self._of(query)
        for i, view in enumerate(self.views):
            at, rows = view.locate(units)
            order = np.argsort(rows)
            held, done = self._held(i, known, None), 0
            for part, added in _scored(rows[order], held, known.ngrams):
                yield at[order[done : done + len(part)]], added
                done += len(part)

    def _held(self, i: int, known: _Known, live: Bitmap | None) -> list[Rows]:
        """The rows of the i-th segment that hold each n-gram."""
        return [rows for rows, _ in self._postings(self.views[i], known.ranges[i], live)]


def _scored(
    rows: Rows, held: Sequence[Rows], ngrams: Sequence[Ngram]
) -> Iterator[tuple[Rows, npt.NDArray[np.float64]]]:
    """(rows, what each n-gram adds (rows, n-grams)) of rising rows, a stretch at a time."""
    numbers: dict[str, int] = {}
    columns = [
        np.array([numbers.setdefault(word, len(numbers)) for word in g.words]) for g in ngrams
    ]
    step = max(1, CELLS // (len(ngrams) + len(numbers) + 1))
    for start in range(0, len(rows), step):
        part = rows[start : start + step]
        added = np.zeros((len(part), len(ngrams)))
        covered = np.zeros((len(part), len(numbers)), bool)
        for g, (ngram, members, words) in enumerate(zip(ngrams, held, columns, strict=True)):
            there = _among(part, members)
            cells = np.ix_(there, words)
            added[there, g] = ngram.weight * (1 - OVERLAP * covered[cells].mean(axis=1))
            covered[cells] = True
        yield part, added


def _among(rows: Rows, members: Rows) -> Rows:
    """Positions in `rows` of those that are members; both rise."""
    if not len(members):
        return EMPTY
    at = np.minimum(np.searchsorted(members, rows), len(members) - 1)
    return np.flatnonzero(members[at] == rows)


def _sum(added: npt.NDArray[np.float64]) -> Floats:
    return np.asarray(added.sum(axis=1), np.float32)


def _key(view: View[SubstringSegment], ranges: Sequence[Range]) -> tuple[object, ...]:
    return view.segment.file.name, "postings", tuple(ranges)


def _distinct(rows: Rows, live: Bitmap | None) -> Postings:
    return np.unique(rows if live is None else rows[_has(live, rows)], return_counts=True)


def _has(live: Bitmap, rows: Rows) -> npt.NDArray[np.bool_]:
    return np.asarray((live[rows >> 3] >> (rows & 7).astype(np.uint8)) & 1, bool)


def _kept(counts: npt.NDArray[np.uint32], live: Bitmap | None, start: int) -> Any:
    """Counts of rows from `start`, a multiple of 8, on; 0 where they do not live."""
    if live is None:
        return counts
    bits = np.unpackbits(live[start // 8 :][: -(-len(counts) // 8)], bitorder="little")
    return counts * bits[: len(counts)]


def _added(parts: Sequence[Postings]) -> Postings:
    """Postings of stretches as one."""
    if not parts:
        return EMPTY, EMPTY
    if len(parts) == 1:
        return parts[0]
    rows, inverse = np.unique(np.concatenate([rows for rows, _ in parts]), return_inverse=True)
    counts = np.zeros(len(rows), np.int64)
    np.add.at(counts, inverse, np.concatenate([counts for _, counts in parts]))
    return rows, counts


def _most(parts: Sequence[tuple[Units, Counts]], k: int) -> tuple[Units, Counts]:
    units = np.concatenate([EMPTY, *(units for units, _ in parts)])
    counts = np.concatenate([EMPTY, *(counts for _, counts in parts)])
    order = np.lexsort((units, -counts))[:k]
    return units[order], counts[order]


def _live_sum(view: View[SubstringSegment]) -> int:
    """Characters of the live rows."""
    file, n, total = view.segment.file, view.segment.units.n_rows, 0
    for _ in file.check("lengths"):
        pass
    for start in range(0, n, CHUNK):
        part = file.read_rows("lengths", start, min(start + CHUNK, n))
        total += int(_kept(part, view.live, start).sum(dtype=np.int64))
    return total
