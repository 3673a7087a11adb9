"""From numbers to what a user reads: hits with text, metadata, parts and explanation.

What a filter let through is held against the documents themselves: their metadata has a checksum,
the index over it has none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isnan
from typing import Any

import numpy as np
import numpy.typing as npt

from bigrain.errors import DamagedError
from bigrain.families.multivector import MultiVectorFamily
from bigrain.search.fuse import shares_of
from bigrain.search.matching import matches
from bigrain.search.pipeline import Answer, Answers
from bigrain.search.plan import Plan
from bigrain.search.spans import words_and_span
from bigrain.search.view import SnapshotView
from bigrain.storage.catalogue import CATALOGUE, StoredDocument
from bigrain.types import Hit, Part, Passage

__all__ = ["make_arrays", "make_hits"]


def make_hits(view: SnapshotView, plan: Plan, query: int, answer: Answer) -> list[Hit]:
    """Hits of one query, texts read from the catalogue."""
    numbers = answer.documents.tolist()
    stored = view.catalogue.documents(numbers)
    parts = _parts(plan, query, answer)
    hits = []
    for row, (number, score) in enumerate(zip(numbers, answer.scores.tolist(), strict=True)):
        if number not in stored:
            raise DamagedError(CATALOGUE, "documents", f"document number {number}", "nothing")
        document = stored[number]
        _require_match(plan, document.id, document.metadata)
        hits.append(
            Hit(
                id=document.id,
                score=score,
                rank=row + 1,
                text=document.text,
                title=document.title,
                metadata=document.metadata,
                parts=parts[row],
                passage=_passage(plan, answer, row, document),
                explanation=_explain(plan, query, answer, row, document) if plan.explain else None,
            )
        )
    return hits


def make_arrays(
    view: SnapshotView, plan: Plan, answers: Answers
) -> tuple[npt.NDArray[Any], npt.NDArray[np.float32]]:
    """(ids (n, k) object array, scores (n, k) float32); short rows end in None and -inf."""
    found = answers.documents.tolist()
    numbers = sorted({number for row in found for number in row} - {-1})
    names: dict[int, str | None] = {-1: None, **_names(view, plan, numbers)}
    shape, columns = (len(found), plan.k), slice(0, answers.documents.shape[1])
    ids, scores = np.full(shape, None, object), np.full(shape, -np.inf, np.float32)
    ids[:, columns] = [[names[number] for number in row] for row in found]
    scores[:, columns] = np.where(answers.documents >= 0, answers.scores, -np.inf)
    return ids, scores


def _names(view: SnapshotView, plan: Plan, numbers: Sequence[int]) -> Mapping[int, str]:
    """The ids of documents, which pass the filter."""
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
    return names


def _require_match(plan: Plan, identifier: str, metadata: Mapping[str, Any]) -> None:
    if plan.filter is not None and not matches(plan.filter, metadata):
        raise DamagedError(
            CATALOGUE,
            "metadata index",
            "only documents that pass the filter",
            f"document {identifier!r}, which does not",
        )


def _parts(plan: Plan, query: int, answer: Answer) -> list[dict[str, Part]]:
    """What each field adds to every hit."""
    weights = [1.0]
    if len(plan.fields) > 1:
        weights = shares_of(plan.weights[query], plan.fusion).tolist()
    named = list(zip((field.name for field in plan.fields), weights, strict=True))
    told = (answer.parts.tolist(), answer.heavy.tolist(), answer.light.tolist())
    return [
        {
            name: Part(part, heavy=heavy, light=None if isnan(light) else light, weight=weight)
            for (name, weight), part, heavy, light in zip(named, *of_hit, strict=True)
            if not isnan(heavy)
        }
        for of_hit in zip(*told, strict=True)
    ]


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


def _explain(
    plan: Plan, query: int, answer: Answer, row: int, document: StoredDocument
) -> dict[str, Any]:
    told: dict[str, Any] = {}
    for column, field in enumerate(plan.fields):
        heavy = float(answer.heavy[row, column])
        if np.isnan(heavy):
            continue
        light = float(answer.light[row, column])
        unit = int(answer.units[row, column])
        family = field.field.family
        own = family.explain(field.field.index, field.queries[query], unit)
        if isinstance(family, MultiVectorFamily):
            said = field.said[query] if plan.n_queries == 1 else None
            own |= words_and_span(field.field, field.queries[query], said, document, unit)
        told[field.name] = {
            "contribution": float(answer.parts[row, column]),
            "exact_score": heavy,
            "light_estimate": None if np.isnan(light) else light,
            **own,
            **(plan.meaning.told.get(field.name, {}) if plan.meaning is not None else {}),
        }
    return told
