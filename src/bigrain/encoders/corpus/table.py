"""A vector a word: a text is the weighted sum of its words', without what all texts share.

    v(text) = unit( s - C'C s ),    s = sum over distinct words t of f(count_t) row_t

f is 1 + ln or the count itself; weights of words are part of the rows; C (r, dim) are orthonormal
directions common to the corpus, none where r = 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from bigrain.encoders.corpus.learned import LearnedEncoder
from bigrain.encoders.corpus.words import Bags

__all__ = ["TableEncoder", "damped", "unit"]

Floats = npt.NDArray[np.float32]
COUNTS = ("log", "plain")


@dataclass(frozen=True, eq=False)
class TableEncoder(LearnedEncoder):
    """Settings: `counts`, "log" or "plain". Arrays: `table` (V, dim), `common` (r, dim)."""

    expected: ClassVar[Mapping[str, type]] = {"table": np.float32, "common": np.float32}

    @property
    def dim(self) -> int:
        return int(self.arrays["table"].shape[1])

    def check(self) -> None:
        table, common = self.arrays["table"], self.arrays["common"]
        if table.ndim != 2 or common.ndim != 2 or table.shape[1] != common.shape[1]:
            raise ValueError(f"table {table.shape} and common {common.shape} do not fit")
        if len(table) != len(self.words):
            raise ValueError(f"{len(table)} rows for {len(self.words)} words")
        if self.settings.get("counts") not in COUNTS:
            raise ValueError(f"counts are one of {', '.join(COUNTS)}")

    def encode_documents(self, texts: Sequence[str]) -> Floats:
        """(n, dim) unit vectors; zeros for a text without known words."""
        bags = self.words.bags(texts)
        if self.settings["counts"] == "log":
            bags = damped(bags)
        sums = bags.pooled(self.arrays["table"])
        common = self.arrays["common"]
        return unit(sums - (sums @ common.T) @ common)


def damped(bags: Bags) -> Bags:
    """The same with 1 + ln(count) for counts."""
    return bags._replace(weights=1 + np.log(bags.weights))


def unit(vectors: Floats) -> Floats:
    """(n, d) at unit length; zeros stay zeros."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(lengths > 0, lengths, 1), np.float32)
