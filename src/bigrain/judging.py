"""A collection as systems that `evaluation` scores: its fields, alone and fused."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bigrain import evaluation
from bigrain.errors import InvalidInputError, shown
from bigrain.families.base import shape_of
from bigrain.progress import ProgressLike
from bigrain.search.asked import fields_of

if TYPE_CHECKING:
    from bigrain.collection import Collection

__all__ = ["evaluate", "own_fields"]

NOTICED = 10_000  # judged ids looked up in the collection


def evaluate(
    col: Collection,
    queries: Mapping[str, Any] | str | os.PathLike[str],
    judgments: Mapping[str, Mapping[str, int]] | str | os.PathLike[str],
    *,
    k: int,
    measures: Sequence[str] | None,
    systems: Mapping[str, Mapping[str, Any]] | None,
    ignore_identical_ids: bool,
    keep_runs: bool,
    progress: ProgressLike,
) -> evaluation.Evaluation:
    """What `Collection.evaluate` promises."""
    asked: dict[str, Any] = (
        dict(queries) if isinstance(queries, Mapping) else evaluation.load_queries(Path(queries))
    )
    given = systems if systems is not None else own_fields(col, next(iter(asked.values()), ""))
    judged = (
        {query: dict(grades) for query, grades in judgments.items()}
        if isinstance(judgments, Mapping)
        else evaluation.load_judgments(Path(judgments))
    )
    grades_of = {document for grades in judged.values() for document in grades}
    sample = sorted(grades_of)[:NOTICED]
    unknown = sum(found is None for found in col.get(sample))
    if sample and unknown == len(sample):
        raise InvalidInputError(
            f"no judged document is in this collection (such as {sample[0]!r}); are these "
            "judgments for another one?"
        )
    notes = (f"{unknown:,} of {len(sample):,} judged ids looked up are not in the collection",)
    return evaluation.evaluate_systems(
        {name: _system(col, options) for name, options in given.items()},
        asked,
        judged,
        k=k,
        measures=list(measures or evaluation.DEFAULT_MEASURES),
        baseline=next(iter(given)) if len(given) > 1 else None,
        ignore_identical_ids=ignore_identical_ids,
        name=col.path.name,
        notes=notes if unknown else (),
        progress=progress,
        keep_runs=keep_runs,
    )


def own_fields(col: Collection, query: Any) -> dict[str, dict[str, Any]]:
    """Each field that such a query names, or else that it can be asked; and all of them fused."""
    able = list(fields_of(query))
    if not able and isinstance(query, str):
        able = [name for name, field in col.fields.items() if field.reads_text]
    elif not able:
        able = [name for name, family in col._opened.families.items() if family.accepts(query)]
    if not able and isinstance(query, str):
        raise InvalidInputError(
            "no field of this collection reads text, so text queries cannot be evaluated; give "
            "queries by field, {'q1': {'field': vector}}"
        )
    if not able:
        raise InvalidInputError(
            f"no field of this collection ({', '.join(col.fields)}) takes a query such as "
            f"{_described(query)}; give text, a representation as wide as a field, or queries by "
            "field, {'q1': {'field': vector}}"
        )
    found: dict[str, dict[str, Any]] = {name: {"fields": [name]} for name in able}
    if len(able) > 1:
        found["fused"] = {"fields": able}
    return found


def _described(query: Any) -> str:
    shape = shape_of(query) if isinstance(query, Sequence) or hasattr(query, "shape") else None
    return shown(query) if shape is None else f"a {type(query).__name__} of shape {shape}"


def _system(
    col: Collection, options: Mapping[str, Any]
) -> Callable[[Any, int], list[tuple[str, float]]]:
    def run(query: Any, depth: int) -> list[tuple[str, float]]:
        if isinstance(query, str) and not query.strip():
            return []  # an unanswered query counts as 0
        ids, scores = col.search_many([query], depth, arrays=True, **options)
        return [(i, s) for i, s in zip(ids[0], scores[0].tolist(), strict=True) if i is not None]

    return run
