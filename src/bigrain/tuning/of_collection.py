"""`Collection.tune`: its arguments checked, its field found, its answer applied."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bigrain.budget import Budget
from bigrain.errors import (
    BudgetError,
    InvalidInputError,
    ReadOnlyError,
    UnknownFieldError,
    shown,
)
from bigrain.families.base import CodedFamily
from bigrain.index.coded_index import CodedIndex
from bigrain.index.effort import DEFAULT_RECALL
from bigrain.index.multivector_plain import PlainSegment
from bigrain.opened import with_families
from bigrain.progress import ProgressLike, reporting
from bigrain.tuning.report import TuneReport
from bigrain.tuning.tune import Task, measured_again, tune

if TYPE_CHECKING:
    from bigrain.collection import Collection

__all__ = ["tune_collection"]

LEAST_TRIAL_ROWS = 1000
MOST_K = 100


def tune_collection(
    col: Collection,
    *,
    recall: float | None,
    memory_budget_bytes: int | None,
    queries: Any,
    field: str | None,
    k: int,
    apply: bool,
    trial_rows: int,
    seed: int,
    progress: ProgressLike,
) -> TuneReport:
    """What `Collection.tune` promises."""
    view = col._require_open()
    family = _family(col, field)
    asked = DEFAULT_RECALL if recall is None else recall
    if isinstance(asked, bool) or not isinstance(asked, int | float) or not 0 < asked < 1:
        raise InvalidInputError(
            f"recall={shown(recall)} must be above 0 and below 1, such as 0.98; all is found "
            "without codes only, by search(..., recall=1)"
        )
    for name, value, low, high in (
        ("k", k, 1, MOST_K),
        ("trial_rows", trial_rows, LEAST_TRIAL_ROWS, 1 << 31),
        ("seed", seed, 0, 1 << 62),
    ):
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise InvalidInputError(
                f"{name}={shown(value)} must be a whole number from {low} to {high:,}"
            )
    given = col._opened.whole_budget
    if memory_budget_bytes is not None:
        given = Budget.of(memory_budget_bytes)
    if apply and col.read_only:
        raise ReadOnlyError(
            f"{col.path} was opened with read_only=True; open it without to apply what is chosen"
        )
    if apply:
        col._require_nothing_pending()

    def within(budget: Budget, recoded: CodedFamily) -> Budget:
        return with_families(budget, {**col._opened.families, recoded.name: recoded})

    index = view.fields[family.name].index
    assert isinstance(index, CodedIndex)
    if any(isinstance(view.segment, PlainSegment) for view in index.views):
        raise InvalidInputError(
            f"field {family.name!r} has segments without codes, as bigrain 0.1 wrote them; "
            "compact() writes them anew"
        )
    task = Task(
        family=family,
        index=index,
        recall=float(asked),
        k=k,
        here=lambda recoded: within(col._opened.whole_budget, recoded),
        there=lambda recoded: within(given, recoded),
        budget_bytes=given.total,
        others=sum(
            v.segment.memory_bytes
            for name, other in view.fields.items()
            if name != family.name
            for v in other.index.views
        ),
        queries=queries,
        audited=col._auditor.queries(family.name),
        trial_rows=trial_rows,
        seed=seed,
    )
    with (
        reporting(progress) as reporter,
        tempfile.TemporaryDirectory(prefix="bigrain-tune-") as folder,
    ):
        tuned = tune(task, col._folder.files, Path(folder), col._opened.budget.build, reporter)
        report = tuned.report
        if not apply:
            return report
        if report.chosen is None:
            raise BudgetError(f"nothing was changed: {report.verdict()}")
        like = tuned.questions.fitting
        unfitted = getattr(family.spec, "reduction", None) == "leanvec" and not any(
            view.segment.codec.frame.n_queries for view in index.views
        )
        if report.field == family.spec and (like is None or not unfitted):
            return report
        with col._changing:  # what was committed meanwhile is coded anew as well
            col._recode(family.recoded(report.field, like), reporter)
            after = col._require_open()
        done = replace(report, applied=True, snapshot=after.number)
        coded = after.fields[family.name]
        assert isinstance(coded.index, CodedIndex)
        return measured_again(
            replace(tuned, report=done), _family(col, family.name), coded.index, reporter
        )


def _family(col: Collection, field: str | None) -> CodedFamily:
    coded = {n: f for n, f in col._opened.families.items() if isinstance(f, CodedFamily)}
    if field is None and len(coded) == 1:
        return next(iter(coded.values()))
    if not coded:
        raise UnknownFieldError(
            "no dense or multi-vector field in this collection; only their codes are tuned"
        )
    if field is None:
        raise UnknownFieldError(f"several such fields; name one with field=: {', '.join(coded)}")
    if not isinstance(field, str) or field not in coded:
        raise UnknownFieldError(
            f"no dense or multi-vector field {shown(field)}; there are {', '.join(coded)}"
        )
    return coded[field]
