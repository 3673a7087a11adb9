"""Step 3, verify: exact scores from the heavy grain for everything that any field proposed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from bigrain.index.coded_index import CodedIndex
from bigrain.index.lexical import LexicalIndex
from bigrain.index.sparse import SparseIndex
from bigrain.search.candidates import Proposals
from bigrain.search.plan import FieldPlan, Plan
from bigrain.search.view import SnapshotView

__all__ = ["Verified", "verify"]

Numbers = npt.NDArray[np.int64]
PASSAGES_READ = 2  # of a long document, the passages that look best in the light grain


@dataclass(frozen=True)
class Verified:
    """Exact scores of every query's candidates; NaN: not in the field.

    Documents ascend; short rows end in -1, with NaN beside.
    """

    documents: npt.NDArray[np.int64]  # (Q, n)
    scores: npt.NDArray[np.float32]  # (Q, n, fields)
    units: npt.NDArray[np.int64]  # (Q, n, fields) the best passage in each field
    estimates: npt.NDArray[np.float32]  # (Q, n, fields) NaN where the light grain had none


def verify(view: SnapshotView, plan: Plan, proposals: Sequence[Proposals]) -> Verified:
    """Score the union of each query's proposals in every field, so that no field misses one.

    `proposals`: by field.
    """
    documents, estimates = _union(proposals)
    if len(plan.fields) == 1 and isinstance(plan.fields[0].field.index, LexicalIndex):
        # Its candidates are exact, and its units are documents.
        return Verified(documents, estimates, documents[:, :, None], estimates)
    scores, units = zip(*(_score(view, plan, f, documents) for f in plan.fields), strict=True)
    return Verified(documents, _columns(scores), _columns(units), estimates)


def _union(proposals: Sequence[Proposals]) -> tuple[Numbers, npt.NDArray[np.float32]]:
    """All documents of each query, and their estimates, as `Verified` holds them."""
    documents, estimates = proposals[0].documents, proposals[0].estimates
    if len(proposals) > 1:
        documents = np.concatenate([p.documents for p in proposals], axis=1)
        estimates = np.concatenate([p.estimates for p in proposals], axis=1)
    row = np.arange(len(documents))[:, None]
    order = documents.view(np.uint64).argsort(axis=1)  # -1 comes last
    documents, estimates = documents[row, order], estimates[row, order]
    if len(proposals) == 1:
        return documents, estimates[:, :, None]
    new = np.diff(documents, axis=1, prepend=-1) != 0
    query, at = np.nonzero(documents >= 0)
    place = (np.cumsum(new, axis=1) - 1)[query, at]
    field = np.repeat(np.arange(len(proposals)), [p.documents.shape[1] for p in proposals])
    found = np.full((len(documents), int(place.max(initial=-1)) + 1), -1, np.int64)
    found[query, place] = documents[query, at]
    known = np.full((*found.shape, len(proposals)), np.nan, np.float32)
    known[query, place, field[order[query, at]]] = estimates[query, at]
    return found, known


def _columns(arrays: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    return arrays[0][:, :, None] if len(arrays) == 1 else np.stack(arrays, axis=2)


def _score(
    view: SnapshotView, plan: Plan, field: FieldPlan, documents: Numbers
) -> tuple[npt.NDArray[np.float32], Numbers]:
    """(Q, n) each document's exact score in one field, and its best passage."""
    query, at = np.nonzero(documents >= 0)
    units = documents[query, at]
    if field.field.family.per_passage and len(view.long_starts):
        found, units = _best_passages(view, plan, field, units, query)
    else:
        found = _exact(field, units, query)
    if len(units) == documents.size:
        return found.reshape(documents.shape), units.reshape(documents.shape)
    scores, best = np.full(documents.shape, np.nan, np.float32), documents.copy()
    scores[query, at], best[query, at] = found, units
    return scores, best


def _best_passages(
    view: SnapshotView, plan: Plan, field: FieldPlan, documents: Numbers, query: Numbers
) -> tuple[npt.NDArray[np.float32], Numbers]:
    """The score of the best passage of each document (m,) for its query, and that passage."""
    units, owner = view.passages_of(documents)
    index = field.field.index
    if not plan.exact and isinstance(index, CodedIndex):
        parts = _stretches(query[owner], plan.n_queries)
        estimates = [index.estimate(q, units[s]) for q, s in zip(field.queries, parts, strict=True)]
        chosen = _most_promising(np.concatenate(estimates), owner)
        units, owner = units[chosen], owner[chosen]
    found = _exact(field, units, query[owner])
    order = np.lexsort((units, -np.nan_to_num(found, nan=-np.inf), owner))
    first = order[_begins(owner[order])]
    return found[first], units[first]


def _exact(field: FieldPlan, units: Numbers, query: Numbers) -> npt.NDArray[np.float32]:
    """Scores of units (m,), each for its query (m,), ascending."""
    index, queries = field.field.index, field.queries
    if isinstance(index, CodedIndex):
        return index.score_pairs(queries, units, query.astype(np.int32))
    if isinstance(index, SparseIndex):
        return index.score_pairs(queries, units, query)
    parts = _stretches(query, len(queries))
    return np.concatenate([index.score(q, units[s]) for q, s in zip(queries, parts, strict=True)])


def _stretches(query: Numbers, n_queries: int) -> list[slice]:
    """Where each query's part of ascending numbers of queries lies."""
    ends = np.searchsorted(query, np.arange(n_queries + 1)).tolist()
    return [slice(a, b) for a, b in pairwise(ends)]


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
