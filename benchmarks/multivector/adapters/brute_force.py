"""MaxSim of every document in NumPy: float32 in memory, products by BLAS."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from maxsim import top

from .base import Adapter, Array

CHUNK = 4096  # tokens in one product


class BruteForce(Adapter):
    package, module = "numpy", "numpy"
    describes = "float32 tokens in memory, exact"

    def build(self, documents: Any, folder: Path) -> None:
        np.save(folder / "values.npy", documents.part(0, documents.n).values)
        np.save(folder / "offsets.npy", documents.offsets)

    def open(self, folder: Path) -> None:
        self.values = np.load(folder / "values.npy")
        self.offsets = np.load(folder / "offsets.npy")
        chunks = np.arange(0, self.offsets[-1], CHUNK)
        self.ends = np.unique(np.r_[np.searchsorted(self.offsets, chunks), len(self.offsets) - 1])

    def single(self, query: Array, k: int) -> Array:
        across = np.ascontiguousarray(query.T)
        scores = np.empty(len(self.offsets) - 1, np.float32)
        for a, b in zip(self.ends[:-1], self.ends[1:], strict=True):
            begin, end = self.offsets[a], self.offsets[b]
            products = self.values[begin:end] @ across
            scores[a:b] = np.maximum.reduceat(products, self.offsets[a:b] - begin).sum(axis=1)
        return top(scores, k)
