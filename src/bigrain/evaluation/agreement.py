"""How much of the exact answer an approximate search finds; no judgments needed."""

from __future__ import annotations

from collections.abc import Mapping

from bigrain.errors import InvalidInputError
from bigrain.evaluation.ranking import ranked

__all__ = ["recall_against"]


def recall_against(
    run: Mapping[str, Mapping[str, float]],
    exact: Mapping[str, Mapping[str, float]],
    *,
    k: int = 10,
    tolerance: float | None = None,
) -> dict[str, float]:
    """Query id -> share of the exact first k that the run has in its own first k.

    With `tolerance` (such as 1e-6, in units of score) a document also counts when its score reaches
    the exact k-th score less the tolerance: documents that tie at the edge are equally right.
    Every query of `exact` counts, an unanswered one as 0.

    >>> recall_against({"q": {"a": 3.0, "c": 1.0}}, {"q": {"a": 3.0, "b": 2.0}}, k=2)
    {'q': 0.5}
    """
    if k < 1:
        raise InvalidInputError(f"k is {k}; it must be at least 1, such as 10")
    recall = {}
    for qid, scores in exact.items():
        wanted = ranked(scores, query=qid)[:k]
        if not wanted:
            continue
        ids = {doc for doc, _ in wanted}
        floor = float("inf") if tolerance is None else wanted[-1][1] - tolerance
        found = ranked(run.get(qid, {}), query=qid)[: len(wanted)]
        recall[qid] = sum(doc in ids or score >= floor for doc, score in found) / len(wanted)
    return recall
