"""What an evaluation found: kept, printed, drawn and read back.

`Evaluation.save` writes a folder anybody can use without bigrain: `evaluation.json` with every
number down to the single query, `evaluation.png` with the measures and their intervals, and the
runs as TREC files where they were kept.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bigrain.errors import InvalidInputError
from bigrain.evaluation.comparison import Comparison, adjust, compare_values
from bigrain.evaluation.formats import PathLike, load_run, save_run
from bigrain.evaluation.latency import Latency
from bigrain.evaluation.measures import Scores
from bigrain.evaluation.ranking import Run
from bigrain.evaluation.significance import bootstrap_means

__all__ = ["Estimate", "Evaluation", "SystemResult", "compare"]

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over queries and its 95 % bootstrap interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class SystemResult:
    """One system, such as "lexical", "dense" or "fused".

    `measures` holds measure -> estimate, `per_query` measure -> query id -> value. `n_queries` is
    the denominator; the `n_unanswered` queries without any result are in it, as 0.
    """

    name: str
    measures: dict[str, Estimate]
    per_query: dict[str, dict[str, float]]
    n_queries: int
    n_unanswered: int = 0
    latency: Latency | None = None

    @classmethod
    def of(
        cls, name: str, scores: Scores, *, latency: Latency | None = None, seed: int = 0
    ) -> SystemResult:
        """Add means and intervals to the scores of a run."""
        columns = np.array([list(values.values()) for values in scores.values()]).T
        lows, highs = np.quantile(bootstrap_means(columns, seed=seed), [0.025, 0.975], axis=0)
        measures = {
            measure: Estimate(mean, float(low), float(high))
            for (measure, mean), low, high in zip(scores.means().items(), lows, highs, strict=True)
        }
        return cls(
            name=name,
            measures=measures,
            per_query={measure: dict(values) for measure, values in scores.items()},
            n_queries=scores.n_queries,
            n_unanswered=scores.n_unanswered,
            latency=latency,
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON values that `from_dict` turns back into an equal object."""
        return {
            "name": self.name,
            "n_queries": self.n_queries,
            "n_unanswered": self.n_unanswered,
            "measures": {
                measure: {"mean": each.mean, "low": each.low, "high": each.high}
                for measure, each in self.measures.items()
            },
            "latency": self.latency.to_dict() if self.latency else None,
            "per_query": {measure: dict(values) for measure, values in self.per_query.items()},
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> SystemResult:
        """What `to_dict` wrote."""
        return cls(
            name=data["name"],
            measures={measure: Estimate(**each) for measure, each in data["measures"].items()},
            per_query={measure: dict(values) for measure, values in data["per_query"].items()},
            n_queries=data["n_queries"],
            n_unanswered=data["n_unanswered"],
            latency=Latency.from_dict(data["latency"]) if data["latency"] else None,
        )


@dataclass(frozen=True)
class Evaluation:
    """Several systems on the same queries and judgments.

    `settings` says how it was measured (JSON values), `notes` what a reader should know before
    quoting a number. `runs`, if kept, are files beside the report and no part of `to_dict`.
    """

    name: str
    systems: dict[str, SystemResult]
    settings: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    comparisons: tuple[Comparison, ...] = ()
    runs: dict[str, Run] = field(default_factory=dict, compare=False, repr=False)

    @property
    def measures(self) -> tuple[str, ...]:
        """The measures' names, in the order asked for."""
        return tuple(next(iter(self.systems.values())).measures) if self.systems else ()

    def against(self, baseline: str, measure: str | None = None) -> tuple[Comparison, ...]:
        """Every other system against `baseline`, on one measure or (None) on all of them.

        What is returned together is one family: `p_holm` is adjusted for its size.
        """
        if baseline not in self.systems:
            raise InvalidInputError(
                f"no system {baseline!r} to compare with; there are {', '.join(self.systems)}"
            )
        return adjust(
            [
                compare(system, self.systems[baseline], each)
                for each in (self.measures if measure is None else (measure,))
                for name, system in self.systems.items()
                if name != baseline
            ]
        )

    def rows(self) -> list[dict[str, Any]]:
        """One flat row a system, ready for a data frame or JSON lines."""
        rows = []
        for system in self.systems.values():
            row: dict[str, Any] = {"system": system.name, "n_queries": system.n_queries}
            for measure, estimate in system.measures.items():
                row[measure] = estimate.mean
                row[f"{measure} low"] = estimate.low
                row[f"{measure} high"] = estimate.high
            if system.latency:
                row["p50_ms"] = system.latency.p50_s * 1e3
                row["p95_ms"] = system.latency.p95_s * 1e3
                row["p99_ms"] = system.latency.p99_s * 1e3
                row["queries_per_second"] = system.latency.queries_per_second
            rows.append(row)
        return rows

    def table(self) -> str:
        """The report as plain text: means, intervals, latency, comparisons and notes."""
        header = ["system", *self.measures]
        with_latency = any(system.latency for system in self.systems.values())
        if with_latency:
            header += ["p50 ms", "p95 ms", "p99 ms", "queries/s"]
        lines = [header]
        for row in self.rows():
            cells = [row["system"]]
            for name in self.measures:
                low, high = row[f"{name} low"], row[f"{name} high"]
                cells.append(f"{row[name]:.4f} [{_bound(low)}, {_bound(high)}]")
            if with_latency:
                timings = [row.get(f"p{p}_ms") for p in (50, 95, 99)]
                timings.append(row.get("queries_per_second"))
                cells += ["-" if each is None else _short(each) for each in timings]
            lines.append(cells)
        n_queries = max((system.n_queries for system in self.systems.values()), default=0)
        count = f"{n_queries:,} {'query' if n_queries == 1 else 'queries'}"
        parts = [f"{self.name}: {count}, mean [95 % interval]", _aligned(lines)]
        if self.comparisons:
            parts += ["", _aligned(_comparison_lines(self.comparisons))]
        parts += [f"note: {note}" for note in self.notes]
        return "\n".join(parts)

    def to_dict(self) -> dict[str, Any]:
        """JSON values that `from_dict` turns back into an equal object."""
        return {
            "format": _FORMAT,
            "name": self.name,
            "settings": dict(self.settings),
            "notes": list(self.notes),
            "comparisons": [each.to_dict() for each in self.comparisons],
            "systems": [system.to_dict() for system in self.systems.values()],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Evaluation:
        """What `to_dict` wrote."""
        if data.get("format") != _FORMAT:
            raise InvalidInputError(
                f"expected an evaluation of format {_FORMAT}, found {data.get('format')!r}"
            )
        systems = [SystemResult.from_dict(each) for each in data["systems"]]
        return cls(
            name=data["name"],
            systems={system.name: system for system in systems},
            settings=dict(data["settings"]),
            notes=tuple(data["notes"]),
            comparisons=tuple(Comparison.from_dict(each) for each in data["comparisons"]),
        )

    def save(
        self, folder: PathLike, *, picture: bool = True, latency_picture: bool = False
    ) -> Path:
        """Write `evaluation.json`, pictures and kept runs into `folder`, which it returns."""
        target = Path(folder)
        if picture or latency_picture:
            from bigrain.evaluation import plot

            plot.require_matplotlib()  # before anything is written
        target.mkdir(parents=True, exist_ok=True)
        files = _run_files(self.runs)
        for name, file in files.items():
            save_run(target / file, self.runs[name], tag=Path(file).stem)
        if picture:
            plot.plot_measures(self, target / "evaluation.png")
        if latency_picture:
            plot.plot_latency(self, target / "latency.png")
        data = self.to_dict() | {"runs": files}
        text = json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
        (target / "evaluation.json").write_text(text, encoding="utf-8")
        return target

    @classmethod
    def load(cls, folder: PathLike) -> Evaluation:
        """What `save` wrote, kept runs included."""
        file = Path(folder) / "evaluation.json"
        try:
            data = json.loads(file.read_text(encoding="utf-8"))
            evaluation = cls.from_dict(data)
        except FileNotFoundError as error:
            raise InvalidInputError(f"{file}: no such file; give a folder `save` wrote") from error
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise InvalidInputError(f"{file}: not a saved evaluation: {error}") from error
        for name, run_file in data.get("runs", {}).items():
            evaluation.runs[name] = load_run(Path(folder) / run_file)
        return evaluation


def compare(
    a: SystemResult, b: SystemResult, measure: str, *, n_permutations: int = 10_000, seed: int = 0
) -> Comparison:
    """Is `a` better than `b`? Difference, interval and tests, query against query."""
    for system in (a, b):
        if measure not in system.per_query:
            raise InvalidInputError(
                f"system {system.name!r} was not scored by {measure!r}; "
                f"it has {', '.join(system.per_query)}"
            )
    return compare_values(
        a.per_query[measure],
        b.per_query[measure],
        measure=measure,
        names=(a.name, b.name),
        n_permutations=n_permutations,
        seed=seed,
    )


def _run_files(runs: Mapping[str, Run]) -> dict[str, str]:
    files: dict[str, str] = {}
    for name in runs:
        stem = base = re.sub(r"[^\w.-]+", "_", name).strip("._") or "system"
        number = 1
        while f"runs/{stem}.run".lower() in {file.lower() for file in files.values()}:
            number += 1
            stem = f"{base}-{number}"
        files[name] = f"runs/{stem}.run"
    return files


def _comparison_lines(comparisons: tuple[Comparison, ...]) -> list[list[str]]:
    lines = [["compared", "measure", "difference", "p (t)", "p (rand.)", "p (Holm)", "w/t/l"]]
    for each in comparisons:
        adjusted = "-" if each.p_holm is None else _p(each.p_holm)
        lines.append([
            f"{each.a} - {each.b}",
            each.measure,
            f"{each.difference:+.4f} [{each.low:+.4f}, {each.high:+.4f}]",
            _p(each.p_t_test),
            _p(each.p_randomisation),
            adjusted,
            f"{each.wins}/{each.ties}/{each.losses}",
        ])  # fmt: skip
    return lines


def _bound(number: float) -> str:
    return f"{number:.3f}".removeprefix("0") if 0.0 <= number < 1.0 else f"{number:.3f}"


def _p(value: float) -> str:
    return f"{value:.4f}" if value >= 0.0001 else "<.0001"


def _short(number: float) -> str:
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


def _aligned(lines: list[list[str]]) -> str:
    """Columns padded with blanks: the first to the left, the others to the right."""
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    padded = [
        "  ".join(
            cell.ljust(width) if at == 0 else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    ]
    rule = "  ".join("-" * width for width in widths)
    return "\n".join([padded[0], rule, *padded[1:]])
