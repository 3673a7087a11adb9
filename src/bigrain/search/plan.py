"""Step 1, plan: from what the user asks to what each field has to do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any

import numpy as np
import numpy.typing as npt

from bigrain.encoders.one_pass import OnePass
from bigrain.errors import BudgetError, InvalidQueryError, UnknownFieldError, shown
from bigrain.families.lexical import LexicalFamily
from bigrain.families.sparse import SparseFamily
from bigrain.index.base import Selection
from bigrain.index.coded_index import CodedIndex
from bigrain.index.effort import Effort
from bigrain.index.lexical import LexicalIndex
from bigrain.index.sparse import SparseIndex
from bigrain.search.asked import fields_of
from bigrain.search.filter import Filter, parse
from bigrain.search.fuse import Fusion
from bigrain.search.operators import Meaning, meaning_of, widened
from bigrain.search.query import Query
from bigrain.search.view import FieldView, SnapshotView

__all__ = ["FieldPlan", "Plan", "check_k", "make_plan"]

FUSED_CANDIDATES = 100
COLUMNS_HINT = "; a sparse query maps column numbers, not text, to weights"
MAX_K = 1_000_000
NOT_COVERED = 0.1  # of a weight is left where the encoder does not know the words
MAX_WEIGHT = 1e9
BYTES_PER_CANDIDATE = 160  # measured: keys, scores, units and documents on the way


@dataclass(frozen=True)
class FieldPlan:
    """One field's part: the queries in its form, and how far it looks for each.

    Queries that are not `covered` count for little in it, as long as other fields answer them.
    """

    name: str
    field: FieldView
    queries: Sequence[Any]
    effort: Effort
    weight: float
    covered: npt.NDArray[np.bool_] | None = None  # (Q,): whether the encoder knows their words
    own: tuple[Effort, ...] | None = None  # of each query; None: all have `effort`, the largest
    said: Sequence[Any] = ()  # the queries as they were given

    def part(self, start: int, stop: int) -> FieldPlan:
        covered = None if self.covered is None else self.covered[start:stop]
        own = None if self.own is None else self.own[start:stop]
        return replace(
            self, queries=self.queries[start:stop], covered=covered, own=own,
            said=self.said[start:stop],
        )  # fmt: skip

    def alike(self, some: npt.NDArray[np.int64]) -> FieldPlan:
        """With only those of its queries, of which all have the same effort."""
        covered = None if self.covered is None else self.covered[some]
        queries, said = ([each[i] for i in some.tolist()] for each in (self.queries, self.said))
        effort = self.effort_of(int(some[0]))
        return replace(
            self, queries=queries, effort=effort, covered=covered, own=None, said=said
        )  # fmt: skip

    def effort_of(self, i: int) -> Effort:
        """How far it looks for the query i."""
        return self.effort if self.own is None else self.own[i]


@dataclass(frozen=True)
class Plan:
    """A search of a batch of queries. `exact` looks at everything instead of codes."""

    k: int
    n_queries: int
    fields: tuple[FieldPlan, ...]
    filter: Filter | None
    selection: Selection | None  # what the metadata index says of the filter
    exact: bool
    explain: bool
    fusion: Fusion
    meaning: Meaning | None = None  # of the only query, if it has operators

    @property
    def weights(self) -> npt.NDArray[np.float64]:
        """(Q, fields): what each field counts for each query, before it is made to add up to 1."""
        weights = np.tile(np.array([field.weight for field in self.fields]), (self.n_queries, 1))
        for at, field in enumerate(self.fields):
            if field.covered is not None:
                weights[~field.covered, at] *= NOT_COVERED
        return weights

    def parts(self, n: int) -> list[Plan]:
        """Plans of n of its queries each, in their order."""
        return [
            replace(
                self,
                n_queries=min(n, self.n_queries - start),
                fields=tuple(f.part(start, start + n) for f in self.fields),
            )
            for start in range(0, self.n_queries, n)
        ]


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

    All name the same fields, or none. One with operators comes alone. A field without rows is left
    out, unless all are. Raises `InvalidQueryError`, `UnknownFieldError` or `InvalidFilterError`.
    """
    said, plain = _without_operators(queries)
    check_k(k)
    if n_candidates is not None:
        _check_int("n_candidates", n_candidates, 1, 1 << 31)
    if recall is not None and (
        isinstance(recall, bool) or not isinstance(recall, Real) or not 0 < recall <= 1
    ):
        if isinstance(recall, str):
            raise InvalidQueryError(
                f"recall={shown(recall)} is text; it must be a number above 0 and at most 1, "
                "such as 0.98"
            )
        raise InvalidQueryError(
            f"recall={shown(recall)} must be above 0 and at most 1; 0.98 is usual"
        )
    recall = None if recall is None else float(recall)
    named = fields_of(plain[0]) if len(plain) else ()
    weights = _field_weights(view, plain, named, fields, fusion)
    parsed = None if filter is None else parse(filter)
    selection = None if parsed is None else view.select(parsed)
    meaning = None
    if said is not None and said.clauses:
        saying = [name for name in weights if not named or isinstance(queries[0][name], Query)]
        meaning = meaning_of(view, said, saying, selection)
        selection = meaning.selection
    prepared: dict[str, Sequence[Any]] = {}
    one_pass = OnePass(view.fields[name].family.encoder for name in weights)
    for name in weights:
        if meaning is not None and name in meaning.weights:
            prepared[name] = [meaning.weights[name]]
        else:
            own = [query[name] for query in plain] if named else plain
            family, index = view.fields[name].family, view.fields[name].index
            prepared[name] = family.queries(own, one_pass)
            if isinstance(family, LexicalFamily) and isinstance(index, LexicalIndex):
                prepared[name] = [widened(one, family, index) for one in prepared[name]]
            by_idf = isinstance(family, SparseFamily) and family.weighs_by_idf
            if by_idf and isinstance(index, SparseIndex):
                prepared[name] = [
                    index.by_idf(one) if isinstance(query, str) else one
                    for one, query in zip(prepared[name], own, strict=True)
                ]
    asked = _with_rows(view, weights)
    # Scores are scaled among a query's candidates, so these are many however few are wanted.
    fused = max(FUSED_CANDIDATES, 2 * k) if len(asked) > 1 else k
    exact = recall == 1
    plans = []
    for name, weight in asked.items():
        field = view.fields[name]
        effort = field.index.effort(None if recall is None else float(recall), k)
        if n_candidates is not None:
            everything = n_candidates >= field.index.n_rows
            effort = Effort(max(n_candidates, k), np.inf if everything else effort.margin)
        elif exact:
            effort = Effort(fused)
        elif len(asked) > 1:  # without an asked recall the others help to find what is missed
            effort = effort.deeper(fused if recall is None else max(effort.n, fused))
            effort = replace(effort, rank=max(effort.rank, fused))
        own = [query[name] for query in plain] if named else plain
        covered = _covered(field, own) if len(asked) > 1 else None
        one = FieldPlan(name, field, prepared[name], effort, weight, covered, said=own)
        if n_candidates is None and not exact:
            one = _each_its_own(one, fused, view.search_bytes // BYTES_PER_CANDIDATE // len(asked))
        plans.append(one)
    _require_memory(view, plans)
    return Plan(k, len(plain), tuple(plans), parsed, selection, exact, explain, fusion, meaning)


def _each_its_own(plan: FieldPlan, least: int, most: int) -> FieldPlan:
    """With an effort for each query, if some need another one than the rest."""
    index = plan.field.index
    if not isinstance(index, CodedIndex):
        return plan
    own = tuple(index.effort_for(query, plan.effort, least, most) for query in plan.queries)
    if all(one is plan.effort for one in own):
        return plan
    return replace(plan, effort=max(own, key=lambda one: one.n), own=own)


def _without_operators(queries: Sequence[Any]) -> tuple[Query | None, Sequence[Any]]:
    """What the only query says in operators, and the queries as plain text."""
    if len(queries) != 1:
        return None, queries
    (query,) = queries
    if isinstance(query, Query):
        return query, [_plain(query)]
    said = {one for name in fields_of(query) if isinstance(one := query[name], Query)}
    if not said:
        return None, queries
    if len(said) > 1:
        raise InvalidQueryError(
            "two queries with operators; what must be there is said once: give both fields the same"
        )
    plain = {name: _plain(q) if isinstance(q, Query) else q for name, q in query.items()}
    return said.pop(), [plain]


def _plain(query: Query) -> str:
    if query.clauses and not query.plain.strip():
        raise InvalidQueryError(
            "the query only says what must not be there; add a word that should be"
        )
    return query.plain


def check_k(k: object) -> None:
    """A number of hits, or `InvalidQueryError`."""
    _check_int("k", k, 1, MAX_K)


def _covered(field: FieldView, queries: Sequence[Any]) -> npt.NDArray[np.bool_] | None:
    """(Q,) whether the field's encoder knows the words of each text; None: it does not tell."""
    encoder = field.family.encoder
    covers = getattr(getattr(encoder, "model", encoder), "covers", None)
    texts = [i for i, query in enumerate(queries) if isinstance(query, str)]
    if covers is None or not texts:
        return None
    covered = np.ones(len(queries), bool)
    covered[texts] = covers([queries[i] for i in texts])
    return None if covered.all() else covered


def _require_memory(view: SnapshotView, plans: Sequence[FieldPlan]) -> None:
    """Refuse what one query alone cannot do within the budget."""
    wanted = sum(min(plan.effort.n, plan.field.index.n_rows) for plan in plans)
    if wanted * BYTES_PER_CANDIDATE > view.search_bytes:
        raise BudgetError(
            f"{wanted:,} candidates need {wanted * BYTES_PER_CANDIDATE:,} bytes, but "
            f"memory_budget_bytes leaves {view.search_bytes:,} for searches; ask for at most "
            f"{view.search_bytes // BYTES_PER_CANDIDATE:,} over all fields (k, n_candidates), or "
            "open with more"
        )


def _field_weights(
    view: SnapshotView,
    queries: Sequence[Any],
    named: Sequence[str],
    fields: Sequence[str] | str | Mapping[str, float] | None,
    fusion: Fusion,
) -> dict[str, float]:
    """Which fields to ask, with the weight of each. `named`: the fields that queries are for."""
    weighed = named and isinstance(queries[0][named[0]], int | float)
    _require_fields(view, named, COLUMNS_HINT if weighed else "")
    if fields is None:
        able = list(named) or [
            name
            for name, field in view.fields.items()
            if all(field.family.accepts(query) for query in queries)
        ]
        if not able:
            raise InvalidQueryError(_nobody_answers(view, queries))
        return {name: fusion.weight_of(view.fields[name].family.spec.family) for name in able}
    if not isinstance(fields, Iterable):
        raise InvalidQueryError(f"fields={shown(fields)} must be names of fields, or None for all")
    asked = [fields] if isinstance(fields, str) else list(fields)
    if not asked:
        raise InvalidQueryError("fields is empty; leave it out to search every field")
    _require_fields(view, asked)
    if named and (without := [name for name in asked if name not in named]):
        raise InvalidQueryError(
            f"the query has nothing for field {without[0]!r} of fields=; it names "
            f"{', '.join(named)}"
        )
    if isinstance(fields, Mapping):
        for name, weight in fields.items():
            if not isinstance(weight, int | float) or not 0 <= weight <= MAX_WEIGHT:
                raise InvalidQueryError(
                    f"the weight of field {name!r} is {shown(weight)}; use 0 to {MAX_WEIGHT:g}"
                )
        if not any(fields.values()):
            raise InvalidQueryError("every field has weight 0; give one of them more")
        return {name: float(weight) for name, weight in fields.items()}
    return {name: fusion.weight_of(view.fields[name].family.spec.family) for name in asked}


def _with_rows(view: SnapshotView, weights: dict[str, float]) -> dict[str, float]:
    """Without fields that hold nothing, whose weight would only lower scores; all if all do."""
    filled = {name: w for name, w in weights.items() if view.fields[name].index.n_rows}
    return filled if any(filled.values()) else weights


def _require_fields(view: SnapshotView, names: Iterable[object], hint: str = "") -> None:
    for name in names:
        if not isinstance(name, str) or name not in view.fields:
            raise UnknownFieldError(
                f"no field {shown(name)} in this collection; it has {', '.join(view.fields)}{hint}"
            )


def _nobody_answers(view: SnapshotView, queries: Sequence[Any]) -> str:
    odd, which = queries[0], ""
    for i, query in enumerate(queries):
        if not any(f.family.accepts(query) for f in view.fields.values()):
            odd, which = query, f" (query {i})" if len(queries) > 1 else ""
            break
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
    return f"no field can be asked with {what}{which}: {'; '.join(takes)}"


def _check_int(name: str, value: object, low: int, high: int) -> None:
    if hasattr(value, "item") and getattr(value, "size", 1) == 1:
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise InvalidQueryError(
            f"{name}={shown(value)} must be a whole number from {low} to {high:,}"
        )
