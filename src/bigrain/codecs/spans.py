"""Token ranges of sentences, so that parts of a text can be scored with its token vectors.

Reddy et al., AGRaME: Any-Granularity Ranking with Multi-Vector Embeddings, 2024 (papers/B-3b): the
score of a sentence is MaxSim over only its tokens, for the same query. All places in a text are
offsets of characters; ranges are [start, end).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from bigrain.errors import InvalidVectorsError

__all__ = ["characters_of", "token_ranges", "vectors_of"]

Ints = npt.NDArray[np.int64]


def token_ranges(tokens: npt.NDArray[Any], spans: Sequence[tuple[int, int]]) -> Ints:
    """(s, 2) the tokens [a, b) of each span.

    `tokens` (T, 2): where each token stands, in the order of the text; an empty one (a = b, as of
    special tokens) belongs to no span. `spans`: in order, without
    overlap, as `bigrain.text.chunk.sentences` gives them. A token belongs to the span that holds
    its last character (some encoders' tokens begin with the blank before a word), so each is in one
    span at most; a span without tokens gets a = b.
    InvalidVectorsError where tokens or spans are not in order.

    >>> tokens = np.array([[0, 0], [0, 3], [3, 4], [5, 8], [8, 9], [9, 9]])
    >>> token_ranges(tokens, [(0, 4), (5, 9)]).tolist()
    [[1, 3], [3, 5]]
    """
    starts, ends = _ordered(tokens, "token")
    edges = np.asarray(spans, np.int64).reshape(-1, 2)
    _ordered(edges, "span")
    if (edges[1:, 0] < edges[:-1, 1]).any():
        raise InvalidVectorsError("spans overlap; each character may be in one span only")
    real = np.flatnonzero(ends > starts)
    found = np.searchsorted(ends[real] - 1, edges)
    places = np.append(real, len(starts))
    first = places[found[:, 0]]
    last = np.append(0, real + 1)[found[:, 1]]
    return np.stack([first, np.maximum(first, last)], axis=1)


def characters_of(tokens: npt.NDArray[Any], start: int, end: int) -> tuple[int, int]:
    """The characters that the tokens [start, end) cover; (0, 0) if they cover none."""
    part = np.asarray(tokens, np.int64)[start:end]
    part = part[part[:, 1] > part[:, 0]]
    return (int(part[:, 0].min()), int(part[:, 1].max())) if len(part) else (0, 0)


def vectors_of(vector_of: npt.NDArray[Any], ranges: npt.NDArray[Any]) -> list[Ints]:
    """For each token range (s, 2), the vectors of the row that stand for any of its tokens.

    `vector_of` (T,) is the row's part of `Pooled.vector_of`; a vector pooled from tokens of two
    sentences counts for both.
    """
    parts = (np.asarray(vector_of[a:b], np.int64) for a, b in np.asarray(ranges).tolist())
    return [np.unique(part[part >= 0]) for part in parts]


def _ordered(ranges: npt.NDArray[Any], what: str) -> tuple[Ints, Ints]:
    ranges = np.asarray(ranges, np.int64)
    if ranges.ndim != 2 or ranges.shape[1] != 2:
        raise InvalidVectorsError(f"{what} offsets must be (n, 2), got {ranges.shape}")
    starts, ends = ranges[:, 0], ranges[:, 1]
    for wrong, why in (
        (np.flatnonzero(ends < starts), "ends before it begins"),
        (np.flatnonzero(starts < 0), "begins before the text"),
        (np.flatnonzero(np.diff(starts) < 0) + 1, "begins before the one before it"),
        (np.flatnonzero(np.diff(ends) < 0) + 1, "ends before the one before it"),
    ):
        if len(wrong):
            at = int(wrong[0])
            raise InvalidVectorsError(f"{what} {at}, ({starts[at]}, {ends[at]}), {why}")
    return starts, ends
