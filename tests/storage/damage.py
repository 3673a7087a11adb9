"""Damage on purpose: change bytes of a collection's files and see whether anybody is deceived.

A mutation may be noticed when the collection is opened, when it is used, or by `verify`; or it
may change nothing. What it must never do is change an answer while `verify` finds nothing wrong.
"""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import bigrain
from bigrain.errors import DamagedError, FormatError, NotACollectionError, StorageError
from bigrain.storage.catalogue import CATALOGUE
from bigrain.testing import QuickDisk
from tests.collection import making as small
from tests.compat import making

NOTICED = (DamagedError, FormatError, NotACollectionError, StorageError)
PAGE = 4096
FILTERS = (
    "year >= 2005 AND lang = 'é'",
    "tags IN ('b', 'c')",
    "NOT (year < 2005 OR draft = false)",
    "score BETWEEN 1 AND 3",
)
QUERIES: dict[str, Any] = {
    "words": "grain stone letters moon",
    "dense": "grain in silos",
    "own": np.ones(making.DIM, np.float32),
    "impacts": {column: 1.0 for column in range(making.COLUMNS)},
    "tokens": np.eye(making.TOKEN_DIM, dtype=np.float32),
}
UNKNOWN = ["nobody", "d12", "d99", ""]

Answers = dict[str, Any]
Random = np.random.Generator


@dataclass(frozen=True)
class Mutation:
    """What was done to one file, so that it can be done again."""

    kind: str
    file: str
    at: int
    content: bytes

    def __str__(self) -> str:
        return f"{self.kind} in {self.file} at byte {self.at}"


@dataclass
class Outcome:
    """How mutations ended, counted by file kind and kind of mutation; `failures` must be empty."""

    ended: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        table: dict[str, dict[str, int]] = {}
        for (file, _, end), n in sorted(self.ended.items()):
            row = table.setdefault(file, {"mutations": 0})
            row["mutations"] += n
            row[end] = row.get(end, 0) + n
        kinds: dict[str, int] = {}
        for (_, kind, _), n in sorted(self.ended.items()):
            kinds[kind] = kinds.get(kind, 0) + n
        return {"files": table, "kinds": kinds, "failures": self.failures}


# -- what is asked --------------------------------------------------------------------------------


