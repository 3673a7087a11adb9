"""The form in which texts are searched for substrings, and the way back to places in the text.

White space of any length becomes one blank, and case is folded unless it counts (full folding:
`Straße` is found as `strasse`). Texts are stored in NFC; patterns are brought to it. Nothing else
is changed: accents, punctuation and zero-width characters count.
"""

from __future__ import annotations

import re
import unicodedata

import numpy as np
import numpy.typing as npt

__all__ = ["Places", "verbatim"]

BLANK = re.compile(r"\s+")
Positions = npt.NDArray[np.int64]


def verbatim(text: str, *, case_sensitive: bool = False) -> str:
    """`text` as it is searched.

    >>> verbatim("The  BOOK\\nof Straße")
    'the book of strasse'
    """
    text = unicodedata.normalize("NFC", text)
    return BLANK.sub(" ", text if case_sensitive else text.casefold())


class Places:
    """`searched`: the verbatim form of a stored text; `original` leads back to the text."""

    def __init__(self, text: str, *, case_sensitive: bool = False) -> None:
        self.searched = verbatim(text, case_sensitive=case_sensitive)
        changes = [r"\s{2,}"]
        if not case_sensitive and not text.isascii():
            longer = "".join(c for c in set(text) if len(c.casefold()) != 1)
            changes += [f"[{re.escape(longer)}]"] if longer else []
        # Stretches whose length changes: where they begin and end, here and there.
        spans, there, before = [(0, 0)], [(0, 0)], 0
        for match in re.finditer("|".join(changes), text):
            start, end = match.span()
            begin = spans[-1][1] + start - before
            length = 1 if text[start].isspace() else len(text[start].casefold())
            spans.append((begin, begin + length))
            there.append((start, end))
            before = end
        self._spans, self._there = np.array(spans), np.array(there)

    def original(self, starts: Positions, length: int) -> tuple[Positions, Positions]:
        """(starts, ends) in the text of stretches of `length` characters of `searched`."""
        return self._back(starts, 0), self._back(starts + length - 1, 1)

    def _back(self, positions: Positions, side: int) -> Positions:
        at = np.searchsorted(self._spans[:, 0], positions, side="right") - 1
        # Of stretches of no length the last one; the first one lies before everything.
        behind = positions - self._spans[at, 1]
        back = np.where(behind < 0, self._there[at, side], self._there[at, 1] + behind + side)
        return np.asarray(back, np.int64)

    def find(self, pattern: str) -> Positions:
        """Where a verbatim pattern begins in `searched`, overlapping occurrences included."""
        found, at = [], self.searched.find(pattern)
        while at >= 0:
            found.append(at)
            at = self.searched.find(pattern, at + 1)
        return np.array(found, np.int64)
