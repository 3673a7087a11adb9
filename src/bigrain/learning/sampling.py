"""Which negatives a step of training sees: locality-centric sampling (BiDR, papers/A-1 section 4).

Training queries and the candidates that the light grain returns for them make a bipartite graph.
A batch is a walk over it: from a query to one of its candidates, taken as a negative, and on to the
queries that were given the same candidate. So the documents of a batch lie near one another, and
what is a negative of one query is a hard one for its neighbours as well. A random walk goes on from
the query met last, a snowball from the one met first.

Ranks of both kinds of edges are explicit: a query leads to its candidates of `forward` ranks, and a
candidate leads back to the queries that have it among their `backward` ranks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

__all__ = ["SAMPLERS", "Batch", "ProximityGraph", "batches"]

Numbers = npt.NDArray[np.int64]
SAMPLERS = ("walk", "snowball", "random", "ann")
TRIES = 32


@dataclass(frozen=True)
class Batch:
    """Triples (query, positive, negative) by number, (B,) each; `hops` came by a backward edge."""

    queries: Numbers
    positives: Numbers
    negatives: Numbers
    hops: int

    @property
    def documents(self) -> Numbers:
        """Every document of the batch once, ascending."""
        return np.unique(np.concatenate((self.positives, self.negatives)))


@dataclass(frozen=True, eq=False)
class ProximityGraph:
    """Queries and their candidates.

    `candidates` (n, N): documents of each query by rank, -1 where there are fewer; `positives`: the
    documents that positives are drawn from; `right`: all that are right for each query, none of
    which is ever its negative; `allowed` (n_documents,): which may be negatives at all.
    """

    candidates: Numbers
    positives: Sequence[Numbers]
    right: Sequence[Numbers]
    n_documents: int
    forward: tuple[int, int] = (0, 200)
    backward: tuple[int, int] = (0, 200)
    allowed: npt.NDArray[np.bool_] | None = None

    @cached_property
    def negatives(self) -> list[Numbers]:
        """By query: its candidates of forward ranks that are not right for it."""
        return self._without_positives(*self.forward)

    @cached_property
    def leads_back(self) -> tuple[Numbers, Numbers]:
        """(starts (n_documents + 1,), queries): who has a document among its backward ranks."""
        lists = self._without_positives(*self.backward)
        sizes = [len(one) for one in lists]
        documents = np.concatenate([np.empty(0, np.int64), *lists])
        queries = np.repeat(np.arange(len(lists)), sizes)
        order = np.argsort(documents, kind="stable")
        starts = np.searchsorted(documents[order], np.arange(self.n_documents + 1))
        return starts, queries[order]

    @cached_property
    def pool(self) -> Numbers:
        """What negatives are drawn from where the candidates of a query have run out."""
        every = np.arange(self.n_documents)
        return every if self.allowed is None else every[self.allowed]

    def back(self, document: int) -> Numbers:
        """The queries that a document leads back to."""
        starts, queries = self.leads_back
        return queries[starts[document] : starts[document + 1]]

    def _without_positives(self, low: int, high: int) -> list[Numbers]:
        found = []
        for row, right in zip(self.candidates, self.right, strict=True):
            part = row[low:high]
            part = part[(part >= 0) & ~np.isin(part, right)]
            found.append(part if self.allowed is None else part[self.allowed[part]])
        return found


def batches(
    graph: ProximityGraph, size: int, sampler: str, rng: np.random.Generator
) -> Iterator[Batch]:
    """One epoch: every query with a positive once, `size` to a batch, by one of SAMPLERS.

    'random' and 'ann' take queries as they come: in-batch negatives then are of other topics, and
    whoever trains with 'ann' lets those count that are candidates of the query itself.
    """
    unvisited = _Unvisited([len(p) > 0 for p in graph.positives], rng)
    while len(unvisited):
        queue: deque[int] = deque()
        chosen: list[tuple[int, int, int]] = []
        taken: set[int] = set()
        hops = 0
        while len(chosen) < size and len(unvisited):
            if queue:
                query = queue.pop() if sampler == "walk" else queue.popleft()
                if not unvisited.has(query):
                    continue
                hops += 1
            else:
                query = unvisited.any()
            unvisited.remove(query)
            some = graph.positives[query]
            positive = int(some[rng.integers(len(some))])
            negative = _negative(graph, query, taken, rng)
            taken.update((positive, negative))
            chosen.append((query, positive, negative))
            if sampler in ("walk", "snowball"):
                back = graph.back(negative)
                queue.extend(q for q in rng.permutation(back).tolist() if unvisited.has(q))
        triples = np.array(chosen, np.int64)
        yield Batch(triples[:, 0], triples[:, 1], triples[:, 2], hops)


def _negative(graph: ProximityGraph, query: int, taken: set[int], rng: np.random.Generator) -> int:
    """A candidate of the query that is not in the batch yet; else any that is wrong."""
    near = graph.negatives[query]
    for at in rng.permutation(len(near)).tolist():
        if int(near[at]) not in taken:
            return int(near[at])
    right = graph.right[query]
    for at in rng.integers(0, len(graph.pool), TRIES).tolist():
        if not (graph.pool[at] == right).any():
            return int(graph.pool[at])
    return int(graph.positives[query][0])  # nearly all is right for it: masked by who trains


class _Unvisited:
    """The queries not used this epoch, one of which may be drawn at random."""

    def __init__(self, usable: Sequence[bool], rng: np.random.Generator) -> None:
        self._order = rng.permutation(np.flatnonzero(usable)).tolist()
        self._left = set(self._order)

    def __len__(self) -> int:
        return len(self._left)

    def has(self, query: int) -> bool:
        return query in self._left

    def any(self) -> int:
        while self._order[-1] not in self._left:
            self._order.pop()
        return int(self._order[-1])

    def remove(self, query: int) -> None:
        self._left.discard(query)