def asked(col: Any, ids: list[str]) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Names of questions with what answers them; every kind of reading there is."""
    yield "counts", lambda: (len(col), col.snapshot, col.stats()["deleted_documents_kept"])
    yield "documents", lambda: [(d.id, d.title, d.text, d.metadata) for d in col.documents()]
    yield "get", lambda: col.get([*ids, *UNKNOWN])
    yield "get one", lambda: col.get(["d21"])
    for name, query in QUERIES.items():
        yield (
            f"search {name}",
            lambda n=name, q=query: hits(  # type: ignore[misc]
                col.search(q, k=100, fields=n, recall=1.0)
            ),
        )
    yield "search fused", lambda: hits(col.search("grain in silos", k=100, recall=1.0))
    yield (
        "arrays",
        lambda: plain(
            col.search_many(["moon", "grain"], k=40, fields="dense", recall=1.0, arrays=True)
        ),
    )
    own = QUERIES["own"]
    for text in FILTERS:
        yield (
            f"filter {text}",
            lambda t=text: hits(  # type: ignore[misc]
                col.search(own, k=100, fields="own", filter=t, recall=1.0)
            ),
        )
    yield (
        "filter arrays",
        lambda: plain(col.search_many([own], 100, "own", 1.0, arrays=True, filter=FILTERS[0])),
    )


def hits(found: list[bigrain.Hit]) -> list[Any]:
    return [
        (h.id, h.score, h.title, h.text, h.metadata, h.passage and (h.passage.start, h.passage.end))
        for h in found
    ]


def plain(found: Any) -> list[Any]:
    """(id, score) of all rows, without the empty places."""
    return [
        (i, float(s)) for i, s in zip(found[0].flat, found[1].flat, strict=True) if i is not None
    ]


def documented_gap(name: str, right: Any, found: Any) -> bool:
    """An index may have lost a document: a filter or a look-up by id misses it until `verify`."""
    if name.startswith("filter "):
        return all(hit in right for hit in found) and len(found) < len(right)
    pairs = zip(found, right, strict=True) if name.startswith("get") else [(0, 1)]
    return all(one in (None, other) for one, other in pairs)


# -- mutations ------------------------------------------------------------------------------------


def mutation(rng: Random, file: Path, root: Path) -> Mutation:
    """A random change of one file."""
    original = file.read_bytes()
    kinds = ["bit", "byte", "byte in a page head", "sector", "truncated", "extended", "pages"]
    kind = str(rng.choice(kinds, p=[0.3, 0.2, 0.25, 0.1, 0.07, 0.04, 0.04]))
    data = bytearray(original)
    at = int(rng.integers(len(data)))
    if kind == "byte in a page head":
        at = min(at - at % PAGE + int(rng.integers(120)), len(data) - 1)
    if kind == "bit":
        data[at] ^= 1 << int(rng.integers(8))
    elif kind.startswith("byte"):
        data[at] ^= int(rng.integers(1, 256))
    elif kind == "sector":
        at -= at % 512
        n = len(data[at : at + 512])
        data[at : at + 512] = bytes(n) if rng.random() < 0.5 else rng.bytes(n)
    elif kind == "truncated":
        del data[at:]
    elif kind == "extended":
        n = int(rng.integers(1, 2 * PAGE))
        data += bytes(n) if rng.random() < 0.5 else rng.bytes(n)
    else:
        other = int(rng.integers(len(data)))
        one, two = (slice(p - p % PAGE, p - p % PAGE + PAGE) for p in (at, other))
        if len(data[one]) == len(data[two]):
            data[one], data[two] = data[two], data[one]
    return Mutation(kind, str(file.relative_to(root)), at, bytes(data))


def headers(file: Path, root: Path, n: int = 100) -> Iterator[Mutation]:
    """Each byte of the first n, inverted."""
    original = file.read_bytes()
    for at in range(min(n, len(original))):
        data = bytearray(original)
        data[at] ^= 255
        yield Mutation("header", str(file.relative_to(root)), at, bytes(data))


def values(root: Path, rng: Random, rows: int) -> Iterator[Mutation]:
    """Well-formed lies: in `rows` rows of every table each value changed, and the row taken away.

    SQLite brings its indexes into line, so that it has nothing to complain of.
    """
    file = root / CATALOGUE
    original = file.read_bytes()
    copy = root.parent / "lies.sqlite"
    tables = ["settings", "fields", "snapshots", "documents", "attribute_keys", "attributes",
              "segments", "superseded"]  # fmt: skip
    for table in tables:
        with contextlib.closing(sqlite3.connect(file)) as db:
            names = [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
            # What the filters would find of deleted documents nobody asks for.
            living = " WHERE docno IN (SELECT docno FROM documents WHERE died IS NULL)"
            some = living if table == "attributes" else ""
            stored = db.execute(f"SELECT * FROM {table}{some}").fetchall()
        here = " AND ".join(f"{name} IS ?" for name in names)
        for row in (stored[i] for i in rng.permutation(len(stored))[:rows].tolist()):
            changes = [(f"DELETE FROM {table} WHERE {here}", row, "a row deleted")]
            for name, value in zip(names, row, strict=True):
                for other in lies(value):
                    sql = f"UPDATE {table} SET {name} = ? WHERE {here}"
                    changes.append((sql, (other, *row), f"{name} = {str(other)[:40]!r}"))
            for sql, parameters, told in changes:
                copy.write_bytes(original)
                with contextlib.closing(sqlite3.connect(copy, isolation_level=None)) as db:
                    try:
                        changed = db.execute(sql, parameters).rowcount
                    except (sqlite3.IntegrityError, OverflowError):
                        continue
                if changed:
                    yield Mutation(f"value ({table}: {told})", CATALOGUE, 0, copy.read_bytes())


def lies(value: Any) -> list[Any]:
    """Other values that could stand in a value's place."""
    if value is None:
        return [0, 1, 10**6]
    if isinstance(value, int | float):
        return [value + 1, 10**6, None]
    if isinstance(value, str):
        changed = value.replace("1", "2") if "1" in value else value + "x"
        return [changed, ""]
    return [value[:-1] + bytes([value[-1] ^ 1]) if value else b"x", b"", None]


# -- the trial ------------------------------------------------------------------------------------


