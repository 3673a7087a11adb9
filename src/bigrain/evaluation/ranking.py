"""What a query, a judgment and a run are, and the one rule that turns scores into an order.

The rule is trec_eval's: scores are compared as 32-bit floats, higher first, and documents whose
scores are then equal come in *descending* order of their ids. Everything in this package ranks
through `ranked`, so a run in memory, the same run in a file and trec_eval never disagree.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import numpy as np

from bigrain.errors import InvalidInputError

__all__ = ["Judgments", "Queries", "Run", "distinct_scores", "ranked", "with_positives"]

Queries: TypeAlias = "dict[str, str]"
"""Query id -> text."""
Judgments: TypeAlias = "dict[str, dict[str, int]]"
"""Query id -> document id -> grade; above 0 is relevant (qrels)."""
Run: TypeAlias = "dict[str, dict[str, float]]"
"""Query id -> document id -> score, higher is better."""


def ranked(scores: Mapping[str, float], *, query: str = "") -> list[tuple[str, float]]:
    """The documents of one query, best first, with their scores untouched.

    `query` is only named in error messages.

    >>> ranked({"a": 1.0, "b": 1.0, "c": 2.0})
    [('c', 2.0), ('b', 1.0), ('a', 1.0)]
    """
    ids = list(scores)
    singles = _singles([float(score) for score in scores.values()], ids, query).tolist()
    order = sorted(zip(singles, ids, strict=True), reverse=True)
    return [(doc, float(scores[doc])) for _, doc in order]


def distinct_scores(ranking: list[tuple[str, float]], *, query: str = "") -> list[float]:
    """Scores that keep the order of `ranking` in any tool, however it breaks ties.

    A score stays as it is where it lies below its predecessor as a 32-bit float; otherwise it
    becomes the next 32-bit float below the predecessor's.

    >>> distinct_scores([("b", 1.0), ("a", 1.0)])
    [1.0, 0.9999999403953552]
    """
    ids = [doc for doc, _ in ranking]
    singles = _singles([score for _, score in ranking], ids, query)
    written: list[float] = []
    above = np.float32(np.inf)
    for (_, score), single in zip(ranking, singles, strict=True):
        if single < above:
            written.append(score)
            above = single
        else:
            above = np.nextafter(above, np.float32(-np.inf))
            written.append(float(above))
    return written


def with_positives(judgments: Mapping[str, Mapping[str, int]]) -> list[str]:
    """The queries that can be scored: those with at least one relevant document."""
    return [qid for qid, grades in judgments.items() if any(g > 0 for g in grades.values())]


def _singles(scores: list[float], ids: list[str], query: str) -> np.ndarray:
    with np.errstate(over="ignore"):
        singles = np.array(scores, dtype=np.float64).astype(np.float32)
    if not np.isfinite(singles).all():
        at = int(np.flatnonzero(~np.isfinite(singles))[0])
        where = f"query {query!r}, " if query else ""
        raise InvalidInputError(
            f"{where}document {ids[at]!r}: the score is {scores[at]}; "
            "a run holds finite scores within the range of 32-bit floats, such as 12.5"
        )
    return singles
