"""Words by the company they keep: co-occurrences, pointwise mutual information, its SVD."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from bigrain.encoders.corpus.factorise import singular, sparse

__all__ = ["cooccurrences", "pmi", "pmi_vectors"]

Floats = npt.NDArray[np.float32]
AT_ONCE = 1 << 20  # words
SMOOTHING = 0.75


def cooccurrences(sequences: Sequence[npt.NDArray[np.int32]], n_words: int, window: int) -> Any:
    """(V, V) symmetric SciPy CSR: how often two words are near, the nearer the more.

    Words of one text at distance k <= window count (window + 1 - k) / window, which is the mean of
    drawing each window's size from 1 to `window` (Mikolov et al. 2013).
    """
    total = sparse().csr_matrix((n_words, n_words), dtype=np.float32)
    gap = np.full(window, -1, np.int32)
    part: list[npt.NDArray[np.int32]] = []
    size = 0
    for at, sequence in enumerate(sequences):
        part += [sequence, gap]
        size += len(sequence)
        if size < AT_ONCE and at < len(sequences) - 1:
            continue
        joined = np.concatenate(part)
        for k in range(1, window + 1):
            left, right = joined[:-k], joined[k:]
            kept = (left >= 0) & (right >= 0)
            weights = np.full(int(kept.sum()), (window + 1 - k) / window, np.float32)
            pairs = weights, (left[kept], right[kept])
            total = total + sparse().csr_matrix(pairs, shape=total.shape)
        part, size = [], 0
    return (total + total.T).tocsr()


def pmi(pairs: Any, *, shift: float = 0.0, smoothing: float = SMOOTHING) -> Any:
    """Positive PMI of co-occurrences: max(0, ln p(w, c) / (p(w) p~(c)) - shift), SciPy CSR.

    p~(c) ~ count(c)^smoothing keeps rare contexts from looking telling (Levy, Goldberg and Dagan,
    2015).
    """
    marginals = np.asarray(pairs.sum(axis=1), np.float64).ravel()
    contexts = marginals**smoothing
    rows = pairs.tocoo()
    p = rows.data / marginals.sum()
    ratio = p / (marginals / marginals.sum())[rows.row] / (contexts / contexts.sum())[rows.col]
    values = np.maximum(np.log(ratio) - shift, 0).astype(np.float32)
    found = sparse().csr_matrix((values, (rows.row, rows.col)), shape=pairs.shape)
    found.eliminate_zeros()
    return found


def pmi_vectors(pairs: Any, dim: int, seed: int) -> Floats:
    """(V, d) word vectors U sqrt(S) of positive PMI = U S V'."""
    left, values, _ = singular(pmi(pairs), dim, seed)
    return np.asarray(left * np.sqrt(values), np.float32)