class Trial:
    """A collection of every family, its right answers, and a copy to be damaged."""

    def __init__(self, folder: Path, *, write: bool = False) -> None:
        self.write = write  # also write to what nobody noticed
        self.sound, self.path = folder / "sound.grain", folder / "docs.grain"
        making.build(self.sound)
        self.ids = [
            *making.IDS,
            *(f"d{i}" for i in range(10, 30)),
            *(f"e{i}" for i in range(30, 36)),
        ]
        with bigrain.open(self.sound, read_only=True, files=QuickDisk()) as col:
            self.right: Answers = {name: ask() for name, ask in asked(col, self.ids)}
            assert col.verify().ok
        self.outcome, self.spoilt = Outcome(), True

    def files(self) -> list[Path]:
        """The catalogue, then the segments."""
        return [self.sound / CATALOGUE, *sorted((self.sound / "segments").iterdir())]

    def run(self, change: Mutation) -> str:
        """Apply it to a fresh copy and say how it ended; failures are kept."""
        if self.spoilt:
            shutil.rmtree(self.path, ignore_errors=True)
            shutil.copytree(self.sound, self.path)
        self.spoilt = False
        (self.path / change.file).write_bytes(change.content)
        same = change.content == (self.sound / change.file).read_bytes()
        try:
            end = "unchanged" if same else self._ending(change)
        except Exception as error:
            end = "failure"
            self.outcome.failures.append(f"{change}: {type(error).__name__}: {error}")
        finally:
            shutil.copyfile(self.sound / change.file, self.path / change.file)
            for log in self.path.glob(f"{CATALOGUE}-*"):
                log.unlink()
        kind = "catalogue" if change.file == CATALOGUE else Path(change.file).name.split("-")[0]
        self.outcome.ended[kind, change.kind.split(" (")[0], end] += 1
        return end

    def _ending(self, change: Mutation) -> str:
        name = Path(change.file).name
        try:
            col = bigrain.open(self.path, read_only=True, files=QuickDisk())
        except NOTICED as error:
            named(error, name)
            return "noticed at open"
        noticed, deceived = False, []
        with col:
            for question, ask in asked(col, self.ids):
                try:
                    found = ask()
                except NOTICED as error:
                    named(error, name)
                    noticed = True
                    continue
                if found != self.right[question]:
                    if not documented_gap(question, self.right[question], found):
                        raise AssertionError(f"wrong answer to {question!r}: {str(found)[:300]}")
                    deceived.append(question)
            try:
                told = col.verify().problems
            except NOTICED as error:
                told = [str(error)]
        if deceived and not told:
            raise AssertionError(f"a wrong answer to {deceived[0]!r} and verify finds nothing")
        if noticed and not told:
            raise AssertionError("used with an error, and verify finds nothing")
        if noticed:
            return "noticed at use"
        if deceived:
            return "an index missed a document, noticed by verify"
        if told:
            return "noticed by verify"
        return self._written(name) if self.write else "harmless"

    def _written(self, name: str) -> str:
        """What nobody noticed must not spoil what is written next."""
        self.spoilt = True
        try:
            with bigrain.open(self.path, files=QuickDisk()) as col:
                col.add([{"id": "new", "text": "Something new on silos."}])
                col.delete(["d20"])
                col.commit()
                col.compact()
        except NOTICED as error:
            named(error, name)
            return "noticed when writing"
        with bigrain.open(self.path, read_only=True, files=QuickDisk()) as col:
            report = col.verify()
            assert report.ok, f"after writing: {report.summary()}"
            found = [(d.id, d.title, d.text, d.metadata) for d in col.documents()]
            kept = [row for row in self.right["documents"] if row[0] != "d20"]
            assert found == [*kept, ("new", "", "Something new on silos.", {})], "after writing"
        return "harmless, and written to"


# -- the log --------------------------------------------------------------------------------------


class LogTrial:
    """A collection whose writer was killed: its last commits are in SQLite's log alone."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.folder, self.killed = folder, folder / "killed.grain"
        path = folder / "docs.grain"
        self.states: dict[int, dict[str, Any]] = {0: {}}
        col, model = small.make(path)
        for n in range(4):
            small.fill(col, model, [f"d{n}", f"e{n}"], seed=n)
            if n:
                col.delete([f"d{n - 1}"])
                model.delete([f"d{n - 1}"])
            small.commit(col, model)
            self.states[n + 1] = dict(model.documents)
        # What a process that is killed now leaves behind.
        kept = shutil.ignore_patterns("*-shm", "*.pin", "writer.lock")
        shutil.copytree(path, self.killed, ignore=kept)
        col.close()
        self.log = f"{CATALOGUE}-wal"
        self.original = (self.killed / self.log).read_bytes()
        self.ended: Counter[str] = Counter()

    def run(self, rng: Random) -> None:
        """Damage the log; what is found is one whole snapshot, or damage by name."""
        data, at = bytearray(self.original), int(rng.integers(len(self.original)))
        kind = int(rng.integers(4))
        if kind == 0:
            del data[at:]
        elif kind == 1:
            data[at : at + 512] = bytes(len(data[at : at + 512]))
        else:
            data[at] ^= int(rng.integers(1, 256))
        path = self.folder / "damaged.grain"
        shutil.copytree(self.killed, path)
        (path / self.log).write_bytes(data)
        newest = max(self.states)
        try:
            with bigrain.open(path, read_only=True, files=QuickDisk()) as col:
                found = {d.id: d for d in col.documents()}
                assert found == self.states[col.snapshot], f"byte {at}: no snapshot there ever was"
                assert col.verify().ok, f"byte {at}: {col.verify().summary()}"
                self.ended["newest" if col.snapshot == newest else "an older snapshot"] += 1
        except NOTICED as error:
            named(error, CATALOGUE)
            self.ended["noticed"] += 1
        finally:
            shutil.rmtree(path)


def named(error: Exception, file: str) -> None:
    """Damage names the file and what in it."""
    if isinstance(error, DamagedError):
        assert error.file == file and error.section, f"{error} names {error.file}"
    elif isinstance(error, StorageError):
        assert file in str(error), f"{error!r} does not name {file}"
