"""BERT's uncased WordPiece: normalise in Python, match the pieces in the kernel.

ASCII text, by far the most, needs only lower case; other text is cleaned, its accents are stripped,
and CJK characters and non-ASCII punctuation become words of their own, as in the original.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import cached_property, lru_cache
from typing import Any

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
# As the kernel cuts normalised text: white space and punctuation are those of ASCII.
_WORD = re.compile(r"[!-/:-@\[-`{-~]|[^\s!-/:-@\[-`{-~]+", re.ASCII)


class BertTokeniser:
    """Texts to token ids of one vocabulary, without special tokens."""

    def __init__(self, vocabulary: Sequence[str]) -> None:
        self._vocabulary = list(vocabulary)
        self._pieces = kernels.WordPiece(self._vocabulary)

    def encode(self, texts: Sequence[str]) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
        """(ids of all texts (T,), offsets (n + 1,))."""
        return self._pieces.encode([normalise(text) for text in texts])

    def places(self, text: str) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
        """(ids (T,) as `encode` gives them, (T, 2): the characters [start, end) of each)."""
        plain = normalise(text)
        words = [match.span() for match in _WORD.finditer(plain)]
        ids, ends = self._pieces.encode([plain[a:b] for a, b in words])
        if not len(ids):
            return ids, np.empty((0, 2), np.int64)
        counts = np.diff(ends)
        begin, end = np.array(words, np.int64).T
        lengths = self._lengths[ids]
        alone = np.repeat(counts == 1, counts)  # a whole word, which may be an unknown one
        lengths[alone] = (end - begin)[counts == 1]
        after = np.cumsum(lengths)
        stop = after + np.repeat(begin - (after[ends[:-1]] - lengths[ends[:-1]]), counts)
        came = _origins(text)
        return ids, np.stack([came[stop - lengths], came[stop - 1] + 1], axis=1)

    @cached_property
    def _lengths(self) -> Any:
        """(V,) characters of a word that each piece stands for."""
        return np.array([len(piece.removeprefix("##")) for piece in self._vocabulary], np.int64)


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


def _origins(text: str) -> npt.NDArray[np.int64]:
    """The character of `text` that each character of `normalise(text)` comes from.

    Marks that the canonical order moves are counted where they stood.
    """
    if text.isascii() and not _ASCII_CONTROL.search(text):
        return np.arange(len(text))
    return np.repeat(np.arange(len(text)), [_n_normalised(char) for char in text])


@lru_cache(maxsize=1 << 13)
def _n_normalised(char: str) -> int:
    return len(normalise(char))
