"""Step 4, fuse: one score out of several fields' scores (papers/B-4 section 4.1).

    minmax   sum_f  w_f * (s_f - min_f) / (max_f - min_f), min and max over the query's candidates
    rrf      sum_f  w_f / (c + rank_f), c = 60, ranks among the query's candidates

Both see exact scores of every candidate in every field; a document without a row in a field gets
nothing from it. With one field the score is that field's own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from bigrain.errors import ConfigError

__all__ = ["DEFAULT_FUSION", "Fusion", "contributions", "shares_of", "usual_fusion"]

METHODS = ("minmax", "rrf")
# Measured on seven judged collections (benchmarks/quality): flat from 0.3 to 0.4 of the sum.
FAMILY_WEIGHTS = {
    "lexical": 0.65, "dense": 0.35, "sparse": 0.65, "multivector": 0.65, "substring": 0.1,
}  # fmt: skip


@dataclass(frozen=True)
class Fusion:
    """How fields are joined: the method, and a weight for each family of field."""

    method: str = "minmax"
    weights: Mapping[str, float] = field(default_factory=lambda: dict(FAMILY_WEIGHTS))
    rrf_c: float = 60.0

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ConfigError(f"fusion method {self.method!r} is not one of {', '.join(METHODS)}")
        if not self.rrf_c > 0:
            raise ConfigError(f"rrf_c={self.rrf_c!r} must be above 0; 60 is usual")
        for family, weight in self.weights.items():
            if not 0 <= weight < float("inf"):
                raise ConfigError(f"weight of {family} is {weight!r}; use 0 or more")

    def weight_of(self, family: str) -> float:
        return float(self.weights.get(family, 1.0))

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "weights": dict(self.weights)}


DEFAULT_FUSION = Fusion()


def usual_fusion(known: Iterable[Mapping[str, float]]) -> Fusion:
    """The default, with what is `known` of encoders: weights of families beside `FAMILY_WEIGHTS`.

    Of several encoders of one family the largest counts.
    """
    weights: dict[str, float] = {}
    for one in known:
        for family, weight in one.items():
            weights[family] = max(weight, weights.get(family, 0.0))
    return Fusion(weights=FAMILY_WEIGHTS | weights)


def contributions(
    scores: npt.NDArray[np.float32], weights: npt.NDArray[np.float64], fusion: Fusion
) -> npt.NDArray[np.float64]:
    """(Q, documents, fields) shares that add up to the fused scores; NaN scores give 0.

    `weights`: of the fields (fields,), or of each query's (Q, fields).
    """
    part = _ranks(scores, fusion.rrf_c) if fusion.method == "rrf" else _scaled(scores)
    return part * shares_of(weights, fusion)[..., None, :]


def shares_of(weights: npt.NDArray[np.float64], fusion: Fusion) -> npt.NDArray[np.float64]:
    """What each field counts: under minmax the weights, made to add up to 1."""
    if fusion.method == "rrf":
        return weights
    total = weights.sum(axis=-1, keepdims=True)
    return np.asarray(weights / np.where(total > 0, total, 1))


def _scaled(scores: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Each column from 0 to 1; a constant column tells nothing: 0.5, or 0 if nothing matched."""
    known = ~np.isnan(scores)
    values = scores.astype(np.float64)
    low = np.where(known, values, np.inf).min(axis=1, keepdims=True, initial=np.inf)
    high = np.where(known, values, -np.inf).max(axis=1, keepdims=True, initial=-np.inf)
    wide = high > low
    scaled = (values - np.where(wide, low, 0)) / np.where(wide, high - low, 1)
    return np.where(known, np.where(wide, scaled, np.where(high > 0, 0.5, 0.0)), 0.0)


def _ranks(scores: npt.NDArray[np.float32], c: float) -> npt.NDArray[np.float64]:
    order = np.argsort(-scores, axis=1, kind="stable")  # NaN last
    ranks = np.empty(scores.shape, np.int64)
    places = np.arange(1, scores.shape[1] + 1)[None, :, None]
    np.put_along_axis(ranks, order, np.broadcast_to(places, scores.shape), axis=1)
    return np.where(np.isnan(scores), 0.0, 1.0 / (c + ranks))
