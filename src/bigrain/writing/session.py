"""Pending changes: one transaction in the catalogue, one builder a field, published by `commit`.

Documents go into the open transaction at once, representations into builders that spill to disk.
A call that fails rolls the catalogue back to its savepoint; rows that a builder already holds for
documents that are not there (failed, deleted or replaced meanwhile) are dropped when it is sealed.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence, Sized
from contextlib import suppress
from dataclasses import dataclass
from itertools import accumulate, islice
from typing import Any

import numpy as np
import numpy.typing as npt

from bigrain.budget import Budget
from bigrain.encoders.one_pass import OnePass, source_of
from bigrain.errors import (
    DuplicateIdError,
    InvalidInputError,
    InvalidVectorsError,
    PendingChangesError,
    StorageError,
    UnknownDocumentError,
)
from bigrain.families import Family
from bigrain.families.reading import texts_of
from bigrain.index.base import Builder, Keep, Segment, UnitMap
from bigrain.progress import ProgressLike, Reporter, reporting
from bigrain.storage.catalogue import Catalogue, SegmentRow, Stored
from bigrain.storage.folder import Folder
from bigrain.storage.segment import SegmentFile
from bigrain.text.chunk import Chunking
from bigrain.types import AddCounts, Document, Documents
from bigrain.writing.intake import check_id, spans_of, take_in

__all__ = ["Sealed", "WriteSession", "expand"]

BATCH_DOCUMENTS = 1024
MAX_BATCH_CHARS = 2 << 20
BYTES_PER_CHAR = 24  # measured: a text's words, pieces and passages while it is taken in
PENDING_AT_ONCE = 1 << 16
NOTICE_SAMPLE = 200
Units = npt.NDArray[np.int64]


@dataclass
class Sealed:
    """A finished segment that no snapshot lists yet."""

    field: str
    file: SegmentFile
    units: UnitMap


@dataclass
class WriteSession:
    """All changes since the last commit."""

    folder: Folder
    catalogue: Catalogue
    families: dict[str, Family]
    budget: Budget
    chunking: Chunking | None
    snapshot: int  # the snapshot these changes will become
    first_docno: int
    builders: dict[str, Builder]
    next_docno: int
    documents_delta: int = 0
    changed: bool = False
    broken: bool = False
    adding: bool = False  # an `add` is drawing documents from the user's iterable
    in_doubt: bool = False  # a COMMIT was tried: a crash may yet reveal that it was done

    @classmethod
    def begin(
        cls,
        folder: Folder,
        catalogue: Catalogue,
        families: dict[str, Family],
        budget: Budget,
        chunking: Chunking | None,
        snapshot: int,
        segments: dict[str, list[Segment]],
        light_bytes: int,
    ) -> WriteSession:
        """Open the transaction, clear what a dead writer left, and make the builders."""
        catalogue.begin_writing()
        folder.sweep(catalogue.listed_files(), catalogue.settle)
        # What the light grains leave over serves as well: a commit spills it before it needs it.
        spare = max(0, budget.light - light_bytes) // 4
        per_field = (budget.build // 2 + spare) // max(1, len(families))
        builders = {
            name: family.builder(folder.files, folder.staging, per_field, segments.get(name, []))
            for name, family in families.items()
        }
        docno = catalogue.next_docno()
        return cls(
            folder, catalogue, families, budget, chunking, snapshot + 1, docno, builders, docno
        )

    # -- documents --------------------------------------------------------------------------

    def add(self, documents: Documents, progress: ProgressLike) -> AddCounts:
        """Take documents in; all of them or, on any error, none."""
        self._require_transaction()
        began, delta = self.next_docno, self.documents_delta
        text_fields = [f for f in self.families.values() if f.spec.reads_text]
        incoming = take_in(documents, blank_ok=not text_fields)
        added = replaced = passages = 0
        warnings: tuple[str, ...] = ()
        total = len(documents) if isinstance(documents, Sized) else None
        self.adding = True
        try:
            # The last report comes inside the savepoint too: whatever it raises undoes the call.
            with self.catalogue.savepoint(), reporting(progress) as reporter:
                reporter.stage("adding", total)
                row = n_batches = 0
                batch_chars = min(MAX_BATCH_CHARS, self.budget.build // 2 // BYTES_PER_CHAR)
                while batch := _take_batch(incoming, batch_chars):
                    stored, n_replaced = self._store(batch, row, began)
                    n_batches += 1
                    if not warnings and n_batches & (n_batches - 1) == 0:  # ever more seldom
                        warnings = self._notices(text_fields, stored)
                    for some in self._at_once(text_fields, stored):
                        self._encode(text_fields, some)
                        reporter.advance(len(some))
                    row += len(batch)
                    added += len(batch) - n_replaced
                    replaced += n_replaced
                    passages += sum(s.n_passages for s in stored)
        except BaseException:
            self.documents_delta = delta
            raise
        finally:
            self.adding = False
        self.changed = self.changed or bool(added or replaced)
        return AddCounts(added, replaced, passages, warnings)

    def _store(
        self, batch: Sequence[Document], first_row: int, call_began: int
    ) -> tuple[list[Stored], int]:
        """Write a batch of documents into the open transaction; (stored, how many replaced)."""
        given = [d.id for d in batch if d.id is not None]
        if len(set(given)) < len(given):
            seen: dict[str, int] = {}
            for row, d in enumerate(batch, first_row):
                if d.id is not None and d.id in seen:
                    raise DuplicateIdError(_twice(d.id, seen[d.id], row))
                seen[d.id or ""] = row
        existing = self.catalogue.find_live(given)
        for row, d in enumerate(batch, first_row):
            if d.id is not None and existing.get(d.id, -1) >= call_began:
                raise DuplicateIdError(_twice(d.id, None, row))
        stored = self._numbered(batch, set(given))
        gone = list(existing.values())
        if gone:
            self.catalogue.kill_documents(gone, died=self.snapshot)
        self.catalogue.insert_documents(stored, born=self.snapshot)
        self.documents_delta += len(stored) - len(gone)
        return stored, len(gone)

    def _numbered(self, batch: Sequence[Document], given: set[str]) -> list[Stored]:
        """The batch with numbers, passages, and an id for those that came without."""
        spans = [spans_of(d.text, self.chunking) for d in batch]
        sizes = [1 if span is None else len(span) for span in spans]
        numbers = [self.next_docno + before for before in accumulate([0, *sizes[:-1]])]
        unnamed = [str(n) for n, d in zip(numbers, batch, strict=True) if d.id is None]
        taken = given | self.catalogue.find_live(unnamed).keys()
        self.next_docno += sum(sizes)
        return [
            Stored(n, self._free_id(n, taken) if d.id is None else d.id, d.title, d.text,
                   d.metadata, span)
            for n, d, span in zip(numbers, batch, spans, strict=True)
        ]  # fmt: skip

    def _free_id(self, number: int, taken: set[str]) -> str:
        """The document's own number, or the first variation of it that is free."""
        wanted = str(number)
        suffix = 0
        while wanted in taken or (suffix and self.catalogue.find_live([wanted])):
            suffix += 1
            wanted = f"{number}-{suffix}"
        return wanted

    def _notices(self, families: Sequence[Family], stored: Sequence[Stored]) -> tuple[str, ...]:
        told = (
            notice
            for family in families
            for notice in family.notices(
                texts_of(stored[:NOTICE_SAMPLE], family)[1][:NOTICE_SAMPLE]
            )
        )
        return tuple(dict.fromkeys(told))  # fields of one model say the same

    def _at_once(
        self, families: Sequence[Family], stored: Sequence[Stored]
    ) -> Iterator[Sequence[Stored]]:
        """Stretches of as many passages as the slowest encoder wants to be given."""
        sources = (source_of(family.encoder) for family in families)
        most = min((n for s in sources if (n := getattr(s, "texts_at_once", None))), default=None)
        start = passages = 0
        for stop, one in enumerate(stored):
            if most is not None and stop > start and passages + one.n_passages > most:
                yield stored[start:stop]
                start, passages = stop, 0
            passages += one.n_passages
        yield stored[start:]

    def _encode(self, families: Sequence[Family], stored: Sequence[Stored]) -> None:
        one_pass = OnePass(family.encoder for family in families)
        for family in families:
            units, texts = texts_of(stored, family)
            named = _namer(stored, family.per_passage)
            self._append(family.name, units, family.encode_documents(texts, named, one_pass))

    def _append(self, name: str, units: Units, values: Any) -> None:
        try:
            self.builders[name].append(units, values)
        except BaseException:
            self.broken = True  # the builder may hold half of it
            raise

    # -- vectors ----------------------------------------------------------------------------

    def add_vectors(self, name: str, ids: Sequence[Any], vectors: Any) -> AddCounts:
        """Take vectors in for documents that are there; vectors-only collections make them."""
        self._require_transaction()
        family = self.families[name]
        if family.spec.reads_text:
            raise InvalidVectorsError(
                f"field {name!r} makes its vectors from text by itself; bring vectors to a field "
                "without an encoder"
            )
        checked = [check_id(identifier, f"row {row}") for row, identifier in enumerate(ids)]
        if len(set(checked)) < len(checked):
            seen: dict[str, int] = {}
            for row, identifier in enumerate(checked):
                if identifier in seen:
                    raise DuplicateIdError(_twice(identifier, seen[identifier], row))
                seen[identifier] = row
        values = family.check_vectors(checked, vectors)
        if not checked:
            return AddCounts(0, 0, 0)
        known = self.catalogue.find_live(checked)
        missing = [identifier for identifier in checked if identifier not in known]
        if missing and any(f.spec.reads_text for f in self.families.values()):
            raise UnknownDocumentError(
                f"row {checked.index(missing[0])}: no document has id {missing[0]!r} "
                f"({len(missing):,} such ids); add the documents first"
            )
        delta, docno = self.documents_delta, self.next_docno
        try:
            with self.catalogue.savepoint():
                made = []
                for identifier in missing:
                    made.append(Stored(self.next_docno, identifier, "", "", {}, None))
                    self.next_docno += 1
                self.catalogue.insert_documents(made, born=self.snapshot)
                self.documents_delta += len(made)
                known.update((s.id, s.docno) for s in made)
                units = np.array([known[identifier] for identifier in checked], np.int64)
            self._append(name, units, values)  # last: documents that stay cannot lose it again
        except BaseException:
            self.documents_delta, self.next_docno = delta, max(docno, self.next_docno)
            raise
        self.changed = True
        return AddCounts(len(missing), len(checked) - len(missing), len(checked))

    # -- deletions --------------------------------------------------------------------------

    def delete(self, ids: Sequence[Any], *, missing: str) -> int:
        """Delete documents; returns how many there were."""
        self._require_transaction()
        if missing not in ("raise", "ignore"):
            raise InvalidInputError(f"missing={missing!r} must be 'raise' or 'ignore'")
        checked = [check_id(identifier, f"row {row}") for row, identifier in enumerate(ids)]
        known = self.catalogue.find_live(checked)
        unknown = [identifier for identifier in checked if identifier not in known]
        if unknown and missing == "raise":
            raise UnknownDocumentError(
                f"no document has id {unknown[0]!r} ({len(unknown):,} such ids); nothing was "
                "deleted. missing='ignore' passes over them"
            )
        with self.catalogue.savepoint():
            self.catalogue.kill_documents(list(known.values()), died=self.snapshot)
        self.documents_delta -= len(known)
        self.changed = self.changed or bool(known)
        return len(known)

    # -- the end ----------------------------------------------------------------------------

    def seal(self, reporter: Reporter) -> list[Sealed]:
        """Write every builder's segment file, synced; nothing is published yet."""
        self._require_transaction()
        keep = self._keep()
        sealed: list[Sealed] = []
        reporter.stage("sealing", len(self.builders), "fields")
        try:
            for name, builder in self.builders.items():
                path = self.folder.new_segment(name)
                if builder.seal(keep, path, self.folder.files):
                    file = SegmentFile(self.folder.files, path)
                    sealed.append(Sealed(name, file, UnitMap.read(file)))
                reporter.advance()
        except BaseException:
            self.abandon(sealed)
            raise
        return sealed

    def _keep(self) -> Keep:
        """Which units will live: one byte for each pending passage, older ones are looked up."""
        first, n = self.first_docno, self.next_docno - self.first_docno
        fresh = np.zeros(n, bool)
        for start in range(first, self.next_docno, PENDING_AT_ONCE):
            stop = min(start + PENDING_AT_ONCE, self.next_docno)
            fresh[expand(self.catalogue.pending_live(start, stop)) - first] = True

        def keep(units: Units) -> npt.NDArray[np.bool_]:
            kept = np.zeros(len(units), bool)
            new = units >= first
            kept[new] = fresh[units[new] - first]
            old = np.flatnonzero(~new)
            if len(old):
                alive = self.catalogue.is_live(units[old].tolist())
                kept[old] = [unit in alive for unit in units[old].tolist()]
            return kept

        return keep

    def abandon(self, sealed: Sequence[Sealed]) -> None:
        """Let go of segments that will not be published.

        Their files go too, except after a COMMIT that failed: should the system have written it
        after all, they are needed; if not, the next writer sweeps them.
        """
        for one in sealed:
            with suppress(StorageError):
                one.file.close()
                if not self.in_doubt:
                    self.folder.files.remove(self.folder.segments / one.file.name)

    def publish(self, sealed: Sequence[Sealed], older: dict[str, list[Segment]]) -> tuple[int, int]:
        """One transaction makes everything visible: (snapshot, live documents)."""
        with self.catalogue.savepoint():
            for one in sealed:
                self.catalogue.add_segment(
                    SegmentRow(
                        one.file.name, one.field, one.units.n_rows, one.file.n_bytes, self.snapshot
                    )
                )
                if not older.get(one.field):
                    continue
                for start in range(0, one.units.n_rows, PENDING_AT_ONCE):
                    again = one.units.slice(start, min(start + PENDING_AT_ONCE, one.units.n_rows))
                    again = again[again < self.first_docno]
                    if not len(again):
                        break  # units rise
                    for segment in older[one.field]:
                        there = again[segment.units.rows(again) >= 0]
                        if len(there):
                            self.catalogue.supersede(segment.file.name, there, since=self.snapshot)
            self.in_doubt = True
            documents = self.catalogue.commit(
                self.snapshot, next_docno=self.next_docno, documents_delta=self.documents_delta
            )
        return self.snapshot, documents

    def discard(self) -> None:
        """Forget everything pending. Files that cannot be removed are left to the next sweep."""
        self.catalogue.end_writing()
        for builder in self.builders.values():
            with suppress(StorageError):
                builder.discard()

    def _require_transaction(self) -> None:
        if self.adding:
            raise PendingChangesError(
                "an add is still taking documents in; change nothing from inside its iterable or "
                "its progress callback"
            )
        if self.broken or not self.catalogue.transaction_alive:
            raise StorageError(
                "the pending changes were lost to an earlier error; rollback() and add again"
            )


def expand(documents: Units) -> Units:
    """(n, 2) of (docno, passages) as the units they own."""
    if not len(documents):
        return np.empty(0, np.int64)
    first = np.repeat(documents[:, 0], documents[:, 1])
    counts = documents[:, 1]
    return first + np.arange(len(first)) - np.repeat(np.cumsum(counts) - counts, counts)


def _take_batch(documents: Any, batch_chars: int) -> list[Document]:
    batch: list[Document] = []
    chars = 0
    for document in islice(documents, BATCH_DOCUMENTS):
        batch.append(document)
        chars += len(document.text)
        if chars >= batch_chars:
            break
    return batch


def _namer(stored: Sequence[Stored], per_passage: bool) -> Callable[[int], str]:
    """What messages call the document of the n-th row that is encoded."""

    def name(row: int) -> str:
        ends = list(accumulate(s.n_passages if per_passage else 1 for s in stored))
        return f"document {stored[bisect_right(ends, row)].id!r}"

    return name


def _twice(identifier: str, first: int | None, second: int) -> str:
    before = "earlier in this call" if first is None else f"at row {first}"
    return (
        f"row {second}: id {identifier!r} was already given {before}; each id once a call (a later "
        "call replaces the document)"
    )
