"""Lists: vectors grouped around centroids, so that a query looks only where its neighbours may be.

Centroids are kept as int8 rows with one scale each. They are *defined* as the rounded ones:
residuals are taken from them, so rounding costs no accuracy.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from bigrain import kernels

__all__ = ["Partition", "list_count", "quantise"]

Floats = npt.NDArray[np.float32]

FLAT_BELOW = 20_000  # rows; a scan of them all takes as long as choosing lists
PER_SQUARE_ROOT = 4  # lists for every square root of the number of rows
ROUNDS = 6
VERY_LONG = 10  # times the median length
LISTS_AT_ONCE = 16


def list_count(n_rows: int) -> int:
    """How many lists suit a segment."""
    return 1 if n_rows < FLAT_BELOW else int(PER_SQUARE_ROOT * n_rows**0.5)


@dataclass(frozen=True)
class Partition:
    """The centroids of L lists, in coordinates with the mean of all vectors at the origin."""

    panels: npt.NDArray[np.uint8]  # the table (L, d) as `kernels.pack_table` lays it out
    scale: Floats  # (L,)
    dim: int

    @classmethod
    def of(cls, table: npt.NDArray[np.int8], scale: Floats) -> Partition:
        """From rows (L, d) and their scales (L,)."""
        return cls(kernels.pack_table(table), scale, table.shape[1])

    @classmethod
    def single(cls, dim: int) -> Partition:
        """One list around the origin."""
        return cls.of(np.zeros((1, dim), np.int8), np.zeros(1, np.float32))

    @classmethod
    def fit(cls, sample: npt.NDArray[np.int8], scale: Floats, n_lists: int, seed: int) -> Partition:
        """k-means (Lloyd, Euclidean) on a centred sample: `quantise`d rows (n, d), n >= n_lists.

        A list that loses its last vector starts again at a random one. Vectors that are very long
        beside the others begin as centroids: two of them in one list would be known by their signs
        alone, and be wrong by more than all other vectors measure.
        """
        rng = np.random.default_rng(seed)
        some = rng.choice(len(sample), n_lists, replace=False)
        lengths = scale * np.sqrt(np.einsum("ij,ij->i", sample, sample, dtype=np.int32))
        long = np.flatnonzero(lengths > VERY_LONG * np.median(lengths))
        long = np.setdiff1d(long[np.argsort(-lengths[long], kind="stable")[: n_lists // 2]], some)
        some[: len(long)] = long
        found = cls.of(sample[some], scale[some])
        for _ in range(ROUNDS):
            lists = found._nearest(sample, scale)
            del found
            order = np.argsort(lists, kind="stable")
            counts = np.bincount(lists, minlength=n_lists)
            used = np.flatnonzero(counts)
            starts = (np.cumsum(counts) - counts)[used]
            some = rng.integers(0, len(sample), n_lists)
            table, scales = sample[some], scale[some]
            for begin in range(0, len(used), LISTS_AT_ONCE):
                part = slice(begin, begin + LISTS_AT_ONCE)
                first, last = starts[part][0], starts[part][-1] + counts[used[part]][-1]
                rows = order[first:last]
                sums = np.add.reduceat(
                    sample[rows] * scale[rows, None], starts[part] - first, axis=0
                )
                means = np.asarray(sums / counts[used[part]][:, None], np.float32)
                table[used[part]], scales[used[part]] = quantise(means)
            found = cls.of(table, scales)
        return found

    @property
    def n_lists(self) -> int:
        return len(self.scale)

    @property
    def n_bytes(self) -> int:
        return self.panels.nbytes + self.scale.nbytes

    @cached_property
    def table(self) -> npt.NDArray[np.int8]:
        """(L, d); not needed to search."""
        return kernels.unpack_table(self.panels, self.n_lists, self.dim)

    def forget_table(self) -> None:
        """Let go of the rows once there is nothing more to assign."""
        self.__dict__.pop("table", None)

    @cached_property
    def _half_squares(self) -> Floats:
        """-|c|^2 / 2 of every centroid."""
        squares = np.einsum("ij,ij->i", self.table, self.table, dtype=np.int32)
        return np.asarray(-0.5 * self.scale**2 * squares, np.float32)

    def centroids(self, lists: npt.NDArray[np.int32]) -> Floats:
        """(n, d) centroids of the given lists."""
        return np.asarray(self.table[lists] * self.scale[lists, None], np.float32)

    def assign(self, vectors: Floats) -> npt.NDArray[np.int32]:
        """(n,) the list of each centred vector: its nearest centroid."""
        if self.n_lists == 1:
            return np.zeros(len(vectors), np.int32)
        return self._nearest(*quantise(vectors))

    def _nearest(self, rows: npt.NDArray[np.int8], scale: Floats) -> npt.NDArray[np.int32]:
        weight = np.asarray(1 / scale, np.float32)
        return kernels.nearest(self.panels, self.scale, self._half_squares, rows, weight)

    def products(self, queries: Floats) -> Floats:
        """(Q, L) inner products with every centroid; queries are rounded to 8 bits a number."""
        if self.n_lists == 1 and not self.scale.any():
            return np.zeros((len(queries), 1), np.float32)
        rounded, scale = quantise(queries)
        dots = kernels.dot_table(self.panels, self.n_lists, rounded).astype(np.float32)
        dots *= scale[:, None]
        dots *= self.scale
        return dots


def quantise(vectors: Floats) -> tuple[npt.NDArray[np.int8], Floats]:
    """(int8 rows, scale of each): numbers rounded to a grid of 255 steps, zero among them."""
    return kernels.quantise_rows(np.ascontiguousarray(vectors))
