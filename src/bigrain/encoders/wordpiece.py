"""BERT's uncased WordPiece: normalise in Python, match the pieces in the kernel.

ASCII text, by far the most, needs only lower case; other text is cleaned, its accents are stripped,
and CJK characters and non-ASCII punctuation become words of their own, as in the original.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from bigrain import kernels

__all__ = ["BertTokeniser", "normalise"]

# Control characters vanish; tab and line ends are white space.
_CONTROL = {i: None for i in [*range(0x09), 0x0B, 0x0C, *range(0x0E, 0x20), 0x7F]}
_IDEOGRAPHS = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B820, 0x2CEAF),
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)
_ASCII_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


class BertTokeniser:
    """Texts to token ids of one vocabulary, without special tokens."""

    def __init__(self, vocabulary: Sequence[str]) -> None:
        self._pieces = kernels.WordPiece(list(vocabulary))

    def encode(self, texts: Sequence[str]) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
        """(ids of all texts (T,), offsets (n + 1,))."""
        return self._pieces.encode([normalise(text) for text in texts])


def normalise(text: str) -> str:
    """Lower-cased text without accents, foreign words set apart by blanks."""
    if text.isascii():
        if _ASCII_CONTROL.search(text):
            text = text.translate(_CONTROL)
        return text.lower()
    apart = "".join(map(_clean, text))
    decomposed = unicodedata.normalize("NFD", apart)
    return "".join(map(_strip, decomposed)).lower().translate(_CONTROL)


@lru_cache(maxsize=1 << 13)
def _clean(char: str) -> str:
    """The character, a blank, nothing, or the character between blanks."""
    code = ord(char)
    category = unicodedata.category(char)
    if code in (0, 0xFFFD) or (category[0] == "C" and char not in "\t\n\r"):
        return ""
    if char in "\t\n\r" or category == "Zs":
        return " "
    if any(low <= code <= high for low, high in _IDEOGRAPHS):
        return f" {char} "
    return char


@lru_cache(maxsize=1 << 13)
def _strip(char: str) -> str:
    """Nothing for a combining accent, blanks around punctuation that the kernel does not know."""
    category = unicodedata.category(char)
    if category == "Mn":
        return ""
    if category[0] == "P" and ord(char) > 0x7F:
        return f" {char} "
    return char
