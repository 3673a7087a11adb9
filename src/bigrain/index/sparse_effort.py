"""How far a search of a sparse field must look for an asked recall, measured on its own vectors.

Stored vectors and sums of two of them (questions are not distributed like documents), cut down to
their largest weights, serve as queries. Their true neighbours are known
from an exact search; for some shares of what a query can score it is seen at which place postings
that add at least this share rank each neighbour. `effort` picks the cheapest (share, n) such that
the mean share of neighbours found among the best n is the recall asked for, with each kind of
query.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from bigrain.index.effort import DEPTHS, FAR, NEAR, NEVER, Effort, least_for
from bigrain.index.sparse_queries import Queries

if TYPE_CHECKING:
    from bigrain.index.sparse import SparseIndex

__all__ = ["SparseCalibration"]

QUERIES = 240
KINDS = ((40, 1), (20, 1), (40, 2))  # largest weights left of the sum of vectors, by turns
SHARES = (0.001, 0.002, 0.004, 0.006, 0.008, 0.01, 0.0125, 0.016, 0.02)
DEEPEST = 1000  # places looked at
DEEPER = 1.4  # questions are no vectors cut down
POSTING_NS, VERIFY_NS = 1.4, 1500.0  # of one posting, of one vector: only their ratio matters


@dataclass(frozen=True)
class SparseCalibration:
    """Ranks (shares, m, 19) of neighbours number DEPTHS, 0: there is none; what shares cost."""

    ranks: npt.NDArray[np.int64]
    kinds: npt.NDArray[np.int64]  # (m,) place in KINDS
    postings: npt.NDArray[np.float64]  # (shares,) mean number that a query looks at

    LEAST_ROWS: ClassVar[int] = 1000

    @classmethod
    def measured(cls, index: SparseIndex, seed: int = 0) -> SparseCalibration:
        """Ask a sample of the index's own vectors."""
        queries, owners, kinds = _sample(index, np.random.default_rng(seed))
        n = int(DEPTHS[-1]) + 1
        truths = index.exact(queries, n, None)
        ranks = np.zeros((len(SHARES), len(queries), len(DEPTHS)), np.int64)
        postings = np.zeros(len(SHARES))
        true = [
            truth.units[truth.units != owner] for truth, owner in zip(truths, owners, strict=True)
        ]
        asked = Queries.of(queries)
        for s, share in enumerate(SHARES):
            found, looked = index.promising.search(asked, DEEPEST, share, None)
            postings[s] = looked / max(len(queries), 1)
            for q, (ranked, owner) in enumerate(zip(found, owners, strict=True)):
                units = ranked.units[ranked.units != owner]
                depths = DEPTHS[len(true[q]) >= DEPTHS]
                ranks[s, q, : len(depths)] = _places(true[q][depths - 1], units)
        return cls(ranks, kinds, postings)

    def effort(self, recall: float, k: int) -> Effort:
        """The cheapest effort that finds `recall` of the true top k, on average over queries."""
        which, factor = (NEAR, 1.0) if k <= 10 else (FAR, max(1.0, k / 100))
        best, cheapest = Effort(k), np.inf
        for share, ranks, postings in zip(SHARES, self.ranks, self.postings, strict=True):
            kinds = [self._kind(ranks[self.kinds == i][:, which]) for i in range(len(KINDS))]
            depth = least_for([kind for kind in kinds if len(kind[0])], 0.0, recall, NEVER)
            if depth is None:
                continue
            n = max(int(np.ceil(depth * factor)), k)
            if (cost := postings * POSTING_NS + n * VERIFY_NS) < cheapest:
                best, cheapest = Effort(n, share), cost
        return best

    @staticmethod
    def _kind(ranks: npt.NDArray[np.int64]) -> tuple[Any, Any]:
        """(gaps, ranks) as `least_for` takes them, ranks taken for larger than they were."""
        deeper = np.where(ranks < NEVER, np.ceil(DEEPER * ranks), NEVER).astype(np.int64)
        return np.where(ranks > 0, 0, np.inf).astype(np.float32), deeper


def _places(wanted: npt.NDArray[np.int64], units: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Where each is among the units, from 1; NEVER where it is not."""
    if not len(units):
        return np.full(len(wanted), NEVER)
    order = np.argsort(units)
    at = order[np.minimum(np.searchsorted(units[order], wanted), len(units) - 1)]
    return np.where(units[at] == wanted, at + 1, NEVER)


def _sample(index: SparseIndex, rng: np.random.Generator) -> tuple[list[Any], list[int], Any]:
    """(queries, the unit that each was made of, its place in KINDS)."""
    chosen = np.sort(rng.choice(index.n_rows, min(QUERIES, index.n_rows), replace=False))
    vectors: list[tuple[Any, Any]] = []
    owners: list[int] = []
    first = 0
    for view in index.views:
        live = view.live_rows()
        rows = live[chosen[(chosen >= first) & (chosen < first + len(live))] - first]
        first += len(live)
        columns, weights, offsets = view.segment.weights(rows)
        for row, a, b in zip(rows, offsets[:-1].tolist(), offsets[1:].tolist(), strict=True):
            if a < b:
                vectors.append((columns[a:b], weights[a:b]))
                owners.append(int(view.segment.units.units(np.array([row]))[0]))
    kinds = np.arange(len(vectors)) % len(KINDS)
    queries = []
    for vector, kind in zip(vectors, kinds.tolist(), strict=True):
        cut, n = KINDS[kind]
        others = [vectors[i] for i in rng.integers(0, len(vectors), n - 1)]
        columns, place = np.unique(
            np.concatenate([c for c, _ in (vector, *others)]), return_inverse=True
        )
        weights = np.bincount(place, np.concatenate([w for _, w in (vector, *others)]))
        kept = np.sort(np.argsort(-weights, kind="stable")[:cut])
        queries.append((columns[kept], weights[kept].astype(np.float32)))
    return queries, owners, kinds
