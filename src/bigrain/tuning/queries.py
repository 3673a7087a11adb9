"""The queries that trials are asked with: given, audited, or made of stored vectors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from bigrain.errors import InvalidQueryError, shown
from bigrain.families.base import CodedFamily
from bigrain.index.base import Units
from bigrain.index.coded_index import CodedIndex

__all__ = ["LEAST_QUERIES", "Questions", "audited", "given", "of_documents"]

LEAST_QUERIES = 20  # half of them choose, the others tell
LEAST_TO_FIT = 100  # fewer gain nothing (docs/how-to/choose-a-code.md)
MOST_QUERIES = 2000
ENOUGH_AUDITED = 64


@dataclass(frozen=True)
class Questions:
    """Queries in two random halves, to choose by and fresh ones; and others to fit codes to."""

    choosing: Any  # a list of them, or an array
    fresh: Any
    told: str  # where they are from
    fitting: Any = None

    @property
    def n(self) -> int:
        return len(self.choosing) + len(self.fresh)

    def first(self, n: int) -> Questions:
        """As many at most, half by half."""
        return replace(self, choosing=self.choosing[: n // 2], fresh=self.fresh[: n // 2])

    @classmethod
    def halves(cls, queries: Any, told: str, seed: int, *, fit: bool = False) -> Questions:
        """`fit`: lay a third of them aside, if there are enough, for codes to be fitted to."""
        order = np.random.default_rng(seed).permutation(len(queries))[:MOST_QUERIES]
        fitting = None
        if fit and len(order) // 3 >= LEAST_TO_FIT:
            fitting, order = _some(queries, order[: len(order) // 3]), order[len(order) // 3 :]
            told += f", {len(fitting):,} of them only to fit codes to"
        half = len(order) // 2
        return cls(_some(queries, order[:half]), _some(queries, order[half:]), told, fitting)


def given(family: CodedFamily, queries: Any, seed: int) -> Questions:
    """Texts or vectors of the user, or `InvalidQueryError`."""
    if isinstance(queries, str | bytes | Mapping) or not isinstance(queries, Iterable):
        raise InvalidQueryError(f"queries takes a list of texts or vectors, not {shown(queries)}")
    listed: Sequence[Any] = list(queries)
    if all(isinstance(query, str) for query in listed):
        listed = list(dict.fromkeys(listed))  # no query in both halves
    if len(listed) < LEAST_QUERIES:
        raise InvalidQueryError(
            f"{len(listed)} different queries are too few to choose by one half and state the "
            f"result on the other; give at least {LEAST_QUERIES}, better 200, or leave queries out"
        )
    told = f"{len(listed):,} queries that were given"
    if len(listed) > MOST_QUERIES:
        told = f"{MOST_QUERIES:,} of {told}, drawn at random"
        some = np.random.default_rng(seed).choice(len(listed), MOST_QUERIES, replace=False)
        listed = [listed[i] for i in some.tolist()]
    return Questions.halves(family.queries(listed), told, seed, fit=family.fits_queries)


def audited(family: CodedFamily, queries: Any, seed: int) -> Questions | None:
    """Live queries, if there are enough of them."""
    if queries is None or len(queries) < ENOUGH_AUDITED:
        return None
    told = f"{len(queries):,} audited queries of this handle"
    return Questions.halves(queries, told, seed, fit=family.fits_queries)


def of_documents(index: CodedIndex[Any], units: Units, seed: int) -> Questions:
    """Queries made of stored units that are not searched."""
    queries, told = index.queries_from(units, seed)
    return Questions.halves(
        queries,
        f"{len(queries):,} {told} (real questions may be harder: give some, or audit live ones)",
        seed,
    )


def _some(queries: Any, chosen: npt.NDArray[np.int64]) -> Any:
    if isinstance(queries, np.ndarray):
        return queries[chosen]
    return [queries[i] for i in chosen.tolist()]
