"""Step 2, candidates: every field's light grain proposes documents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bigrain.index.base import Ranked, RankedBatch
from bigrain.index.coded_index import CodedIndex
from bigrain.index.sparse import SparseIndex
from bigrain.search.plan import BYTES_PER_CANDIDATE, FieldPlan, Plan
from bigrain.search.view import SnapshotView

__all__ = ["Proposals", "propose"]

MAX_ROUNDS = 6


@dataclass(frozen=True)
class Proposals:
    """A field's candidates for each query, best first; short rows end in document -1."""

    documents: npt.NDArray[np.int64]  # (Q, n)
    estimates: npt.NDArray[np.float32]  # (Q, n)

    @property
    def fewest(self) -> int:
        """The number of documents for the query that has fewest."""
        return int((self.documents >= 0).sum(axis=1).min(initial=self.documents.shape[1]))

    def beyond(self, doubt: npt.NDArray[np.float32] | None, rank: int) -> bool:
        """Whether each query has some that lie more than its doubt below document `rank`."""
        if doubt is None or self.documents.shape[1] <= rank:
            return False
        lowest = np.where(self.documents >= 0, self.estimates, np.inf).min(axis=1)
        return bool((lowest < self.estimates[:, rank - 1] - doubt).all())


def propose(view: SnapshotView, plan: Plan) -> list[Proposals]:
    """Proposals by field of the plan."""
    return [_of_field(view, plan, field) for field in plan.fields]


def _of_field(view: SnapshotView, plan: Plan, field: FieldPlan) -> Proposals:
    if field.own is None:
        return _alike(view, plan, field)
    depths = np.array([effort.n for effort in field.own])
    parts = []
    for n in np.unique(depths):
        some = np.flatnonzero(depths == n)
        parts.append((some, _alike(view, plan, field.alike(some))))
    return _in_rows(parts, len(depths))


def _in_rows(parts: Sequence[tuple[npt.NDArray[np.int64], Proposals]], n: int) -> Proposals:
    """The proposals for some queries at a time as those for all n."""
    if len(parts) == 1:
        return parts[0][1]
    widest = max(found.documents.shape[1] for _, found in parts)
    documents = np.full((n, widest), -1, np.int64)
    estimates = np.full((n, widest), -np.inf, np.float32)
    for some, found in parts:
        documents[some, : found.documents.shape[1]] = found.documents
        estimates[some, : found.documents.shape[1]] = found.estimates
    return Proposals(documents, estimates)


def _alike(view: SnapshotView, plan: Plan, field: FieldPlan) -> Proposals:
    """Of queries that are looked for equally far."""
    index = field.field.index
    by_passage = field.field.family.per_passage and len(view.long_starts) > 0
    # How far an effort reaches is told from one document's estimate, not from one passage's.
    effort = field.effort.endless() if by_passage else field.effort

    def ask(n: int) -> Proposals:
        if plan.exact and not isinstance(index, SparseIndex):  # whose candidates are all there are
            return _grouped(view, index.exact(field.queries, n, plan.selection))
        return _grouped(view, index.candidates(field.queries, effort.deeper(n), plan.selection))

    n = effort.n
    found = ask(n)
    if by_passage:
        doubt = None
        if isinstance(index, CodedIndex):
            doubt = index.doubt(field.queries, field.effort)
        # Passages of one document count once: ask for more until enough documents are there.
        want, limit = n, index.n_rows
        for _ in range(MAX_ROUNDS):
            if n >= limit or found.fewest >= want or found.beyond(doubt, effort.rank):
                break
            if 4 * n * len(field.queries) * BYTES_PER_CANDIDATE > view.search_bytes:
                break
            n = min(limit, 4 * n)
            found = ask(n)
        # What one query has beyond that must not depend on the others asked with it.
        found = Proposals(found.documents[:, :want], found.estimates[:, :want])
        if doubt is not None:
            near = RankedBatch(found.documents, found.estimates).within(doubt, effort.rank)
            found = Proposals(near.units, near.scores)
    return found


def _grouped(view: SnapshotView, ranked: Sequence[Ranked]) -> Proposals:
    """Every document once, where its best passage is."""
    found = RankedBatch.of(ranked)
    if not len(view.long_starts):
        return Proposals(found.units, found.scores)
    documents = view.documents_of(found.units)
    order = np.argsort(documents, axis=1, kind="stable")
    ascending = np.take_along_axis(documents, order, axis=1)
    first = np.empty(documents.shape, bool)
    np.put_along_axis(first, order, np.diff(ascending, axis=1, prepend=-1) != 0, axis=1)
    kept = np.argsort(~first, axis=1, kind="stable")[:, : int(first.sum(axis=1).max(initial=0))]
    documents = np.where(first, documents, -1)
    scores = np.where(first, found.scores, np.float32(-np.inf))
    return Proposals(
        np.take_along_axis(documents, kept, axis=1), np.take_along_axis(scores, kept, axis=1)
    )
