"""A search is always the same sentence: plan -> candidates (light) -> verify (heavy) -> fuse."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import overload

import numpy as np
import numpy.typing as npt

from bigrain.search.candidates import propose
from bigrain.search.fuse import contributions
from bigrain.search.plan import BYTES_PER_CANDIDATE, Plan
from bigrain.search.verify import Verified, verify
from bigrain.search.view import SnapshotView

__all__ = ["Answer", "Answers", "answer", "side_by_side"]


@dataclass(frozen=True)
class Answer:
    """The best k of one query, best first, with everything needed to tell why."""

    documents: npt.NDArray[np.int64]  # (k',)
    scores: npt.NDArray[np.float64]  # (k',) sums of parts
    parts: npt.NDArray[np.float64]  # (k', fields)
    heavy: npt.NDArray[np.float32]  # (k', fields) exact scores, NaN: not in the field
    light: npt.NDArray[np.float32]  # (k', fields) estimates, NaN: not proposed
    units: npt.NDArray[np.int64]  # (k', fields) best passages


@dataclass(frozen=True, eq=False)
class Answers(Sequence[Answer]):
    """The same of several queries, side by side: short rows end in document -1."""

    documents: npt.NDArray[np.int64]  # (Q, k')
    scores: npt.NDArray[np.float64]
    parts: npt.NDArray[np.float64]
    heavy: npt.NDArray[np.float32]
    light: npt.NDArray[np.float32]
    units: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.documents)

    @overload
    def __getitem__(self, query: int) -> Answer: ...
    @overload
    def __getitem__(self, query: slice) -> Sequence[Answer]: ...
    def __getitem__(self, query: int | slice) -> Answer | Sequence[Answer]:
        if isinstance(query, slice):
            return [self[q] for q in range(*query.indices(len(self)))]
        n = int(np.count_nonzero(self.documents[query] >= 0))
        return Answer(
            self.documents[query, :n],
            self.scores[query, :n],
            self.parts[query, :n],
            self.heavy[query, :n],
            self.light[query, :n],
            self.units[query, :n],
        )


def answer(view: SnapshotView, plan: Plan) -> Answers:
    """Run the plan for every query in it, as many at a time as memory allows."""
    wanted = sum(min(field.effort.n, field.field.index.n_rows) for field in plan.fields)
    step = max(1, view.search_bytes // 2 // max(1, wanted * BYTES_PER_CANDIDATE))
    parts = [plan] if step >= plan.n_queries else plan.parts(step)
    return _joined([_fused(part, verify(view, part, propose(view, part))) for part in parts])


def _joined(parts: Sequence[Answers]) -> Answers:
    if len(parts) == 1:
        return parts[0]
    widest = max(part.documents.shape[1] for part in parts)
    columns = []
    for one in fields(Answers):
        arrays = [getattr(part, one.name) for part in parts]
        nothing = -1 if arrays[0].dtype == np.int64 else np.nan
        shape = sum(map(len, arrays)), widest, *arrays[0].shape[2:]
        columns.append(np.full(shape, nothing, arrays[0].dtype))
        start = 0
        for array in arrays:
            columns[-1][start : start + len(array), : array.shape[1]] = array
            start += len(array)
    return Answers(*columns)


def side_by_side(answers: Sequence[Answer], n_fields: int) -> Answers:
    """Answers of several queries as one, each short row ended as `Answers` says."""
    widest = max((len(one.documents) for one in answers), default=0)
    columns = []
    for one in fields(Answers):
        flat = one.name in ("documents", "scores")
        whole = one.name in ("documents", "units")
        shape = (len(answers), widest) if flat else (len(answers), widest, n_fields)
        light = one.name in ("heavy", "light")
        kind = np.int64 if whole else np.float32 if light else np.float64
        columns.append(np.full(shape, -1 if whole else np.nan, kind))
        for row, found in enumerate(answers):
            columns[-1][row, : len(found.documents)] = getattr(found, one.name)
    return Answers(*columns)


def _fused(plan: Plan, verified: Verified) -> Answers:
    """The best k; ties go to the smaller document."""
    parts = verified.scores.astype(np.float64)  # with one field the score is that field's own
    scores = parts[:, :, 0]
    if len(plan.fields) > 1:
        nowhere = np.isnan(verified.scores).all(axis=2)
        parts = contributions(verified.scores, plan.weights, plan.fusion)
        scores = np.where(nowhere, np.nan, parts.sum(axis=2))
    best = (-scores).argsort(axis=1, kind="stable")[:, : plan.k]  # documents ascend; NaN last
    query = np.arange(len(best))[:, None]
    documents, scores = verified.documents[query, best], scores[query, best]
    documents[np.isnan(scores)] = -1
    return Answers(
        documents,
        scores,
        parts[query, best],
        verified.scores[query, best],
        verified.estimates[query, best],
        verified.units[query, best],
    )
