"""Bit-cipher: codes of words by rank, and word vectors by counting the codes of their company.

The b most frequent words have one active bit of b, the next C(b, 2) two, and so on: distinct
supports in the order of ranks. A word's vector is the sum of the codes of the words near it,
without a gradient anywhere (after the bit-cipher of word embeddings, 2023; papers/A-4, section 7).
"""

from __future__ import annotations

from itertools import combinations, islice
from typing import Any

import numpy as np
import numpy.typing as npt

from bigrain.encoders.corpus.factorise import sparse
from bigrain.encoders.corpus.table import unit

__all__ = ["bit_cipher_vectors", "ciphers"]

Floats = npt.NDArray[np.float32]


def ciphers(n_words: int, bits: int) -> npt.NDArray[np.bool_]:
    """(n_words, bits): the code of each word, by rank. Needs n_words < 2^bits."""
    if bits < 63 and n_words >= 1 << bits:
        raise ValueError(f"{bits} bits have {(1 << bits) - 1:,} codes, fewer than {n_words:,}")
    out = np.zeros((n_words, bits), np.bool_)
    supports = (s for active in range(1, bits + 1) for s in combinations(range(bits), active))
    for row, support in enumerate(islice(supports, n_words)):
        out[row, list(support)] = True
    return out


def bit_cipher_vectors(pairs: Any, bits: int) -> Floats:
    """(V, bits) unit vectors of co-occurrences (V, V): what is near each word, beyond chance.

    Codes are softened by the noise of unigram frequency: their mean over the corpus is taken off,
    so that vectors are dense.
    """
    near = np.asarray(pairs.sum(axis=1)).ravel()
    codes = ciphers(pairs.shape[0], bits).astype(np.float32)
    codes -= (near / max(near.sum(), 1)) @ codes
    scale = sparse().diags((1 / np.maximum(near, 1)).astype(np.float32))
    return unit(np.asarray(scale @ (pairs @ codes.astype(np.float32)), np.float32))
