"""What an adapter is, here: an index of texts or of sparse vectors.

Documents are texts (lexical) or `Vectors` (learned); their numbers are their places. Queries are
texts, or pairs of columns (int32, ascending) and weights (float32). One thread throughout.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from system import System

Array = np.ndarray[Any, Any]
STOP_WORDS = tuple(
    "a an and are as at be but by for if in into is it no not of on or such that the their then "
    "there these they this to was will with".split()
)
"""Lucene's classic list, which is bigrain's for English."""


class Vectors(NamedTuple):
    """Compressed sparse rows: columns ascending within a row."""

    data: Array
    indices: Array
    indptr: Array
    shape: tuple[int, int]


class Adapter(System):
    """One system; `budget` is a limit of memory for those that keep one."""

    def __init__(self, budget: int | None) -> None:
        super().__init__()
        self.budget = budget
        self.n = 0
        self.parts: dict[str, tuple[float, float]] = {}  # of a build: (wall, CPU) seconds

    def build(self, documents: Any, folder: Path) -> None:
        """Write the index of all documents into an empty folder."""
        raise NotImplementedError

    def index_bytes(self, folder: Path) -> int:
        """What a search needs on disk."""
        return sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())


def levels(values: Array, most: int) -> Array:
    """Whole numbers from 1 to `most`, on a line to the largest value."""
    return np.clip(np.round(values * (most / max(float(values.max()), 1e-9))), 1, most).astype(int)


def best(scores: Array, k: int) -> Array:
    """Places of the k largest, best first."""
    if len(scores) > k:
        top = np.argpartition(-scores, k - 1)[:k]
        return top[np.argsort(-scores[top], kind="stable")]
    return np.argsort(-scores, kind="stable")
