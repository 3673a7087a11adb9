"""The frontier as a picture: recall against speed, and memory against speed."""

from __future__ import annotations

import os

from bigrain.evaluation.plot import require_matplotlib
from bigrain.tuning.report import TuneReport, codes_of

__all__ = ["plot"]

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")  # Okabe and Ito
MARKS = "osD^vPX"  # one more than colours: no two lines look alike


def plot(report: TuneReport, path: str | os.PathLike[str]) -> None:
    """One line a way to code the field; the choice is ringed."""
    figure = require_matplotlib()(9.6, 4.8)
    speeds, sizes = figure.subplots(1, 2)
    fields = list(dict.fromkeys(row.field for row in report.rows))
    best = report.chosen or report.nearest
    widest = max(row.bytes_in_memory for row in report.rows)
    unit, scale = ("MB", 1e6) if widest >= 1e6 else ("kB", 1e3)
    for at, field in enumerate(fields):
        rows = sorted((r for r in report.rows if r.field == field), key=lambda r: r.reached)
        style = {"color": COLOURS[at % len(COLOURS)], "marker": MARKS[at % len(MARKS)]}
        label = codes_of(field)
        reached = [row.reached for row in rows]
        per_second = [1e6 / row.microseconds for row in rows]
        bars = [[r.reached - r.low for r in rows], [r.high - r.reached for r in rows]]
        speeds.errorbar(
            reached, per_second, xerr=[[max(b, 0) for b in side] for side in bars],
            linewidth=1.4, markersize=4.5, elinewidth=0.7, label=label, **style,
        )  # fmt: skip
        enough = [row for row in rows if row.surely >= report.asked]
        for row in sorted(enough, key=lambda r: r.microseconds)[:1]:
            sizes.plot(row.bytes_in_memory / scale, 1e6 / row.microseconds, linestyle="", **style)
    ring = {"marker": "o", "markersize": 13, "fillstyle": "none", "color": "#222222"}
    speeds.plot(best.reached, 1e6 / best.microseconds, **ring)
    sizes.plot(best.bytes_in_memory / scale, 1e6 / best.microseconds, **ring)
    speeds.axvline(report.asked, color="#888888", linewidth=0.8, linestyle="--")
    speeds.set_yscale("log")
    speeds.set_xlabel(f"recall of the true top {report.k}, 95 % interval")
    sizes.axvline(
        report.light_bytes_allowed / scale, color="#888888", linewidth=0.8, linestyle="--"
    )
    sizes.set_xlim(0, 1.15 * widest / scale)
    sizes.set_ylim(0, 1.15 * sizes.get_ylim()[1])
    sizes.set_xlabel(f"{unit} in memory, at recall {report.asked:g}")
    for ax in (speeds, sizes):
        ax.set_ylabel("queries a second, one core")
        ax.spines[["top", "right"]].set_visible(False)
        ax.grid(color="#DDDDDD", linewidth=0.7)
        ax.set_axisbelow(True)
    figure.legend(*speeds.get_legend_handles_labels(), frameon=False, fontsize=8, ncols=3,
                  loc="outside lower center")  # fmt: skip
    told = ", extrapolated" if report.extrapolated else ""
    figure.suptitle(f"{report.name}: {report.rows_of_field:,} rows{told}", fontsize=11)
    figure.savefig(path)
