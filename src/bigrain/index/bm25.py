"""BM25 by its usual variants, as one function of counts and lengths.

A word that a query weighs w adds to the score of a row of `length` words, `c` of them this word,

    w * idf * gain * c / (c + saturation (1 - b + b * length / average))

with (papers/B-2 section 2.6; Kamphuis et al., "Which BM25 do you mean?"):

    variant    idf                             gain                    saturation
    lucene     ln(1 + (N - df + .5)/(df + .5)) 1                       k1
    robertson  ln((N - df + .5)/(df + .5))     1                       k1           idf from 0
    atire      ln(N / df)                      k1 + 1                  k1
    bm25l      ln((N + 1)/(df + .5))           (k1 + 1) k1/(k1 + d)    k1 + d
    bm25+      ln((N + 1)/df)                  k1 + 1                  k1

N rows, df of them with the word. By their formulas, bm25l and bm25+ (d is their `delta`) give every
row something for the words that it has not, the same to all: idf (k1 + 1) d/(k1 + d) and idf d.
That constant of a query, which changes no ranking, is left out here, so that a row without any of
the words scores 0. What is left of bm25l is the row of the table; of bm25+ nothing depends on d.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["IMPACTS", "Bm25", "Saturation"]

IMPACTS = 255  # of the largest part, 1


@dataclass(frozen=True, slots=True)
class Saturation:
    """The part of a count: c / (c + flat + slope * length), from 0 to 1."""

    flat: float
    slope: float

    def parts(self, counts: npt.NDArray[Any], lengths: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """The parts (n,) of counts (n,) from 1 in rows of these lengths (n,)."""
        c = counts.astype(np.float64)
        found: npt.NDArray[np.float64] = c / (c + (self.flat + self.slope * lengths))
        return found

    def impacts(self, counts: npt.NDArray[Any], lengths: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
        """The parts in 255ths, rounded up."""
        return np.ceil(IMPACTS * self.parts(counts, lengths)).astype(np.uint8)

    def excess(self, then: Saturation, longest: int) -> float:
        """By how much parts may exceed what they were `then`: a factor, at least 1.

        The ratio (c + then) / (c + now) is largest at the smallest count, and it rises or falls
        with the length all the way: so at one of both ends.
        """
        ratios = (
            (1 + then.flat + then.slope * length) / (1 + self.flat + self.slope * length)
            for length in (1, max(longest, 1))
        )
        return max(1.0, *ratios)


@dataclass(frozen=True, slots=True)
class Bm25:
    """A variant by name, its term saturation `k1`, length normalisation `b`, and `delta`."""

    variant: str = "lucene"
    k1: float = 1.2
    b: float = 0.75
    delta: float = 0.5

    def idf(self, n: int, df: int) -> float:
        """The weight of a word that `df` of `n` rows have."""
        if self.variant == "lucene":
            return math.log(1 + (n - df + 0.5) / (df + 0.5))
        if self.variant == "robertson":
            return max(0.0, math.log((n - df + 0.5) / (df + 0.5)))
        if self.variant == "atire":
            return math.log(n / df)
        return math.log((n + 1) / (df + 0.5 if self.variant == "bm25l" else df))

    @property
    def gain(self) -> float:
        """What a part of 1 is worth, but for the idf."""
        if self.variant in ("lucene", "robertson"):
            return 1.0
        if self.variant == "bm25l":
            return (self.k1 + 1) * self.k1 / (self.k1 + self.delta)
        return self.k1 + 1

    def saturation(self, average: float) -> Saturation:
        """How counts saturate where rows have `average` words."""
        top = self.k1 + self.delta if self.variant == "bm25l" else self.k1
        return Saturation(top * (1 - self.b), top * self.b / (average or 1.0))

    def saturation_among(self, lengths: npt.NDArray[Any]) -> Saturation:
        """How counts saturate in rows (n,) of these lengths."""
        return self.saturation(float(lengths.sum(dtype=np.int64)) / max(len(lengths), 1))
