"""The sparse head that needs no training: what words would the last layer's vectors be?

    w_j = max over tokens i of log(1 + relu(h_i . e_j))

e_j are the model's own input embeddings, h_i its last layer. All these products cost more than the
model itself, so for documents they are taken in two grains: the `RANK` principal directions of the
embeddings propose `PROPOSED` times as many columns as are kept, and these are weighed exactly.
Queries are short: all their columns are weighed.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bigrain.encoders.transformer.heads.sparse import Row, heaviest

__all__ = ["VocabularyHead"]

Floats = npt.NDArray[np.float32]
RANK = 64
PROPOSED = 8
BLOCK = 4096  # columns at a time, so that products stay in the cache


class VocabularyHead:
    """`embeddings` (vocabulary, d); `special`: columns that get nothing."""

    def __init__(self, embeddings: Floats, special: npt.NDArray[np.int64]) -> None:
        kept = np.ones(len(embeddings), bool)
        kept[special[special < len(kept)]] = False
        self._columns = np.flatnonzero(kept)
        self._table = np.ascontiguousarray(embeddings[kept])
        _, directions = np.linalg.eigh(self._table.T @ self._table)
        self._directions = np.ascontiguousarray(directions[:, ::-1][:, :RANK])
        self._coarse = np.ascontiguousarray(self._table @ self._directions)

    def row(self, hidden: Floats, top: int, *, exactly: bool) -> Row:
        """Of one text's tokens (L, d)."""
        if not len(hidden):
            return np.empty(0, np.int64), np.empty(0, np.float32)
        n_proposed = PROPOSED * top
        if exactly or n_proposed >= len(self._columns):
            columns = np.arange(len(self._columns))
            best = _largest(hidden, self._table)
        else:
            coarse = _largest(hidden @ self._directions, self._coarse)
            columns = np.sort(np.argpartition(coarse, -n_proposed)[-n_proposed:])
            best = _largest(hidden, self._table[columns])
        found, weights = heaviest(best, top)
        return self._columns[columns[found]], np.log1p(weights)


def _largest(hidden: Floats, table: Floats) -> Floats:
    """(n,) of (n, d): each row's largest product with one of (L, d)."""
    best = np.empty(len(table), np.float32)
    for start in range(0, len(best), BLOCK):
        products = hidden @ table[start : start + BLOCK].T
        products.max(axis=0, out=best[start : start + BLOCK])
    return best
