"""Term at a time in Numba, exact: postings added into one array of scores, then one pass."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from .base import Adapter, Vectors, best


def compiled() -> Any:
    from numba import njit

    @njit(fastmath=True)
    def candidates(ends, rows, values, columns, weights, k, scores):  # type: ignore[no-untyped-def]
        """Rows that were among the k best so far, in a pass over `scores`, which is filled."""
        scores[:] = 0
        for i in range(len(columns)):
            weight = weights[i]
            for j in range(ends[columns[i]], ends[columns[i] + 1]):
                scores[rows[j]] += weight * values[j]
        bests = np.zeros(k, np.float32)  # ascending
        least = np.float32(0)
        found = np.empty(len(scores), np.uint32)
        n = 0
        for row in range(len(scores)):
            score = scores[row]
            if score > least:
                at = 0
                while at + 1 < k and bests[at + 1] < score:
                    bests[at] = bests[at + 1]
                    at += 1
                bests[at] = score
                least = bests[0]
                found[n] = row
                n += 1
        return found[:n].copy()

    return candidates


class NumbaTerms(Adapter):
    package, module = "numba", "numba"
    describes = "float32 postings, exact"

    def once(self) -> None:
        self.candidates = compiled()
        tiny = Vectors(np.ones(3, np.float32), np.arange(3, dtype=np.int32), np.arange(4), (3, 3))
        with tempfile.TemporaryDirectory() as folder:
            self.build(tiny, Path(folder))
            self.open(Path(folder))
            self.single((np.arange(3, dtype=np.int32), np.ones(3, np.float32)), 2)

    def build(self, documents: Vectors, folder: Path) -> None:
        order = np.argsort(documents.indices, kind="stable")
        rows = np.repeat(np.arange(documents.shape[0], dtype=np.uint32), np.diff(documents.indptr))
        counts = np.bincount(documents.indices, minlength=documents.shape[1])
        np.save(folder / "rows.npy", rows[order])
        np.save(folder / "values.npy", documents.data[order])
        np.save(folder / "ends.npy", np.concatenate(([0], np.cumsum(counts))))
        np.save(folder / "n.npy", np.int64(documents.shape[0]))

    def open(self, folder: Path) -> None:
        parts = (np.load(folder / f"{name}.npy") for name in ("ends", "rows", "values"))
        self.ends, self.rows, self.values = parts
        self.scores = np.zeros(int(np.load(folder / "n.npy")), np.float32)

    def single(self, query: Any, k: int) -> Any:
        columns, weights = query
        found = self.candidates(self.ends, self.rows, self.values, columns, weights, k, self.scores)
        return found[best(self.scores[found], k)]
