"""From numbers to what a user reads: hits with text, metadata, parts and explanation.

What a filter let through is held against the documents themselves: their metadata has a checksum,
the index over it has none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from bigrain.errors import DamagedError
from bigrain.search.matching import matches
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
        _require_match(plan, document.id, document.metadata)
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
    view: SnapshotView, plan: Plan, answers: Sequence[Answer]
) -> tuple[npt.NDArray[Any], npt.NDArray[np.float32]]:
    """(ids (n, k) object array, scores (n, k) float32); short rows end in None and -inf."""
    numbers = sorted({n for answer in answers for n in answer.documents.tolist()})
    if plan.filter is None:
        names = view.catalogue.ids(numbers)
    else:
        names = {}
        for number, (name, metadata) in view.catalogue.ids_and_metadata(numbers).items():
            _require_match(plan, name, metadata)
            names[number] = name
    if len(names) < len(numbers):
        lost = next(number for number in numbers if number not in names)
        raise DamagedError(CATALOGUE, "documents", f"document number {lost}", "nothing")
    ids = np.full((len(answers), plan.k), None, object)
    scores = np.full((len(answers), plan.k), -np.inf, np.float32)
    for row, answer in enumerate(answers):
        n = len(answer.documents)
        ids[row, :n] = [names[number] for number in answer.documents.tolist()]
        scores[row, :n] = answer.scores
    return ids, scores


def _require_match(plan: Plan, identifier: str, metadata: Mapping[str, Any]) -> None:
    if plan.filter is not None and not matches(plan.filter, metadata):
        raise DamagedError(
            CATALOGUE,
            "metadata index",
            "only documents that pass the filter",
            f"document {identifier!r}, which does not",
        )


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
            **(plan.meaning.told.get(field.name, {}) if plan.meaning is not None else {}),
        }
    return told
