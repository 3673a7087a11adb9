"""A state machine: the real collection and the plain model take the same random steps.

`CollectionMachine` is a Hypothesis `RuleBasedStateMachine` (this module imports `hypothesis`). Run
it as it is, or subclass it to set other fields, files or chunking, or to add rules of your own:

    class TestMine(CollectionMachine.TestCase):
        settings = hypothesis.settings(max_examples=100, stateful_step_count=40, deadline=None)

Its steps: add and replace documents, give vectors of every family, delete, calls that must be
refused, commit, roll back, compact, close and open again, go on in a backup, let a disk fail at a
random operation, search with and without filters, and readers that keep their snapshot. After
every step that shows a new snapshot, all of `bigrain.testing.invariants` must hold.
"""

from __future__ import annotations

import random
import shutil
import tempfile
import uuid
import warnings
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar
from unittest import mock

import numpy as np
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from bigrain import config, registry
from bigrain.collection import Collection, create, open
from bigrain.encoders.callable import CallableEncoder
from bigrain.errors import (
    CollectionExistsError,
    InvalidDocumentError,
    InvalidFilterError,
    StorageError,
    UnknownDocumentError,
)
from bigrain.storage.attributes import normalise_metadata
from bigrain.testing import strategies
from bigrain.testing.faults import FaultyFiles, QuickDisk
from bigrain.testing.invariants import (
    check_contents,
    check_fused,
    check_invariants,
    check_ranking,
)
from bigrain.testing.model import Model
from bigrain.text.chunk import Chunking
from bigrain.text.normalise import clean_text
from bigrain.types import Document

__all__ = ["ENCODER", "CollectionMachine"]

ENCODER = "bigrain-testing/letters"
DIM, TOKEN_DIM = 8, 4
SPILL_BYTES = 2048  # what a builder may keep in memory where `spill_early` is set
READERS = 2


def _letters(texts: list[str]) -> Any:
    """Counts of characters by their last bits: an encoder that anybody can check."""
    rows = [np.bincount([ord(c) % DIM for c in text] or [0], minlength=DIM) for text in texts]
    return np.array(rows, np.float32).reshape(-1, DIM) + 0.01


@dataclass(frozen=True)
class Matrix:
    """Sparse rows as `add_vectors` takes them: the part of a scipy CSR matrix that it looks at."""

    data: Any
    indices: Any
    indptr: Any
    shape: tuple[int, int]


@dataclass
class Reader:
    """A read-only handle, and what it must go on answering."""

    col: Collection
    model: Model


