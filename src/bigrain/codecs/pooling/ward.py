"""Token pooling by Ward's hierarchical clustering (papers/B-3b, token pooling).

Clavie, Chaffin and Adams, Reducing the footprint of multi-vector retrieval with minimal performance
impact via token pooling, 2024. A row's tokens X (n, d) are clustered with the rows of 1 - X X^T as
feature vectors, and each of max(1, n // factor) clusters becomes its mean, which is not normalised.

    |f_i - f_j|^2 = (x_i - x_j)^T X^T X (x_i - x_j)

so the features themselves are never formed. Ward's criterion is reducible: pairs of clusters that
are each other's nearest can all be merged at once, and the merges are the same as one after another
(Murtagh, A survey of recent advances in hierarchical clustering algorithms, 1983). Rounds of such
merges run over many rows of similar length together; a tree has few rounds. Distances are as many
as pairs of tokens, so rows of more than LONGEST are clustered in stretches.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bigrain.codecs.pooling.groups import Pooled, pool, require_whole
from bigrain.codecs.ragged import require_ragged

__all__ = ["Ward", "ward_clusters"]

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
BATCH_PAIRS = 1 << 19
LONGEST = 2048  # tokens clustered together


@dataclass(frozen=True)
class Ward:
    """Means of max(1, n // factor) clusters of a row's n tokens; the first `protected` tokens stay
    as they are and do not count.
    """

    factor: int = 2
    protected: int = 0

    def __post_init__(self) -> None:
        require_whole("factor", self.factor, 1, 2)
        require_whole("protected", self.protected, 0, 1)

    def __call__(self, values: npt.NDArray[Any], offsets: npt.NDArray[Any]) -> Pooled:
        offsets = require_ragged(values, offsets)
        labels = np.arange(len(values)) - np.repeat(offsets[:-1], np.diff(offsets))
        row, begin, lengths = _stretches(np.diff(offsets) - self.protected)
        clusters = np.maximum(lengths // self.factor, 1)
        for some in _batches(lengths, clusters):
            n, label = lengths[some], self.protected + begin[some][:, None]
            place = np.arange(n.max())
            held = place < n[:, None]
            at = offsets[row[some]][:, None] + label + np.where(held, place, 0)
            first = np.where(held, values[at, 0], np.inf)  # brings equal tokens side by side
            at = np.take_along_axis(at, np.argsort(first, axis=1, kind="stable"), axis=1)
            tokens = values[at].astype(np.float32) * held[:, :, None]
            found = label + ward_clusters(tokens, n, clusters[some])
            labels[at[held]] = found[held]
        return pool(values, offsets, labels)


def _stretches(lengths: Ints) -> tuple[Ints, Ints, Ints]:
    """(row, where it begins, its length) of each stretch of rows of so many tokens."""
    counts = np.maximum(-(-lengths // LONGEST), 0)
    row = np.repeat(np.arange(len(lengths)), counts)
    nth = np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)
    begin = lengths[row] * nth // counts[row]
    return row, begin, lengths[row] * (nth + 1) // counts[row] - begin


def _batches(lengths: Ints, clusters: Ints) -> Iterator[Ints]:
    """Rows that have something to merge, shortest first, as many as BATCH_PAIRS allows."""
    rows = np.flatnonzero(clusters < lengths)
    rows = rows[np.argsort(lengths[rows], kind="stable")]
    start = 0
    while start < len(rows):
        stop = start + 1
        while stop < len(rows) and (stop - start + 1) * lengths[rows[stop]] ** 2 <= BATCH_PAIRS:
            stop += 1
        yield rows[start:stop]
        start = stop


def ward_clusters(tokens: Floats, lengths: Ints, clusters: Ints) -> Ints:
    """(b, n) for each token a number below n that those of its cluster share.

    `tokens` (b, n, d) float32, zeros from `lengths` (b,) on; `clusters` (b,) from 1 to the length.
    """
    largest = np.abs(tokens).max(axis=(1, 2), keepdims=True)  # clusters do not depend on scale
    scaled = np.divide(tokens, largest, out=np.zeros_like(tokens), where=largest > 0)
    tree = _Trees(_feature_distances(scaled, lengths), lengths)
    while tree.merge_nearest():
        pass
    return tree.cut(lengths - clusters)


def _feature_distances(tokens: Floats, lengths: Ints) -> Floats:
    """(b, n, n) squared distances of features, infinite on the diagonal and beyond the lengths."""
    b, n, d = tokens.shape
    held = np.arange(n) < lengths[:, None]
    mean = tokens.sum(axis=1, keepdims=True) / lengths[:, None, None].astype(np.float32)
    centred = (tokens - mean) * held[:, :, None]  # distances keep more digits
    if n <= d:
        features = centred @ tokens.transpose(0, 2, 1)
        products: Floats = features @ features.transpose(0, 2, 1)
    else:
        products = centred @ (tokens.transpose(0, 2, 1) @ tokens) @ centred.transpose(0, 2, 1)
    own = np.einsum("bii->bi", products).copy()
    products *= -2
    products += own[:, :, None]
    products += own[:, None, :]
    np.maximum(products, 0, out=products)
    products[~held] = np.inf
    products.transpose(0, 2, 1)[~held] = np.inf
    np.einsum("bii->bi", products)[:] = np.inf
    return products


class _Trees:
    """Ward's trees of several rows, growing in rounds.

    A cluster is known by one token of it, its head. When two merge, one head becomes the parent of
    the other, at the height of the merge; so each token but one gets a parent once.
    """

    def __init__(self, distances: Floats, lengths: Ints) -> None:
        b, n = distances.shape[:2]
        self.distances = distances
        self.sizes = (np.arange(n) < lengths[:, None]).astype(np.float32)  # 0: no cluster
        self.heads = np.broadcast_to(np.arange(n), (b, n))
        self.parents = self.heads.copy()
        self.heights = np.full((b, n), np.inf, np.float32)

    def merge_nearest(self) -> bool:
        """Merge all pairs that are each other's nearest; False where every row is one cluster."""
        row, left, right = self._pairs()
        if not len(row):
            return False
        height = self.distances[row, left, right]
        head = self.heads[row, right]
        self.parents[row, head] = self.heads[row, left]
        self.heights[row, head] = height
        self._join(row, left, right, height)
        self._drop_empty()
        return True

    def _pairs(self) -> tuple[Ints, Ints, Ints]:
        """(row, cluster, its nearest) of pairs to merge; every unfinished row has one."""
        b, n = self.sizes.shape
        nearest = self.distances.argmin(axis=2)
        least = np.take_along_axis(self.distances, nearest[:, :, None], axis=2)[:, :, 0]
        place = np.arange(n)
        beside = np.minimum(place ^ 1, n - 1)  # of equal ones a neighbour, so that many pairs form
        nearest = np.where(self.distances[:, place, beside] == least, beside, nearest)
        mutual = np.take_along_axis(nearest, nearest, axis=1) == place
        mutual &= (place < nearest) & (least < np.inf)
        stuck = ~mutual.any(axis=1) & (least < np.inf).any(axis=1)  # by rounding
        mutual[stuck, least[stuck].argmin(axis=1)] = True
        row, left = np.nonzero(mutual)
        return row, left, nearest[row, left]

    def _join(self, row: Ints, left: Ints, right: Ints, height: Floats) -> None:
        """Distances from the joined clusters, by the recurrence of Lance and Williams (1967)."""
        a, b = self.sizes[row, left][:, None], self.sizes[row, right][:, None]
        other = self.sizes[row]
        joined = (a + other) * self.distances[row, left]
        joined += (b + other) * self.distances[row, right]
        joined -= other * height[:, None]
        joined /= a + b + other
        joined[np.arange(len(row)), left] = np.inf
        self.distances[row, left] = joined
        self.sizes[row, left] += b[:, 0]
        other = self.sizes[row]
        joined = (a + other) * self.distances[row, :, left]
        joined += (b + other) * self.distances[row, :, right]
        joined -= other * height[:, None]
        joined /= a + b + other
        joined[np.arange(len(row)), left] = np.inf
        self.distances[row, :, left] = joined
        self.sizes[row, right] = 0

    def _drop_empty(self) -> None:
        """Clusters that are left come first, and as many columns stay as the fullest row needs."""
        empty = self.sizes == 0
        order = np.argsort(empty, axis=1, kind="stable")[:, : int((~empty).sum(axis=1).max())]
        self.sizes = np.take_along_axis(self.sizes, order, axis=1)
        self.heads = np.take_along_axis(self.heads, order, axis=1)
        row = np.arange(len(order))[:, None, None]
        self.distances = self.distances[row, order[:, :, None], order[:, None, :]]
        empty = self.sizes == 0
        self.distances[empty] = np.inf
        self.distances.transpose(0, 2, 1)[empty] = np.inf

    def cut(self, merges: Ints) -> Ints:
        """(b, n) the head of each token's cluster after a row's so many lowest merges."""
        lowest = np.argsort(self.heights, axis=1, kind="stable")
        rank = np.empty_like(lowest)
        np.put_along_axis(rank, lowest, np.arange(rank.shape[1])[None], axis=1)
        heads = np.where(rank < merges[:, None], self.parents, np.arange(rank.shape[1]))
        while True:
            further = np.take_along_axis(heads, heads, axis=1)
            if (further == heads).all():
                return heads
            heads = further
