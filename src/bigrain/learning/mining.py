"""The best rows of queries, some queries at a time: by exact scores, and by codes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from bigrain.codecs.dense import DenseCodec

__all__ = ["Coded", "best_rows", "exact_scores", "ranks"]

Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]
Score = Callable[[Floats], Floats]  # (Q, d) queries -> (Q, n) scores
SCORES_AT_ONCE = 1 << 22
ROWS_AT_ONCE = 1 << 14


def exact_scores(vectors: Floats, metric: str) -> Score:
    """Inner products of queries with all vectors, or negative squared distances for 'l2'."""
    if metric != "l2":
        return lambda queries: np.asarray(queries @ vectors.T, np.float32)
    squares = np.einsum("ij,ij->i", vectors, vectors)
    return lambda queries: np.asarray(
        2 * queries @ vectors.T - squares - np.einsum("ij,ij->i", queries, queries)[:, None],
        np.float32,
    )


class Coded:
    """Codes of vectors (n, d) and the scores that a scan of them estimates, in float32."""

    def __init__(self, codec: DenseCodec, vectors: Floats, centroids: Floats | None = None) -> None:
        """`centroids` (n, d): of each vector's list, relative to the codec's centre."""
        self._codec, self._centroids = codec, centroids
        parts, offsets = [], []
        for start in range(0, max(len(vectors), 1), ROWS_AT_ONCE):
            part = slice(start, start + ROWS_AT_ONCE)
            centred = vectors[part] - codec.centre
            codes = codec.encode(centred, None if centroids is None else centroids[part])
            parts.append(codec.quantiser.decode(codes.symbols) * codes.scale[:, None])
            if codes.offset is not None:
                offsets.append(codes.offset)
        self.decoded: Floats = np.concatenate(parts)  # (n, width)
        self._offset = np.concatenate(offsets) if offsets else None

    def stand_for(self) -> Floats:
        """(n, d): vectors whose inner products with queries are the estimates."""
        codec = self._codec
        found = self.decoded @ codec.turned(np.eye(codec.frame.dim, dtype=np.float32)).T
        found += codec.centre
        if self._centroids is not None:
            found += self._centroids
        return np.asarray(found, np.float32)

    def __call__(self, queries: Floats) -> Floats:
        codec = self._codec
        l2 = codec.frame.metric == "l2"
        routed = 2 * (queries - codec.centre) if l2 else queries
        found = codec.turned(routed) @ self.decoded.T
        if self._centroids is not None:
            found += routed @ self._centroids.T
        if self._offset is not None:
            found += self._offset
        constant = -np.square(queries - codec.centre).sum(axis=1) if l2 else queries @ codec.centre
        found += constant[:, None]
        return np.asarray(found, np.float32)


def best_rows(score: Score, queries: Floats, n: int, k: int) -> Rows:
    """(Q, k) the rows of the k greatest scores of each query, best first; k at most n."""
    k = min(k, n)
    step = max(1, SCORES_AT_ONCE // max(n, 1))
    out = np.empty((len(queries), k), np.int64)
    for start in range(0, len(queries), step):
        scores = score(queries[start : start + step])
        kept = np.argpartition(-scores, k - 1, axis=1)[:, :k]
        order = np.argsort(-np.take_along_axis(scores, kept, axis=1), axis=1, kind="stable")
        out[start : start + step] = np.take_along_axis(kept, order, axis=1)
    return out


def ranks(score: Score, queries: Floats, wanted: list[Rows], n: int) -> list[Rows]:
    """Of each query, the ranks (from 0) of its wanted rows; equal scores rank before."""
    step = max(1, SCORES_AT_ONCE // max(n, 1))
    out: list[Rows] = []
    for start in range(0, len(queries), step):
        scores = score(queries[start : start + step])
        for row, rows in zip(scores, wanted[start : start + step], strict=True):
            better = (row[None, :] >= row[rows][:, None]).sum(axis=1) - 1
            out.append(np.asarray(better, np.int64))
    return out