class CollectionMachine(RuleBasedStateMachine):
    """Random histories of one collection. Class attributes say which."""

    fields: ClassVar[Mapping[str, config.Field]] = {
        "lex": config.LexicalField(),
        "sub": config.SubstringField(),
        "enc": config.DenseField(encoder=ENCODER),
        "vec": config.DenseField(dim=DIM, light_bytes=1, heavy="bfloat16"),
        "far": config.DenseField(dim=DIM, metric="l2", heavy="int8"),
        "imp": config.SparseField(),
        "tok": config.MultiVectorField(dim=TOKEN_DIM),
    }
    chunking: ClassVar[Chunking | None] = Chunking(max_chars=80, overlap_chars=20)
    spill_early: ClassVar[bool] = False

    def __init__(self) -> None:
        super().__init__()
        names = random.Random(0)  # files have the same names when a history is replayed
        self._names = mock.patch("uuid.uuid4", lambda: uuid.UUID(int=names.getrandbits(128)))
        self._names.start()
        encoder = CallableEncoder(ENCODER, _letters, DIM)
        registry.register_encoder(ENCODER, lambda: encoder)
        self.folder = Path(tempfile.mkdtemp(prefix="bigrain-machine-"))
        self.files = FaultyFiles(QuickDisk())
        self.path = self.folder / "0.grain"
        self.tally: Counter[str] = Counter()  # what this history has seen
        self.model = Model(self.fields, self.chunking)
        self.readers: list[Reader] = []
        self.col = create(self.path, self.fields, chunking=self.chunking, files=self.files)
        self._opened()

    def teardown(self) -> None:
        try:
            self._close_readers()
            self.col.close()
            shutil.rmtree(self.folder)
        finally:
            self._names.stop()

    def _open(self) -> None:
        self.col = open(self.path, files=self.files)
        self._opened()

    def _opened(self) -> None:
        self.checked = -1
        if self.spill_early:
            for family in self.col._opened.families.values():
                family.builder = _with_little_memory(family.builder)  # type: ignore[method-assign]

    def _close_readers(self) -> None:
        for reader in self.readers:
            reader.col.close()
        self.readers.clear()

    def _pick(self, data: st.DataObject) -> list[str]:
        ids = sorted(self.model.pending)
        return data.draw(st.lists(st.sampled_from(ids), unique=True, max_size=6)) if ids else []

    # -- changes ----------------------------------------------------------------------------

    @rule(documents=st.lists(strategies.documents(), max_size=6, unique_by=lambda d: d.id))
    def add(self, documents: list[Document]) -> None:
        """New documents, and new texts for old ones."""
        known = set(self.model.pending)
        counts = self._add(documents)
        assert counts.replaced == sum(d.id in known for d in documents)
        assert counts.added == len(documents) - counts.replaced

    def _add(self, documents: list[Document]) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # scripts that the field's language does not cover
            counts = self.col.add(documents)
        self.model.add([_stored(d) for d in documents])
        return counts

    @rule(data=st.data(), seed=st.integers(0, 99))
    def add_vectors(self, data: st.DataObject, seed: int) -> None:
        """Rows of one field for documents that are there; again for some that have one."""
        names = [name for name, field in self.fields.items() if not field.reads_text]
        name, ids = data.draw(st.sampled_from(names)), self._pick(data)
        rows = _rows(self.fields[name], np.random.default_rng(seed), len(ids))
        self.col.add_vectors(name, ids, _as_given(self.fields[name], rows))
        self.model.add_vectors(name, dict(zip(ids, rows, strict=True)))

    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        ids = self._pick(data)
        assert self.col.delete(ids) == len(ids)
        self.model.delete(ids)

    @rule(rows=st.lists(strategies.documents(), min_size=1, max_size=3, unique_by=lambda d: d.id))
    def refused(self, rows: list[Document]) -> None:
        """Calls with something wrong at the end change nothing."""
        for error, call in (
            (InvalidDocumentError, lambda: self.col.add([*rows, {"text": 5}])),
            (UnknownDocumentError, lambda: self.col.delete([*list(self.model.pending)[:2], "no"])),
        ):
            try:
                call()
            except error:
                continue
            raise AssertionError(f"{error.__name__} was expected")

    # -- the life of a collection -----------------------------------------------------------

    @rule()
    def commit(self) -> None:
        before, pending = self.col.snapshot, self.col.stats()["pending_changes"]
        number = self.col.commit()
        assert number > before if pending else number == before
        self.model.commit()

    @rule()
    def rollback(self) -> None:
        self.col.rollback()
        self.model.rollback()

    @rule()
    def compact(self) -> None:
        self.rollback()
        self.col.compact()
        assert all(f["segments"] <= 1 for f in self.col.stats()["fields"].values())

    @rule()
    def reopen(self) -> None:
        """Close, pending changes and all, and open again."""
        self.col.close()
        self.model.rollback()
        self._open()

    @rule(link=st.booleans())
    def go_on_in_a_backup(self, link: bool) -> None:
        """A backup holds the last commit; from here on it is the collection."""
        self.tally["backups"] += 1
        target = self.folder / f"{self.tally['backups']}.grain"
        assert self.col.backup(target, link=link) == self.col.snapshot
        try:
            self.col.backup(target)
            raise AssertionError("a backup was written over another")
        except CollectionExistsError:
            pass
        self._close_readers()
        self.col.close()
        shutil.rmtree(self.path)
        self.path = target
        self.model.rollback()
        self._open()

    @rule(
        step=st.sampled_from(["add", "delete", "commit", "compact", "backup"]),
        after=st.integers(1, 60),
        rolls_back=st.booleans(),
        documents=st.lists(strategies.documents(), max_size=3, unique_by=lambda d: d.id),
        data=st.data(),
    )
    def disk_fails(
        self,
        step: str,
        after: int,
        rolls_back: bool,
        documents: list[Document],
        data: st.DataObject,
    ) -> None:
        """One operation of one call fails; what was committed is there, and nothing between."""
        steps: dict[str, Callable[[], object]] = {
            "add": lambda: self._add(documents),
            "delete": lambda: self.delete(data),
            "commit": self.commit,
            "compact": self.compact,
            "backup": lambda: self.col.backup(self.folder / "failed.grain"),
        }
        before = self.col.snapshot
        self.files.log.clear()
        self.files.rolls_back, self.files.fail_at = rolls_back, self.files.count + after
        tripped = False
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # what failed after a commit is a warning
                steps[step]()
        except StorageError:
            tripped = True
        finally:
            tripped = tripped or self.files.tripped
            self.files.fail_at = None
        shutil.rmtree(self.folder / "failed.grain", ignore_errors=True)
        assert len(list(self.folder.iterdir())) == 1, "a failed backup left something behind"
        if tripped:
            self.tally["failures of the disk"] += 1
            self.col.close()
            self._open()
            if step == "commit" and self.col.snapshot > before:
                self.model.commit()
            self.model.rollback()

    # -- questions --------------------------------------------------------------------------

    @rule(query=strategies.texts(4), k=st.integers(1, 30), where=strategies.filters())
    def search_words(self, query: str, k: int, where: dict[str, Any]) -> None:
        for name, field in self.fields.items():
            if field.reads_text:
                hits = self.col.search(query, k=k, fields=name, recall=1.0)
                check_ranking(hits, self.model.scores(name, query), k)
                try:
                    hits = self.col.search(query, k=k, fields=name, recall=1.0, filter=where)
                except InvalidFilterError as error:
                    assert "no document has metadata key" in str(error)
                else:
                    check_ranking(hits, self.model.scores(name, query, where), k)
        check_fused(self.col.search(query, k=k), self.model, query)

    @rule(data=st.data(), seed=st.integers(0, 99), k=st.integers(1, 30))
    def search_vectors(self, data: st.DataObject, seed: int, k: int) -> None:
        names = [name for name, field in self.fields.items() if not field.reads_text]
        name = data.draw(st.sampled_from(names))
        (row,) = _rows(self.fields[name], np.random.default_rng(seed), 1)
        hits = self.col.search(row, k=k, fields=name, n_candidates=100)
        check_ranking(hits, self.model.scores(name, row), k)

    # -- readers ----------------------------------------------------------------------------

    @precondition(lambda self: len(self.readers) < READERS)
    @rule()
    def a_reader_opens(self) -> None:
        self.tally["readers"] += 1
        self.readers.append(Reader(open(self.path, read_only=True), self._committed()))

    @precondition(lambda self: self.readers)
    @rule(data=st.data())
    def a_reader_still_sees_its_snapshot(self, data: st.DataObject) -> None:
        reader = data.draw(st.sampled_from(self.readers))
        check_contents(reader.col, reader.model)

    @precondition(lambda self: self.readers)
    @rule(data=st.data())
    def a_reader_refreshes(self, data: st.DataObject) -> None:
        reader = data.draw(st.sampled_from(self.readers))
        assert reader.col.refresh() == self.col.snapshot
        reader.model = self._committed()
        check_contents(reader.col, reader.model, searches=False)

    @precondition(lambda self: self.readers)
    @rule()
    def a_reader_leaves(self) -> None:
        self.readers.pop().col.close()

    def _committed(self) -> Model:
        model = self.model.copy()
        model.rollback()
        return model

    @invariant()
    def agrees(self) -> None:
        """Collection and model are the same."""
        fresh, self.checked = self.col.snapshot != self.checked, self.col.snapshot
        self.tally["steps"] += 1
        if fresh:
            self.tally["snapshots"] += 1
            check_invariants(self.col, self.model)


