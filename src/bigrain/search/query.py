"""Queries with operators, and what their signs mean. A plain `str` is never read this way.

    "heavy water"     must be there, word after word     +word    must be there
    word^2.5          weighs 2.5 times as much           -word    must not be there
    grain*            words that begin so                grian~   words so spelt, or nearly (~1, ~2)
    title:word        must be in the title               title:"heavy water"

Scripts without blanks are indexed by pairs of characters. There `*` after several characters means
that they must be said, one after another, and `~` means nothing.

A sign is one where it touches a word, at the beginning or end of what stands between two blanks;
elsewhere it is a character like others: `C++`, `AT&T`, `-5`, `a * b`, `what?`, a quotation mark
without its fellow. So every text is a query, and reading it never fails.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from bigrain.errors import InvalidQueryError, shown
from bigrain.text.tokenise import in_pairs, tokens

__all__ = ["Clause", "Query"]

LARGEST_BOOST = 1000.0


@dataclass(frozen=True, slots=True)
class Clause:
    """One part of a query that has operators.

    `kind`: "words" (said one after another), "prefix" or "fuzzy". `occur`: "+", "-" or "" where it
    need not be there. `edits`: the most of a fuzzy word, None by its length.
    """

    text: str
    kind: str = "words"
    occur: str = ""
    boost: float = 1.0
    title: bool = False
    edits: int | None = None

    @property
    def asked(self) -> str:
        """The words with the sign behind them: `newborn~1`, `silo*`."""
        sign = {"prefix": "*", "fuzzy": "~"}.get(self.kind, "")
        return f"{self.text}{sign}{self.edits or ''}"


@dataclass(frozen=True)
class Query:
    """A text in which signs are operators: `col.search(bigrain.Query('+grain "heavy water"'))`.

    `rest` is what has no operators, `clauses` what has. `plain` is the text without signs and
    without what must not be there: what encoders of vectors are given. `notices` name signs that
    look like operators, of this or another engine, and are none.

    >>> query = Query('silos "heavy water" -moon C++')
    >>> query.rest, query.plain
    ('silos C++', 'silos heavy water C++')
    >>> [clause.text for clause in query.clauses]
    ['heavy water', 'moon']
    """

    text: str
    clauses: tuple[Clause, ...] = field(init=False, repr=False, compare=False)
    rest: str = field(init=False, repr=False, compare=False)
    plain: str = field(init=False, repr=False, compare=False)
    notices: tuple[str, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not isinstance(self.text, str):
            raise InvalidQueryError(f"a Query is made of text, got {type(self.text).__name__}")
        read = list(_read(self.text))
        pieces = [piece for _, piece in read]
        clauses = tuple(piece for piece in pieces if isinstance(piece, Clause))
        rest = [piece for piece in pieces if isinstance(piece, str)]
        plain = [
            piece if isinstance(piece, str) else piece.text
            for piece in pieces
            if isinstance(piece, str) or piece.occur != "-"
        ]
        object.__setattr__(self, "clauses", clauses)
        object.__setattr__(self, "rest", " ".join(rest))
        object.__setattr__(self, "plain", " ".join(plain))
        object.__setattr__(self, "notices", tuple(_notices(read)))


_QUOTED = re.compile(r'([+-]?)(title:)?"([^"]*)"(?:\^(\d+(?:\.\d+)?))?(?!\S)')
_PIECE = re.compile(r"\S+")
_BOOST = re.compile(r"(?<=[\w*~\"])\^(\d{1,9}(?:\.\d{1,9})?)\Z")
_FUZZY = re.compile(r"~([12]?)\Z")
_ONE_WORD = re.compile(r"[^\W_]+(?:['\u2019-][^\W_]+)*")
# Quotation marks as word processors and books set them, and signs of East Asian keyboards.
_ALIKE = str.maketrans("\u201c\u201d\u201e\u00ab\u00bb\uff02\uff0b\uff0d\uff0a\uff5e", '""""""+-*~')
_OTHERS = re.compile(r'[+-]\(\w|!\w|\[\w|\*\w|.*(?:\w\?\w|"~\d|\w"\*)')
TITLE = "title:"


def _read(text: str) -> Iterator[tuple[str, Clause | str]]:
    """Pieces as they stand in the text, and what they are: clauses, or text without operator."""
    alike, at = text.translate(_ALIKE), 0
    while piece := _PIECE.search(alike, at):
        at = piece.start()
        quoted = _QUOTED.match(alike, at)
        if quoted is not None and (clause := _phrase(quoted)) is not None:
            at = quoted.end()
            yield quoted[0], clause
        else:
            at = piece.end()
            raw = text[piece.start() : at]
            yield raw, _word(piece[0]) or raw


def _phrase(found: re.Match[str]) -> Clause | None:
    sign, title, words, boost = found.groups()
    weight = 1.0 if boost is None else float(boost)
    if not _has_word(words) or not 0 < weight <= LARGEST_BOOST:
        return None
    return Clause(words.strip(), "words", sign or "+", weight, title is not None)


def _word(piece: str) -> Clause | str | None:
    """The clause of a piece without blanks, None if no sign in it is an operator.

    A sign that means nothing in a script without blanks is left out.
    """
    word, boost, kind, edits = piece, 1.0, "words", None
    sign = word[0] if word[0] in "+-" and word[1:2].isalpha() else ""
    word = word[len(sign) :]
    title = word.startswith(TITLE) and word[len(TITLE) : len(TITLE) + 1].isalnum()
    word = word[len(TITLE) :] if title else word
    weighed = _BOOST.search(word)
    if weighed is not None and 0 < float(weighed[1]) <= LARGEST_BOOST:
        word, boost = word[: weighed.start()], float(weighed[1])
    whole, fuzzy = word, _FUZZY.search(word)
    if not title and word.endswith("*") and _stem_of(word[:-1], 2):
        word, kind = word[:-1], "prefix"
        if in_pairs(word) and len(tokens(word)) > 1:
            kind, sign = "words", sign or "+"
    elif not title and fuzzy is not None and _stem_of(word[: fuzzy.start()], 3):
        word = word[: fuzzy.start()]
        if not in_pairs(word):
            kind, edits = "fuzzy", int(fuzzy[1]) if fuzzy[1] else None
    plain = not sign and not title and boost == 1.0 and kind == "words"
    if not _has_word(word):
        return None
    if plain:
        return None if word == whole else word
    return Clause(word, kind, sign or ("+" if title else ""), boost, title, edits)


_OF_OTHERS = frozenset(("AND", "OR", "NOT", "(NOT", "&&", "||"))
_FIELD = re.compile(r"[+-]?\(?([^\W\d]\w+):(?![:/\\])\S")
_SIGN = re.compile(r"(?:\*|~[12]?)(?:\^[\d.]+)?\Z")


def _notices(read: Sequence[tuple[str, Clause | str]]) -> Iterator[str]:
    """What looks like an operator and is none; one example of each."""
    told = set()
    for at, (raw, piece) in enumerate(read):
        sign = _SIGN.search(raw) if raw[-1] in "*~12" or "^" in raw else None
        if isinstance(piece, Clause) and piece.title:
            if sign is None:
                continue
            what, why = "title", "holds no * or ~: they mean nothing after title:"
        elif raw in _OF_OTHERS and (0 < at < len(read) - 1 or "NOT" in raw):
            what, why = "OR", "is read as a word: +word must be there, -word must not, others may"
        elif isinstance(piece, str) and _OTHERS.match(raw):
            what, why = "other", "is read as text: it is no operator here"
        elif ":" in raw and (found := _FIELD.match(raw)) and found[1] != "title":
            what, why = "field", "is read as words: of fields only title: can be named in a query"
        elif sign and "~" in sign[0] and _is_words(piece) and not _text(piece).endswith(sign[0]):
            what, why = "~", "is read without ~: its script is indexed by pairs of characters"
        else:
            continue
        if what not in told:
            told.add(what)
            yield f"{shown(raw)} {why}"


def _text(piece: Clause | str) -> str:
    return piece if isinstance(piece, str) else piece.text


def _is_words(piece: Clause | str) -> bool:
    return isinstance(piece, str) or piece.kind == "words"


def _stem_of(word: str, at_least: int) -> bool:
    """One word of so many characters; one is enough beyond the alphabets."""
    return _ONE_WORD.fullmatch(word) is not None and (
        len(word) >= at_least or ord(word[0]) >= 0x0E00
    )


def _has_word(text: str) -> bool:
    return any(map(str.isalnum, text))
