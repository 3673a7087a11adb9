"""Sketches: the tokens of a document as the numbers of the centroids that they lie nearest to.

MaxSim with the centroids in place of the tokens, centroid interaction (PLAID: Santhanam et al.,
CIKM 2022), needs no read from disk: two bytes for each centroid that a document has.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from bigrain import kernels
from bigrain.codecs.partition import Partition, quantise

__all__ = ["MOST_CENTROIDS", "Sketcher"]

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.uint16]

MOST_CENTROIDS = 1 << 12
PER_CENTROID = 8  # tokens of the sample, at least
VERY_LONG = 10  # times the median length: such a centroid is cut off


@dataclass(frozen=True)
class Sketcher:
    """The centroids: `table` (K, dim) int8, times `scale`."""

    table: npt.NDArray[np.int8]
    scale: float

    @classmethod
    def fit(cls, sample: Floats, n_tokens: int, seed: int = 0) -> Sketcher:
        """k-means of a sample (T, dim), T > 0, of so many tokens.

        There are 2^floor(log2(8 sqrt(n_tokens))) centroids, as far as the sample tells so many
        apart, at most 4,096: so many are multiplied with each query.
        """
        wanted = min(8 * math.sqrt(n_tokens), len(sample) / PER_CENTROID, MOST_CENTROIDS)
        k = 1 << int(math.log2(max(1, wanted)))
        lists = Partition.fit(*quantise(sample), k, seed)
        centroids = lists.centroids(np.arange(k, dtype=np.int32))
        longest = np.abs(centroids).max(axis=1)
        scale = float(min(longest.max(), VERY_LONG * np.median(longest))) / 127 or 1.0
        return cls(np.rint(np.clip(centroids / scale, -127, 127)).astype(np.int8), scale)

    @property
    def dim(self) -> int:
        return int(self.table.shape[1])

    @cached_property
    def _lists(self) -> Partition:
        return Partition.of(self.table, np.full(len(self.table), self.scale, np.float32))

    @cached_property
    def _columns(self) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.int32]]:
        """The table as the kernel wants it, and the sums of its rows."""
        return _wide(self.table), self.table.sum(axis=1, dtype=np.int32)

    def documents(self, values: Floats, offsets: Ints, most: int) -> tuple[Numbers, Ints]:
        """The numbers of the centroids of all documents, and how many each has, (n,).

        Documents are tokens (T, dim) and offsets (n + 1,). Each names a centroid once; if it has
        more than `most`, those where most of its tokens are.
        """
        owner = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
        keys, counts = np.unique(owner << 16 | self._lists.assign(values), return_counts=True)
        owner, numbers = keys >> 16, (keys & 0xFFFF).astype(np.uint16)
        sizes = np.bincount(owner, minlength=len(offsets) - 1)
        if sizes.max(initial=0) > most:
            order = np.lexsort((-counts, owner))
            rank = np.arange(len(order)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
            kept = np.sort(order[rank < most])
            numbers, sizes = numbers[kept], np.minimum(sizes, most)
        return numbers, sizes

    def scores(
        self,
        queries: Sequence[Floats],
        numbers: Numbers,
        starts: npt.NDArray[np.uint32],
        rows: npt.NDArray[np.int64],
    ) -> Floats:
        """MaxSim (Q, n) of `rows` (Q, n), by their centroids, for queries (m, dim); -1: -inf.

        Row r names the centroids numbers[starts[r]:starts[r + 1]].
        """
        tokens, scale = quantise(np.concatenate([np.empty((0, self.dim), np.float32), *queries]))
        offsets = np.cumsum([0, *map(len, queries)], dtype=np.int64)
        table, sums = self._columns
        return kernels.sketch_scores(
            table, sums, numbers, starts, rows, _wide(tokens),
            scale * np.float32(self.scale), offsets,
        )  # fmt: skip


def _wide(rows: npt.NDArray[np.int8]) -> npt.NDArray[np.int8]:
    """Padded to a multiple of four columns."""
    missing = -rows.shape[1] % 4
    return np.pad(rows, ((0, 0), (0, missing))) if missing else np.ascontiguousarray(rows)
