"""Whether filters see the metadata that the documents have, no less and no more.

The index over metadata is held against the documents by two sums, one over what each document
says, one over the index; only where they differ are single entries looked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import numpy as np

from bigrain.errors import DamagedError, counted
from bigrain.progress import Reporter
from bigrain.storage.attributes import Value, attributes_of
from bigrain.storage.catalogue import CATALOGUE, Attribute, Catalogue, StoredDocument
from bigrain.storage.sums import MASK, attribute_sum
from bigrain.writing.flags import DEAD_DOCUMENT, DOCUMENT, Flags

__all__ = ["Expected", "check_metadata"]

SHOWN = 5
NO_KEY = -1


class Expected:
    """What the index must hold for the live documents of a snapshot."""

    def __init__(self, keys: dict[str, int], snapshot: int) -> None:
        self.keys, self.snapshot, self.total = keys, snapshot, 0

    def rows(self, document: StoredDocument) -> set[Attribute]:
        pairs: set[tuple[str, Value]] = set(attributes_of(document.metadata))
        return {(self.keys.get(k, NO_KEY), v, document.docno) for k, v in pairs}

    def add(self, document: StoredDocument) -> None:
        self.total = (self.total + attribute_sum(self.rows(document))) & MASK


def check_metadata(
    catalogue: Catalogue, expected: Expected, flags: Flags, next_docno: int, reporter: Reporter
) -> list[str]:
    """Problems. Documents with numbers from `next_docno` on came later."""
    reporter.stage("metadata index", catalogue.count_attributes(), "entries")
    total = strangers = 0
    later: list[int] = []  # the highest numbers seen from `next_docno` on
    for rows in catalogue.attributes():
        docnos = np.array([row[2] for row in rows], np.int64)
        ours = flags.have(docnos, DOCUMENT)
        total += attribute_sum(row for row, own in zip(rows, ours.tolist(), strict=True) if own)
        later = [max([*later, *docnos[docnos >= next_docno].tolist()], default=-1)]
        strangers += int((~ours & (docnos < next_docno) & ~flags.have(docnos, DEAD_DOCUMENT)).sum())
        reporter.advance(len(rows))
    # What a writer has committed meanwhile is below the newest snapshot's next number.
    strangers += max(later, default=-1) >= catalogue.listed(catalogue.snapshot()[0]).next_docno
    problems = []
    if strangers:
        problems.append(f"{counted(strangers, 'entry', 'entries')} of no document")
    if total & MASK != expected.total:
        found = [
            _told(
                "{} values of documents cannot be found by filters", _missing(catalogue, expected)
            ),
            _told("{} entries are not in their documents", _wrong(catalogue, expected, flags)),
        ]
        problems += [text for text in found if text] or ["its entries differ from the documents"]
    return [f"{CATALOGUE}: metadata index is damaged: {problem}" for problem in problems]


def _missing(catalogue: Catalogue, expected: Expected) -> Iterator[str]:
    names = {number: name for name, number in expected.keys.items()}
    for document in catalogue.scan(expected.snapshot):
        if not isinstance(document, DamagedError):
            for row in sorted(expected.rows(document), key=repr):
                if row[0] == NO_KEY or not catalogue.has_attribute(*row):
                    yield f"{names.get(row[0], 'a key')!r} of document {document.id!r}"


def _wrong(catalogue: Catalogue, expected: Expected, flags: Flags) -> Iterator[str]:
    names = {number: name for name, number in expected.keys.items()}
    for rows in catalogue.attributes():
        documents = catalogue.documents(sorted({row[2] for row in rows}))
        for row in rows:
            if row[2] in documents and flags.have(np.array([row[2]]), DOCUMENT)[0]:
                document = documents[row[2]]
                if row not in expected.rows(document):
                    name = names.get(row[0], "a key that is not there")
                    yield f"{name!r} = {row[1]!r} of document {document.id!r}"


def _told(text: str, found: Iterator[str]) -> str:
    """How many there are, and the first of them; nothing if there are none."""
    first = list(islice(found, SHOWN))
    if not first:
        return ""
    n = len(first) + sum(1 for _ in found)
    return f"{text.format(format(n, ','))} (first: {', '.join(first)})"
