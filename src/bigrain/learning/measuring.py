"""What learning is judged by: one number a question, before and after, and the gain's interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from bigrain.evaluation.significance import paired_bootstrap_interval
from bigrain.learning.report import Gain

__all__ = ["gain_of", "ndcg", "recall_at"]

Floats = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]
Grades = Sequence[Mapping[int, float]]


def ndcg(documents: Numbers, grades: Grades, k: int = 10) -> Floats:
    """(Q,) nDCG@k of ranked documents (Q, n), -1 for none; gains are the grades themselves.

    Järvelin and Kekäläinen, TOIS 2002, discounted by log2(1 + rank), as trec_eval computes it.
    """
    discounts = 1 / np.log2(np.arange(2, k + 2))
    found = np.zeros(len(grades))
    for at, (row, told) in enumerate(zip(documents[:, :k].tolist(), grades, strict=True)):
        ideal = np.sort([grade for grade in told.values() if grade > 0])[::-1][:k]
        if len(ideal):
            gains = np.array([max(0.0, told.get(document, 0.0)) for document in row])
            found[at] = (gains * discounts[: len(gains)]).sum()
            found[at] /= (ideal * discounts[: len(ideal)]).sum()
    return found


def recall_at(documents: Numbers, wanted: Sequence[Numbers], k: int) -> Floats:
    """(Q,) share of what is wanted among the first k of ranked documents (Q, n)."""
    return np.array(
        [
            np.isin(right, row[:k]).mean() if len(right) else 0.0
            for row, right in zip(documents, wanted, strict=True)
        ]
    )


def gain_of(part: str, measure: str, before: Floats, after: Floats, seed: int) -> Gain:
    """The gain with its 95 % interval by a paired bootstrap over questions."""
    low, high = paired_bootstrap_interval(after, before, seed=seed)
    return Gain(
        part,
        measure,
        float(before.mean()),
        float(after.mean()),
        low,
        high,
        len(before),
        int((after > before).sum()),
        int((after < before).sum()),
    )
