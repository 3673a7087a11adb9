"""A vector a token, of unit length, scored by MaxSim.

Of a plain model: the last layer of the tokens of words; documents leave punctuation out, queries
weigh each token (rare ones more). Of a late-interaction model (ColBERT: Khattab and Zaharia, 2020;
BGE-M3): the projection that it was trained with, and the tokens that it was trained to keep.
Tokens that give no vector are read by the network all the same, so that they shape the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from bigrain.encoders.transformer.heads.dense import unit

__all__ = ["TokenHead", "rarity", "ragged"]

Floats = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int64]


class TokenHead:
    """`skipped` in documents, `skipped_in_queries`: ids of tokens that give no vector.

    `projection`: (weight (dim, d), bias (dim,)) or None. `weights` (vocabulary,): of queries'
    tokens, or None for 1 each.
    """

    def __init__(
        self,
        projection: tuple[Floats, Floats] | None,
        skipped: Ids,
        skipped_in_queries: Ids,
        weights: Floats | None,
    ) -> None:
        self._projection, self._weights = projection, weights
        self._skipped = {False: skipped, True: skipped_in_queries}

    def rows(self, texts: Sequence[tuple[Floats, Ids]], *, query: bool) -> list[Floats]:
        """(t, dim) of the tokens (L, d) of each; at least one, though all were to be skipped."""
        every = self.kept([ids for _, ids in texts], query=query)
        return [
            self._row(hidden, ids, kept, query)
            for (hidden, ids), kept in zip(texts, every, strict=True)
        ]

    def kept(self, texts: Sequence[Ids], *, query: bool) -> list[npt.NDArray[np.bool_]]:
        """Which tokens of each text give a vector."""
        ends = np.cumsum([len(ids) for ids in texts])
        kept = ~np.isin(np.concatenate(texts), self._skipped[query])
        return [some | ~some.any() for some in np.split(kept, ends[:-1])]

    def _row(self, hidden: Floats, ids: Ids, kept: npt.NDArray[np.bool_], query: bool) -> Floats:
        vectors = hidden[kept]
        if self._projection is not None:
            weight, bias = self._projection
            vectors = vectors @ weight.T + bias
        vectors = unit(vectors)
        if query and self._weights is not None:
            vectors = vectors * self._weights[ids[kept]][:, None]
        return np.asarray(vectors, np.float32)


def rarity(counts: Any, n_texts: int) -> Floats:
    """(vocabulary,) weights of mean 1 over the tokens seen: idf, log(1 + n / (0.5 + n_j)), of
    tokens that `counts` of `n_texts` texts hold."""
    counts = np.asarray(counts, np.float64)
    idf = np.log1p(n_texts / (0.5 + counts))
    return np.asarray(idf / idf[counts > 0].mean(), np.float32)


def ragged(rows: Sequence[Floats], dim: int) -> tuple[Floats, npt.NDArray[np.int64]]:
    """(values (T, dim), offsets (n + 1,))."""
    offsets = np.cumsum([0, *map(len, rows)]).astype(np.int64)
    return np.concatenate([np.empty((0, dim), np.float32), *rows]), offsets
