"""How far a search of dense codes must look for an asked recall, measured on the field's vectors.

A code's error bound alone is no guarantee (papers/A-5: RaBitQ's covers about 94 % of vectors), and
where lists miss a neighbour no number of candidates brings it back. So when a segment is written,
some of its vectors, and means of two or three of them (real queries are not distributed like
documents), serve as queries: their true neighbours are known, and for each neighbour it is kept

    gap    how far its list lies below the best list, in units of (best - mean) of all lists
    rank   1 and how many codes are estimated better
    dip    how far its estimate lies below the tenth best one (the hundredth, where more than ten
           neighbours are wanted), in units of the query's length

`Calibration.effort` picks the cheapest (margin, reach, n) such that the share of neighbours with
gap <= margin, dip <= reach and rank <= n is the recall asked for, with each kind of sample query.
Ranks depend on how close a query's neighbours lie together, so they differ from one kind of query
to another; dips come from the errors of codes, and hardly do. So it is the reach that decides how
many candidates are verified, for each query, and n is only the most that there may be. Questions of
another kind than the documents are harder than any mean of documents, so all three are taken for
somewhat larger. Those of queries that were really asked (`live`) are taken as they are: few of them
are one more kind that must reach the recall, DECISIVE of them take the place of all guesses.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = [
    "DECISIVE",
    "DEFAULT_RECALL",
    "DEPTHS",
    "MIXED",
    "NEVER",
    "Calibration",
    "Effort",
    "HUNDREDTH",
    "LiveQueries",
    "dips_of",
    "least_for",
    "sample_queries",
]

Floats = npt.NDArray[np.float32]

DEFAULT_RECALL = 0.95
QUERIES = 256
MIXED = (1, 2, 2, 3)
DECISIVE = 200
FEW = 64  # rows of a small segment for every four queries
DEPTHS = np.array([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100])
NEAR, FAR = slice(0, 10), slice(9, 19)  # the first ten neighbours; every tenth of a hundred
TENTH, HUNDREDTH = 10, 100  # of the estimates that dips are measured from
# Measured with questions of three sets put to sentences of a fourth (benchmarks/dense/recall.py).
FARTHER, DEEPER, STEEPER = 1.4, 1.4, 1.1
CUT_OFF = 0.2  # of what may be missed, the share that n misses
NEVER = 1 << 40
GRID = np.linspace(0, 2, 81, dtype=np.float32)  # margins
SCAN_NS, VERIFY_NS = 1.0, 800.0  # of one code, of one row: only their ratio matters


class Own(NamedTuple):
    """How far an effort goes in one segment."""

    segment: str
    margin: float
    reach: float


@dataclass(frozen=True)
class Effort:
    """How many candidates to verify, and which lists to look into.

    Lists are looked into that lie at most `margin` times (best - mean) below the best one. Of the n
    best candidates, those are verified whose estimates lie at most `reach` times the length of the
    query below that of number `rank`; this distance is the query's `doubt`. `apart` is n less the
    places that small segments where nothing was measured have for themselves: their codes may be
    coarser than those of the others, which would crowd their neighbours out. `each` segment that
    was measured has a margin and a reach of its own, of which `margin` and `reach` are the largest.
    """

    n: int
    margin: float = np.inf
    apart: int = 0  # 0: there are none
    reach: float = np.inf
    rank: int = 1
    each: tuple[Own, ...] = ()

    def of(self, segment: str) -> Effort:
        """What it is in one segment."""
        for own in self.each:
            if own.segment == segment:
                return replace(self, margin=own.margin, reach=own.reach, each=())
        return replace(self, reach=np.inf, each=()) if self.each else self

    def endless(self) -> Effort:
        """The same with no end to how far it reaches."""
        each = tuple(own._replace(reach=np.inf) for own in self.each)
        return replace(self, reach=np.inf, each=each)

    def doubt(self, length: Floats) -> Floats | None:
        """(Q,) how far below estimate number `rank` queries of such lengths (Q,) look; None: with
        no end."""
        return None if self.reach == np.inf else np.float32(self.reach) * length

    def deeper(self, n: int) -> Effort:
        return replace(self, n=n, apart=min(self.apart, self.apart * n // self.n))


@dataclass(frozen=True)
class LiveQueries:
    """Gaps, ranks and dips of the true neighbours of queries that were asked."""

    gaps: Floats  # (m, 19), inf where there are fewer neighbours
    ranks: npt.NDArray[np.int64]  # (m, 19), from 1, NEVER where no depth was enough
    dips: Floats | None = None  # (m, 20) as in a Calibration

    def last(self, n: int) -> LiveQueries:
        """Those of the last n queries."""
        dips = None if self.dips is None else self.dips[-n:]
        return LiveQueries(self.gaps[-n:], self.ranks[-n:], dips)


class Kind(NamedTuple):
    """What was measured with one kind of query, for some of the depths."""

    gaps: Floats
    ranks: npt.NDArray[np.int64]
    dips: Floats | None  # below the estimate of the last of the depths
    fall: Floats | None  # (m, 1): from the tenth best estimate to the hundredth


@dataclass(frozen=True)
class Calibration:
    """Gaps, ranks and dips of true neighbours, and what margins cost."""

    gaps: Floats  # (m, 19): neighbours number DEPTHS of m queries, inf where there are fewer
    ranks: npt.NDArray[np.int32]  # (m, 19), from 1
    probed: Floats  # (81,) mean share of rows in the lists within each margin of GRID
    mixed: Sequence[int] = MIXED  # kinds of sample queries
    farther: float = FARTHER
    deeper: float = DEEPER
    dips: Floats | None = None  # (m, 20) below the tenth best estimate; last, the hundredth's own

    @staticmethod
    def depths() -> int:
        """How many neighbours of each query are known."""
        return len(DEPTHS)

    @classmethod
    def unknown(cls) -> Calibration:
        """Of a segment where nothing was measured: live queries alone decide."""
        none = np.empty((0, len(DEPTHS)))
        return cls(none.astype(np.float32), none.astype(np.int32), np.ones_like(GRID))

    def effort(self, recall: float, k: int, n_rows: int, live: LiveQueries | None = None) -> Effort:
        """The cheapest effort that finds `recall` of the true top k, on average over queries."""
        which, factor = (NEAR, 1.0) if k <= 10 else (FAR, max(1.0, k / 100))
        kinds = self._kinds(which)
        if live is not None:
            asked = _kind(live.gaps, live.ranks, live.dips, which)
            known = int(np.isfinite(asked.gaps).any(axis=1).sum())
            kinds = [*(kinds if known < DECISIVE else []), asked]
        kinds = [kind for kind in kinds if np.isfinite(kind.gaps).any()]
        if not kinds:
            return Effort(n_rows)
        best, cheapest = Effort(n_rows), np.inf
        margins, shares = [*GRID.tolist(), np.inf], [*self.probed.tolist(), 1.0]
        for margin, share in zip(margins, shares, strict=True):
            found = _cheapest(kinds, margin, recall, which)
            if found is None:
                continue
            n, reach, verified = found
            cost = share * n_rows * SCAN_NS + verified * factor * VERIFY_NS
            if cost < cheapest:
                n = min(max(int(np.ceil(n * factor)), k), n_rows)
                rank = max(k, _rank(which)) if reach < np.inf else 1
                best = Effort(n, margin, reach=reach, rank=rank)
                cheapest = cost
            if share >= 1 and live is None:
                break
        return best

    def verified(self, effort: Effort, k: int) -> float:
        """About how many candidates an effort verifies for a sample query."""
        if self.dips is None or effort.reach == np.inf:
            return effort.n
        which = NEAR if k <= 10 else FAR
        return min(float(effort.n), _within(self.dips[:, -1], effort.reach, which))

    def _kinds(self, which: slice) -> list[Kind]:
        """What each kind of sample query tells, taken for larger than it was."""
        gaps = np.asarray(self.farther * self.gaps, np.float32)
        ranks = np.ceil(self.deeper * np.minimum(self.ranks, 1 << 30)).astype(np.int64)
        mixed = np.repeat(self.mixed, len(ranks) // len(self.mixed))
        some = [mixed == kind for kind in np.unique(mixed)]
        dips = [None if self.dips is None else self.dips[these] for these in some]
        return [
            _kind(gaps[these], ranks[these], dip, which, STEEPER)
            for these, dip in zip(some, dips, strict=True)
        ]


def _kind(
    gaps: Floats,
    ranks: npt.NDArray[np.int64],
    dips: Floats | None,
    which: slice,
    steeper: float = 1.0,
) -> Kind:
    if dips is None:
        return Kind(gaps[:, which], ranks[:, which], None, None)
    fall = dips[:, -1:]
    below = dips[:, :-1][:, which] - (fall if which == FAR else 0)
    return Kind(gaps[:, which], ranks[:, which], np.float32(steeper) * below, fall)


def _cheapest(
    kinds: Sequence[Kind], margin: float, recall: float, which: slice
) -> tuple[int, float, float] | None:
    """(n, reach, about how many candidates are verified) that are enough within a margin."""
    reach = within = np.inf
    told = [(kind.gaps, kind.ranks) for kind in kinds]
    below = [kind.dips for kind in kinds if kind.dips is not None]
    if len(below) == len(kinds):
        most = recall + CUT_OFF * (1 - recall)
        gaps = [kind.gaps for kind in kinds]
        found = least_for(list(zip(gaps, below, strict=True)), margin, most, np.inf)
        if found is None:
            return None
        reach = max(0.0, float(found))
        falls = np.concatenate([kind.fall for kind in kinds if kind.fall is not None])
        within = _within(falls, reach, which)
        told = [(g, np.where(d <= reach, r, NEVER)) for (g, r), d in zip(told, below, strict=True)]
    n = least_for(told, margin, recall, NEVER)
    return None if n is None else (int(n), reach, min(float(n), within))


def _rank(which: slice) -> int:
    """The estimate that dips of these depths are measured from."""
    return TENTH if which == NEAR else HUNDREDTH


def _within(falls: Floats, reach: float, which: slice) -> float:
    """About how many estimates lie within reach, by how far they fall from rank 10 to 100."""
    decades = reach / np.maximum(falls, 1e-9)
    return float(_rank(which) * np.mean(10 ** np.minimum(decades, 4)))


def least_for(
    kinds: Sequence[tuple[Floats, npt.NDArray[Any]]], margin: float, recall: float, never: float
) -> Any:
    """The least number such that neighbours with numbers up to it, their gaps within the margin,
    are the recall for every kind of query; None if none below `never` is enough.

    `kinds`: (gaps, numbers) of the neighbours, each (m, depths), gaps inf where there are none.
    The share found must exceed the recall by its standard error.
    """
    told = []
    for gaps, numbers in kinds:
        known = np.isfinite(gaps)
        asked = known.any(axis=1)
        weight = known / np.maximum(known.sum(axis=1, keepdims=True), 1)
        told.append((np.where(gaps <= margin, numbers, never)[asked], weight[asked]))

    def enough(most: float) -> bool:
        for numbers, weight in told:
            shares = ((numbers <= most) * weight).sum(axis=1)
            if shares.mean() - shares.std() / np.sqrt(len(shares)) < recall:
                return False
        return True

    tried = np.unique(np.concatenate([numbers.ravel() for numbers, _ in told]))
    tried = tried[tried < never]
    at = bisect_left(tried, True, key=enough)
    return tried[at] if at < len(tried) else None


def dips_of(estimates: Floats, best: Floats, length: Floats) -> Floats:
    """(m, depths + 1): how far estimates (m, depths) lie below the tenth best one, and the
    hundredth, in units of the queries' lengths (m,).

    `best` (m, n): the best estimates of each query, best first, -inf where there are no more.
    """
    known = np.isfinite(best).sum(axis=1)
    at = np.arange(len(best)), np.minimum([[TENTH], [HUNDREDTH]], np.maximum(known, 1)) - 1
    tenth, hundredth = np.where(known > 0, best[at], 0)
    told = np.concatenate((estimates, hundredth[:, None]), axis=1)
    unit = np.where(length > 0, length, 1)[:, None]
    return np.asarray((tenth[:, None] - told) / unit, np.float32)


def sample_queries(
    sample: Floats, n_rows: int, *, metric: str, seed: int = 0
) -> tuple[Floats, npt.NDArray[np.int64]]:
    """(queries (m, d), of how many stored vectors each is the mean), by turns 1, 2, 2, 3.

    Means lie nearer to the origin than what they are means of. Estimates of distances err with the
    length of the query, so under l2 a mean is moved out again, to the distance from the centre of
    all that its first vector has; under cosine it has unit length.

    These vectors are its first neighbours, which says nothing about the others. Of vectors that are
    the same one is taken: a giant group of them is found by any search, and would hide the others.
    """
    sample = np.unique(sample, axis=0)
    rng = np.random.default_rng(seed)
    # Unit vectors, and what is scored by products, know no centre but the origin.
    centre = sample.mean(axis=0) if metric == "l2" and len(sample) else np.float32(0)
    each = min(QUERIES // len(MIXED), len(sample), -(-n_rows // FEW))
    parts = []
    for n_mixed in MIXED:
        some = sample[rng.choice(len(sample), each, replace=False)] - centre
        length = np.linalg.norm(some, axis=1, keepdims=True)
        for _ in range(n_mixed - 1):
            some += sample[rng.integers(0, len(sample), each)] - centre
        some /= n_mixed
        if metric != "ip" and n_mixed > 1:
            mean_length = np.linalg.norm(some, axis=1, keepdims=True)
            some *= length / np.where(mean_length > 0, mean_length, 1)
        parts.append(some + centre)
    return np.concatenate(parts).astype(np.float32), np.repeat(MIXED, each)
