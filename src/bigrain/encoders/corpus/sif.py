"""Texts from word vectors: smooth inverse frequency (Arora, Liang and Ma, 2017).

A text is the mean of a / (a + p(w)) v_w, less its part along the first direction of the corpus.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bigrain.encoders.corpus.words import Bags, Words

__all__ = ["COMMONNESS", "common_directions", "sif_rows"]

COMMONNESS = 1e-3  # a
SAMPLED = 20_000  # texts

Floats = npt.NDArray[np.float32]


def sif_rows(words: Words, vectors: Floats) -> Floats:
    """(V, d) word vectors, each with its weight a / (a + p(w))."""
    weights = COMMONNESS / (COMMONNESS + words.shares)
    return np.asarray(vectors * weights[:, None], np.float32)


def common_directions(rows: Floats, bags: Bags, seed: int) -> Floats:
    """(1, d): the first principal direction of the texts' mean vectors; (0, d) if all are zero."""
    n = len(bags.offsets) - 1
    lengths = np.maximum(np.diff(bags.offsets), 1)
    texts = bags.pooled(rows) / lengths[:, None]
    if n > SAMPLED:
        texts = texts[np.random.default_rng(seed).choice(n, SAMPLED, replace=False)]
    _, values, right = np.linalg.svd(texts.T @ texts, hermitian=True)
    return np.asarray(right[:1] if values[0] > 0 else right[:0], np.float32)
