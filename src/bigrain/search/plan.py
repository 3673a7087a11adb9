"""Step 1, plan: from what the user asks to what each field has to do."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bigrain.errors import InvalidQueryError, UnknownFieldError
from bigrain.index.base import Selection
from bigrain.search.calibrate import candidates_for
from bigrain.search.fuse import Fusion
from bigrain.search.view import FieldView, SnapshotView

__all__ = ["FieldPlan", "Plan", "make_plan"]

DEFAULT_CANDIDATES = 100
MAX_K = 1_000_000


@dataclass(frozen=True)
class FieldPlan:
    """One field's part: the queries in its form, and how many candidates it gives for each."""

    name: str
    field: FieldView
    queries: Sequence[Any]
    n_candidates: int
    weight: float


@dataclass(frozen=True)
class Plan:
    """A search of a batch of queries. `exact` looks at everything instead of codes."""

    k: int
    n_queries: int
    fields: tuple[FieldPlan, ...]
    selection: Selection | None
    exact: bool
    explain: bool
    fusion: Fusion


def make_plan(
    view: SnapshotView,
    queries: Sequence[Any],
    *,
    k: int,
    fields: Sequence[str] | str | Mapping[str, float] | None,
    filter: object,
    recall: float | None,
    n_candidates: int | None,
    fusion: Fusion,
    explain: bool = False,
) -> Plan:
    """Check every argument and prepare the queries.

    Raises `InvalidQueryError`, `UnknownFieldError` or `InvalidFilterError`.
    """
    _check_int("k", k, 1, MAX_K)
    if n_candidates is not None:
        _check_int("n_candidates", n_candidates, 1, 1 << 31)
    if recall is not None and not (
        isinstance(recall, int | float) and not isinstance(recall, bool) and 0 < recall <= 1
    ):
        raise InvalidQueryError(f"recall={recall!r} must be above 0 and at most 1; 0.98 is usual")
    weights = _field_weights(view, queries, fields, fusion)
    selection = None if filter is None else view.select(filter)
    exact = recall == 1
    plans = []
    for name, weight in weights.items():
        field = view.fields[name]
        wanted = n_candidates
        if wanted is None:
            wanted = max(DEFAULT_CANDIDATES, 2 * k)
            if recall is not None and not exact:
                wanted = max(k, candidates_for(field, k, float(recall)))
        prepared = field.family.queries(queries)
        plans.append(FieldPlan(name, field, prepared, max(wanted, k), weight))
    return Plan(k, len(queries), tuple(plans), selection, exact, explain, fusion)


def _field_weights(
    view: SnapshotView,
    queries: Sequence[Any],
    fields: Sequence[str] | str | Mapping[str, float] | None,
    fusion: Fusion,
) -> dict[str, float]:
    """Which fields to ask, with the weight of each."""
    if fields is None:
        able = [
            name
            for name, field in view.fields.items()
            if all(field.family.accepts(query) for query in queries)
        ]
        if not able:
            raise InvalidQueryError(_nobody_answers(view, queries))
        return {name: fusion.weight_of(view.fields[name].family.spec.family) for name in able}
    asked = [fields] if isinstance(fields, str) else list(fields)
    if not asked:
        raise InvalidQueryError("fields is empty; leave it out to search every field")
    for name in asked:
        if name not in view.fields:
            raise UnknownFieldError(
                f"no field {name!r} in this collection; it has {', '.join(view.fields)}"
            )
    if isinstance(fields, Mapping):
        for name, weight in fields.items():
            if not isinstance(weight, int | float) or not (0 <= weight < math.inf):
                raise InvalidQueryError(
                    f"the weight of field {name!r} is {weight!r}; use 0 or more"
                )
        if not any(fields.values()):
            raise InvalidQueryError("every field has weight 0; give one of them more")
        return {name: float(weight) for name, weight in fields.items()}
    return {name: fusion.weight_of(view.fields[name].family.spec.family) for name in asked}


def _nobody_answers(view: SnapshotView, queries: Sequence[Any]) -> str:
    odd = (
        next(q for q in queries if not any(f.family.accepts(q) for f in view.fields.values()))
        if any(not any(f.family.accepts(q) for f in view.fields.values()) for q in queries)
        else queries[0]
    )
    shape = getattr(odd, "shape", None)
    what = f"{type(odd).__name__}{f' of shape {shape}' if shape is not None else ''}"
    takes = []
    for name, field in view.fields.items():
        spec = field.family.spec
        forms = ["text"] if spec.reads_text else []
        if spec.family == "dense":
            forms.append(f"a vector of {getattr(spec, 'dim', '?')} numbers")
        elif spec.family == "sparse":
            forms.append("a mapping column -> weight")
        elif spec.family == "multivector":
            forms.append(f"token vectors (m, {getattr(spec, 'dim', '?')})")
        takes.append(f"{name!r} takes {' or '.join(forms)}")
    return f"no field can be asked with {what}: {'; '.join(takes)}"


def _check_int(name: str, value: object, low: int, high: int) -> None:
    if hasattr(value, "item") and getattr(value, "size", 1) == 1:
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise InvalidQueryError(f"{name}={value!r} must be a whole number from {low} to {high:,}")
