"""Long texts in pieces, with offsets: `text[start:end]` is the piece, exactly.

    units    sentences or paragraphs of the text; one that is too long is cut at white space
    packing  neighbours together, as many as fit in `max_chars`
    overlap  whole units at the end of a piece that open the next one too

Both steps pass over the text once, so a text of 10 MB takes seconds at most.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

from bigrain.errors import ConfigError, shown

__all__ = ["Chunking", "paragraphs", "sentences", "split"]

Span = tuple[int, int]
LONGEST = 2**31 - 1


@dataclass(frozen=True)
class Chunking:
    """How to cut. Lengths are in characters (English: about 6 a word).

    `by`: "sentence" or "paragraph", where a piece may end; pieces hold as many of them as fit.
    `max_chars`: the longest piece. Only a single character with more combining marks than that is
    longer. `overlap_chars`: the most a piece repeats of the one before, in whole units; at most
    half of `max_chars`.
    """

    by: str = "sentence"
    max_chars: int = 1000
    overlap_chars: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.by, str) or self.by not in ("sentence", "paragraph"):
            raise ConfigError(
                f"by={shown(self.by)}: chunks are cut by 'sentence' or by 'paragraph'"
            )
        for name in ("max_chars", "overlap_chars"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int):
                raise ConfigError(
                    f"{name} must be a whole number of characters, got {shown(value)}"
                )
        if self.max_chars > LONGEST:
            raise ConfigError(f"max_chars={shown(self.max_chars)}: at most {LONGEST:,}; try 1000")
        if self.max_chars < 16:
            raise ConfigError(
                f"max_chars={shown(self.max_chars)}: at least 16 are needed; try 1000"
            )
        if not 0 <= self.overlap_chars <= self.max_chars // 2:
            raise ConfigError(
                f"overlap_chars={shown(self.overlap_chars)}: accepted is 0 to half of max_chars "
                f"({self.max_chars // 2}); try {self.max_chars // 8}"
            )

    def to_dict(self) -> dict[str, Any]:
        """The settings, as JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, config: Mapping[str, Any]) -> Chunking:
        """The chunking that `to_dict` described; ConfigError for keys it does not know."""
        if not isinstance(config, Mapping):
            raise ConfigError(f"a chunking is described by a mapping, not by {shown(config)}")
        unknown = [key for key in config if key not in ("by", "max_chars", "overlap_chars")]
        if unknown:
            raise ConfigError(
                f"a chunking has no setting {', '.join(map(shown, unknown))}; "
                "it has by, max_chars, overlap_chars"
            )
        return cls(**config)


def split(text: str, chunking: Chunking) -> list[Span]:
    """Spans (start, end) of the pieces of `text`, in order, without white space at their ends.

    Starts increase strictly, as do ends; every character that is not white space is in a piece; no
    piece begins with a combining mark that belongs to a letter before it. A text of white space
    only has no pieces.

    >>> text = "One. Two is longer. Three."
    >>> [text[a:b] for a, b in split(text, Chunking(max_chars=20))]
    ['One. Two is longer.', 'Three.']
    """
    units = list(_units(text, chunking))
    spans = []
    first = 0
    while first < len(units):
        start = units[first][0]
        last = first
        while last + 1 < len(units) and units[last + 1][1] - start <= chunking.max_chars:
            last += 1
        spans.append((start, units[last][1]))
        if last + 1 == len(units):
            break
        first = _overlap_from(units, first, last, chunking)
    return spans


def sentences(text: str) -> list[Span]:
    """Spans (start, end) of the sentences of `text`, without white space at their ends."""
    return list(_trimmed(text, _sentence_ends(text, 0, len(text)), 0))


def paragraphs(text: str) -> list[Span]:
    """Spans (start, end) of the paragraphs of `text`, which blank lines set apart."""
    return list(_trimmed(text, _paragraph_ends(text), 0))


def _overlap_from(units: list[Span], first: int, last: int, chunking: Chunking) -> int:
    """The unit the next piece begins with: as early as the overlap and the next unit allow."""
    following = last + 1
    while (
        following - 1 > first
        and units[last][1] - units[following - 1][0] <= chunking.overlap_chars
        and units[last + 1][1] - units[following - 1][0] <= chunking.max_chars
    ):
        following -= 1
    return following


def _units(text: str, chunking: Chunking) -> Iterator[Span]:
    """The smallest stretches a piece is made of, each at most `max_chars` long."""
    if chunking.by == "sentence":
        coarse = _trimmed(text, _sentence_ends(text, 0, len(text)), 0)
    else:
        coarse = _trimmed(text, _paragraph_ends(text), 0)
    for start, end in coarse:
        if end - start <= chunking.max_chars:
            yield start, end
        elif chunking.by == "sentence":
            yield from _cut(text, start, end, chunking.max_chars)
        else:
            for span in _trimmed(text, _sentence_ends(text, start, end), start):
                yield from _cut(text, *span, chunking.max_chars)


def _trimmed(text: str, ends: Iterator[int], start: int) -> Iterator[Span]:
    """Stretches between `ends` without the white space around them; empty ones are left out."""
    for end in ends:
        match = _NOT_BLANK.search(text, start, end)
        if match:
            last = end
            while text[last - 1].isspace():
                last -= 1
            yield match.start(), last
        start = end


