"""What reports share: speed at a recall, and tables that stand between markers of a page."""

from __future__ import annotations

import math
from pathlib import Path

Points = list[tuple[float, float]]


def frontier(points: Points) -> Points:
    """The (recall, queries a second) that no other beats in both, by rising recall."""
    best: Points = []
    for recall, qps in sorted(points, reverse=True):
        if not best or qps > best[-1][1]:
            best.append((recall, qps))
    return best[::-1]


def at(points: Points, recall: float) -> float | None:
    """Queries a second at a recall: log-linear between the two points around it.

    Below the lowest recall measured, the fastest point's; None if the recall is never reached.
    """
    line = frontier(points)
    if not line or line[-1][0] < recall:
        return None
    above = next(i for i, point in enumerate(line) if point[0] >= recall)
    if above == 0 or line[above][0] == recall:
        return line[above][1]
    (r0, q0), (r1, q1) = line[above - 1], line[above]
    share = (recall - r0) / (r1 - r0)
    return math.exp(math.log(q0) + share * (math.log(q1) - math.log(q0)))


def markdown_table(head: tuple[str, ...], rows: list[list[str]]) -> str:
    """Text in the first column, figures in the others."""
    right = ["---"] + ["---:"] * (len(head) - 1)
    lines = ["| " + " | ".join(head) + " |", "|" + "|".join(right) + "|"]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def into_page(page: Path, begin: str, end: str, text: str) -> None:
    """Replace what stands between two markers, if the page has them."""
    whole = page.read_text() if page.exists() else ""
    if begin in whole and end in whole:
        head, rest = whole.split(begin, 1)
        page.write_text(f"{head}{begin}\n{text}\n{end}{rest.split(end, 1)[1]}")
