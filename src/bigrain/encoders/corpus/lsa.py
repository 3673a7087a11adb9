"""Latent semantic analysis (Deerwester et al., 1990): truncated SVD of tf-idf, the baseline.

With A = unit((1 + ln tf) idf) = U S V', a text's vector is a V, for documents and queries alike.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bigrain.encoders.corpus.factorise import singular, sparse
from bigrain.encoders.corpus.table import damped
from bigrain.encoders.corpus.words import Bags, Words

__all__ = ["lsa"]

Floats = npt.NDArray[np.float32]


def lsa(words: Words, bags: Bags, dim: int, seed: int) -> Floats:
    """(V, d) rows of words, their idf within; d is `dim`, or as many as there are."""
    idf = words.idf
    matrix = damped(bags).matrix(len(words)) @ sparse().diags(idf)
    lengths = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel())
    scale = sparse().diags((1 / np.where(lengths > 0, lengths, 1)).astype(np.float32))
    _, _, right = singular((scale @ matrix).tocsr().astype(np.float32), dim, seed)
    return np.asarray(right.T * idf[:, None], np.float32)
