"""What the operators of a query mean in a snapshot: words with weights, and documents let through.

What must be there, or must not, is a set of documents taken from the inverted lists; it narrows
every field of the search. Phrases and words of titles are verified on the stored text: the lists
say who holds all the words, the text whether they stand together.

Words that a prefix or a fuzzy word stands for weigh no more than the most frequent of them would:
else a rare misspelling in one document would outweigh the word that was meant.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from bigrain.errors import InvalidQueryError
from bigrain.families.lexical import LexicalFamily
from bigrain.index.base import Selection
from bigrain.index.dictionary import words_near, words_with_prefix
from bigrain.index.lexical import LexicalIndex
from bigrain.search.query import Clause, Query
from bigrain.search.view import SnapshotView

__all__ = ["Meaning", "meaning_of"]

Numbers = npt.NDArray[np.int64]
MAX_CLAUSES = 1000
MAX_EXPANDED = 32  # prefixes and fuzzy words of a query, each of which reads the dictionary
SCORED = 50  # words that a prefix or fuzzy word stands for when documents are scored
MATCHED = 10_000  # and when documents are let through
MAX_FUZZY_CHARS = 64
READ_AT_ONCE = 256
Weights = dict[str, float]


@dataclass(frozen=True)
class Meaning:
    """`weights` and `told` by lexical field; `selection` None where nothing is narrowed."""

    weights: Mapping[str, Weights]
    selection: Selection | None
    told: Mapping[str, dict[str, Any]]


class _Near(NamedTuple):
    word: str
    similarity: float


def meaning_of(
    view: SnapshotView, query: Query, fields: Sequence[str], selection: Selection | None
) -> Meaning:
    """What `query` means to the lexical fields named, within a filter's selection.

    Without a lexical field among `fields` those of the collection decide who is let through.
    """
    lexical = [name for name in fields if _is_lexical(view, name)]
    deciding = lexical or [name for name in view.fields if _is_lexical(view, name)]
    if not deciding:
        raise InvalidQueryError(
            "operators need a lexical field, and this collection has none; ask with plain text"
        )
    expanded = sum(clause.kind != "words" for clause in query.clauses)
    if len(query.clauses) > MAX_CLAUSES or expanded > MAX_EXPANDED:
        raise InvalidQueryError(
            f"the query has {len(query.clauses):,} parts with operators, {expanded:,} of them with "
            f"* or ~; at most {MAX_CLAUSES:,}, {MAX_EXPANDED} of them with * or ~"
        )
    readers = [_Reader(name, view) for name in deciding]
    narrowed = _narrow(view, query.clauses, readers, selection)
    asked = [reader for reader in readers if reader.name in lexical]
    return Meaning(
        {reader.name: reader.weights(query) for reader in asked},
        narrowed,
        {reader.name: reader.told(query) for reader in asked},
    )


def _is_lexical(view: SnapshotView, name: str) -> bool:
    return isinstance(view.fields[name].family, LexicalFamily)


class _Reader:
    """One lexical field."""

    def __init__(self, name: str, view: SnapshotView) -> None:
        self.name = name
        family, index = view.fields[name].family, view.fields[name].index
        assert isinstance(family, LexicalFamily) and isinstance(index, LexicalIndex)
        self.family, self.index = family, index
        self.analyser = family.analyser
        self._near: dict[Clause, list[_Near]] = {}

    def near(self, clause: Clause) -> list[_Near] | None:
        """The words that a prefix or fuzzy word stands for, best first; None: it is a plain word.

        The best are the most similar and, among these, the most frequent.
        """
        if clause.kind == "words":
            return None
        if clause not in self._near:
            found = self._prefix(clause) if clause.kind == "prefix" else self._fuzzy(clause)
            if found is None:
                return None
            if len(found) > MATCHED:
                raise InvalidQueryError(
                    f"{len(found):,} words match {clause.text[:40]!r} with * or ~; at most "
                    f"{MATCHED:,}: give more letters"
                )
            frequency = {w: self.index.n_with(w) for w in found}
            kept = [w for w in found if frequency[w]]
            kept.sort(key=lambda w: (-found[w], -frequency[w], w))
            self._near[clause] = [_Near(w, found[w]) for w in kept]
        return self._near[clause]

    def _prefix(self, clause: Clause) -> dict[str, float] | None:
        begins = self.analyser.beginnings(clause.text)
        if not begins:
            return None
        found = {
            word: 1.0
            for view in self.index.views
            for begin in begins
            for word in words_with_prefix(view.segment.file, begin)
        }
        # The index has stems: `running*` is to find `run`, `retrieva*` is to find `retriev`.
        stems = [w for w in self.analyser.terms_of_phrase(clause.text) if self.index.n_with(w)]
        if not found and not stems:
            stems = [w for w in self.analyser.may_come_of(clause.text) if self.index.n_with(w)]
        return found | dict.fromkeys(stems, 1.0)

    def _fuzzy(self, clause: Clause) -> dict[str, float] | None:
        words = self.analyser.terms_of_phrase(clause.text)
        if len(words) != 1 or len(words[0]) > MAX_FUZZY_CHARS:
            return None
        edits = clause.edits
        if edits is None:
            edits = 1 if len(clause.text) <= 5 else 2
        found = {words[0]: 1.0}
        for view in self.index.views:
            for word, apart in words_near(view.segment.file, words[0], edits):
                found[word] = 1 - apart / max(len(words[0]), apart + 1)
        return found

    # -- scores -----------------------------------------------------------------------------

    def weights(self, query: Query) -> Weights:
        weights: Weights = {}

        def add(word: str, weight: float) -> None:
            weights[word] = weights.get(word, 0.0) + weight

        for word, times in self.family.words(query.rest).items():
            add(word, times)
        for clause in query.clauses:
            if clause.occur == "-":
                continue
            near = self.near(clause)
            if near is None:
                for word, times in self.family.words(clause.text).items():
                    add(word, clause.boost * times)
                continue
            # Whoever is let through for one of the words must be found by it.
            chosen = near if clause.occur == "+" else near[:SCORED]
            terms = {t.word: t.weight for t in self.index.terms({n.word: 1.0 for n in chosen})}
            least = min(terms.values(), default=0.0)
            for n in chosen:
                rarity = terms.get(n.word, 0.0)
                share = least / rarity if rarity > 0 else 1.0
                add(n.word, clause.boost * n.similarity * share)
        return weights

    def told(self, query: Query) -> dict[str, Any]:
        """What an explanation says beside the terms."""
        wanted = [clause for clause in query.clauses if clause.occur != "-"]
        expanded = {
            clause.text + ("*" if clause.kind == "prefix" else "~"): [n.word for n in near[:SCORED]]
            for clause in wanted
            if (near := self.near(clause)) is not None
        }
        phrases = [clause.text for clause in wanted if self._said(clause)]
        found = {"expanded": expanded, "phrases": phrases}
        return {name: value for name, value in found.items() if value}

    def _said(self, clause: Clause) -> bool:
        one_word = self.near(clause) is not None or len(self.analyser.sequence(clause.text)) < 2
        return clause.occur == "+" and not one_word

    # -- documents --------------------------------------------------------------------------

    def means_nothing(self, clause: Clause) -> bool:
        """Whether the index leaves out all its words."""
        return self.near(clause) is None and not self.analyser.terms_of_phrase(clause.text)

    def holders(self, clause: Clause) -> Numbers:
        """The documents that hold all words of a clause, or one that it stands for."""
        near = self.near(clause)
        if near is not None:
            lists = [self.index.units_with(n.word) for n in near]
            return np.unique(np.concatenate(lists)) if lists else np.empty(0, np.int64)
        words = list(dict.fromkeys(self.analyser.terms_of_phrase(clause.text)))
        words.sort(key=self.index.n_with)
        found = self.index.units_with(words[0])
        for word in words[1:]:
            if not len(found):
                break
            found = np.intersect1d(found, self.index.units_with(word), assume_unique=True)
        return found

    def must_be_read(self, clause: Clause) -> bool:
        """Whether the lists alone cannot tell: they can for one word, or one pair of characters."""
        if clause.title or self.near(clause) is not None:
            return clause.title
        sequence = self.analyser.sequence(clause.text)
        return len(sequence) > 1 and self.analyser.terms_of_phrase(clause.text) != [
            "".join(sequence)
        ]

    def says(self, clause: Clause, title: Sequence[str], text: Sequence[str]) -> bool:
        """Whether words stand in the title, or in either, one after another."""
        wanted = self.analyser.sequence(clause.text)
        return _within(wanted, title) or (not clause.title and _within(wanted, text))


def _narrow(
    view: SnapshotView,
    clauses: Sequence[Clause],
    readers: Sequence[_Reader],
    selection: Selection | None,
) -> Selection | None:
    """The documents that have what they must and nothing they must not."""
    counted = [
        clause
        for clause in clauses
        if clause.occur and not all(reader.means_nothing(clause) for reader in readers)
    ]
    if not counted:
        return selection
    found = [(clause, _holders(clause, readers)) for clause in counted]
    required = [held for clause, held in found if clause.occur == "+"]
    inside: Numbers | None = None
    if required:
        required.sort(key=len)
        inside = reduce(lambda a, b: np.intersect1d(a, b, assume_unique=True), required)
        if selection is not None:
            inside = inside[selection.has(inside)]
    read = [
        (clause, held)
        for clause, held in found
        if any(reader.must_be_read(clause) for reader in readers)
    ]
    by_text = {clause for clause, _ in read}
    outside = [held for clause, held in found if clause.occur == "-" and clause not in by_text]
    gone = reduce(np.union1d, outside, np.empty(0, np.int64))
    if inside is not None:
        inside = np.setdiff1d(inside, gone, assume_unique=True)
    gone = np.union1d(gone, _refuted(view, read, readers, inside))
    return _selected(view, inside, gone, selection)


def _holders(clause: Clause, readers: Sequence[_Reader]) -> Numbers:
    lists = [reader.holders(clause) for reader in readers if not reader.means_nothing(clause)]
    return reduce(np.union1d, lists)


def _refuted(
    view: SnapshotView,
    read: Sequence[tuple[Clause, Numbers]],
    readers: Sequence[_Reader],
    inside: Numbers | None,
) -> Numbers:
    """The documents whose text says what it must not, or does not say what it must."""
    required = [clause for clause, _ in read if clause.occur == "+"]
    refused = [(clause, held) for clause, held in read if clause.occur == "-"]
    if required:
        assert inside is not None
        numbers = inside
    else:
        numbers = reduce(np.union1d, (held for _, held in refused), np.empty(0, np.int64))
        if inside is not None:
            numbers = np.intersect1d(numbers, inside, assume_unique=True)
    wrong = []
    for start in range(0, len(numbers), READ_AT_ONCE):
        part = numbers[start : start + READ_AT_ONCE].tolist()
        for number, document in view.catalogue.documents(part).items():
            said = [_Said(reader, document.title, document.text) for reader in readers]
            if any(not any(s.has(clause) for s in said) for clause in required) or any(
                any(s.has(clause) for s in said) for clause, _ in refused
            ):
                wrong.append(number)
    return np.array(sorted(wrong), np.int64)


class _Said:
    """A document as one field reads it."""

    def __init__(self, reader: _Reader, title: str, text: str) -> None:
        self._reader = reader
        weight = reader.family.spec.title_weight
        self._title = reader.analyser.sequence(title) if weight and title else []
        self._text = reader.analyser.sequence(text)

    def has(self, clause: Clause) -> bool:
        return self._reader.says(clause, self._title, self._text)


def _within(wanted: Sequence[str], words: Sequence[str]) -> bool:
    n, first = len(wanted), wanted[0] if wanted else None
    at = -1
    for _ in range(len(words)):
        try:
            at = words.index(first, at + 1)
        except ValueError:
            return False
        if words[at : at + n] == wanted:
            return True
    return False


def _selected(
    view: SnapshotView, inside: Numbers | None, gone: Numbers, selection: Selection | None
) -> Selection:
    size = view.n_units
    flags = np.zeros(size, bool) if inside is not None else np.ones(size, bool)
    if inside is not None:
        flags[inside] = True
    flags[gone] = False
    bits = view.with_passages(np.packbits(flags, bitorder="little"), size)
    return Selection(bits if selection is None else bits & selection.bits)
