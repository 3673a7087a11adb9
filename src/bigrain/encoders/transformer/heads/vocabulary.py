"""The sparse head that needs no training: what words would the last layer's vectors be?

    w_j = max over tokens i of log(1 + relu(h_i . e_j))

e_j are the model's own input embeddings, h_i its last layer. All these products cost as much as the
model itself, so for documents they are taken in two grains: the longest third of the h_i, which win
nearly all maxima, propose columns in the `RANK` principal directions of the embeddings, four times
as many as are kept; and these are weighed exactly, with all tokens. Some five in six of the exact
heaviest 128 columns are found, those left out being among the lightest. Queries are short: all
their columns are weighed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from bigrain.encoders.transformer.heads.sparse import Row, heaviest

__all__ = ["VocabularyHead"]

Floats = npt.NDArray[np.float32]
RANK = 96
PROPOSED = 4
PROPOSING = 3  # one token in so many
BLOCK = 512  # columns at a time, so that products stay in the cache


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

    def rows(self, hidden: Sequence[Floats], top: int, *, exactly: bool) -> list[Row]:
        """Of texts, each with the tokens (L, d)."""
        some = [tokens for tokens in hidden if len(tokens)]
        n = PROPOSED * top
        if exactly or n >= len(self._columns) or not some:
            found = [self._weighed(tokens, None, top) for tokens in some]
        else:
            loud = [_longest(tokens) @ self._directions for tokens in some]
            starts = np.cumsum([0, *map(len, loud[:-1])])
            coarse = _largest(np.concatenate(loud), starts, self._coarse)
            found = []
            for tokens, estimates in zip(some, coarse, strict=True):
                proposed = np.sort(np.argpartition(estimates, -n)[-n:])
                found.append(self._weighed(tokens, proposed, top))
        rest = iter(found)
        nothing = np.empty(0, np.int64), np.empty(0, np.float32)
        return [next(rest) if len(tokens) else nothing for tokens in hidden]

    def _weighed(self, tokens: Floats, columns: npt.NDArray[np.int64] | None, top: int) -> Row:
        table = self._table if columns is None else self._table[columns]
        best = _largest(tokens, np.zeros(1, np.int64), table)[0]
        found, weights = heaviest(best, top)
        if columns is not None:
            found = columns[found]
        return self._columns[found], np.log1p(weights)


def _longest(tokens: Floats) -> Floats:
    n = -(-len(tokens) // PROPOSING)
    lengths = np.einsum("ij,ij->i", tokens, tokens)
    return tokens[np.argpartition(lengths, -n)[-n:]]


def _largest(hidden: Floats, starts: npt.NDArray[np.int64], table: Floats) -> Floats:
    """(texts, n): for each row of the table its largest product with a text's tokens."""
    best = np.empty((len(starts), len(table)), np.float32)
    for start in range(0, len(table), BLOCK):
        products = hidden @ table[start : start + BLOCK].T
        best[:, start : start + BLOCK] = np.maximum.reduceat(products, starts, axis=0)
    return best
