"""What a table is asked to be: size, budget, and what is known of its ids. Checked on creation."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, SupportsIndex, TypeAlias

import numpy as np
import numpy.typing as npt

from bigrain.errors import ConfigError, shown

__all__ = ["FALLING", "Frequencies", "TableSpec"]

FALLING: Literal["falling"] = "falling"
Frequencies: TypeAlias = "npt.ArrayLike | Literal['falling'] | None"
MAX_ROWS = (1 << 31) - 1
MAX_DIM = 1 << 16


@dataclass(frozen=True)
class TableSpec:
    """Size, budget and ids of a table; `of` checks what a user gives."""

    num_embeddings: int
    embedding_dim: int
    budget_bytes: int | None
    frequencies: npt.NDArray[np.float64] | Literal["falling"] | None
    fields: tuple[int, ...] | None  # rows of each field; ids of a field follow the one before it
    seed: int

    @classmethod
    def of(
        cls,
        num_embeddings: int,
        embedding_dim: int,
        budget_bytes: int | None,
        frequencies: Frequencies,
        fields: Sequence[int] | None,
        seed: int,
    ) -> TableSpec:
        n = _whole("num_embeddings", num_embeddings, 1, MAX_ROWS)
        return cls(
            n,
            _whole("embedding_dim", embedding_dim, 1, MAX_DIM),
            None if budget_bytes is None else _whole("budget_bytes", budget_bytes, 1, 1 << 62),
            _frequencies(frequencies, n),
            None if fields is None else _fields(fields, n),
            _whole("seed", seed, 0, MAX_ROWS),
        )

    @cached_property
    def order(self) -> npt.NDArray[Any] | None:
        """(n,) the rank of each id by falling frequency, ties by id; None where the ids have it.

        Kept in the smallest unsigned type, because a table that needs it must store it.
        """
        if self.frequencies is None or isinstance(self.frequencies, str):
            return None
        if (self.frequencies[1:] <= self.frequencies[:-1]).all():
            return None
        ranks = np.empty(self.num_embeddings, order_dtype(self.num_embeddings))
        ranks[np.argsort(-self.frequencies, kind="stable")] = np.arange(self.num_embeddings)
        return ranks

    def need_frequencies(self, name: str) -> None:
        if self.frequencies is None:
            raise ConfigError(
                f"{name} treats frequent ids differently: pass frequencies= (one number an id), "
                "or frequencies='falling' where ids are numbered by falling frequency"
            )


def order_dtype(n: int) -> str:
    return "<u2" if n <= 1 << 16 else "<u4"


def _whole(name: str, value: SupportsIndex, low: int, high: int) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        raise ConfigError(f"{name} must be a whole number, not {shown(value)}") from None
    if isinstance(value, bool) or not low <= number <= high:
        raise ConfigError(f"{name} must be from {low:,} to {high:,}, not {shown(value)}")
    return number


def _frequencies(given: Frequencies, n: int) -> npt.NDArray[np.float64] | Literal["falling"] | None:
    if given is None:
        return None
    if isinstance(given, str):
        if given != FALLING:
            raise ConfigError(f"frequencies must be {n:,} numbers or 'falling', not {shown(given)}")
        return FALLING
    try:
        array = np.asarray(given, np.float64)
    except (TypeError, ValueError):
        raise ConfigError(f"frequencies must be {n:,} numbers, not {shown(given)}") from None
    if array.shape != (n,):
        raise ConfigError(f"frequencies must be one number an id, shape ({n},), not {array.shape}")
    odd = np.flatnonzero(~(np.isfinite(array) & (array >= 0)))
    if len(odd):
        raise ConfigError(
            f"frequencies must be finite and at least 0; that of id {odd[0]} is {array[odd[0]]}"
        )
    return array


def _fields(given: Iterable[int], n: int) -> tuple[int, ...]:
    if not isinstance(given, Iterable) or isinstance(given, str):
        raise ConfigError(f"fields must be the rows of each field, not {shown(given)}")
    rows = tuple(_whole("rows of a field", size, 1, MAX_ROWS) for size in given)
    if sum(rows) != n:
        raise ConfigError(f"fields has {sum(rows):,} rows in all, num_embeddings is {n:,}")
    return rows
