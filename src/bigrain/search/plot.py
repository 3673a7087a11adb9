"""The heat map of a document and a query, as a picture that is read like text."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import numpy.typing as npt

from bigrain.evaluation.plot import require_drawable, require_matplotlib
from bigrain.search.heat_map import HeatMap

__all__ = ["plot"]

A_LINE, MOST_TOKENS, MOST_ASKED = 40, 240, 40  # tokens
CELL = 0.24  # inches
LONGEST = 14  # letters of a word
INK, RING = "#222222", "#D55E00"  # vermilion of Okabe and Ito
# The first one that has a character draws it, of those that are installed.
FONTS = (
    "DejaVu Sans", "Noto Sans CJK JP", "Noto Sans CJK SC", "Noto Sans JP", "Noto Sans SC",
    "Noto Sans KR", "Source Han Sans", "IPAexGothic", "WenQuanYi Zen Hei", "WenQuanYi Micro Hei",
    "Droid Sans Fallback", "Hiragino Sans", "PingFang SC", "Yu Gothic", "Microsoft YaHei",
    "Malgun Gothic", "Noto Sans Arabic", "Noto Sans Devanagari", "Noto Sans Thai",
    "Arial Unicode MS",
)  # fmt: skip
Rows = npt.NDArray[np.int64]


def plot(heat: HeatMap, path: str | os.PathLike[str]) -> None:
    """Tokens of the document from left to right in lines, tokens of the query below each other.

    The best token of each row is ringed; bars on the right of the first line add up to the score.
    """
    require_drawable(path)
    shown, asked = _shown(heat)
    lines = np.array_split(shown, -(-len(shown) // A_LINE))
    longest = max(map(len, lines))
    words = [_short(heat.words[at]) or f"{at + 1}" for at in range(len(heat.words))]
    above = 0.09 * max(len(words[at]) for at in shown) + 0.1
    queries = [_short(heat.query_words[at]) or f"{at + 1}" for at in asked]
    height = CELL * len(asked)
    figure = require_matplotlib()(
        CELL * longest + 0.09 * max(map(len, queries)) + 2.2,
        (height + above + 0.15) * len(lines) + 0.9,
    )
    grid = figure.subplots(
        len(lines), 2, squeeze=False, gridspec_kw={"width_ratios": [CELL * longest, 1.5]}
    )
    top = max(float(heat.contributions.max()), 1e-9)
    in_fonts = {"fontfamily": _fonts(), "parse_math": False}
    picture = None
    for (ax, beside), line in zip(grid, lines, strict=True):
        part = np.full((len(asked), longest), np.nan, np.float32)
        part[:, : len(line)] = heat.scores[np.ix_(line, asked)].T
        picture = ax.imshow(part, cmap="Blues", vmin=0, vmax=top, aspect="auto")
        ax.set_xticks(
            range(len(line)), [words[at] for at in line], rotation=90, fontsize=8, **in_fonts
        )
        ax.set_yticks(range(len(asked)), queries, fontsize=8.5, **in_fonts)
        ax.xaxis.tick_top()
        ax.tick_params(length=0, colors=INK)
        ax.spines[:].set_visible(False)
        ax.set_xticks(np.arange(len(line) + 1) - 0.5, minor=True)
        ax.set_yticks(np.arange(len(asked) + 1) - 0.5, minor=True)
        ax.grid(which="minor", color="white", linewidth=1)
        ax.tick_params(which="minor", length=0)
        place = {at: column for column, at in enumerate(line.tolist())}
        for row, best in enumerate(heat.best[asked].tolist()):
            if best in place:
                _ring(ax, place[best], row)
        beside.set_visible(False)
    _bars(grid[0, 1], heat, asked)
    figure.colorbar(
        picture, ax=grid[:, 1], orientation="horizontal", location="bottom", shrink=0.9,
        label="product", aspect=14,
    ).outline.set_visible(False)  # fmt: skip
    figure.suptitle(_title(heat, len(shown), len(asked)), fontsize=11, color=INK, **in_fonts)
    figure.savefig(path)


def _ring(ax: Any, column: int, row: int) -> None:
    x, y = column - 0.5, row - 0.5
    ax.plot(
        [x, x + 1, x + 1, x, x], [y, y, y + 1, y + 1, y], color=RING, linewidth=1.6, clip_on=False
    )


def _bars(ax: Any, heat: HeatMap, asked: Rows) -> None:
    """What each token of the query adds, in the rows of the picture beside it."""
    ax.set_visible(True)
    added = heat.contributions[asked]
    ax.barh(range(len(asked)), np.maximum(added, 0), color=RING, height=0.7)
    widest = max(float(added.max()), 1e-9)
    for row, value in enumerate(added.tolist()):
        ax.text(
            max(value, 0) + 0.04 * widest, row, f"{value:.4g}", va="center", fontsize=8, color=INK
        )
    ax.set_xlim(0, 1.9 * widest)
    ax.set_ylim(len(asked) - 0.5, -0.5)
    ax.axis("off")
    ax.set_title(f"adds, in all {heat.score:.4g}", fontsize=8.5, color=INK, loc="left")


def _shown(heat: HeatMap) -> tuple[Rows, Rows]:
    """The tokens of the document and of the query that there is room for, in their order."""
    asked = np.sort(np.argsort(-heat.contributions, kind="stable")[:MOST_ASKED])
    met = heat.scores[:, asked].max(axis=1)
    met[heat.best[asked]] = np.inf
    return np.sort(np.argsort(-met, kind="stable")[:MOST_TOKENS]), asked


def _fonts() -> list[str]:
    from matplotlib.font_manager import get_font_names

    installed = set(get_font_names())
    return [name for name in FONTS if name in installed]


def _title(heat: HeatMap, n_shown: int, n_asked: int) -> str:
    told = [f"{_short(heat.id, 40)}: score {heat.score:.4g}"]
    if n_shown < len(heat.words):
        told.append(f"{n_shown} of {len(heat.words):,} tokens, which meet the query best")
    if n_asked < len(heat.query_words):
        told.append(f"{n_asked} of {len(heat.query_words):,} of the query, which add most")
    return "\n".join(told)


def _short(word: str, most: int = LONGEST) -> str:
    plain = "".join(c if c.isprintable() else " " for c in word).strip()
    return plain if len(plain) <= most else plain[: most - 1] + "…"
