"""A search is always the same sentence: plan -> candidates (light) -> verify (heavy) -> fuse."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bigrain.search.candidates import propose
from bigrain.search.fuse import contributions
from bigrain.search.plan import BYTES_PER_CANDIDATE, Plan
from bigrain.search.verify import Verified, verify
from bigrain.search.view import SnapshotView

__all__ = ["Answer", "answer"]


@dataclass(frozen=True)
class Answer:
    """The best k of one query, best first, with everything needed to tell why."""

    documents: npt.NDArray[np.int64]  # (k',)
    scores: npt.NDArray[np.float64]  # (k',) sums of parts
    parts: npt.NDArray[np.float64]  # (k', fields)
    heavy: npt.NDArray[np.float32]  # (k', fields) exact scores, NaN: not in the field
    light: npt.NDArray[np.float32]  # (k', fields) estimates, NaN: not proposed
    units: npt.NDArray[np.int64]  # (k', fields) best passages


def answer(view: SnapshotView, plan: Plan) -> list[Answer]:
    """Run the plan for every query in it, as many at a time as memory allows."""
    wanted = sum(min(field.effort.n, field.field.index.n_rows) for field in plan.fields)
    step = max(1, view.search_bytes // 2 // max(1, wanted * BYTES_PER_CANDIDATE))
    answers = []
    for start in range(0, plan.n_queries, step):
        part = plan if step >= plan.n_queries else plan.part(start, start + step)
        answers += [_fused(part, found) for found in verify(view, part, propose(view, part))]
    return answers


def _fused(plan: Plan, verified: Verified) -> Answer:
    if len(plan.fields) == 1:
        return _single(plan, verified)
    weights = np.array([field.weight for field in plan.fields])
    parts = contributions(verified.scores, weights, plan.fusion)
    scores = parts.sum(axis=1)
    found = np.flatnonzero(~np.isnan(verified.scores).all(axis=1))
    best = found[np.lexsort((verified.documents[found], -scores[found]))][: plan.k]
    return Answer(
        verified.documents[best],
        scores[best],
        parts[best],
        verified.scores[best],
        verified.estimates[best],
        verified.units[best],
    )


def _single(plan: Plan, verified: Verified) -> Answer:
    """With one field the score is that field's own."""
    scores = verified.scores[:, 0].astype(np.float64)
    order = np.argsort(-scores, kind="stable")  # documents ascend: ties go to the smaller
    best = order[: min(plan.k, len(order) - int(np.count_nonzero(np.isnan(scores))))]
    return Answer(
        verified.documents[best],
        scores[best],
        scores[best, None],
        verified.scores[best],
        verified.estimates[best],
        verified.units[best],
    )