def _with_little_memory(builder: Callable[..., Any]) -> Callable[..., Any]:
    def make(files: Any, folder: Path, memory_bytes: int, *rest: Any) -> Any:
        return builder(files, folder, min(memory_bytes, SPILL_BYTES), *rest)

    return make


def _stored(d: Document) -> Document:
    """A document as the collection gives it back."""
    plain = normalise_metadata(d.metadata, "")
    return Document(clean_text(d.text), d.id, clean_text(d.title), plain)


def _rows(spec: config.Field, rng: np.random.Generator, n: int) -> list[Any]:
    """n random rows in the model's form."""
    if isinstance(spec, config.DenseField):
        return list(rng.standard_normal((n, DIM)).astype(np.float32))
    if isinstance(spec, config.SparseField):
        picks = (rng.choice(12, rng.integers(1, 5), replace=False) for _ in range(n))
        return [{int(c): float(rng.integers(1, 9)) / 4 for c in pick} for pick in picks]
    shapes = ((int(rng.integers(1, 4)), TOKEN_DIM) for _ in range(n))
    return [rng.standard_normal(shape).astype(np.float32) for shape in shapes]


def _as_given(spec: config.Field, rows: list[Any]) -> Any:
    """The model's rows in the form that `add_vectors` takes."""
    ends = np.cumsum([0, *(len(row) for row in rows)])
    if isinstance(spec, config.DenseField):
        return np.array(rows, np.float32).reshape(len(rows), DIM)
    if isinstance(spec, config.SparseField):
        columns = np.array([c for row in rows for c in row], np.int64)
        weights = np.array([w for row in rows for w in row.values()], np.float32)
        return Matrix(weights, columns, ends, (len(rows), 2**32))
    return np.concatenate([np.empty((0, TOKEN_DIM), np.float32), *rows]), ends
