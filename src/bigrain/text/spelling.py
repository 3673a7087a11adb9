"""Spellings that readers of a language take for the same word, made one.

    before stemming   digits of all scripts; Persian and Urdu letters typed on Arabic keyboards;
                      Romanian cedillas; Devanagari nukta, candrabindu and nasals before their own
                      class; Vietnamese tone marks on either vowel (hoà, hòa)
    after stemming    marks that are left out in typing, where they are not letters of their own:
                      café, cafe in English, French, Spanish...; not å in Swedish or ł in Polish

Greek, Russian, German, Arabic and Serbian stemmers do this themselves.
"""

from __future__ import annotations

import re
import unicodedata

__all__ = ["respell", "without_marks"]

_FARSI = str.maketrans(
    {"ي": "ی", "ى": "ی", "ك": "ک", "ة": "ه", "ۀ": "ه", "ۂ": "ه", "أ": "ا", "إ": "ا"}
)
_ROMANIAN = str.maketrans("\u015f\u0163", "\u0219\u021b")  # cedillas for commas
_DEVANAGARI = ("hi", "mr", "ne")
# A nasal with virama before a consonant of its own class is written as anusvara too.
_NASAL = re.compile("ङ्(?=[क-घ])|ञ्(?=[च-झ])|ण्(?=[ट-ढ])|न्(?=[त-ध])|म्(?=[प-भ])")
# The tone stands on the second vowel or, in older spelling, on the first: one form of the two.
_TONES = {
    unicodedata.normalize("NFC", f"{a}{b}{tone}"): unicodedata.normalize("NFC", f"{a}{tone}{b}")
    for a, b in ("oa", "oe", "uy")
    for tone in "\u0300\u0301\u0303\u0309\u0323"
}
_OPEN_END = re.compile(f"({'|'.join(_TONES)})$")
_UNMARKED = frozenset(
    "en porter fr es pt it ca gl ro nl dutch_porter af ga la id ms sw sq fil".split()
)


def respell(word: str, code: str) -> str:
    """A folded word in the one spelling that a language's stemmer shall see."""
    if word.isascii():
        return word
    if not word.isalpha():
        word = "".join(_digit(char) for char in word)
    if code in ("fa", "ur"):
        return word.translate(_FARSI)
    if code == "ro":
        return word.translate(_ROMANIAN)
    if code in _DEVANAGARI:
        word = word.replace("\u093c", "").replace("\u0901", "\u0902")
        return _NASAL.sub("\u0902", word)
    if code == "vi" and not word.startswith("qu"):
        return _OPEN_END.sub(lambda match: _TONES[match[0]], word)
    return word


def without_marks(term: str, code: str) -> str:
    """A stemmed term without its accents, in languages whose readers leave them out."""
    if term.isascii() or code not in _UNMARKED:
        return term
    apart = unicodedata.normalize("NFD", term)
    return "".join(char for char in apart if not unicodedata.combining(char)) or term


def _digit(char: str) -> str:
    value = unicodedata.decimal(char, None)
    return char if value is None else str(value)
