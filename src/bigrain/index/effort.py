"""How far a search of dense codes must look for an asked recall, measured on the field's vectors.

A code's error bound alone is no guarantee (papers/A-5: RaBitQ's covers about 94 % of vectors), and
where lists miss a neighbour no number of candidates brings it back. So when a segment is written,
some of its vectors, and means of two or three of them (real queries are not distributed like
documents), serve as queries: their true neighbours are known, and for each neighbour it is kept

    gap    how far its list lies below the best list, in units of (best - mean) of all lists
    rank   1 and how many codes are estimated better

`Calibration.effort` picks the cheapest (margin, n) such that the share of neighbours with
gap <= margin and rank <= n is the recall asked for, with each kind of sample query. Questions of
another kind than the documents are harder than any mean of documents, so gaps and ranks are taken
for somewhat larger. Those of queries that were really asked (`live`) are taken as they are: few of
them are one more kind that must reach the recall, DECISIVE of them take the place of all guesses.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace

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
    "LiveQueries",
    "depth_for",
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
# Measured with questions of three sets put to sentences of a fourth (benchmarks/dense/recall.py).
FARTHER, DEEPER = 1.4, 1.4
NEVER = 1 << 40
GRID = np.linspace(0, 2, 81, dtype=np.float32)  # margins
SCAN_NS, VERIFY_NS = 1.0, 800.0  # of one code, of one row: only their ratio matters


@dataclass(frozen=True)
class Effort:
    """How many candidates to verify, and which lists to look into.

    Lists are looked into that lie at most `margin` times (best - mean) below the best one. `apart`
    is n less the places that small segments where nothing was measured have for themselves: their
    codes may be coarser than those of the others, which would crowd their neighbours out.
    """

    n: int
    margin: float = np.inf
    apart: int = 0  # 0: there are none

    def deeper(self, n: int) -> Effort:
        return replace(self, n=n, apart=min(self.apart, self.apart * n // self.n))


@dataclass(frozen=True)
class LiveQueries:
    """Gaps and ranks of the true neighbours of queries that were asked."""

    gaps: Floats  # (m, 19), inf where there are fewer neighbours
    ranks: npt.NDArray[np.int64]  # (m, 19), from 1, NEVER where no depth was enough


@dataclass(frozen=True)
class Calibration:
    """Gaps and ranks of true neighbours, and what margins cost."""

    gaps: Floats  # (m, 19): neighbours number DEPTHS of m queries, inf where there are fewer
    ranks: npt.NDArray[np.int32]  # (m, 19), from 1
    probed: Floats  # (81,) mean share of rows in the lists within each margin of GRID
    mixed: Sequence[int] = MIXED  # kinds of sample queries
    farther: float = FARTHER
    deeper: float = DEEPER

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
            known = int(np.isfinite(live.gaps[:, which]).any(axis=1).sum())
            kinds = kinds if known < DECISIVE else []
            kinds.append((live.gaps[:, which], live.ranks[:, which]))
        kinds = [kind for kind in kinds if np.isfinite(kind[0]).any()]
        if not kinds:
            return Effort(n_rows)
        best, cheapest = Effort(n_rows), np.inf
        margins, shares = [*GRID.tolist(), np.inf], [*self.probed.tolist(), 1.0]
        for margin, share in zip(margins, shares, strict=True):
            depth = depth_for(kinds, margin, recall)
            if depth is None:
                continue
            cost = share * n_rows * SCAN_NS + depth * factor * VERIFY_NS
            if cost < cheapest:
                n = int(np.ceil(depth * factor))
                best, cheapest = Effort(min(max(n, k), n_rows), margin), cost
            if share >= 1 and live is None:
                break
        return best

    def _kinds(self, which: slice) -> list[tuple[Floats, npt.NDArray[np.int64]]]:
        """(gaps, ranks) of each kind of sample query, taken for larger than they were."""
        gaps = np.asarray(self.farther * self.gaps[:, which], np.float32)
        ranks = np.ceil(self.deeper * np.minimum(self.ranks[:, which], 1 << 30)).astype(np.int64)
        mixed = np.repeat(self.mixed, len(ranks) // len(self.mixed))
        return [(gaps[mixed == kind], ranks[mixed == kind]) for kind in np.unique(mixed)]


def depth_for(
    kinds: Sequence[tuple[Floats, npt.NDArray[np.int64]]], margin: float, recall: float
) -> int | None:
    """The least n for which ranks up to n, within the margin, hold the recall for every kind.

    The share found must exceed the recall by its standard error.
    """
    told = []
    for gaps, ranks in kinds:
        known = np.isfinite(gaps)
        asked = known.any(axis=1)
        weight = known / np.maximum(known.sum(axis=1, keepdims=True), 1)
        told.append((np.where(gaps <= margin, ranks, NEVER)[asked], weight[asked]))

    def enough(n: int) -> bool:
        for ranks, weight in told:
            shares = ((ranks <= n) * weight).sum(axis=1)
            if shares.mean() - shares.std() / np.sqrt(len(shares)) < recall:
                return False
        return True

    depths = np.unique(np.concatenate([ranks.ravel() for ranks, _ in told]))
    depths = depths[depths < NEVER]
    at = bisect_left(depths, True, key=lambda n: enough(int(n)))
    return int(depths[at]) if at < len(depths) else None


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
