"""Recall and cost of a trial at each recall setting, and what it would cost for all rows."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from bigrain.index.base import Ranked
from bigrain.index.coded_index import CodedIndex
from bigrain.index.effort import Effort
from bigrain.index.live import in_figures
from bigrain.index.numbering import number_rows
from bigrain.interval import mean_share_interval
from bigrain.progress import Reporter
from bigrain.tuning.queries import Questions
from bigrain.tuning.report import TuneRow
from bigrain.tuning.trials import Trial

__all__ = ["SETTINGS", "Whole", "measure", "shifted", "truths_of"]

SETTINGS = (0.5, 0.7, 0.8, 0.85, 0.9, 0.93, 0.95, 0.97, 0.98, 0.99, 0.995)
TOGETHER = 64  # queries answered exactly at once
WARM_UP = 4


@dataclass(frozen=True)
class Whole:
    """The field as it is coded now, with all its rows: what trials are scaled up to."""

    index: CodedIndex[Any]
    trial: CodedIndex[Any]  # its code, on the sample

    def grown(self, setting: float, k: int) -> tuple[float, float]:
        """How many times as many (codes looked at, candidates verified) all rows take."""
        grown = []
        for key in ("share_of_codes", "verified"):
            large, small = (
                in_figures(index, index.effort(setting, k), k)[key]
                for index in (self.index, self.trial)
            )
            grown.append(large / small if small else 1.0)
        rows = self.index.n_rows / max(1, self.trial.n_rows)
        return grown[0] * rows, grown[1]

    def bytes_as(self, trial: Trial) -> int:
        """What all rows take in memory, coded as in the trial: as one segment, or as they are."""
        if trial.file is None:
            return sum(view.segment.memory_bytes for view in trial.index.views)
        (view,) = trial.index.views
        return int(view.segment.bytes_for(self.index.n_rows)) + self.gap_bytes

    @cached_property
    def gap_bytes(self) -> int:
        """What it takes to know the units of one segment of all rows."""
        views = self.index.views
        numbering = number_rows([v.segment.units for v in views], [v.live for v in views])
        runs, last = 0, -2
        for units in numbering.units():
            runs += int((np.diff(units, prepend=last) != 1).sum())
            last = int(units[-1])
        return 0 if runs <= 1 else min(8 * runs, 4 * numbering.n_rows)


def truths_of(index: CodedIndex[Any], queries: Any, k: int, reporter: Reporter) -> list[Ranked]:
    """The true best k units of every query."""
    found: list[Ranked] = []
    for start in range(0, len(queries), TOGETHER):
        part = list(queries[start : start + TOGETHER])
        found += index.exact(part, k, None)
        reporter.advance(len(part))
    return found


def measure(
    trial: Trial, whole: Whole, questions: Questions, truths: tuple[Sequence[Ranked], ...],
    k: int, settings: Sequence[float], reporter: Reporter,
) -> list[TuneRow]:  # fmt: skip
    """A row for each setting. `truths`: of the choosing and of the fresh half."""
    rows = []
    n_rows = whole.index.n_rows
    n_bytes = whole.bytes_as(trial)
    for setting in settings:
        effort = trial.index.effort(setting, k)
        for query in questions.fresh[:WARM_UP]:
            _ask(trial.index, query, trial.index.effort_for(query, effort, k, n_rows), k)
        chosen: list[float] = []
        shares: list[float] = []
        scanning = verifying = 0.0
        n_verified = 0
        for half, (queries, known) in enumerate(
            zip((questions.choosing, questions.fresh), truths, strict=True)
        ):
            for query, truth in zip(queries, known, strict=True):
                own = trial.index.effort_for(query, effort, k, n_rows)
                found, n_candidates, scan, verify = _ask(trial.index, query, own, k)
                scanning, verifying = scanning + scan, verifying + verify
                n_verified += n_candidates
                (shares if half else chosen).append(_share(found, truth, k))
        n = len(chosen) + len(shares)
        codes, candidates = whole.grown(setting, k)
        figures = in_figures(trial.index, effort, k)
        mean, low, high = mean_share_interval(shares, k)
        among = np.array(chosen)
        rows.append(
            TuneRow(
                field=trial.field,
                setting=setting,
                candidates=min(n_rows, max(k, round(n_verified / n * candidates))),
                share_of_codes=min(
                    1.0, figures["share_of_codes"] * codes * whole.trial.n_rows / n_rows
                ),
                chosen_by=float(among.mean()),
                surely=float(among.mean() - among.std() / np.sqrt(len(among))),
                reached=mean,
                low=low,
                high=high,
                microseconds=1e6 * (scanning * codes + verifying * candidates) / n,
                bytes_in_memory=n_bytes,
            )
        )
        reporter.advance()
    return rows


def shifted(
    rows: Sequence[TuneRow], sample: Sequence[TuneRow], whole: Sequence[TuneRow]
) -> list[TuneRow]:
    """Rows of a sample with the recall that they may have among all rows.

    `sample` and `whole` are of the present codes: what these lose, setting by setting, others do.
    """
    lost = {s.setting: (s, w) for s, w in zip(sample, whole, strict=True)}
    moved = []
    for row in rows:
        small, large = lost[row.setting]
        chosen, fresh = large.chosen_by - small.chosen_by, large.reached - small.reached
        moved.append(
            replace(
                row,
                chosen_by=_share_of_one(row.chosen_by + chosen),
                surely=_share_of_one(row.surely + chosen),
                reached=_share_of_one(row.reached + fresh),
                low=_share_of_one(row.low + fresh),
                high=_share_of_one(row.high + fresh),
            )
        )
    return moved


def _share_of_one(number: float) -> float:
    return min(1.0, max(0.0, number))


def _ask(
    index: CodedIndex[Any], query: Any, effort: Effort, k: int
) -> tuple[Ranked, int, float, float]:
    """(best k by exact score, candidates, seconds for finding them, for verifying) of a query."""
    began = time.process_time()
    proposed = index.candidates([query], effort, None)[0].units
    between = time.process_time()
    scores = index.score(query, proposed)
    best = np.argsort(-scores, kind="stable")[:k]
    ended = time.process_time()
    return Ranked(proposed[best], scores[best]), len(proposed), between - began, ended - between


def _share(found: Ranked, truth: Ranked, k: int) -> float:
    n = min(k, len(truth.units))
    if not n:
        return 1.0
    hits: npt.NDArray[np.bool_] = np.isin(found.units, truth.units[:n])
    hits |= found.scores >= truth.scores[n - 1]  # as good as the last one
    return min(int(hits.sum()), n) / n
