"""Step 3, verify: exact scores from the heavy grain for everything that any field proposed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bigrain.index.dense import DenseIndex
from bigrain.search.candidates import Proposal
from bigrain.search.plan import FieldPlan, Plan
from bigrain.search.view import SnapshotView

__all__ = ["Verified", "verify"]

PASSAGES_READ = 2  # of a long document, the passages that look best in the light grain


@dataclass(frozen=True)
class Verified:
    """Exact scores of one query's candidates; (documents, fields) arrays, NaN: not in the field."""

    documents: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float32]
    units: npt.NDArray[np.int64]  # the best passage in each field
    estimates: npt.NDArray[np.float32]  # the light grain's score, NaN where it did not propose


def verify(view: SnapshotView, plan: Plan, query: int, proposals: Sequence[Proposal]) -> Verified:
    """Score the union of the proposals in every field, so that no field misses a candidate."""
    documents = np.unique(np.concatenate([p.documents for p in proposals]))
    shape = (len(documents), len(plan.fields))
    scores = np.full(shape, np.nan, np.float32)
    units = np.repeat(documents[:, None], len(plan.fields), axis=1)
    estimates = np.full(shape, np.nan, np.float32)
    for column, (field, proposal) in enumerate(zip(plan.fields, proposals, strict=True)):
        at = np.searchsorted(documents, proposal.documents)
        estimates[at, column] = proposal.estimates
        scores[:, column], units[:, column] = _score(view, plan, field, query, documents)
    return Verified(documents, scores, units, estimates)


def _score(
    view: SnapshotView, plan: Plan, field: FieldPlan, query: int, documents: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Each document's best passage in one field, and its exact score."""
    index, prepared = field.field.index, field.queries[query]
    if not field.field.family.per_passage or not len(view.long_starts):
        return index.score(prepared, documents), documents
    passages, owner = view.passages_of(documents)
    if not plan.exact and isinstance(index, DenseIndex):
        chosen = _most_promising(index.estimate(prepared, passages), owner)
        passages, owner = passages[chosen], owner[chosen]
    found = index.score(prepared, passages)
    order = np.lexsort((passages, -np.nan_to_num(found, nan=-np.inf), owner))
    best = order[_begins(owner[order])]
    return found[best], passages[best]


def _most_promising(
    estimates: npt.NDArray[np.float32], owner: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Positions of the PASSAGES_READ best estimates of every owner."""
    order = np.lexsort((-np.nan_to_num(estimates, nan=-np.inf), owner))
    starts = _begins(owner[order])
    rank = np.arange(len(order)) - np.maximum.accumulate(np.where(starts, np.arange(len(order)), 0))
    return np.asarray(order[rank < PASSAGES_READ])


def _begins(owners: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Where another owner's stretch begins, in ascending owners from 0; there may be none."""
    return np.asarray(np.diff(owners, prepend=-1) != 0)
