"""A few of the queries whose answers may have missed something, kept until somebody looks at them.

Every query is taken until half the places are full, then one in EVERY on average, in a random
place, so that a sample's chance to be there fades with its age (Aggarwal, On biased reservoir
sampling in the presence of stream evolution, VLDB 2006).
"""

from __future__ import annotations

import random
import threading
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bigrain.index.coded_index import CodedIndex
from bigrain.index.effort import DEFAULT_RECALL, Effort
from bigrain.index.sparse import SparseIndex
from bigrain.search.filter import Filter
from bigrain.search.pipeline import Answer
from bigrain.search.plan import FieldPlan, Plan
from bigrain.search.view import SnapshotView

__all__ = ["Sample", "Sampler"]

EVERY = 16
PASSED_OVER = 8  # queries after one that nothing is to be told of
BYTES, MOST = 256 << 10, 256  # for a field: of its waiting queries, and how many
BYTES_BESIDE = 600  # a sample without its vector
LEAST, LARGEST_BYTES = 48, 64 << 10  # places there are however large queries are, up to that size
LARGEST_K = 100  # what recall is calibrated for


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """A query in one field, how far was looked for it, and what was answered."""

    view: weakref.ref[SnapshotView]
    field: str
    query: Any  # (dim,) or (m, dim) float32, or of sparse fields (columns, weights)
    k: int
    asked: float
    effort: Effort
    filter: Filter | None
    # None where other fields had a say in the answer: what this one proposed is found again.
    documents: npt.NDArray[np.int64] | None
    scores: npt.NDArray[np.float64] | None


class Sampler:
    """The samples that wait, by field. Searches from many threads may come to it."""

    def __init__(self, seed: int | None = None) -> None:
        self._left = 0
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self._all = False
        self._waiting: dict[str, list[Sample]] = {}

    @contextmanager
    def every_query(self) -> Iterator[None]:
        """Take all of them for a while."""
        self._all, self._left = True, 0
        try:
            yield
        finally:
            self._all = False

    def notice(
        self,
        view: SnapshotView,
        plan: Plan,
        answers: Sequence[Answer],
        recall: float | None,
        n_candidates: int | None,
    ) -> None:
        """Take down some of these queries, or none."""
        self._left -= len(answers)
        narrowed = plan.meaning is not None and plan.meaning.selection is not None
        if self._left >= 0 or n_candidates is not None or plan.exact or narrowed:
            return
        with self._lock:
            self._left = self._take(view, plan, answers, recall)

    def _take(
        self, view: SnapshotView, plan: Plan, answers: Sequence[Answer], recall: float | None
    ) -> int:
        """Returns how many queries to pass over now."""
        fields = [field for field in plan.fields if _is_sampled(field) and _is_small(field)]
        if not fields or plan.k > LARGEST_K:
            return PASSED_OVER
        asked = DEFAULT_RECALL if recall is None else float(recall)
        gap = 0
        for field in fields:
            waiting = self._waiting.setdefault(field.name, [])
            if self._all:
                waiting += (_sample(view, plan, field, i, a, asked) for i, a in enumerate(answers))
                continue
            places = self._places(field)
            eager = len(waiting) < places // 2
            gap = max(gap, 0 if eager else self._random.randrange(2 * EVERY))
            n = min(len(answers), places) if eager else -(-len(answers) // EVERY)
            for i in self._random.sample(range(len(answers)), n):
                sample = _sample(view, plan, field, i, answers[i], asked)
                if len(waiting) < places:
                    waiting.append(sample)
                else:
                    waiting[self._random.randrange(places)] = sample
        return gap

    @staticmethod
    def _places(field: FieldPlan) -> int:
        each = _bytes_of(field.queries[0]) + BYTES_BESIDE
        return min(MOST, max(LEAST, BYTES // each))

    def take_all(self) -> list[Sample]:
        """The samples, which wait no longer."""
        with self._lock:
            waiting, self._waiting = self._waiting, {}
        return [sample for samples in waiting.values() for sample in samples]

    def put_back(self, samples: Sequence[Sample]) -> None:
        """Samples that were taken and not looked at."""
        with self._lock:
            for sample in samples:
                waiting = self._waiting.setdefault(sample.field, [])
                if len(waiting) < MOST:
                    waiting.append(sample)

    def forget(self, field: str) -> None:
        """Samples of a field that is searched in another way from now on."""
        with self._lock:
            self._waiting.pop(field, None)

    def n_waiting(self, field: str) -> int:
        return len(self._waiting.get(field, ()))

    def __len__(self) -> int:
        return sum(len(samples) for samples in self._waiting.values())


def _is_sampled(field: FieldPlan) -> bool:
    """Whether its answers may have missed something."""
    index = field.field.index
    return isinstance(index, CodedIndex) or (
        isinstance(index, SparseIndex) and field.effort.margin < np.inf
    )


def _is_small(field: FieldPlan) -> bool:
    """Whether its queries can be kept for a while."""
    return all(_bytes_of(query) <= LARGEST_BYTES for query in field.queries)


def _bytes_of(query: Any) -> int:
    parts = query if isinstance(query, tuple) else (query,)
    return sum(int(part.nbytes) for part in parts)


def _sample(
    view: SnapshotView, plan: Plan, field: FieldPlan, i: int, answer: Answer, asked: float
) -> Sample:
    alone = len(plan.fields) == 1
    query = field.queries[i]
    kept = tuple(part.copy() for part in query) if isinstance(query, tuple) else query.copy()
    return Sample(
        weakref.ref(view),
        field.name,
        kept,
        plan.k,
        asked,
        field.effort_of(i),
        plan.filter,
        answer.documents if alone else None,
        answer.scores if alone else None,
    )
