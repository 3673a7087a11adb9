"""Pooling to a constant number of vectors by k-means over a row's own tokens (papers/B-3b, CRISP).

Veneroso et al., CRISP: Clustering multi-vector representations for denoising and pruning, 2025. A
row with fewer tokens keeps them all, so records of n_vectors vectors can be laid out in constant
space. Centres begin at tokens spaced evenly over the row and move a fixed number of times, so a
text always gives the same groups. A centre that lost all tokens takes the token that lies farthest
from its own centre.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bigrain.codecs.pooling.groups import Pooled, pool, require_whole
from bigrain.codecs.ragged import require_ragged

__all__ = ["Centroids"]

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
BATCH_BYTES = 1 << 21


@dataclass(frozen=True)
class Centroids:
    """Means of `n_vectors` k-means clusters of a row's tokens, `protected` first ones among them,
    which stay as they are; all tokens where there are no more than that.
    """

    n_vectors: int = 32
    protected: int = 0
    iterations: int = 10

    def __post_init__(self) -> None:
        require_whole("n_vectors", self.n_vectors, 1, 32)
        require_whole("protected", self.protected, 0, 1)
        require_whole("iterations", self.iterations, 0, 10)
        if self.protected >= self.n_vectors:
            require_whole("n_vectors", self.n_vectors, self.protected + 1, self.protected + 32)

    def __call__(self, values: npt.NDArray[Any], offsets: npt.NDArray[Any]) -> Pooled:
        offsets = require_ragged(values, offsets)
        labels = np.arange(len(values)) - np.repeat(offsets[:-1], np.diff(offsets))
        lengths = np.diff(offsets) - self.protected
        clusters = self.n_vectors - self.protected
        rows = np.flatnonzero(lengths > clusters)
        rows = rows[np.argsort(lengths[rows], kind="stable")]
        start = 0
        while start < len(rows):
            room = BATCH_BYTES // (4 * max(values.shape[1], clusters) * int(lengths[rows[start]]))
            part = rows[start : start + max(1, room)]
            n = lengths[part]
            place = np.arange(n.max())
            held = place < n[:, None]
            at = (offsets[part] + self.protected)[:, None] + np.where(held, place, 0)
            tokens = values[at].astype(np.float32) * held[:, :, None]
            found = _clusters(tokens, n, clusters, self.iterations)
            labels[at[held]] = self.protected + found[held]
            start += len(part)
        return pool(values, offsets, labels)


def _clusters(tokens: Floats, lengths: Ints, clusters: int, iterations: int) -> Ints:
    """(b, n) the cluster of each token; `tokens` (b, n, d), zeros from `lengths` (b,) on."""
    held = np.arange(tokens.shape[1]) < lengths[:, None]
    first = np.arange(clusters) * lengths[:, None] // clusters
    centres = np.take_along_axis(tokens, first[:, :, None], axis=1)
    for _ in range(iterations):
        _, members = _assigned(tokens, centres, held)
        counts = members.sum(axis=1)
        sums = members.transpose(0, 2, 1) @ tokens
        moved = sums / np.maximum(counts, 1)[:, :, None]
        centres = np.where(counts[:, :, None] > 0, moved, centres)
    scores, members = _assigned(tokens, centres, held)
    return _without_empty(scores, members, held)


def _assigned(
    tokens: Floats, centres: Floats, held: npt.NDArray[np.bool_]
) -> tuple[Floats, Floats]:
    """Closeness of tokens to centres (b, n, clusters), and membership as 0 and 1."""
    scores = tokens @ centres.transpose(0, 2, 1)
    scores -= 0.5 * np.einsum("bcd,bcd->bc", centres, centres)[:, None]
    members = np.zeros_like(scores)
    np.put_along_axis(members, scores.argmax(axis=2)[:, :, None], held[:, :, None], axis=2)
    return scores, members


def _without_empty(scores: Floats, members: Floats, held: npt.NDArray[np.bool_]) -> Ints:
    """(b, n) the clusters of the members, after every empty one took a token."""
    labels: Ints = members.argmax(axis=2)
    for row in np.flatnonzero((members.sum(axis=1) == 0).any(axis=1)):
        n = int(held[row].sum())
        own, counts = labels[row, :n], members[row].sum(axis=0)
        far = np.argsort(scores[row, np.arange(n), own], kind="stable")
        for empty in np.flatnonzero(counts == 0):
            token = next(t for t in far if counts[own[t]] > 1)
            counts[own[token]] -= 1
            own[token] = empty
            counts[empty] = 1
    return labels
