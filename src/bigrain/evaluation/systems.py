"""Ask several systems the same questions, time each answer, and report.

A system is any function from a query, mostly its text, and k to (document id, score) pairs, best
first. It may wrap bigrain, another library or a remote service; nothing else is known about it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

import numpy as np

from bigrain.errors import InvalidInputError
from bigrain.evaluation.latency import Latency
from bigrain.evaluation.measures import DEFAULT_MEASURES, cutoffs, score
from bigrain.evaluation.ranking import Run, with_positives
from bigrain.evaluation.report import Evaluation, SystemResult
from bigrain.progress import ProgressLike, reporting

__all__ = ["System", "evaluate_systems"]

_LARGEST = float(np.finfo(np.float32).max)

System: TypeAlias = Callable[[Any, int], Iterable[tuple[str, float]]]


def evaluate_systems(
    systems: Mapping[str, System],
    queries: Mapping[str, Any],
    judgments: Mapping[str, Mapping[str, int]],
    *,
    k: int = 100,
    measures: str | Iterable[str] = DEFAULT_MEASURES,
    baseline: str | None = None,
    ignore_identical_ids: bool = False,
    warm_up: int = 1,
    name: str = "evaluation",
    notes: Iterable[str] = (),
    progress: ProgressLike = None,
    keep_runs: bool = False,
    seed: int = 0,
) -> Evaluation:
    """Measure quality and latency of each system over the judged queries.

    Calls are made one at a time, system after system, in the order of `judgments`; the first
    `warm_up` calls of a system are made once more before the clock runs. With a `baseline` (one of
    the systems' names) every other system is tested against it on the first measure. Queries
    without judgments or without a relevant document cannot be scored and are not asked.
    `ignore_identical_ids` asks for one document more and drops the one whose id is the query's.

    >>> engine = lambda text, k: [("d2", 1.5), ("d1", 0.5)][:k]
    >>> found = evaluate_systems({"mine": engine}, {"q": "hello"}, {"q": {"d1": 1}}, measures="RR")
    >>> found.systems["mine"].measures["RR"].mean
    0.5
    """
    depths = cutoffs(measures)  # refuses a wrong measure before the long part
    names = list(depths)
    asked = _check(systems, queries, judgments, k=k, depths=depths, baseline=baseline)
    n_wanted = k + 1 if ignore_identical_ids else k
    runs: dict[str, Run] = {}
    results: dict[str, SystemResult] = {}
    with reporting(progress) as report:
        for system_name, system in systems.items():
            report.stage(f"asking {system_name}", len(asked), unit="queries")
            for qid in asked[:warm_up]:
                list(system(queries[qid], n_wanted))
            run: Run = {}
            seconds = []
            for qid in asked:
                began = time.perf_counter()
                hits = list(system(queries[qid], n_wanted))
                seconds.append(time.perf_counter() - began)
                where = f"system {system_name!r}, query {qid!r}"
                skip = qid if ignore_identical_ids else None
                run[qid] = _as_results(hits, k=k, skip=skip, where=where)
                report.advance()
            runs[system_name] = run
            scores = score(run, {qid: judgments[qid] for qid in asked}, names)
            results[system_name] = SystemResult.of(
                system_name, scores, latency=Latency.of(seconds), seed=seed
            )
    evaluation = Evaluation(
        name=name,
        systems=results,
        settings={
            "k": int(k),
            "measures": names,
            "baseline": baseline,
            "ignore_identical_ids": ignore_identical_ids,
            "warm_up": int(warm_up),
            "calls": "one at a time",
            "seed": int(seed),
            "n_queries_not_judged": sum(qid not in judgments for qid in queries),
        },
        notes=(*notes, *_notes(judgments, asked, results, depths, k)),
        runs=runs if keep_runs else {},
    )
    if baseline is None:
        return evaluation
    comparisons = evaluation.against(baseline, names[0])
    return Evaluation(
        name=evaluation.name,
        systems=evaluation.systems,
        settings=evaluation.settings,
        notes=evaluation.notes,
        comparisons=comparisons,
        runs=evaluation.runs,
    )


def _check(
    systems: Mapping[str, System],
    queries: Mapping[str, Any],
    judgments: Mapping[str, Mapping[str, int]],
    *,
    k: int,
    depths: Mapping[str, int | None],
    baseline: str | None,
) -> list[str]:
    """Refuse what cannot work; otherwise the queries to ask."""
    if not systems:
        raise InvalidInputError("no systems given; expected {name: function(text, k)}")
    if baseline is not None and baseline not in systems:
        raise InvalidInputError(
            f"baseline {baseline!r} is not among the systems {', '.join(systems)}"
        )
    if k < 1:
        raise InvalidInputError(f"k is {k}; it must be at least 1, such as 100")
    for measure, depth in depths.items():
        if depth is not None and depth > k:
            raise InvalidInputError(
                f"{measure} looks at {depth} results and k is {k}; pass k={depth} or a "
                "measure with a smaller cutoff"
            )
    asked = with_positives(judgments)
    if not asked:
        raise InvalidInputError(
            f"none of the {len(judgments)} judged queries has a relevant document (grade above 0)"
        )
    missing = [qid for qid in asked if qid not in queries]
    if missing:
        raise InvalidInputError(
            f"{len(missing)} judged queries have no text, such as {missing[0]!r}; for a part of "
            "the queries pass a part of the judgments: {q: judgments[q] for q in queries}"
        )
    return asked


def _as_results(
    hits: list[tuple[str, float]], *, k: int, skip: str | None, where: str
) -> dict[str, float]:
    results: dict[str, float] = {}
    above = float("inf")
    for rank, hit in enumerate(hits, start=1):
        try:
            doc, value = hit
            number = float(value)
        except (TypeError, ValueError) as error:
            raise InvalidInputError(
                f"{where}: hit {rank} is {hit!r}; expected (document id, score)"
            ) from error
        if not isinstance(doc, str) or not abs(number) <= _LARGEST:
            raise InvalidInputError(
                f"{where}: hit {rank} is {hit!r}; expected a string id and a finite score"
            )
        if doc in results:
            raise InvalidInputError(f"{where}: document {doc!r} twice; each may appear once")
        if np.float32(number) > np.float32(above):
            raise InvalidInputError(
                f"{where}: scores rise from {above} to {number} at hit {rank}; expected the best "
                "first, higher scores better (for distances return their negatives)"
            )
        above = number
        if doc != skip:
            results[doc] = number
    return dict(list(results.items())[:k])


def _notes(
    judgments: Mapping[str, Mapping[str, int]],
    asked: list[str],
    results: Mapping[str, SystemResult],
    depths: Mapping[str, int | None],
    k: int,
) -> list[str]:
    notes = []
    if n_no_positives := len(judgments) - len(asked):
        notes.append(f"{n_no_positives} judged queries have no relevant document; left out")
    for name, result in results.items():
        if result.n_unanswered:
            notes.append(f"{name}: {result.n_unanswered} queries without results count as 0")
    if whole := [measure for measure, depth in depths.items() if depth is None]:
        notes.append(f"{', '.join(whole)}: computed over the first {k} results")
    if len(asked) < 100:
        notes.append(f"{len(asked)} queries resolve large differences only; see the intervals")
    return notes
