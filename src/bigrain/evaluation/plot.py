"""Pictures of an evaluation: one panel a measure, one bar a system, intervals on top.

Colours are Okabe and Ito's, which stay apart for colour-blind readers and, by lightness, in grey.
"""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bigrain.errors import InvalidInputError, MissingExtraError
from bigrain.evaluation.formats import PathLike

if TYPE_CHECKING:
    from bigrain.evaluation.report import Evaluation

__all__ = ["plot_latency", "plot_measures", "require_drawable"]

_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#666666")
_INK = "#222222"
_PANELS_A_ROW = 4


def require_matplotlib() -> Any:
    """A maker of figures (width and height in inches).

    It uses matplotlib's Agg directly, which needs no display and leaves pyplot's state alone.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("drawing an evaluation", "eval") from error

    def new_figure(width: float, height: float) -> Any:
        figure = Figure(figsize=(width, height), dpi=150, layout="constrained", facecolor="white")
        FigureCanvasAgg(figure)
        return figure

    return new_figure


def require_drawable(path: PathLike) -> None:
    """Refuse a file that no picture can be written to, before the long part."""
    figure, path = require_matplotlib()(1, 1), Path(path)
    known = figure.canvas.get_supported_filetypes()
    if path.suffix and path.suffix[1:].lower() not in known:
        raise InvalidInputError(
            f"{path}: no picture is written as {path.suffix}; name it like {path.stem}.png"
        )
    if path.is_dir() or not path.parent.is_dir():
        wrong = "is a folder" if path.is_dir() else f"there is no folder {path.parent}"
        raise InvalidInputError(f"{path}: {wrong}; name a file of a picture in one that is there")


def plot_measures(evaluation: Evaluation, path: PathLike) -> None:
    """Means as bars from 0, with 95 % intervals, into a PNG (or whatever `path` ends in)."""
    new_figure = require_matplotlib()
    names, measures = list(evaluation.systems), evaluation.measures
    if not names or not measures:
        raise InvalidInputError(f"evaluation {evaluation.name!r} has nothing to draw")
    n_columns = min(len(measures), _PANELS_A_ROW)
    n_rows = -(-len(measures) // n_columns)
    panel = max(2.3, 0.55 * len(names) + 0.9)
    long_names = max(len(name) for name in names) * len(names) * 0.085 > panel
    height = 3.1 + (0.07 * max(len(name) for name in names) if long_names else 0.0)
    figure = new_figure(max(panel * n_columns, 4.0), height * n_rows + 0.5)
    axes = figure.subplots(n_rows, n_columns, squeeze=False).ravel()
    for ax in axes[len(measures) :]:
        ax.set_visible(False)
    for ax, measure in zip(axes, measures, strict=False):
        estimates = [evaluation.systems[name].measures[measure] for name in names]
        means = np.array([each.mean for each in estimates])
        lows = np.array([each.low for each in estimates])
        highs = np.array([each.high for each in estimates])
        ax.bar(
            range(len(names)), means, width=0.72, zorder=2,
            color=[_COLOURS[i % len(_COLOURS)] for i in range(len(names))],
            yerr=[np.maximum(means - lows, 0), np.maximum(highs - means, 0)],
            error_kw={"ecolor": _INK, "elinewidth": 1.2, "capsize": 4, "capthick": 1.2},
        )  # fmt: skip
        top = max(float(highs.max()), 1e-9)
        for at, (mean, high) in enumerate(zip(means, highs, strict=True)):
            ax.text(
                at, max(mean, high) + 0.02 * top, _number(mean),
                ha="center", va="bottom", fontsize=8, color=_INK,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6}, zorder=3,
            )  # fmt: skip
        ax.set_ylim(0, top * 1.14)
        ax.locator_params(axis="y", nbins=6)
        margin = 0.55 if len(names) > 2 else 0.85  # one bar alone must not fill the panel
        ax.set_xlim(-margin, len(names) - 1 + margin)
        ax.set_title(measure, fontsize=11, color=_INK)
        ax.set_xticks(range(len(names)), names, fontsize=9)
        if long_names:
            ax.set_xticklabels(names, rotation=35, ha="right", rotation_mode="anchor", fontsize=9)
        _tidy(ax, grid="y")
    n_queries = max(system.n_queries for system in evaluation.systems.values())
    _headline(figure, f"{evaluation.name}: mean over {n_queries:,} queries, 95\u00a0% intervals")
    figure.savefig(path)


def plot_latency(evaluation: Evaluation, path: PathLike) -> None:
    """For each system, the share of calls answered within a time; p50 and p95 are marked."""
    new_figure = require_matplotlib()
    timed = {
        name: np.sort(np.array(system.latency.seconds)) * 1e3
        for name, system in evaluation.systems.items()
        if system.latency and system.latency.seconds
    }
    if not timed:
        raise InvalidInputError(f"evaluation {evaluation.name!r} has no latencies to draw")
    figure = new_figure(6.4, 3.8)
    ax = figure.subplots()
    styles = ("-", "--", "-.", ":")
    for at, (name, ms) in enumerate(timed.items()):
        colour = _COLOURS[at % len(_COLOURS)]
        p50, p95 = np.percentile(ms, [50, 95])
        label = f"{name}  (p50 {_milliseconds(p50)}, p95 {_milliseconds(p95)})"
        ax.step(
            ms, np.arange(1, len(ms) + 1) / len(ms), where="post",
            color=colour, linestyle=styles[at % len(styles)], linewidth=1.8, label=label,
        )  # fmt: skip
        ax.plot([p50, p95], [0.5, 0.95], "o", color=colour, markersize=5)
    ax.set_xscale("log")
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    ax.set_ylim(0, 1.02)
    ax.set_yticks([0, 0.25, 0.5, 0.75, 0.95], ["0 %", "25 %", "50 %", "75 %", "95 %"])
    ax.set_xlabel("milliseconds a query (logarithmic)", fontsize=9, color=_INK)
    ax.set_ylabel("queries answered", fontsize=9, color=_INK)
    ax.legend(frameon=False, fontsize=8.5, loc="lower right")
    _tidy(ax, grid="both")
    _headline(figure, f"{evaluation.name}: latency")
    figure.savefig(path)


def _tidy(ax: Any, *, grid: str) -> None:
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(axis=grid, color="#DDDDDD", linewidth=0.7, zorder=0)
    ax.set_axisbelow(True)
    ax.tick_params(labelsize=9, colors=_INK, length=0)


def _headline(figure: Any, text: str) -> None:
    width = int(figure.get_size_inches()[0] * 10.5)
    figure.suptitle(textwrap.fill(text, width), fontsize=11.5, color=_INK)


def _number(mean: float) -> str:
    return f"{mean:.3f}" if abs(mean) < 10 else f"{mean:,.1f}"


def _milliseconds(ms: float) -> str:
    return f"{ms:.3g} ms"
