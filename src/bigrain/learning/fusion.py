"""Weights of the fusion learned from judged questions: what mixture ranks what is right first.

One family's weight after another is tried, the others keeping their proportions; the mean nDCG@10
decides, and of weights that are as good the one nearest to the present stays. No family that had
weight loses all of it: what others find must not be lost to questions that were not learned from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from bigrain.learning.measuring import Grades, ndcg
from bigrain.search.fuse import Fusion, contributions
from bigrain.search.verify import Verified

__all__ = ["Scored", "learn_fusion"]

GRID = np.linspace(0, 1, 21)
LEAST_SHARE = 0.1
ROUNDS = 2
AS_GOOD = 1e-4


@dataclass(frozen=True)
class Scored:
    """Exact scores of the candidates of some questions in every field, whose families are told."""

    parts: Sequence[Verified]
    families: Sequence[str]

    def ndcg(self, fusion: Fusion, grades: Grades) -> npt.NDArray[np.float64]:
        """(Q,) nDCG@10 of the fused ranking."""
        weights = np.array([fusion.weight_of(family) for family in self.families])
        found, start = [], 0
        for part in self.parts:
            fused = contributions(part.scores, weights, fusion).sum(axis=2)
            fused[np.isnan(part.scores).all(axis=2)] = -np.inf
            best = (-fused).argsort(axis=1, kind="stable")[:, :10]
            documents = np.take_along_axis(part.documents, best, axis=1)
            found.append(ndcg(documents, grades[start : start + len(documents)]))
            start += len(documents)
        return np.concatenate(found)


def learn_fusion(scored: Scored, grades: Grades, present: Fusion) -> Fusion:
    """The present fusion with the weights that rank best."""
    names = list(dict.fromkeys(scored.families))
    start = np.array([present.weight_of(name) for name in names])
    start = start / (start.sum() or 1.0)
    best = start
    reached = scored.ndcg(_with(present, names, best), grades).mean()
    for _ in range(ROUNDS if len(names) > 2 else 1):
        for at in range(len(names) if len(names) > 2 else 1):
            base, others = best, np.delete(best, at).sum()
            for share in _by_distance(float(start[at])):
                tried = base * ((1 - share) / others if others > 0 else 0.0)
                tried[at] = share
                if (tried[start > 0] < np.minimum(LEAST_SHARE, start[start > 0]) - 1e-9).any():
                    continue
                found = scored.ndcg(_with(present, names, tried), grades).mean()
                if tried.any() and found > reached + AS_GOOD:
                    best, reached = tried, found
    return _with(present, names, best)


def _by_distance(present: float) -> list[float]:
    """The shares to try, the nearest to the present one first."""
    return sorted(GRID.tolist(), key=lambda share: abs(share - present))


def _with(present: Fusion, names: Sequence[str], weights: npt.NDArray[np.float64]) -> Fusion:
    told = {name: round(float(w), 4) for name, w in zip(names, weights, strict=True)}
    return replace(present, weights={**present.weights, **told})
