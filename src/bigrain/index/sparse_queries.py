"""Queries of a sparse field, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from bigrain.index.base import Floats

__all__ = ["Queries"]


@dataclass(frozen=True)
class Queries:
    """Some queries, one after another."""

    columns: npt.NDArray[np.uint32]
    weights: Floats
    offsets: npt.NDArray[np.int64]

    @classmethod
    def of(cls, queries: Sequence[Any]) -> Queries:
        if len(queries) == 1:
            columns, weights = queries[0]
            ends = np.array([0, len(columns)], np.int64)
            return cls(np.asarray(columns, np.uint32), np.asarray(weights, np.float32), ends)
        counts = [len(columns) for columns, _ in queries]
        all_columns = [np.asarray(columns, np.uint32) for columns, _ in queries]
        all_weights = [np.asarray(weights, np.float32) for _, weights in queries]
        return cls(
            np.concatenate([np.empty(0, np.uint32), *all_columns]),
            np.concatenate([np.empty(0, np.float32), *all_weights]),
            np.concatenate(([0], np.cumsum(counts))).astype(np.int64),
        )

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def widest(self) -> int:
        """The number of columns of the query that has most."""
        return int(np.diff(self.offsets).max(initial=0))

    @cached_property
    def query_of(self) -> npt.NDArray[np.int64]:
        """The query of every column."""
        return np.repeat(np.arange(len(self)), np.diff(self.offsets))
