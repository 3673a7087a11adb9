"""Weights over the model's own vocabulary.

    splade   max over tokens of log(1 + relu(logit)), the MLM head's (Formal et al., 2021)
    tokens   the same of products h . e_j of last-layer vectors with input embeddings: no head
    bge-m3   relu(w . h + b) of each token, in its own column (Chen et al., 2024)

The heaviest `top` columns are kept; those of the tokeniser's marks never.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from bigrain.types import SparseMatrix

__all__ = ["Row", "TokenWeights", "heaviest", "joined_rows", "matrix_of"]

Floats = npt.NDArray[np.float32]
Row: TypeAlias = tuple[npt.NDArray[np.int64], Floats]  # columns rise, weights above 0


def heaviest(weights: Floats, top: int) -> Row:
    """The `top` largest of (vocabulary,) that are above 0."""
    if top < len(weights):
        columns = np.argpartition(weights, -top)[-top:]
    else:
        columns = np.arange(len(weights))
    columns = np.sort(columns[weights[columns] > 0])
    return columns.astype(np.int64), np.asarray(weights[columns], np.float32)


class TokenWeights:
    """One weight a token, by a linear layer (1, d); a column is a token's id."""

    def __init__(self, weight: Floats, bias: Floats, special: npt.NDArray[np.int64]) -> None:
        self._weight, self._bias, self._special = weight[0], float(bias[0]), special

    def row(self, hidden: Floats, ids: npt.NDArray[np.int64], top: int) -> Row:
        """Of one text's tokens (L, d)."""
        weights = np.maximum(hidden @ self._weight + self._bias, 0)
        weights[np.isin(ids, self._special)] = 0
        columns, place = np.unique(ids, return_inverse=True)
        best = np.zeros(len(columns), np.float32)
        np.maximum.at(best, place, weights)
        kept, found = heaviest(best, top)
        return columns[kept], found


def joined_rows(rows: Sequence[Row], top: int) -> Row:
    """One row for the windows of a long text: the largest weight of each column."""
    if len(rows) == 1:
        return rows[0]
    columns, place = np.unique(np.concatenate([c for c, _ in rows]), return_inverse=True)
    best = np.zeros(len(columns), np.float32)
    np.maximum.at(best, place, np.concatenate([w for _, w in rows]))
    kept, found = heaviest(best, top)
    return columns[kept], found


def matrix_of(rows: Sequence[Row], width: int) -> SparseMatrix:
    """Compressed sparse rows."""
    ends = np.cumsum([0, *(len(columns) for columns, _ in rows)])
    return SparseMatrix(
        np.concatenate([np.empty(0, np.float32), *(weights for _, weights in rows)]),
        np.concatenate([np.empty(0, np.int64), *(columns for columns, _ in rows)]),
        ends.astype(np.int64),
        (len(rows), width),
    )
