"""What a comparison says: means with intervals, the best at each budget, whom to take for what."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any

import numpy as np

from bigrain.evaluation.plot import require_matplotlib

__all__ = ["Row", "best_at", "pareto", "plot", "recommendations", "summary"]

# 97.5 % quantiles of Student's t by degrees of freedom; the normal one above.
STUDENT = {1: 12.71, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262}
NORMAL = 1.96
NEAR = 0.01  # of the best score: as good for most purposes


@dataclass(frozen=True)
class Row:
    """A method at a rate, over all seeds."""

    method: str
    rate: float
    seeds: int
    score: float
    interval: float  # half of the 95 % interval of the score; NaN for one seed
    log_loss: float
    bytes: float
    achieved_rate: float
    train_s: float
    peak_training_bytes: float
    lookup_ns: float
    torch_lookup_ns: float
    embedding_ns: float


MEANS = (
    "score", "log_loss", "bytes", "achieved_rate", "train_s", "peak_training_bytes", "lookup_ns",
    "torch_lookup_ns", "embedding_ns",
)  # fmt: skip


def summary(records: Iterable[dict[str, Any]]) -> list[Row]:
    """A row for each method and rate; rates that could not be met are left out."""
    grouped: dict[tuple[float, str], list[dict[str, Any]]] = defaultdict(list)
    for record in records:
        if "impossible" not in record:
            grouped[-record["job"]["rate"], record["job"]["method"]].append(record)
    rows = []
    for (rate, method), group in sorted(grouped.items(), key=lambda item: item[0]):
        means = {name: float(np.mean([record[name] for record in group])) for name in MEANS}
        n = len(group)
        half = math.nan
        if n > 1:
            spread = float(np.std([record["score"] for record in group], ddof=1))
            half = STUDENT.get(n - 1, NORMAL) * spread / math.sqrt(n)
        rows.append(Row(method, -rate, n, interval=half, **means))
    return rows


def best_at(rows: Sequence[Row]) -> dict[float, list[Row]]:
    """The rows of each rate, best first."""
    rates = sorted({row.rate for row in rows}, reverse=True)
    return {
        rate: sorted((r for r in rows if r.rate == rate), key=lambda r: -r.score) for rate in rates
    }


def pareto(rows: Sequence[Row]) -> list[Row]:
    """Rows than which no other is both smaller and better, smallest first."""
    found: list[Row] = []
    for row in sorted(rows, key=lambda row: (row.bytes, -row.score)):
        if not found or row.score > found[-1].score:
            found.append(row)
    return found


def recommendations(rows: Sequence[Row]) -> dict[str, str]:
    """What to take for which purpose, from these rows alone."""
    small = [row for row in rows if row.rate < 1]
    if not small:
        return {}
    found = {}
    for rate, group in best_at(small).items():
        found[f"best score at {rate:g} of the bytes"] = _told(group[0])
    best = max(row.score for row in rows)
    good = [row for row in small if row.score >= best - NEAR]
    if good:
        within = f"within {NEAR:g} of the best score"
        found[f"fewest bytes {within}"] = _told(min(good, key=lambda row: row.bytes))
        least = min(good, key=lambda row: row.peak_training_bytes)
        found[f"least training memory {within}"] = _told(least)
        found[f"shortest training {within}"] = _told(min(good, key=lambda row: row.train_s))
        found[f"fastest lookup {within}"] = _told(min(good, key=lambda row: row.lookup_ns))
    return found


def _told(row: Row) -> str:
    return (
        f"{row.method} ({row.achieved_rate:.3g} of the bytes, score {row.score:.4f}, training "
        f"{row.train_s:.0f} s and {row.peak_training_bytes / 2**20:.0f} MiB, lookup "
        f"{row.lookup_ns:.0f} ns)"
    )


COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#666666")
MARKERS = "osD^v<>PX*"


def plot(rows: Sequence[Row], path: str | PathLike[str], title: str) -> None:
    """Score against achieved rate, a line a method, the Pareto set ringed. Needs the extra eval."""
    figure = require_matplotlib()(9.0, 5.5)
    axes = figure.subplots()
    names = sorted({row.method for row in rows})
    for number, name in enumerate(names):
        mine = sorted((r for r in rows if r.method == name), key=lambda r: r.achieved_rate)
        axes.errorbar(
            [row.achieved_rate for row in mine],
            [row.score for row in mine],
            [0 if math.isnan(row.interval) else row.interval for row in mine],
            label=name,
            color=COLOURS[number % len(COLOURS)],
            marker=MARKERS[number % len(MARKERS)],
            markersize=4,
            linewidth=1,
        )
    front = pareto(rows)
    axes.plot(
        [row.achieved_rate for row in front], [row.score for row in front], "o", mfc="none",
        mec="#222222", markersize=11, label="Pareto set",
    )  # fmt: skip
    axes.set(xscale="log", xlabel="bytes / bytes of the full table", ylabel="score", title=title)
    axes.grid(alpha=0.25)
    figure.legend(loc="outside right upper", fontsize=8)
    figure.savefig(path)
