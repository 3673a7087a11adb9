"""Two forms of a text: the one that is stored (`clean_text`) and the one that is searched (`fold`).

Stored text keeps everything a reader can see: only its Unicode form is made canonical (NFC).
Searched text forgets what readers do not type: case, compatibility forms (full-width letters,
ligatures), Arabic vowel signs and tatweel, Hebrew points, zero-width characters. The vowel signs
of Indic and South-East Asian scripts are letters in all but name, and stay.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache

from bigrain.errors import InvalidDocumentError

__all__ = ["clean_text", "fold"]

# Combining signs and fillers that a searcher leaves out.
_IGNORED = (
    "\u00ad\u034f\u061c\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff"
    "\U000e0000-\U000e0fff"  # soft hyphen, joiners, direction marks, variation selectors, tags
    "\u0610-\u061a\u0640\u064b-\u065f\u0670\u06d6-\u06dc\u06df-\u06e4\u06e7\u06e8\u06ea-\u06ed"
    "\u0898-\u089f\u08ca-\u08e1\u08e3-\u08ff"  # Arabic tashkeel, Koranic signs and tatweel
    "\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\ufb1e"  # Hebrew points and accents
)


def clean_text(text: str) -> str:
    """`text` in the form that is stored: canonical composition (NFC), nothing else changed.

    Raises InvalidDocumentError (a ValueError) with the position, in characters, of a lone
    surrogate (half a character, which cannot be written as UTF-8) or a NUL character (a sign that
    the text is really binary data, and cut short by many programs).
    """
    if not isinstance(text, str):
        raise InvalidDocumentError(f"a text must be a str, got {type(text).__name__}")
    nul = text.find("\0")
    if nul >= 0:
        raise InvalidDocumentError(
            f"NUL character at position {nul}: the text may be binary data; "
            r"remove it first, for example with text.replace('\0', ' ')"
        )
    if text.isascii():
        return text
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InvalidDocumentError(
            f"lone surrogate U+{ord(text[error.start]):04X} at position {error.start}: it is half "
            "a character and cannot be stored; decode the source with errors='replace', or use "
            "text.encode('utf-16', 'surrogatepass').decode('utf-16', 'replace')"
        ) from None
    return unicodedata.normalize("NFC", text)


def fold(text: str) -> str:
    """`text` in the form that is searched: NFKC, case folded, ignorable signs removed.

    The result may be longer or shorter than `text`. Folding twice changes nothing.

    >>> fold("Ｓｔｒａße"), fold("كِتَابٌ") == "كتاب", fold("शब्दों") == "शब्दों"
    ('strasse', True, True)
    """
    if text.isascii():
        return text.lower()
    once = _fold_once(text)
    # Removing a sign can bring two characters together that compose: rare, so look again.
    while (again := _fold_once(once)) != once:
        once = again
    return once


def _fold_once(text: str) -> str:
    text = unicodedata.normalize("NFKC", text).casefold()
    text = unicodedata.normalize("NFKC", _ignored().sub("", text))
    if "\u0307" in text:  # the Turkish capital İ folds to i + dot above
        text = _DOTTED_I.sub("i", text)
    return text


_DOTTED_I = re.compile("i\u0307")


@cache
def _ignored() -> re.Pattern[str]:
    return re.compile(f"[{_IGNORED}]+")
