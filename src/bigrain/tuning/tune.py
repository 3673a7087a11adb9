"""Tuning a field with codes: try codes on a sample, measure, choose."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bigrain.budget import Budget
from bigrain.errors import ConfigError, InvalidInputError
from bigrain.families.base import CodedFamily
from bigrain.index.base import Ranked, Units
from bigrain.index.coded_index import CodedIndex
from bigrain.progress import Reporter
from bigrain.storage.files import Files
from bigrain.tuning import queries as asking
from bigrain.tuning.frontier import SETTINGS, Whole, measure, shifted, truths_of
from bigrain.tuning.report import TuneReport, TuneRow, codes_of
from bigrain.tuning.trials import Trial, make_trial, sample_rows, without

__all__ = ["Task", "Tuned", "measured_again", "tune"]

HELD_OUT = 600  # vectors to ask with
LEAST_ROWS = 200
MOST_AMONG_ALL = 256  # queries answered exactly by all rows
SHARE_HELD_OUT = 10  # of few vectors, a tenth at most


@dataclass(frozen=True)
class Task:
    """What is to be tuned, and within what."""

    family: CodedFamily
    index: CodedIndex[Any]
    recall: float
    k: int
    here: Callable[[CodedFamily], Budget]  # of this handle, if the field were coded so
    there: Callable[[CodedFamily], Budget]  # with which it shall be opened; or ConfigError
    budget_bytes: int
    others: int  # bytes of the light grains of other fields
    queries: Any  # given by the user, or None
    audited: Any  # queries, or None
    trial_rows: int
    seed: int


@dataclass(frozen=True)
class Tuned:
    """The answer, and what measuring it again among all rows takes."""

    report: TuneReport
    questions: asking.Questions
    truths: tuple[Sequence[Ranked], ...]  # among all rows but those that were asked with
    asked_units: Units


def tune(task: Task, files: Files, folder: Path, memory_bytes: int, reporter: Reporter) -> Tuned:
    """Measure and choose; `folder` is for trial segments, which are gone again afterwards."""
    family, index = task.family, task.index
    if index.n_rows < LEAST_ROWS:
        raise InvalidInputError(
            f"field {family.name!r} holds {index.n_rows:,} rows; at least {LEAST_ROWS} are "
            "needed to tune it"
        )
    given = None if task.queries is None else asking.given(family, task.queries, task.seed)
    questions = given or asking.audited(family, task.audited, task.seed)
    held_out = 0 if questions else min(HELD_OUT, index.n_rows // SHARE_HELD_OUT)
    sampled = sample_rows(index.views, task.trial_rows, held_out, task.seed)
    if questions is None:
        questions = asking.of_documents(index, sampled.asked, task.seed)
    by_field: list[list[TuneRow]] = []
    notes: list[str] = []
    truths: tuple[Sequence[Ranked], ...] = ()
    whole: Whole | None = None
    like = questions.fitting
    for field in family.alternatives(queries=like is not None):
        try:
            task.here(family.recoded(field))
        except ConfigError as error:
            notes.append(f"{codes_of(field)} was not tried: {error}")
            continue
        reporter.stage(f"coding {codes_of(field)}", sampled.n_searched, "rows")
        fitted = like if field != family.spec else None  # the present codes as they are
        trial = make_trial(family, field, index, sampled, files, folder, memory_bytes, fitted)
        assert trial.file is not None
        try:
            reporter.advance(sampled.n_searched)
            if whole is None:
                whole = Whole(index, trial.index)
                truths = _truths(trial.index, questions, task.k, reporter)
            by_field.append(_rows(task, trial, whole, questions, truths, reporter))
        finally:
            trial.file.close()
            files.remove(folder / trial.file.name)
    assert whole is not None
    n_tried = whole.trial.n_rows
    extrapolated = n_tried < index.n_rows - len(sampled.asked)
    if extrapolated:
        questions = questions.first(MOST_AMONG_ALL)
        others = without(index, sampled.asked)
        truths = _truths(others, questions, task.k, reporter)
        trial = Trial(family.spec, others)
        rows = _rows(task, trial, Whole(others, others), questions, truths, reporter)
        by_field[1:] = [shifted(of_one, by_field[0], rows) for of_one in by_field[1:]]
        by_field[0] = rows
    every = [row for rows in by_field for row in rows]
    report = _report(task, every, notes, questions, n_tried, extrapolated)
    return Tuned(report, questions, truths, sampled.asked)


def measured_again(
    tuned: Tuned, family: CodedFamily, index: CodedIndex[Any], reporter: Reporter
) -> TuneReport:
    """The report when the chosen codes are those of all rows: their figures as they are."""
    report = tuned.report
    settings = sorted({row.setting for row in report.rows})
    index = without(index, tuned.asked_units)
    rows = measure(
        Trial(family.spec, index), Whole(index, index), tuned.questions, tuned.truths, report.k,
        settings, reporter,
    )  # fmt: skip
    enough = [row for row in rows if row.surely >= report.asked]
    chosen = min(enough, key=lambda row: row.microseconds) if enough else None
    others = tuple(row for row in report.rows if row.field != family.spec)
    return replace(
        report, rows=(*rows, *others), chosen=chosen,
        nearest=chosen or max(rows, key=lambda row: row.surely),
    )  # fmt: skip


def _truths(
    index: CodedIndex[Any], questions: asking.Questions, k: int, reporter: Reporter
) -> tuple[Sequence[Ranked], ...]:
    reporter.stage("true neighbours", questions.n, "queries")
    return tuple(
        truths_of(index, half, k, reporter) for half in (questions.choosing, questions.fresh)
    )


def _rows(
    task: Task, trial: Trial, whole: Whole, questions: asking.Questions,
    truths: tuple[Sequence[Ranked], ...], reporter: Reporter,
) -> list[TuneRow]:  # fmt: skip
    settings = sorted({*SETTINGS, task.recall})
    reporter.stage(f"measuring {codes_of(trial.field)}", len(settings), "settings")
    return measure(trial, whole, questions, truths, task.k, settings, reporter)


def _report(
    task: Task, rows: Sequence[TuneRow], notes: Sequence[str], questions: asking.Questions,
    rows_tried: int, extrapolated: bool,
) -> TuneReport:  # fmt: skip
    def budget(row: TuneRow) -> Budget | None:
        try:
            return task.there(task.family.recoded(row.field))
        except ConfigError:  # not even the codec can be fitted
            return None

    def fits(row: TuneRow) -> bool:
        found = budget(row)
        return found is not None and row.bytes_in_memory + task.others <= found.light

    enough = [row for row in rows if row.surely >= task.recall]
    fitting = [row for row in enough if fits(row)]
    chosen = min(fitting, key=lambda row: row.microseconds) if fitting else None
    if enough:
        smallest = min(row.bytes_in_memory for row in enough)
        nearest = min(
            (row for row in enough if row.bytes_in_memory == smallest),
            key=lambda row: row.microseconds,
        )
    else:
        nearest = max([row for row in rows if fits(row)] or rows, key=lambda row: row.surely)
    row = chosen or nearest
    there, here = budget(row), task.here(task.family.recoded(row.field))
    return TuneReport(
        name=task.family.name,
        k=task.k,
        asked=task.recall,
        memory_budget_bytes=task.budget_bytes,
        light_bytes_allowed=0 if there is None else max(0, there.light - task.others),
        rows=tuple(rows),
        chosen=chosen,
        nearest=nearest,
        budget_needed=here.total_for_light(row.bytes_in_memory + task.others),
        queries=questions.n,
        queries_from=questions.told,
        rows_tried=rows_tried,
        rows_of_field=task.index.n_rows,
        extrapolated=extrapolated,
        notes=tuple(notes),
    )
