"""Step 3, verify: exact scores from the heavy grain for everything that any field proposed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bigrain.index.base import FieldIndex
from bigrain.index.dense import DenseIndex
from bigrain.index.sparse import SparseIndex
from bigrain.search.candidates import Proposal
from bigrain.search.plan import FieldPlan, Plan
from bigrain.search.view import SnapshotView

__all__ = ["Verified", "verify"]

Numbers = npt.NDArray[np.int64]
PASSAGES_READ = 2  # of a long document, the passages that look best in the light grain


@dataclass(frozen=True)
class Verified:
    """Exact scores of one query's candidates; (documents, fields) arrays, NaN: not in the field."""

    documents: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float32]
    units: npt.NDArray[np.int64]  # the best passage in each field
    estimates: npt.NDArray[np.float32]  # the light grain's score, NaN where it did not propose


def verify(
    view: SnapshotView, plan: Plan, proposals: Sequence[Sequence[Proposal]]
) -> list[Verified]:
    """Score the union of each query's proposals in every field, so that no field misses one.

    `proposals`: by query, then by field.
    """
    proposed = [_union(of_query) for of_query in proposals]
    documents = [found for found, _ in proposed]
    by_field = [_score(view, plan, field, documents) for field in plan.fields]
    verified = []
    for query, (found, estimates) in enumerate(proposed):
        scores, units = zip(*(of_field[query] for of_field in by_field), strict=True)
        verified.append(Verified(found, _columns(scores), _columns(units), estimates))
    return verified


def _union(proposals: Sequence[Proposal]) -> tuple[Numbers, npt.NDArray[np.float32]]:
    """All documents, ascending, and their estimates (documents, fields)."""
    if len(proposals) == 1:
        order = np.argsort(proposals[0].documents)
        return proposals[0].documents[order], proposals[0].estimates[order, None]
    found = np.unique(np.concatenate([p.documents for p in proposals]))
    estimates = np.full((len(found), len(proposals)), np.nan, np.float32)
    for column, proposal in enumerate(proposals):
        estimates[np.searchsorted(found, proposal.documents), column] = proposal.estimates
    return found, estimates


def _columns(arrays: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    return arrays[0][:, None] if len(arrays) == 1 else np.stack(arrays, axis=1)


def _score(
    view: SnapshotView, plan: Plan, field: FieldPlan, documents: Sequence[Numbers]
) -> list[tuple[npt.NDArray[np.float32], Numbers]]:
    """Per query each document's exact score in one field, and its best passage."""
    index, queries = field.field.index, field.queries
    if not field.field.family.per_passage or not len(view.long_starts):
        return list(zip(_exact(index, queries, documents), documents, strict=True))
    passages, owners = zip(*(view.passages_of(found) for found in documents), strict=True)
    units, of = list(passages), list(owners)
    if not plan.exact and isinstance(index, DenseIndex):
        for i, query in enumerate(queries):
            chosen = _most_promising(index.estimate(query, units[i]), of[i])
            units[i], of[i] = units[i][chosen], of[i][chosen]
    best = []
    for found, unit, owner in zip(_exact(index, queries, units), units, of, strict=True):
        order = np.lexsort((unit, -np.nan_to_num(found, nan=-np.inf), owner))
        first = order[_begins(owner[order])]
        best.append((found[first], unit[first]))
    return best


def _exact(
    index: FieldIndex, queries: Sequence[Any], units: Sequence[Numbers]
) -> list[npt.NDArray[np.float32]]:
    if isinstance(index, DenseIndex | SparseIndex):
        return index.score_many(queries, units)
    return [index.score(query, wanted) for query, wanted in zip(queries, units, strict=True)]


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
