"""Word vectors of the random-walk model (Arora et al., TACL 2016), by its squared-norm objective.

    min  sum over pairs f(X_ij) ( ln X_ij - |v_i + v_j|^2 - C )^2,    f(x) = min(x / 100, 1)^0.75

One vector a word, no contexts and no biases. In this model  ln p(w) ~ |v_w|^2 + const  and
PMI(w, w') ~ 2 <v_w, v_w'>  (the paper's vectors are sqrt(2 dim) times as long).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from bigrain.encoders.corpus.factorise import sparse
from bigrain.progress import Reporter

__all__ = ["squared_norm_loss", "squared_norm_vectors"]

Floats = npt.NDArray[Any]
FULL_WEIGHT, POWER = 100.0, 0.75
BATCH = 8192
RATE, CLIP = 0.05, 10.0


def squared_norm_loss(
    vectors: Floats, constant: float, left: Any, right: Any, counts: Floats
) -> tuple[Floats, Floats, Floats]:
    """Of pairs: the weighted squares (m,), their gradients by v_left + v_right (m, d) and by C."""
    both = vectors[left] + vectors[right]
    weights = np.minimum(counts / FULL_WEIGHT, 1) ** POWER
    error = np.log(counts) - (both * both).sum(axis=1) - constant
    slope = -2 * weights * error
    return weights * error**2, 2 * slope[:, None] * both, slope


def squared_norm_vectors(
    pairs: Any, dim: int, *, epochs: int, seed: int, reporter: Reporter
) -> Floats:
    """(V, dim) word vectors of co-occurrences (V, V), by AdaGrad over batches of pairs."""
    rng = np.random.default_rng(seed)
    upper = sparse().triu(pairs, k=1).tocoo()
    n_words = pairs.shape[0]
    vectors: Floats = (rng.normal(size=(n_words, dim)) / np.sqrt(dim)).astype(np.float32)
    squares = np.full((n_words, 1), 1e-8, np.float32)
    constant = float(np.log(upper.data).mean()) - 2 if upper.nnz else 0.0
    constant_square = 1e-8
    reporter.stage("learning word vectors", upper.nnz * epochs, "pairs")
    for _ in range(epochs):
        order = rng.permutation(upper.nnz)
        for start in range(0, upper.nnz, BATCH):
            rows = order[start : start + BATCH]
            left, right, counts = upper.row[rows], upper.col[rows], upper.data[rows]
            _, by_both, by_constant = squared_norm_loss(vectors, constant, left, right, counts)
            by_both = np.clip(by_both, -CLIP, CLIP)
            touched, place = np.unique(np.concatenate([left, right]), return_inverse=True)
            ones = np.ones(len(place), np.float32)
            columns = np.tile(np.arange(len(rows)), 2)
            shape = len(touched), len(rows)
            gradient = sparse().csr_matrix((ones, (place, columns)), shape=shape) @ by_both
            squares[touched] += (gradient * gradient).mean(axis=1, keepdims=True)
            vectors[touched] -= RATE * gradient / np.sqrt(squares[touched])
            slope = float(np.clip(by_constant, -CLIP, CLIP).mean())
            constant_square += slope * slope
            constant -= RATE * slope / constant_square**0.5
            reporter.advance(len(rows))
    return vectors
