"""The sparse head that needs no training: what words would the last layer's vectors be?

    w_j = max over tokens i of log(1 + relu(h_i . e_j)) + OWN if j is a token of the text

e_j are the model's own input embeddings, h_i its last layer. The last layer of a sentence encoder
often drifts away from the word itself, so what the text says counts for sure: on parts of selqa
`OWN` takes MiniLM from an nDCG@10 of about 0.77 to about 0.88. Of queries fewer words that they do
not say are kept. All these products cost as much as the model itself, so for documents they are
taken in two grains: the longest third of the h_i, which win nearly all maxima, propose columns in
the `RANK` principal directions of the embeddings, four times as many as are kept; and these are
weighed exactly, with all tokens. Some five in six of the exact heaviest 128 columns are found,
those left out being among the lightest. Queries are short: all their columns are weighed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from bigrain.encoders.transformer.heads.sparse import Row, heaviest

__all__ = ["VocabularyHead"]

Floats = npt.NDArray[np.float32]
RANK = 96
OWN = 3.0
UNSAID = 32  # columns of a query that are not its own
PROPOSED = 4
PROPOSING = 3  # one token in so many
BLOCK = 512  # columns at a time, so that products stay in the cache


class VocabularyHead:
    """`embeddings` (vocabulary, d); `special`: columns that get nothing."""

    def __init__(self, embeddings: Floats, special: npt.NDArray[np.int64]) -> None:
        kept = np.ones(len(embeddings), bool)
        kept[special[special < len(kept)]] = False
        self._columns = np.flatnonzero(kept)
        self._place = np.cumsum(kept) - 1  # of a token that is kept
        self._table = np.ascontiguousarray(embeddings[kept])
        _, directions = np.linalg.eigh(self._table.T @ self._table)
        self._directions = np.ascontiguousarray(directions[:, ::-1][:, :RANK])
        self._coarse = np.ascontiguousarray(self._table @ self._directions)

    def rows(
        self, texts: Sequence[tuple[Floats, npt.NDArray[np.int64]]], top: int, *, query: bool
    ) -> list[Row]:
        """Of texts, each with its tokens (L, d) and their ids, none of them special."""
        some = [(tokens, self._place[np.unique(ids)]) for tokens, ids in texts if len(ids)]
        n = PROPOSED * top
        if query or n >= len(self._columns) or not some:
            found = [self._weighed(tokens, own, None, top, query) for tokens, own in some]
        else:
            loud = [_longest(tokens) @ self._directions for tokens, _ in some]
            starts = np.cumsum([0, *map(len, loud[:-1])])
            coarse = _largest(np.concatenate(loud), starts, self._coarse)
            found = []
            for (tokens, own), estimates in zip(some, coarse, strict=True):
                proposed = np.union1d(np.argpartition(estimates, -n)[-n:], own)
                found.append(self._weighed(tokens, own, proposed, top, query))
        rest = iter(found)
        nothing = np.empty(0, np.int64), np.empty(0, np.float32)
        return [next(rest) if len(ids) else nothing for _, ids in texts]

    def _weighed(
        self,
        tokens: Floats,
        own: npt.NDArray[np.int64],
        proposed: npt.NDArray[np.int64] | None,
        top: int,
        query: bool,
    ) -> Row:
        table = self._table if proposed is None else self._table[proposed]
        best = _largest(tokens, np.zeros(1, np.int64), table)[0]
        weights = np.log1p(np.maximum(best, 0))
        weights[own if proposed is None else np.searchsorted(proposed, own)] += OWN
        found, weights = heaviest(weights, min(top, UNSAID + len(own)) if query else top)
        if proposed is not None:
            found = proposed[found]
        return self._columns[found], weights


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