# Paragraphs and sentences.

_NOT_BLANK = re.compile(r"\S")
_BLANK_LINE = re.compile(r"\n[^\S\n]*\n|\u2029")
# What may end a sentence: marks that need white space after them, marks that do not (written
# without blanks, or in scripts where they mean nothing else), and blank lines.
_END = re.compile(
    r"(?P<western>[.!?\u2026\u203c-\u203d\u2047-\u2049]+)"
    r"|[。！？｡．؟۔।॥։።፧፨។៕။།༎]+"
    r"|\n[^\S\n]*\n|\u2029"
)
_CLOSING = frozenset("\"')]}\u00bb\u201d\u2019\u203a」』）】〉》〕］｝")
_ABBREVIATIONS = frozenset(
    """mr mrs ms dr prof st sr jr rev hon gen col capt lt sgt gov sen rep pres messrs mme mlle
    vs cf e.g i.e eg ie etc al approx ca resp viz fig figs eq eqs sec ch no nos vol vols pp ed eds
    inc ltd co corp dept est univ assn bros u.s u.k a.m p.m ph.d jan feb mar apr jun jul aug sep
    sept oct nov dec z.b d.h u.a bzw usw nr bd str hr frl abb tab vgl evtl ggf inkl zzgl
    p.ex m art av sig sig.ra dott ing núm pág sra srta ud uds tel т.е т.д т.п им ул стр рис
    г""".split()
)
_BEFORE = re.compile(r"[^\W_]+(?:\.[^\W_]+)*\Z")


def _paragraph_ends(text: str) -> Iterator[int]:
    for match in _BLANK_LINE.finditer(text):
        yield match.end()
    yield len(text)


def _sentence_ends(text: str, start: int, end: int) -> Iterator[int]:
    for match in _END.finditer(text, start, end):
        after = match.end()
        while after < end and text[after] in _CLOSING:
            after += 1
        while after < end and text[after] >= "\u0300" and _clinging().match(text, after):
            after += 1
        if match.lastgroup == "western" and not _ends_sentence(text, match, after, end):
            continue
        yield after
    yield end


def _ends_sentence(text: str, mark: re.Match[str], after: int, end: int) -> bool:
    if after >= end:
        return True
    if not text[after].isspace():
        return False  # 3.14, example.com, Yahoo!s
    if mark[0] != ".":
        return not _next_char(text, after, end).islower()
    before = _BEFORE.search(text[max(0, mark.start() - 24) : mark.start()])
    word = before[0] if before else ""
    following = _next_char(text, after, end)
    if following.islower() or word.lower() in _ABBREVIATIONS:
        # An abbreviation is no end, except where only the capital after "etc." says so.
        return word.lower() in ("etc", "usw", "a.m", "p.m", "inc", "ltd", "co", "corp") and (
            following.isupper()
        )
    return not (len(word) == 1 and word.isupper() and word.isalpha() and word != "I")  # J. Smith


def _next_char(text: str, after: int, end: int) -> str:
    """The first letter or digit within a few characters."""
    return next((c for c in text[after : min(after + 8, end)] if c.isalnum()), "")


# Cutting a sentence that is too long.

_SOFT = frozenset(",;:،؛、，；：・）」』)")


def _cut(text: str, start: int, end: int, max_chars: int) -> Iterator[Span]:
    while end - start > max_chars:
        edge = _cut_place(text, start, end, start + max_chars)
        yield from _trimmed(text, iter([edge]), start)
        start = edge
    yield from _trimmed(text, iter([end]), start)


def _cut_place(text: str, start: int, end: int, limit: int) -> int:
    """Where to cut text[start:limit], at best after white space, else between two clusters."""
    if text[limit].isspace():
        return limit
    for place in range(limit, start, -1):
        if text[place - 1].isspace() and place - 1 > start:
            return place
    for place in range(limit, (start + limit) // 2, -1):
        if text[place - 1] in _SOFT and not _continues(text, place, start):
            return place
    for place in range(limit, start, -1):
        if not _continues(text, place, start):
            return place
    place = limit + 1
    while place < end and _continues(text, place, start):
        place += 1
    return place


def _continues(text: str, place: int, start: int) -> bool:
    """Whether text[place] belongs to the same visible character as the one before it.

    `start` is a place before it known to begin a character.
    """
    if text[place] < "\u0300":
        return text[place - 1] == "\r" and text[place] == "\n"
    if _clinging().match(text, place) or text[place - 1] in "\u200d\u1039\u17d2":
        return True
    if _is_flag_letter(text[place]):  # a flag is a pair of them
        before = place
        while before > start and _is_flag_letter(text[before - 1]):
            before -= 1
        return (place - before) % 2 == 1
    return False


def _is_flag_letter(char: str) -> bool:
    return "\U0001f1e6" <= char <= "\U0001f1ff"


@cache
def _clinging() -> re.Pattern[str]:
    from bigrain.text.ranges import MARK

    # Marks, joiners, emoji modifiers and tags, Hangul vowels and finals, half-width voicing signs.
    return re.compile(
        f"[{MARK}\u200c\u200d\U0001f3fb-\U0001f3ff\U000e0020-\U000e007f\u1160-\u11ff\ud7b0-\ud7fb"
        "\uff9e\uff9f]"
    )
