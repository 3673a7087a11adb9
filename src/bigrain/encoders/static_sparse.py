"""Sparse vectors from word pieces and their table: words that stand in a text and words near it.

A word of one piece, but for an ending, is the column of its stem; every other word, names mostly,
is one of `BUCKETS` more columns by a hash of its pieces. Function words and signs have none.

    document   saturated count (BM25's), plus for words of the vocabulary among the `NEAREST` to
               the text's vector OWN cos, plus RARE for hashed words; and the `ADDED` nearest words
               that do not stand in it, with their cosine
    query      the count of each word, no expansion and no model; the index weighs it by idf

The index must weigh by idf itself (`weighs_by_idf`): what is rare is known only to the collection.
After "Towards competitive search relevance for inference-free learned sparse retrievers" (Geng et
al., 2024), with a table in place of a transformer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from bigrain.types import SparseMatrix

__all__ = ["BUCKETS", "TermWeights"]

BUCKETS = 1 << 17
ENDINGS = ("##s", "##es", "##ed", "##d", "##ing", "##ly")
SATURATION, BY_LENGTH, USUAL_LENGTH = 1.2, 0.75, 100.0  # words that count
OWN, RARE, NEW = 1.0, 0.4, 1.4  # weights of cosines and of hashed words
NEAREST, ADDED = 256, 32
LEAST_LETTERS = 3  # of words that are added
AT_ONCE = 128  # texts whose cosines to all words are held together
WORDS_AT_ONCE = 2048

Ints = npt.NDArray[np.int64]
_MIX = np.uint64(0x9E3779B97F4A7C15)  # 2^64 over the golden ratio, as in SplitMix64


class TermWeights:
    """Columns and weights of texts given as word pieces.

    `vocabulary`: the pieces. `columns` (V,) int: the piece whose column each is counted in, that
    is the most frequent form of its stem, or -1. `table` (V, dim) int8: the pieces' directions.
    """

    def __init__(
        self, vocabulary: Sequence[str], columns: npt.NDArray[Any], table: npt.NDArray[np.int8]
    ) -> None:
        self._size = len(vocabulary)
        self._columns = columns.astype(np.int64)
        self._inside = np.array([piece.startswith("##") for piece in vocabulary])
        self._endings = np.isin(np.array(vocabulary), ENDINGS)
        lengths = np.sqrt(np.einsum("ij,ij->i", table, table, dtype=np.int32))
        self._near = np.array(
            [
                piece
                for piece in np.unique(self._columns[self._columns >= 0]).tolist()
                if lengths[piece] > 0 and _is_word(vocabulary[piece])
            ],
            np.int64,
        )
        self._place = np.full(self._size, -1, np.int64)  # of a column in `_near`
        self._place[self._near] = np.arange(len(self._near))
        self._directions = table[self._near]
        self._lengths = lengths[self._near].astype(np.float32)

    @property
    def width(self) -> int:
        return self._size + BUCKETS

    def queries(self, ids: npt.NDArray[np.int32], offsets: Ints) -> SparseMatrix:
        """(n, width) counts of words."""
        row, column, counts = self._counts(ids, offsets)
        return self._matrix(row, column, counts, len(offsets) - 1)

    def documents(
        self, ids: npt.NDArray[np.int32], offsets: Ints, vectors: npt.NDArray[np.float32]
    ) -> SparseMatrix:
        """(n, width) weights; `vectors` (n, dim) are the texts' unit vectors."""
        n = len(offsets) - 1
        row, column, counts = self._counts(ids, offsets)
        length = np.bincount(row, counts, minlength=n)[row]
        norm = SATURATION * (1 - BY_LENGTH + BY_LENGTH * length / USUAL_LENGTH)
        weights = (counts / (counts + norm)).astype(np.float32)
        weights[column >= self._size] += np.float32(RARE)
        parts = [(row, column, weights)]
        for first in range(0, n, AT_ONCE) if len(self._near) else ():
            a, b = np.searchsorted(row, [first, first + AT_ONCE])
            here = vectors[first : first + AT_ONCE]
            added = self._expand(row[a:b] - first, column[a:b], weights[a:b], here)
            parts.append((added[0] + first, *added[1:]))
        row, column, weights = (np.concatenate(some) for some in zip(*parts, strict=True))
        return self._matrix(row, column, weights, n)

    def _expand(
        self,
        row: Ints,
        column: Ints,
        weights: npt.NDArray[np.float32],
        vectors: npt.NDArray[np.float32],
    ) -> tuple[Ints, Ints, npt.NDArray[np.float32]]:
        """Raises `weights` of words near their text; (row, column, weight) of words to add."""
        cosines = self._cosines(vectors)
        n, known = cosines.shape
        most = min(NEAREST, known)
        nearest = np.argpartition(cosines, known - most, axis=1)[:, known - most :]
        near = np.take_along_axis(cosines, nearest, axis=1)
        least = np.maximum(near.min(axis=1), 0)

        at = np.full(len(column), -1, np.int64)
        inside = np.flatnonzero(column < self._size)
        at[inside] = self._place[column[inside]]
        inside = inside[at[inside] >= 0]
        own_row, own_at = row[inside], at[inside]
        own = cosines[own_row, own_at]
        weights[inside] += np.float32(OWN) * np.where(own >= least[own_row], own, 0)

        cosines[own_row, own_at] = 0
        near = np.take_along_axis(cosines, nearest, axis=1)
        order = np.argsort(-near, axis=1, kind="stable")[:, :ADDED]
        kept = np.take_along_axis(near, order, axis=1)
        columns = self._near[np.take_along_axis(nearest, order, axis=1)]
        rows = np.repeat(np.arange(n), order.shape[1])
        good = kept.ravel() > 0
        return rows[good], columns.ravel()[good], np.float32(NEW) * kept.ravel()[good]

    def _cosines(self, vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """(n, words); the directions become floats a part at a time."""
        out = np.empty((len(vectors), len(self._near)), np.float32)
        for start in range(0, len(self._near), WORDS_AT_ONCE):
            part = slice(start, start + WORDS_AT_ONCE)
            out[:, part] = vectors @ self._directions[part].T.astype(np.float32)
        out /= self._lengths
        return out

    def _counts(
        self, ids: npt.NDArray[np.int32], offsets: Ints
    ) -> tuple[Ints, Ints, npt.NDArray[np.float32]]:
        """(row, column, how often), by row and column."""
        n = len(offsets) - 1
        starts = ~self._inside[ids]
        starts[offsets[:-1][np.diff(offsets) > 0]] = True
        first = np.flatnonzero(starts)
        if not len(first):
            return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32)
        word = np.cumsum(starts) - 1
        last = np.append(first[1:], len(ids)) - 1
        ending = np.zeros(len(ids), bool)
        ending[last] = self._endings[ids[last]] & (last > first)
        size = last - first + 1 - ending[last]
        places = (np.arange(len(ids)) - first[word]).astype(np.uint64)
        with np.errstate(over="ignore"):  # modulo 2^64
            mixed = (ids.astype(np.uint64) + np.uint64(1)) * _MIX
            mixed ^= mixed >> np.uint64(29)
            mixed *= (places * np.uint64(2) + np.uint64(3)) * _MIX
            mixed[ending] = 0
            hashed = np.add.reduceat(mixed, first)
            hashed ^= hashed >> np.uint64(31)
            hashed *= _MIX
        bucket = (hashed >> np.uint64(40)).astype(np.int64) % BUCKETS
        column = np.where(size == 1, self._columns[ids[first]], self._size + bucket)
        row = np.repeat(np.arange(n), np.diff(offsets))[first]
        known = column >= 0
        keys, counts = np.unique(row[known] * self.width + column[known], return_counts=True)
        return keys // self.width, keys % self.width, counts.astype(np.float32)

    def _matrix(self, row: Ints, column: Ints, weights: Any, n: int) -> SparseMatrix:
        order = np.lexsort((column, row))
        ends = np.zeros(n + 1, np.int64)
        np.cumsum(np.bincount(row, minlength=n), out=ends[1:])
        return SparseMatrix(weights[order].astype(np.float32), column[order], ends, (n, self.width))


def _is_word(piece: str) -> bool:
    return piece.isascii() and piece.isalpha() and len(piece) >= LEAST_LETTERS
