"""Which tokens need no vector: punctuation, stop tokens, special tokens (papers/B-3a, ColBERT).

ColBERT drops the embeddings of documents' punctuation after encoding, so that it still shapes the
others (Khattab and Zaharia, SIGIR 2020). Queries keep all their tokens.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Sequence

import numpy as np
import numpy.typing as npt

from bigrain.codecs.ragged import Offsets
from bigrain.errors import InvalidVectorsError

__all__ = ["is_punctuation", "skipped", "without"]

CONTINUES = "##"  # WordPiece: a piece inside a word


def is_punctuation(token: str) -> bool:
    """Whether the token has only marks and symbols; of several characters too ("...", "##)").

    >>> [is_punctuation(token) for token in (",", "...", "##)", "$", "c", "", "##")]
    [True, True, True, True, False, False, True]
    """
    inside = token.removeprefix(CONTINUES) or token
    return bool(inside) and all(unicodedata.category(char)[0] in "PS" for char in inside)


def skipped(
    tokens: Sequence[str], *, punctuation: bool = True, stop: Collection[str] = ()
) -> npt.NDArray[np.bool_]:
    """(T,) which tokens to leave out; `stop` are whole tokens, as the encoder writes them.

    >>> skipped(["the", "cat", "'", "##s"], stop={"the"}).tolist()
    [True, False, True, False]
    """
    known: dict[str, bool] = {}
    for token in tokens:
        if token not in known:
            known[token] = token in stop or (punctuation and is_punctuation(token))
    return np.fromiter((known[token] for token in tokens), bool, len(tokens))


def without(skip: npt.NDArray[np.bool_], offsets: Offsets) -> npt.NDArray[np.bool_]:
    """(T,) which tokens to keep: all but `skip`, and all of a row that would have none left.

    `offsets` (n + 1,) are the rows of the T tokens; InvalidVectorsError if they end elsewhere.
    """
    if offsets[-1] != len(skip):
        raise InvalidVectorsError(f"offsets end at {offsets[-1]}; there are {len(skip)} tokens")
    kept = np.concatenate([[0], np.cumsum(~skip)])[offsets]
    bare = np.diff(kept) == 0
    return np.asarray(~skip | np.repeat(bare, np.diff(offsets)))
