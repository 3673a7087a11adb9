"""What an adapter is, here: an index of dense vectors.

Vectors and queries have unit length, so cosine, inner product and Euclidean distance rank alike
and each system uses the metric that suits it.
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from system import System

Array = np.ndarray[Any, Any]
SEED = 7


class Adapter(System):
    """One system over memory-mapped vectors, searched by some threads."""

    verifies_from_disk = False  # reads originals from files when it searches

    def __init__(self, originals: Array, threads: int) -> None:
        super().__init__()
        self.originals, self.threads = originals, threads
        self.n, self.dim = originals.shape

    def build(self, folder: Path) -> None:
        """Write the index of all vectors into an empty folder."""
        raise NotImplementedError

    def others(self) -> dict[str, Callable[[Any], Any]]:
        """Further ways to ask a single query: name -> function of one query."""
        return {}

    def ids(self, found: Any) -> Array:
        """(queries, k) row numbers, outside the clock."""
        return np.asarray(found)

    def lists(self) -> int:
        """The power of two next to 4 sqrt(n): the usual number of IVF lists."""
        return 1 << round(math.log2(4 * math.sqrt(self.n)))

    def sample(self, rows: int) -> Array:
        """Random originals to train on, in memory."""
        rng = np.random.default_rng(SEED)
        chosen = rng.choice(self.n, min(rows, self.n), replace=False)
        return np.ascontiguousarray(self.originals[np.sort(chosen)])


class Reranked(Adapter):
    """A system that only proposes: its candidates are scored with mapped float32 originals."""

    verifies_from_disk = True

    def prepare(self) -> None:
        """Originals are read here and there: no readahead; threads for a batch."""
        self.originals._mmap.madvise(mmap.MADV_RANDOM)
        self.pool = ThreadPoolExecutor(self.threads) if self.threads > 1 else None

    def rerank(self, queries: Array, candidates: Array, k: int) -> Array:
        """The k best of (queries, m) candidate rows (negative: none), by exact inner product."""
        out = np.empty((len(queries), k), np.int64)

        def part(start: int) -> None:
            rows = candidates[start : start + 32]
            vectors = self.originals[np.maximum(rows, 0)]
            scores = np.matmul(vectors, queries[start : start + 32, :, None])[:, :, 0]
            scores[rows < 0] = -np.inf
            if scores.shape[1] > k:
                best = np.argpartition(-scores, k - 1, axis=1)[:, :k]
            else:
                best = np.broadcast_to(np.arange(scores.shape[1]), scores.shape)
            order = np.argsort(-np.take_along_axis(scores, best, 1), axis=1)
            top = np.take_along_axis(rows, np.take_along_axis(best, order, 1), 1)
            out[start : start + 32, : top.shape[1]] = top
            out[start : start + 32, top.shape[1] :] = -1

        starts = range(0, len(queries), 32)
        if self.pool is None or len(starts) < 2:
            for start in starts:
                part(start)
        else:
            list(self.pool.map(part, starts))
        return out
