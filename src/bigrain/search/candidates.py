"""Step 2, candidates: every field's light grain proposes documents."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bigrain.index.base import Ranked
from bigrain.search.plan import BYTES_PER_CANDIDATE, FieldPlan, Plan
from bigrain.search.view import SnapshotView

__all__ = ["Proposal", "propose"]

MAX_ROUNDS = 6


@dataclass(frozen=True)
class Proposal:
    """A field's candidates for a query, best first: documents, best passages, estimates."""

    documents: npt.NDArray[np.int64]
    units: npt.NDArray[np.int64]
    estimates: npt.NDArray[np.float32]


def propose(view: SnapshotView, plan: Plan) -> list[list[Proposal]]:
    """Proposals by query, then by field of the plan."""
    by_field = []
    for field in plan.fields:
        index = field.field.index

        def ask(n: int, field: FieldPlan = field) -> list[Proposal]:
            if plan.exact:
                found = field.field.index.exact(field.queries, n, plan.selection)
            else:
                effort = field.effort.deeper(n)
                found = field.field.index.candidates(field.queries, effort, plan.selection)
            return [_grouped(view, ranked) for ranked in found]

        n = plan.k if plan.exact else field.effort.n
        found = ask(n)
        if field.field.family.per_passage and len(view.long_starts):
            # Passages of one document count once: ask for more until enough documents are there.
            want, limit = n, index.n_rows
            for _ in range(MAX_ROUNDS):
                if n >= limit or min(len(p.documents) for p in found) >= want:
                    break
                if 4 * n * plan.n_queries * BYTES_PER_CANDIDATE > view.search_bytes:
                    break
                n = min(limit, 4 * n)
                found = ask(n)
        by_field.append(found)
    return [list(proposals) for proposals in zip(*by_field, strict=True)]


def _grouped(view: SnapshotView, ranked: Ranked) -> Proposal:
    documents = view.documents_of(ranked.units)
    if not len(view.long_starts):
        return Proposal(documents, ranked.units, ranked.scores)
    _, first = np.unique(documents, return_index=True)
    first.sort()
    return Proposal(documents[first], ranked.units[first], ranked.scores[first])
