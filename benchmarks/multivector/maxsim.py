"""Token vectors in files, exact MaxSim in NumPy, and how answers are compared with it.

    MaxSim(q, d) = sum over tokens i of q of max over tokens j of d of <q_i, d_j>

(Khattab and Zaharia 2020). Imports NumPy alone, so that workers can read the files too.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, Any]
TIE = 1e-5  # scores that differ by no more of their size are equal
TOKENS = 512  # of documents in one product, so that it stays in the cache


class Tokens(NamedTuple):
    """Row i has the vectors values[offsets[i]:offsets[i + 1]]."""

    values: Array  # (T, d) float16 or float32
    offsets: Array  # (n + 1,) int64

    @property
    def n(self) -> int:
        return len(self.offsets) - 1

    @property
    def dim(self) -> int:
        return int(self.values.shape[1])

    def part(self, start: int, stop: int) -> Tokens:
        """Rows from start to stop, float32."""
        a, b = int(self.offsets[start]), int(self.offsets[stop])
        values = np.ascontiguousarray(self.values[a:b], np.float32)
        return Tokens(values, self.offsets[start : stop + 1] - a)

    def row(self, i: int) -> Array:
        """(m, d) float32."""
        return self.part(i, i + 1).values


def documents(path: Path, n: int | None = None) -> Tokens:
    """Those of a file of `token_vectors.py`, or the first n."""
    with np.load(path) as stored:
        offsets = stored["offsets"][: None if n is None else n + 1]
        return Tokens(stored["values"][: offsets[-1]], offsets)


def queries(path: Path, n: int | None = None) -> Tokens:
    with np.load(path) as stored:
        offsets = stored["q_offsets"][: None if n is None else n + 1]
        return Tokens(stored["q_values"][: offsets[-1]], offsets)


def judgments(path: Path, n_documents: int, n_queries: int) -> dict[str, dict[str, int]]:
    """Grades by query and document, both numbers as text; of queries with any relevant document."""
    found: dict[str, dict[str, int]] = {}
    with np.load(path) as stored:
        for query, document, grade in stored["qrels"].tolist() if "qrels" in stored else ():
            if query < n_queries and document < n_documents and grade > 0:
                found.setdefault(str(query), {})[str(document)] = grade
    return found


def scores(given: Tokens, asked: Tokens) -> Array:
    """(queries, documents) float32 MaxSim of every pair."""
    out = np.empty((given.n, asked.n), np.float32)
    across = np.ascontiguousarray(asked.part(0, asked.n).values.T)
    start = 0
    while start < given.n:
        stop = int(np.searchsorted(given.offsets, given.offsets[start] + TOKENS, side="right")) - 1
        stop = min(max(stop, start + 1), given.n)
        part = given.part(start, stop)
        best = np.maximum.reduceat(part.values @ across, part.offsets[:-1], axis=0)
        out[start:stop] = np.add.reduceat(best, asked.offsets[:-1], axis=1)
        start = stop
    return np.ascontiguousarray(out.T)


def top(row: Array, k: int) -> Array:
    """The places of the k largest, best first, lower places first among equals."""
    if len(row) <= k:
        return np.argsort(-row, kind="stable")
    found = np.sort(np.argpartition(-row, k - 1)[:k])
    return found[np.argsort(-row[found], kind="stable")]


def recall(truth: Array, found: Sequence[Sequence[int]], k: int = 10) -> float:
    """Mean share of the k best that was found; whatever scores as the k-th best is one of them.

    `truth` is the (queries, documents) of `scores`; fewer rows of `found` ask about the first.
    """
    shares = []
    for row, ids in zip(truth, found, strict=False):
        last = row[top(row, k)[-1]]
        reached = row[np.unique(np.asarray(ids, np.int64))] >= last - TIE * abs(last)
        shares.append(min(int(reached.sum()), k) / min(k, len(row)))
    return float(np.mean(shares))


def means(tokens: Tokens) -> Array:
    """(n, d) unit vectors: the mean of each row's tokens."""
    out = np.empty((tokens.n, tokens.dim), np.float32)
    for start in range(0, tokens.n, 4096):
        part = tokens.part(start, min(start + 4096, tokens.n))
        out[start : start + part.n] = np.add.reduceat(part.values, part.offsets[:-1], axis=0)
    return out / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-12)
