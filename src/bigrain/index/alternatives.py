"""Words of which a row gets the best one only: a disjunction max instead of a sum.

The kernels add lists up. So the lists of the words are made anew, such that no row is in two of
them: each row stays in the list of the word that adds most to it. Words of one weight share a list,
for among them the largest count adds most; so there are as many lists as different weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bigrain import kernels
from bigrain.index.bm25 import Saturation

__all__ = ["AnyOf", "best_only"]

WINDOW = 1 << 18  # rows looked at together: 5 bytes for each, and each weight
PEAK_BYTES = 16  # of a posting while its list is made


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Words that stand for one another, as a term of a lexical query.

    A row gets what the best of them adds to it. `words` have shares from 0 to 1 of the term's
    weight, and all count as if they were as frequent as the most frequent of them: a slip of the
    pen in one row does not outweigh the word that was meant. (Lucene's fuzzy queries: blended
    frequencies, disjunction max.)
    """

    words: tuple[tuple[str, float], ...]

    @classmethod
    def of(cls, shares: Mapping[str, float]) -> AnyOf:
        return cls(tuple(shares.items()))


def best_only(
    given: Sequence[tuple[kernels.PostingList, float]],
    n_rows: int,
    lengths: npt.NDArray[Any],
    saturation: Saturation,
) -> list[tuple[kernels.PostingList, float]]:
    """Lists with their weights such that the sum of what they add is the most that one adds."""
    if len(given) < 2:
        return list(given)
    weights = sorted({weight for _, weight in given}, reverse=True)
    parts: list[list[tuple[npt.NDArray[Any], ...]]] = [[] for _ in weights]
    for start in range(0, n_rows, WINDOW):
        stop = min(start + WINDOW, n_rows)
        counts, bounds = _largest(given, weights, start, stop)
        if len(weights) > 1:
            _leave_the_best(counts, np.array(weights), lengths[start:stop], saturation)
        for part, count, bound in zip(parts, counts, bounds, strict=True):
            at = np.flatnonzero(count)
            part.append(((at + start).astype(np.uint32), bound[at], count[at] - np.uint32(1)))
    made = []
    for weight, part in zip(weights, parts, strict=True):
        rows, impacts, values = (np.concatenate(column) for column in zip(*part, strict=True))
        part.clear()
        if n := len(rows):
            data, _, _ = kernels.encode_lists(rows, impacts, values, np.array([0, n]))
            made.append((kernels.posting_list(data, n, n_rows), weight))
    return made


def _largest(
    given: Sequence[tuple[kernels.PostingList, float]],
    weights: Sequence[float],
    start: int,
    stop: int,
) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint8]]:
    """(weights, rows) the largest count, 0 where there is none, and impact in lists of a weight."""
    counts = np.zeros((len(weights), stop - start), np.uint32)
    impacts = np.zeros((len(weights), stop - start), np.uint8)
    for one, weight in given:
        rows, found, values = one.decode()
        inside = slice(*np.searchsorted(rows, [start, stop]))
        at = rows[inside] - np.uint32(start)
        count, impact = counts[weights.index(weight)], impacts[weights.index(weight)]
        count[at] = np.maximum(count[at], values[inside] + np.uint32(1))
        impact[at] = np.maximum(impact[at], found[inside])
    return counts, impacts


def _leave_the_best(
    counts: npt.NDArray[np.uint32],
    weights: npt.NDArray[np.float64],
    lengths: npt.NDArray[Any],
    saturation: Saturation,
) -> None:
    """Of each row, leave the count that adds most; of equals the one of most weight."""
    rows = np.flatnonzero(counts.any(axis=0))
    some = counts[:, rows]
    added = saturation.parts(some, lengths[rows]) * weights[:, None]
    counts[:, rows] = np.where(np.arange(len(weights))[:, None] == added.argmax(axis=0), some, 0)
