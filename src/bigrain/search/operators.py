"""What the operators of a query mean in a snapshot: words with weights, and documents let through.

What must be there, or must not, is a set of documents taken from the inverted lists; it narrows
every field of the search. Phrases and words of titles are verified on the stored text: the lists
say who holds all the words, the text whether they stand together. Sets are flags of a window of the
collection at a time, so that they stay within the memory of a search.

The index has stems, a searcher means words as they are written. So the stems that could be of a
word nearly spelt as a fuzzy one are verified too, on the texts of the first documents that hold
them. Measured on slips of the pen and words of SciFact and XQuAD-ru, share of the documents found
that hold such a word, and of those that do the share found: .90 and .87, .87 and .95; by the
distance of stems alone .66 and .91, .60 and .96; by that of the typed word to stems .89 and .71,
.90 and .68.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from bigrain.errors import BudgetError, InvalidQueryError
from bigrain.families.lexical import LexicalFamily
from bigrain.index.alternatives import PEAK_BYTES, AnyOf
from bigrain.index.base import Selection
from bigrain.index.dictionary import distances, words_holding, words_near, words_with_prefix
from bigrain.index.lexical import LexicalIndex
from bigrain.search.query import Clause, Query
from bigrain.search.view import SnapshotView
from bigrain.storage.rows import StoredDocument

__all__ = ["Meaning", "meaning_of", "widened"]

Numbers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
MAX_CLAUSES = 1000
MAX_EXPANDED = 32  # prefixes and fuzzy words of a query, each of which reads the dictionary
SCORED = 50  # words that a prefix or fuzzy word stands for when documents are scored
MATCHED = 10_000  # and when documents are let through
MAX_FUZZY_CHARS = 64
SHORTEST_STEM = 3
VERIFIED = 50  # stems that are held against texts for a fuzzy word: the nearest
READ_IN_ALL = 100  # documents, for that
READ_OF_EACH = 2, 20  # at least and at most
READ_CHARS = 100_000  # of each of them
READ_AT_ONCE = 256
PACKED_BYTES = 4  # of a posting in the lists that are made of others
LEAST_WINDOW = 1 << 16  # documents
Weights = dict[Any, float]  # of words, and of `AnyOf` several


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
    asked = [reader for reader in readers if reader.name in lexical]
    weights = {reader.name: reader.weights(query) for reader in asked}
    for reader in asked:
        reader.require_memory(weights[reader.name])
    return Meaning(
        weights,
        _narrow(view, query.clauses, readers, selection),
        {reader.name: reader.told(query) for reader in asked},
    )


def widened(query: Mapping[Any, float], family: LexicalFamily, index: LexicalIndex) -> Weights:
    """A query of one character that the index has within pairs only, as any of these pairs."""
    (word, *others), found = [*query, None], dict(query)
    if others == [None] and family.analyser.only_in_pairs(word):
        pairs = dict.fromkeys(_holding(index, word), 1.0)
        found = {AnyOf.of(pairs): query[word]} if pairs else found
    return found


def _holding(index: LexicalIndex, character: str) -> list[str]:
    return sorted({w for view in index.views for w in words_holding(view.segment.file, character)})


def _is_lexical(view: SnapshotView, name: str) -> bool:
    return isinstance(view.fields[name].family, LexicalFamily)


class _Reader:
    """One lexical field."""

    def __init__(self, name: str, view: SnapshotView) -> None:
        self.name, self._view = name, view
        family, index = view.fields[name].family, view.fields[name].index
        assert isinstance(family, LexicalFamily) and isinstance(index, LexicalIndex)
        self.family, self.index = family, index
        self.analyser = family.analyser
        self._near: dict[Clause, list[_Near] | None] = {}

    def near(self, clause: Clause) -> list[_Near] | None:
        """The words that a prefix or fuzzy word stands for, best first; None: it is a plain word.

        The best are the most similar and, among these, the most frequent.
        """
        if clause not in self._near:
            by_kind = {"prefix": self._prefix, "fuzzy": self._fuzzy, "words": self._within}
            found = by_kind[clause.kind](clause)
            if found is not None and len(found) > MATCHED:
                raise InvalidQueryError(
                    f"{len(found):,} words match {clause.text[:40]!r} with * or ~; at most "
                    f"{MATCHED:,}: give more letters"
                )
            if found is not None:
                frequency = {w: self.index.n_with(w) for w in found}
                kept = [w for w in found if frequency[w]]
                kept.sort(key=lambda w: (-found[w], -frequency[w], w))
                self._near[clause] = [_Near(w, found[w]) for w in kept]
            else:
                self._near[clause] = None
        return self._near[clause]

    def _within(self, clause: Clause) -> dict[str, float] | None:
        """The pairs with a character that the index has in pairs only."""
        words = self.analyser.terms_of_phrase(clause.text)
        if len(words) != 1 or not self.analyser.only_in_pairs(words[0]):
            return None
        return dict.fromkeys(_holding(self.index, words[0]), 1.0)

    def _prefix(self, clause: Clause) -> dict[str, float] | None:
        if (within := self._within(clause)) is not None:
            return within
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
        found |= dict.fromkeys(stems, 1.0)
        if self.analyser.stems:
            begin = begins[0]
            shorter = {begin[:n] for n in range(SHORTEST_STEM, len(begin))}
            maybe = (shorter | self.analyser.may_come_of(clause.text)) - found.keys()
            spelt = self._spelt({stem: 0 for stem in maybe})
            for stem, words in spelt.items():
                if any(word.startswith(begin) for word in words):
                    found[stem] = 1.0
        return found

    def _fuzzy(self, clause: Clause) -> dict[str, float] | None:
        stems, written = (
            self.analyser.terms_of_phrase(clause.text),
            self.analyser.unstemmed(clause.text),
        )
        if len(stems) != 1 or len(written) != 1 or len(written[0]) > MAX_FUZZY_CHARS:
            return None
        edits = clause.edits
        if edits is None:
            edits = 1 if len(clause.text) <= 5 else 2
        apart: dict[str, int] = {}
        for view in self.index.views:
            for word in {written[0], stems[0]}:
                for near, distance in words_near(view.segment.file, word, edits):
                    apart[near] = min(apart.get(near, distance), distance)
        if self.analyser.stems:
            for slip in self.analyser.slips(written[0]):
                apart[slip] = min(apart.get(slip, 1), 1)
            apart = self._as_written(apart, written[0], edits)
        apart[stems[0]] = 0
        longest = len(written[0])
        return {word: 1 - n / max(longest, n + 1) for word, n in apart.items()}

    def _as_written(self, stems: Mapping[str, int], word: str, edits: int) -> dict[str, int]:
        """The stems of words so near to `word` as some documents write them, with distances."""
        nearest = {
            stem: min((int(distances(word, [one])[0]) for one in found), default=edits + 1)
            for stem, found in self._spelt(stems).items()
        }
        return {stem: n for stem, n in nearest.items() if n <= edits}

    def _spelt(self, stems: Mapping[str, int]) -> dict[str, set[str]]:
        """How some documents write the words of the nearest and most frequent of stems."""
        frequency = {stem: self.index.n_with(stem) for stem in stems}
        tried = sorted(
            (stem for stem in stems if frequency[stem]),
            key=lambda stem: (stems[stem], -frequency[stem], stem),
        )[:VERIFIED]
        least, most = READ_OF_EACH
        each = max(least, min(most, READ_IN_ALL // max(1, len(tried))))
        holders = {stem: self.index.first_with(stem, each) for stem in tried}
        numbers = sorted({number for held in holders.values() for number in held})
        spelt: dict[str, set[str]] = {stem: set() for stem in tried}
        for document in _documents(self._view, numbers):
            text = f"{document.title * bool(self.family.spec.title_weight)}\n{document.text}"
            for stem, found in self.analyser.written(text[:READ_CHARS]):
                if stem in spelt:
                    spelt[stem].add(found)
        return spelt

    # -- scores -----------------------------------------------------------------------------

    def weights(self, query: Query) -> Weights:
        weights: Weights = {}

        def add(words: Mapping[Any, float], boost: float) -> None:
            for word, times in words.items():
                weights[word] = weights.get(word, 0.0) + boost * times

        add(widened(self.family.words(query.rest), self.family, self.index), 1.0)
        for clause in query.clauses:
            if clause.occur == "-":
                continue
            near = self.near(clause)
            if near is None:
                add(self.family.words(clause.text), clause.boost)
            elif near:
                # Whoever is let through for one of the words must be found by it.
                chosen = near if clause.occur == "+" else near[:SCORED]
                add({AnyOf(tuple(chosen)): 1.0}, clause.boost)
        return weights

    def require_memory(self, weights: Weights) -> None:
        """Refuse words that stand for more than a search may hold."""
        held = [
            min(sum(self.index.n_with(word) for word, _ in term.words), self.index.n_rows)
            for term in weights
            if isinstance(term, AnyOf)
        ]
        needed = PEAK_BYTES * max(held, default=0) + PACKED_BYTES * sum(held)
        if needed > self._view.search_bytes:
            raise BudgetError(
                f"what the words with * or ~ stand for needs {needed:,} bytes, but "
                f"memory_budget_bytes leaves {self._view.search_bytes:,} for searches; give more "
                "letters, or open with more"
            )

    def told(self, query: Query) -> dict[str, Any]:
        """What an explanation says beside the terms."""
        wanted = [clause for clause in query.clauses if clause.occur != "-"]
        expanded = {
            clause.asked: [n.word for n in near[:SCORED]]
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

    def holders(self, clause: Clause, first: int, n: int) -> Flags:
        """Which of n documents hold all words of a clause, or one that it stands for."""
        flags = np.zeros(n, bool)
        near = self.near(clause)
        if near is not None:
            for one in near:
                self.index.mark(one.word, flags, first)
            return flags
        terms = list(dict.fromkeys(self.analyser.terms_of_phrase(clause.text)))
        # In another text these may be within pairs; the others are there, or the text is read.
        words = [term for term in terms if not self.analyser.only_in_pairs(term)]
        if not words:
            for pair in [terms[0], *_holding(self.index, terms[0])]:
                self.index.mark(pair, flags, first)
            return flags
        words.sort(key=self.index.n_with)
        self.index.mark(words[0], flags, first)
        for word in words[1:]:
            for at in _stretches(flags):
                flags[at] = self.index.holds(word, at + first)
        return flags

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
    size = view.n_units
    # Four flags for each document of a window, at most.
    window = max(LEAST_WINDOW, view.search_bytes // 8 // 8 * 8)
    bits = np.zeros(-(-size // 8), np.uint8)
    for start in range(0, size, window):
        passing = np.ones(min(window, size - start), bool)
        part = slice(start // 8, (start + len(passing) + 7) // 8)
        if selection is not None:
            chosen = np.unpackbits(selection.bits[part], count=len(passing), bitorder="little")
            passing &= chosen.view(bool)
        _clear(view, counted, readers, passing, start)
        bits[part] = np.packbits(passing, bitorder="little")
    narrowed = view.with_passages(bits, size)
    return Selection(narrowed if selection is None else narrowed & selection.bits)


def _clear(
    view: SnapshotView,
    clauses: Sequence[Clause],
    readers: Sequence[_Reader],
    passing: Flags,
    first: int,
) -> None:
    """Take the flags from documents that have what they must not, or have not what they must."""
    read = {clause for clause in clauses if any(r.must_be_read(clause) for r in readers)}
    suspected = np.zeros(len(passing), bool)
    for clause in sorted(clauses, key=lambda clause: clause.occur):  # + before -
        if not passing.any():
            return
        held = np.zeros(len(passing), bool)
        for reader in readers:
            if not reader.means_nothing(clause):
                held |= reader.holders(clause, first, len(passing))
        if clause.occur == "+":
            passing &= held
        elif clause in read:
            suspected |= held
        else:
            passing &= ~held
    required = [clause for clause in read if clause.occur == "+"]
    refused = [clause for clause in read if clause.occur == "-"]
    if required:
        suspected = passing.copy()
    elif refused:
        suspected &= passing
    for at in _stretches(suspected):
        for document in _documents(view, (at + first).tolist()):
            said = [_Said(reader, document.title, document.text) for reader in readers]
            if any(not any(s.has(clause) for s in said) for clause in required) or any(
                any(s.has(clause) for s in said) for clause in refused
            ):
                passing[document.docno - first] = False


def _stretches(flags: Flags) -> Iterator[Numbers]:
    """Where flags are set, some of them at a time."""
    for start in range(0, len(flags), LEAST_WINDOW):
        at = np.flatnonzero(flags[start : start + LEAST_WINDOW]) + start
        if len(at):
            yield at


def _documents(view: SnapshotView, numbers: Sequence[int]) -> Iterator[StoredDocument]:
    """Documents by number, as many at a time as memory allows if others are as long as these."""
    at, n, longest = 0, 8, 1
    while at < len(numbers):
        found = view.catalogue.documents(numbers[at : at + n])
        at += n
        for document in found.values():
            longest = max(longest, len(document.text))
            yield document
        n = max(1, min(READ_AT_ONCE, 2 * n, view.search_bytes // 8 // longest))


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
