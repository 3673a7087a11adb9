"""What an adapter is: build into a folder, open it, search at a setting.

Documents are texts (lexical) or `Vectors` (learned); their numbers are their places. Queries are
texts, or pairs of columns (int32, ascending) and weights (float32). One thread throughout.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

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


class Adapter:
    """One system. Subclasses set the names and fill in `build`, `open` and `search`."""

    package = ""  # what pip installs
    module = ""  # what Python imports
    describes = ""  # what was built, and how text becomes words

    def __init__(self, budget: int | None) -> None:
        self.budget = budget
        self.setting: dict[str, Any] = {}
        self.n = 0
        self.parts: dict[str, tuple[float, float]] = {}  # of a build: (wall, CPU) seconds

    def once(self) -> None:
        """What a process does once for any collection: imports, just-in-time compilation."""

    def build(self, documents: Any, folder: Path) -> None:
        """Write the index of all documents into an empty folder."""
        raise NotImplementedError

    def open(self, folder: Path) -> None:
        """Load what `build` wrote; the process's growth from here on is the index."""
        raise NotImplementedError

    def ladder(self) -> list[dict[str, Any]]:
        """Search settings, cheapest first."""
        return [{}]

    def prepare(self, queries: Sequence[Any]) -> Sequence[Any]:
        """Queries in the form that the system takes, outside the clock."""
        return queries

    def search(self, queries: Sequence[Any], k: int) -> Any:
        """The k best of each query at `self.setting`; `ids` makes the answer lists of numbers."""
        return [self.single(query, k) for query in queries]

    def single(self, query: Any, k: int) -> Any:
        """The k best of one query."""
        return self.search([query], k)

    def ids(self, found: Any) -> list[list[int]]:
        """Document numbers of what `search` gave, best first, outside the clock."""
        return [list(map(int, row)) for row in found]

    def index_bytes(self, folder: Path) -> int:
        """What a search needs on disk."""
        return sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())

    def close(self) -> None:
        """Let go of files."""


def levels(values: Array, most: int) -> Array:
    """Whole numbers from 1 to `most`, on a line to the largest value."""
    return np.clip(np.round(values * (most / max(float(values.max()), 1e-9))), 1, most).astype(int)


def best(scores: Array, k: int) -> Array:
    """Places of the k largest, best first."""
    if len(scores) > k:
        top = np.argpartition(-scores, k - 1)[:k]
        return top[np.argsort(-scores[top], kind="stable")]
    return np.argsort(-scores, kind="stable")
