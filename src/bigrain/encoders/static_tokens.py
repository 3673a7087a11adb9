"""Token vectors from a table of word pieces: what MaxSim compares when no model runs.

Every distinct piece that is no function word or sign is one token, in order of its number. The
length of a query's token says how much it counts; documents' tokens are unit vectors. A text
without any has one token of zeros.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["TokenVectors"]

Ragged = tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]


class TokenVectors:
    """Tokens of texts given as word pieces.

    `table` (V, dim) int8 and `scales` (V,): the pieces' vectors, as long as they matter in a text's
    sum. `counts` (V,) bool: those that are tokens. `width`: the first so many dimensions are kept.
    `context`: how much of the text's unit vector is added to each unit token before it is made a
    unit vector again.
    """

    def __init__(
        self,
        table: npt.NDArray[np.int8],
        scales: npt.NDArray[np.float32],
        counts: npt.NDArray[np.bool_],
        width: int,
        context: float,
    ) -> None:
        self._table, self._context = table[:, :width], np.float32(context)
        self._lengths = _lengths(self._table)
        self._weights = np.abs(scales) * _lengths(table)
        self._counts = counts & (self._weights > 0) & (self._lengths > 0)

    def documents(
        self, ids: npt.NDArray[np.int32], offsets: Any, vectors: npt.NDArray[np.float32]
    ) -> Ragged:
        """(values (T, dim), offsets (n + 1,)); `vectors` (n, dim) are the texts' unit vectors."""
        text, pieces, ends = self._distinct(ids, offsets)
        return self._mixed(pieces, vectors[text]), ends

    def queries(
        self, ids: npt.NDArray[np.int32], offsets: Any, vectors: npt.NDArray[np.float32]
    ) -> Ragged:
        """As `documents`, each token as long as its piece matters."""
        text, pieces, ends = self._distinct(ids, offsets)
        weights = np.append(self._weights, np.float32(0))[pieces]
        return self._mixed(pieces, vectors[text]) * weights[:, None], ends

    def places(self, ids: npt.NDArray[np.int32], spans: Any) -> npt.NDArray[np.int64]:
        """Rows (token, start, end) of one text, whose pieces stand at `spans` (T, 2)."""
        kept = self._counts[ids]
        if not kept.any():
            return np.zeros((1, 3), np.int64)
        _, tokens = np.unique(ids[kept], return_inverse=True)
        return np.column_stack([tokens, spans[kept]])

    def _distinct(self, ids: npt.NDArray[np.int32], offsets: Any) -> tuple[Any, Any, Any]:
        """(text of each token, its piece, offsets)."""
        n = len(offsets) - 1
        text = np.repeat(np.arange(n), np.diff(offsets))
        kept = self._counts[ids]
        size = len(self._table) + 1  # the last stands for no piece
        bare = np.setdiff1d(np.arange(n), text[kept])
        keys = np.unique(np.concatenate([text[kept] * size + ids[kept], bare * size + size - 1]))
        ends = np.zeros(n + 1, np.int64)
        np.cumsum(np.bincount(keys // size, minlength=n), out=ends[1:])
        return keys // size, keys % size, ends

    def _mixed(self, pieces: Any, around: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        known = pieces < len(self._table)
        mixed = self._context * _units(around[:, : self._table.shape[1]]) * known[:, None]
        some = pieces[known]
        mixed[known] += self._table[some] / self._lengths[some, None]
        return _units(mixed)


def _lengths(table: npt.NDArray[np.int8]) -> Any:
    squares = np.einsum("ij,ij->i", table, table, dtype=np.int32)
    return np.sqrt(squares).astype(np.float32)


def _units(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(lengths > 0, lengths, 1), np.float32)
