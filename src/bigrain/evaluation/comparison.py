"""Two systems, one measure, the same queries: how far apart are they, and is it chance?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from bigrain.errors import InvalidInputError
from bigrain.evaluation.significance import (
    holm,
    paired_bootstrap_interval,
    paired_t_test,
    randomisation_test,
)

__all__ = ["Comparison", "adjust", "compare_values"]


@dataclass(frozen=True, slots=True)
class Comparison:
    """System `a` against system `b`; positive differences speak for `a`.

    `low` and `high` bound the difference (95 % bootstrap interval over queries). `p_holm` is
    `p_randomisation` adjusted for the other comparisons made in the same breath, None if there
    were none. `wins`, `ties` and `losses` count queries from `a`'s side.
    """

    measure: str
    a: str
    b: str
    mean_a: float
    mean_b: float
    difference: float
    low: float
    high: float
    p_t_test: float
    p_randomisation: float
    wins: int
    ties: int
    losses: int
    p_holm: float | None = None

    @property
    def n_queries(self) -> int:
        """Queries compared."""
        return self.wins + self.ties + self.losses

    def significant(self, alpha: float = 0.05) -> bool:
        """Whether chance is an unlikely explanation, adjusted where there is a family."""
        return (self.p_randomisation if self.p_holm is None else self.p_holm) < alpha

    def not_worse_than(self, margin: float) -> bool:
        """Whether `a` is shown to lose less than `margin`: the whole interval says so.

        The absence of a significant difference shows nothing of the kind.
        """
        return self.low > -margin

    def to_dict(self) -> dict[str, Any]:
        """JSON values that `from_dict` turns back into an equal object."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Comparison:
        """What `to_dict` wrote."""
        return cls(**data)


def compare_values(
    a: Mapping[str, float],
    b: Mapping[str, float],
    *,
    measure: str,
    names: tuple[str, str] = ("a", "b"),
    n_permutations: int = 10_000,
    seed: int = 0,
) -> Comparison:
    """Compare two query id -> value tables, which must be about the same queries."""
    if a.keys() != b.keys():
        only = sorted(a.keys() ^ b.keys())
        raise InvalidInputError(
            f"{names[0]!r} and {names[1]!r} were not scored on the same queries: "
            f"{len(only)} differ, such as {only[0]!r}; score both against the same judgments"
        )
    first = np.array([a[qid] for qid in a], dtype=np.float64)
    second = np.array([b[qid] for qid in a], dtype=np.float64)
    low, high = paired_bootstrap_interval(first, second, seed=seed)
    return Comparison(
        measure=measure,
        a=names[0],
        b=names[1],
        mean_a=float(first.mean()),
        mean_b=float(second.mean()),
        difference=float((first - second).mean()),
        low=low,
        high=high,
        p_t_test=paired_t_test(first, second),
        p_randomisation=randomisation_test(first, second, n_permutations=n_permutations, seed=seed),
        wins=int((first > second).sum()),
        ties=int((first == second).sum()),
        losses=int((first < second).sum()),
    )


def adjust(comparisons: Sequence[Comparison]) -> tuple[Comparison, ...]:
    """The same comparisons with `p_holm` filled in, taken as one family."""
    adjusted = holm([each.p_randomisation for each in comparisons])
    return tuple(replace(each, p_holm=p) for each, p in zip(comparisons, adjusted, strict=True))
