"""Recall of the candidates against the bytes of a code, before and after learning."""

from __future__ import annotations

import os

from bigrain.evaluation.plot import require_drawable, require_matplotlib
from bigrain.learning.report import LearnReport

__all__ = ["plot"]

STYLES = {  # Okabe and Ito
    "present": ("#999999", "s", "as they were"),
    "fitted": ("#0072B2", "o", "fitted to the vectors"),
    "learned": ("#D55E00", "D", "learned"),
}


def plot(report: LearnReport, path: str | os.PathLike[str]) -> None:
    """A panel for each k: codes as they were, and by size those that are fitted and learned."""
    require_drawable(path)
    cuts = sorted({row.k for row in report.candidates}) or [10]
    figure = require_matplotlib()(4.4 * len(cuts), 3.8)
    panels = figure.subplots(1, len(cuts), squeeze=False)[0]
    for ax, k in zip(panels, cuts, strict=True):
        for codes, (colour, mark, label) in STYLES.items():
            rows = [r for r in report.candidates if r.k == k and r.codes == codes]
            rows.sort(key=lambda row: row.light_bytes)
            ax.plot(
                [r.light_bytes for r in rows], [r.recall for r in rows],
                linestyle="-", color=colour, marker=mark, markersize=6, label=label,
            )  # fmt: skip
        ax.set_xlim(0, 1.25 * max([1, *(r.light_bytes for r in report.candidates)]))
        ax.set_ylim(top=min(ax.get_ylim()[1], 1.005))
        ax.set_xlabel("bytes of a code")
        ax.set_ylabel(f"recall@{k} of candidates, questions held out")
        ax.spines[["top", "right"]].set_visible(False)
        ax.grid(color="#DDDDDD", linewidth=0.7)
        ax.set_axisbelow(True)
    panels[0].legend(frameon=False, fontsize=8)
    figure.suptitle(f"{report.name}: {report.held_out:,} questions held out", fontsize=11)
    figure.savefig(path)
