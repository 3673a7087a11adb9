"""From numbers to what a user reads: hits with text, metadata, parts and explanation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from bigrain.errors import DamagedError
from bigrain.search.pipeline import Answer
from bigrain.search.plan import Plan
from bigrain.search.view import SnapshotView
from bigrain.storage.catalogue import CATALOGUE, StoredDocument
from bigrain.types import Hit, Part, Passage

__all__ = ["make_arrays", "make_hits"]


def make_hits(view: SnapshotView, plan: Plan, query: int, answer: Answer) -> list[Hit]:
    """Hits of one query, texts read from the catalogue."""
    numbers = answer.documents.tolist()
    stored = view.catalogue.documents(numbers)
    hits = []
    for row, number in enumerate(numbers):
        if number not in stored:
            raise DamagedError(CATALOGUE, "documents", f"document number {number}", "nothing")
        document = stored[number]
        hits.append(
            Hit(
                id=document.id,
                score=float(answer.scores[row]),
                rank=row + 1,
                text=document.text,
                title=document.title,
                metadata=document.metadata,
                parts=_parts(plan, answer, row),
                passage=_passage(plan, answer, row, document),
                explanation=_explain(plan, query, answer, row) if plan.explain else None,
            )
        )
    return hits


def make_arrays(
    view: SnapshotView, k: int, answers: Sequence[Answer]
) -> tuple[npt.NDArray[Any], npt.NDArray[np.float32]]:
    """(ids (n, k) object array, scores (n, k) float32); short rows end in None and -inf."""
    numbers = {n for a in answers for n in a.documents.tolist()}
    names = view.catalogue.ids(sorted(numbers))
    ids = np.full((len(answers), k), None, object)
    scores = np.full((len(answers), k), -np.inf, np.float32)
    for row, found in enumerate(answers):
        n = len(found.documents)
        ids[row, :n] = [names[number] for number in found.documents.tolist()]
        scores[row, :n] = found.scores
    return ids, scores


def _parts(plan: Plan, answer: Answer, row: int) -> dict[str, Part]:
    parts = {}
    total = sum(field.weight for field in plan.fields)
    for column, field in enumerate(plan.fields):
        heavy, light = float(answer.heavy[row, column]), float(answer.light[row, column])
        if np.isnan(heavy):
            continue
        weight = 1.0 if len(plan.fields) == 1 else field.weight
        if len(plan.fields) > 1 and plan.fusion.method == "minmax" and total > 0:
            weight = field.weight / total
        parts[field.name] = Part(
            float(answer.parts[row, column]),
            heavy=heavy,
            light=None if np.isnan(light) else light,
            weight=weight,
        )
    return parts


def _passage(plan: Plan, answer: Answer, row: int, document: StoredDocument) -> Passage | None:
    """The best passage by the heaviest field that looks at passages."""
    if document.passages is None:
        return None
    looking = [
        (answer.parts[row, column], column)
        for column, field in enumerate(plan.fields)
        if field.field.family.per_passage
        and field.field.family.spec.reads_text  # vectors that users bring are of whole documents
        and not np.isnan(answer.heavy[row, column])
    ]
    if not looking:
        return None
    _, column = max(looking)
    at = int(answer.units[row, column]) - document.docno
    start, end = (int(n) for n in document.passages[at])
    return Passage(start, end, document.text[start:end])


def _explain(plan: Plan, query: int, answer: Answer, row: int) -> dict[str, Any]:
    told: dict[str, Any] = {}
    for column, field in enumerate(plan.fields):
        heavy = float(answer.heavy[row, column])
        if np.isnan(heavy):
            continue
        light = float(answer.light[row, column])
        own = field.field.family.explain(
            field.field.index, field.queries[query], int(answer.units[row, column])
        )
        told[field.name] = {
            "contribution": float(answer.parts[row, column]),
            "exact_score": heavy,
            "light_estimate": None if np.isnan(light) else light,
            **own,
        }
    return told
