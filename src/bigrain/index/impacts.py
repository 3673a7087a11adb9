"""Impacts: what a posting adds to scores at most, in one byte, for every family of inverted list.

A list's postings have values (u32), its exact part: the count less 1 of a word, or the bits of a
float32 weight. An impact times the unit of its list is at least what the value stands for.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from bigrain.index.bm25 import Bm25, Saturation

__all__ = ["Counts", "Impacts", "Weights"]

Array = npt.NDArray[Any]
LARGEST = 255


class Impacts(Protocol):
    """Makes impacts of values."""

    lexical: bool

    def meta(self) -> dict[str, Any]:
        """What a reader must know to use them."""
        ...

    def make(
        self, rows: Array, values: Array, starts: Array
    ) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
        """(impacts (m,), unit of each list (T,)) of lists starts[i] to starts[i + 1]."""
        ...


class Counts:
    """Words: impacts are BM25's parts, by the mean length of the rows that are written."""

    lexical = True

    def __init__(self, bm25: Bm25) -> None:
        self._bm25 = bm25
        self._lengths: Array = np.empty(0, np.uint8)
        self.saturation = Saturation(0.0, 0.0)

    def measure(self, lengths: Array) -> None:
        """Take note of the words per row, before anything is made."""
        average = float(lengths.sum(dtype=np.int64)) / max(len(lengths), 1)
        self._lengths, self.saturation = lengths, self._bm25.saturation(average)

    def meta(self) -> dict[str, Any]:
        return {"impacts": {"flat": self.saturation.flat, "slope": self.saturation.slope}}

    def make(
        self, rows: Array, values: Array, starts: Array
    ) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
        counts = values.astype(np.int64) + 1
        impacts = self.saturation.impacts(counts, self._lengths[rows])
        return impacts, np.empty(0, np.float32)


class Weights:
    """Learned weights: impacts are 255ths of each list's largest."""

    lexical = False

    def meta(self) -> dict[str, Any]:
        return {}

    def make(
        self, rows: Array, values: Array, starts: Array
    ) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
        weights = values.view(np.float32)
        largest = np.maximum.reduceat(weights, starts[:-1]) if len(weights) else weights
        units = np.nextafter((largest / np.float32(LARGEST)).astype(np.float32), np.float32(np.inf))
        of_each = np.repeat(units.astype(np.float64), np.diff(starts))
        impacts = np.ceil(weights / of_each)
        return np.clip(impacts, 1, LARGEST).astype(np.uint8), units
