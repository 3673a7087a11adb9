"""The catalogue: documents, metadata, segments, deletions and settings in one SQLite file.

The writer keeps one transaction open from its first change to `commit`, so pending changes are
nowhere until they are everywhere. Readers remember a snapshot number: a row counts for snapshot S
if `born <= S` and it has not died by S. The schema is told in docs/format/catalogue.md.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bigrain.errors import (
    BigrainError,
    DamagedError,
    FormatError,
    NotACollectionError,
    StorageError,
)
from bigrain.storage.attributes import attributes_of
from bigrain.storage.files import Files, storage_errors

__all__ = ["CATALOGUE", "Catalogue", "SegmentRow", "Stored", "StoredDocument"]

CATALOGUE = "catalogue.sqlite"
FORMAT_VERSION = 1
APPLICATION_ID = 0x6267726E  # "bgrn"
COMPRESS_FROM_BYTES = 200
SELECT_BATCH = 500
NONSENSE = (ArithmeticError, LookupError, TypeError, ValueError)  # what damaged values bring about

SCHEMA = """
CREATE TABLE settings (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE fields (
    name TEXT PRIMARY KEY, position INTEGER NOT NULL, spec TEXT NOT NULL,
    fingerprint TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE snapshots (snapshot INTEGER PRIMARY KEY, documents INTEGER NOT NULL, at REAL NOT NULL);
CREATE TABLE documents (
    docno INTEGER PRIMARY KEY, id TEXT NOT NULL, title TEXT NOT NULL, body BLOB NOT NULL,
    passages BLOB, metadata TEXT NOT NULL, checksum INTEGER NOT NULL,
    born INTEGER NOT NULL, died INTEGER
);
CREATE UNIQUE INDEX live_ids ON documents (id) WHERE died IS NULL;
CREATE INDEX dead_documents ON documents (died) WHERE died IS NOT NULL;
CREATE INDEX long_documents ON documents (docno) WHERE passages IS NOT NULL;
CREATE TABLE attribute_keys (key INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE attributes (
    key INTEGER NOT NULL, value NOT NULL, docno INTEGER NOT NULL, PRIMARY KEY (key, value, docno)
) WITHOUT ROWID;
CREATE TABLE segments (
    file TEXT PRIMARY KEY, field TEXT NOT NULL, rows INTEGER NOT NULL, bytes INTEGER NOT NULL,
    born INTEGER NOT NULL, died INTEGER
) WITHOUT ROWID;
CREATE TABLE superseded (
    file TEXT NOT NULL, unit INTEGER NOT NULL, since INTEGER NOT NULL, PRIMARY KEY (file, unit)
) WITHOUT ROWID;
"""

DEFINITION = "definition_crc32"
SELECT_SETTINGS = (
    f"SELECT key, value FROM settings WHERE key NOT IN ('{DEFINITION}', 'next_docno') ORDER BY key"
)
SELECT_FIELDS = "SELECT name, spec, fingerprint FROM fields ORDER BY position"

Units = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Stored:
    """A document ready to be written; `passages` are (start, end) spans or None for the whole."""

    docno: int
    id: str
    title: str
    text: str
    metadata: Mapping[str, Any]
    passages: npt.NDArray[np.int32] | None

    @property
    def n_passages(self) -> int:
        return 1 if self.passages is None else len(self.passages)


@dataclass(frozen=True, slots=True)
class StoredDocument:
    """A document as read back."""

    docno: int
    id: str
    title: str
    text: str
    metadata: dict[str, Any]
    passages: npt.NDArray[np.int32] | None


@dataclass(frozen=True, slots=True)
class SegmentRow:
    """A segment file as the catalogue lists it."""

    file: str
    field: str
    rows: int
    n_bytes: int
    born: int


class Catalogue:
    """One open catalogue. Reads may come from any thread; writes from one."""

    def __init__(self, files: Files, folder: Path, *, cache_bytes: int) -> None:
        self._files, self._path = files, folder / CATALOGUE
        self._cache_kib = max(256, cache_bytes // 1024)
        self._idle: list[sqlite3.Connection] = []  # for reading; as many as threads read at once
        self._closed = self._wrote = False
        self._lock = threading.Lock()
        self._writer: sqlite3.Connection | None = None

    # -- opening ----------------------------------------------------------------------------

    @classmethod
    def create(
        cls,
        files: Files,
        folder: Path,
        *,
        settings: Mapping[str, Any],
        fields: Mapping[str, tuple[dict[str, Any], dict[str, Any]]],
        cache_bytes: int,
    ) -> Catalogue:
        """Write a new catalogue; `fields` maps names to (spec, fingerprint)."""
        catalogue = cls(files, folder, cache_bytes=cache_bytes)
        db = catalogue._connect(read_only=False)
        with storage_errors("cannot create the catalogue"):
            db.execute("PRAGMA auto_vacuum = INCREMENTAL")
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = FULL")
            db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            db.execute(f"PRAGMA user_version = {FORMAT_VERSION}")
            db.execute("BEGIN IMMEDIATE")
            for statement in SCHEMA.split(";\n"):
                if statement.strip():
                    db.execute(statement)
            db.executemany(
                "INSERT INTO settings VALUES (?, ?)",
                [
                    (key, json.dumps(value))
                    for key, value in {**settings, DEFINITION: 0, "next_docno": 0}.items()
                ],
            )
            db.executemany(
                "INSERT INTO fields VALUES (?, ?, ?, ?)",
                [
                    (name, i, json.dumps(spec), json.dumps(fingerprint))
                    for i, (name, (spec, fingerprint)) in enumerate(fields.items())
                ],
            )
            db.execute(
                "UPDATE settings SET value = ? WHERE key = ?",
                (json.dumps(_definition_checksum(db)), DEFINITION),
            )
            db.execute("INSERT INTO snapshots VALUES (0, 0, unixepoch())")
            db.execute("COMMIT")
            db.close()
        files.sync_folder(folder)
        return catalogue

    def check_format(self) -> None:
        """Refuse what is no catalogue, or a newer one."""
        with self._reading("the catalogue's header") as db:
            (application,) = db.execute("PRAGMA application_id").fetchone()
            (version,) = db.execute("PRAGMA user_version").fetchone()
        if application != APPLICATION_ID:
            raise NotACollectionError(f"{self._path} is not a bigrain catalogue")
        if version > FORMAT_VERSION:
            raise FormatError(
                f"{self._path.parent} has collection format {version}; this bigrain reads up to "
                f"{FORMAT_VERSION}: upgrade bigrain"
            )

    def _connect(self, *, read_only: bool) -> sqlite3.Connection:
        db = self._files.connect(self._path, read_only=read_only)
        try:
            db.execute(f"PRAGMA cache_size = -{self._cache_kib}")
            db.execute("PRAGMA temp_store = FILE")
            if not read_only:
                db.execute("PRAGMA synchronous = FULL")
                db.execute(f"PRAGMA journal_size_limit = {1 << 26}")
        except (sqlite3.DatabaseError, *NONSENSE) as error:
            db.close()
            raise _as_error(self._path.name, "the header", error) from error
        return db

    @contextmanager
    def _reading(self, what: str) -> Iterator[sqlite3.Connection]:
        with self._lock:
            db = self._idle.pop() if self._idle else None
        try:
            if db is None:
                db = self._connect(read_only=True)
            yield db
        except (sqlite3.DatabaseError, *NONSENSE) as error:
            raise _as_error(self._path.name, what, error) from error
        finally:
            if db is not None:
                with self._lock:
                    if not self._closed:
                        self._idle.append(db)
                        db = None
            if db is not None:
                db.close()

    def close(self) -> None:
        self.end_writing()
        with self._lock:
            idle, self._idle, self._closed = self._idle, [], True
        for db in idle:
            db.close()
        if self._wrote:
            self._wrote = False
            with contextlib.suppress(sqlite3.Error, BigrainError):
                db = self._connect(read_only=False)
                db.execute("PRAGMA busy_timeout = 200")  # readers at work do it when they end
                db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                db.close()

    # -- reading ----------------------------------------------------------------------------

    def definition(
        self,
    ) -> tuple[dict[str, Any], dict[str, tuple[dict[str, Any], dict[str, Any]]]]:
        """What `create` laid down, its checksum verified: settings, and fields in their order.

        Fields are name -> (spec, encoder fingerprint).
        """
        with self._reading("settings") as db:
            found = _definition_checksum(db)
            stored = db.execute(
                "SELECT value FROM settings WHERE key = ?", (DEFINITION,)
            ).fetchone()
            if stored is None or stored[0] != json.dumps(found):
                raise DamagedError(
                    self._path.name, "settings or fields", f"crc32 {stored and stored[0]}", found
                )
            settings = {k: json.loads(v) for k, v in db.execute(SELECT_SETTINGS)}
            fields = {n: (json.loads(s), json.loads(f)) for n, s, f in db.execute(SELECT_FIELDS)}
        return settings, fields

    def snapshot(self) -> tuple[int, int]:
        """(newest snapshot, live documents in it)."""
        with self._reading("snapshots") as db:
            row = db.execute(
                "SELECT snapshot, documents FROM snapshots ORDER BY snapshot DESC LIMIT 1"
            ).fetchone()
        if row is None:
            raise DamagedError(self._path.name, "snapshots", "at least one row", "none")
        if not all(isinstance(number, int) and number >= 0 for number in row):
            raise DamagedError(self._path.name, "snapshots", "two numbers from 0", row)
        return int(row[0]), int(row[1])

    def segments(self, snapshot: int) -> list[SegmentRow]:
        with self._reading("segments") as db:
            rows = db.execute(
                "SELECT file, field, rows, bytes, born FROM segments"
                " WHERE born <= ? AND (died IS NULL OR died > ?) ORDER BY born, file",
                (snapshot, snapshot),
            )
            return [SegmentRow(*row) for row in rows]

    def dead_documents(self, snapshot: int) -> Units:
        """(n, 2) array of (docno, number of passages) deleted or replaced by this snapshot."""
        with self._reading("deletions") as db:
            return _pairs(
                db.execute(
                    "SELECT docno, coalesce(length(passages) / 8, 1) FROM documents"
                    " WHERE died IS NOT NULL AND died <= ? ORDER BY docno",
                    (snapshot,),
                )
            )

    def long_documents(self) -> Units:
        """(n, 2) array of (docno, number of passages) where there are several."""
        with self._reading("passages") as db:
            return _pairs(
                db.execute(
                    "SELECT docno, length(passages) / 8 FROM documents"
                    " WHERE passages IS NOT NULL ORDER BY docno"
                )
            )

    def superseded(self, snapshot: int) -> dict[str, Units]:
        """File -> units whose row there has been replaced by a later segment."""
        with self._reading("superseded rows") as db:
            found: dict[str, list[int]] = {}
            for file, unit in db.execute(
                "SELECT file, unit FROM superseded WHERE since <= ?", (snapshot,)
            ):
                found.setdefault(file, []).append(unit)
        return {file: np.array(units, np.int64) for file, units in found.items()}

    def documents(self, docnos: Sequence[int]) -> dict[int, StoredDocument]:
        """Documents by number; numbers that are not there are left out."""
        found: dict[int, StoredDocument] = {}
        with self._reading("documents") as db:
            for part in _batches(docnos):
                rows = db.execute(
                    "SELECT docno, id, title, body, passages, metadata, checksum FROM documents"
                    f" WHERE docno IN ({_marks(part)})",
                    part,
                )
                for row in rows:
                    found[row[0]] = self._unpack(row)
        return found

    def documents_by_id(self, ids: Sequence[str], snapshot: int) -> dict[str, StoredDocument]:
        """The documents of a snapshot by id; ids that are not there are left out."""
        found: dict[str, StoredDocument] = {}
        ids = [i for i in ids if _encodable(i)]  # SQLite cannot be asked for lone surrogates
        with self._reading("documents") as db:
            for part in _batches(ids):
                rows = db.execute(
                    "SELECT docno, id, title, body, passages, metadata, checksum FROM documents"
                    f" WHERE id IN ({_marks(part)}) AND born <= ?"
                    " AND (died IS NULL OR died > ?)",
                    [*part, snapshot, snapshot],
                )
                found.update((row[1], self._unpack(row)) for row in rows)
        return found

    def ids(self, docnos: Sequence[int]) -> dict[int, str]:
        """The id of each document number that is there."""
        found: dict[int, str] = {}
        with self._reading("documents") as db:
            for part in _batches(docnos):
                found.update(
                    db.execute(
                        f"SELECT docno, id FROM documents WHERE docno IN ({_marks(part)})", part
                    ).fetchall()
                )
        return found

    def live_documents(self, snapshot: int) -> Iterator[StoredDocument]:
        """Every document of a snapshot, by number."""
        for found in self._scan(snapshot):
            if isinstance(found, DamagedError):
                raise found
            yield found

    def scan_documents(self, snapshot: int) -> Iterator[tuple[int, int] | DamagedError]:
        """(number, passages) of every document of a snapshot, or what is wrong with it."""
        for found in self._scan(snapshot):
            if isinstance(found, DamagedError):
                yield found
            else:
                yield found.docno, 1 if found.passages is None else len(found.passages)

    def _scan(self, snapshot: int) -> Iterator[StoredDocument | DamagedError]:
        """Every document, in stretches, so that no read stays open between two of them."""
        last = -1
        while True:
            with self._reading("documents") as db:
                rows = db.execute(
                    "SELECT docno, id, title, body, passages, metadata, checksum FROM documents"
                    " WHERE docno > ? AND born <= ? AND (died IS NULL OR died > ?)"
                    " ORDER BY docno LIMIT ?",
                    (last, snapshot, snapshot, SELECT_BATCH),
                ).fetchall()
            if not rows:
                return
            if rows[-1][0] <= last:
                yield DamagedError(
                    self._path.name, "documents", f"a number above {last}", rows[-1][0]
                )
                return
            last = rows[-1][0]
            for row in rows:
                try:
                    yield self._unpack(row)
                except DamagedError as error:
                    yield error

    def metadata_keys(self) -> list[str]:
        with self._reading("metadata keys") as db:
            return [name for (name,) in db.execute("SELECT name FROM attribute_keys ORDER BY name")]

    def select_docnos(self, sql: str, parameters: Sequence[Any]) -> Units:
        """Run a query on `attributes` that gives document numbers."""
        with self._reading("metadata") as db:
            return np.fromiter((row[0] for row in db.execute(sql, parameters)), np.int64)

    def _unpack(self, row: tuple[Any, ...]) -> StoredDocument:
        docno, id_, title, body, passages, metadata, checksum = row
        found = _checksum(id_, title, body, passages, metadata)
        if found != checksum:
            raise DamagedError(
                self._path.name, f"document {id_!r}", f"crc32 {checksum:08x}", f"{found:08x}"
            )
        spans = None if passages is None else np.frombuffer(passages, "<i4").reshape(-1, 2)
        return StoredDocument(docno, id_, title, unpack_text(body), json.loads(metadata), spans)

    # -- writing ----------------------------------------------------------------------------

    @property
    def writing(self) -> bool:
        return self._writer is not None

    def begin_writing(self) -> None:
        """Open the transaction that `commit` will end."""
        if self._writer is None:
            db = self._connect(read_only=False)
            with storage_errors("cannot begin to write"):
                db.execute("BEGIN IMMEDIATE")
            self._writer, self._wrote = db, True

    def end_writing(self) -> None:
        """Drop everything that was not committed."""
        db, self._writer = self._writer, None
        if db is not None:
            try:
                if db.in_transaction:
                    db.execute("ROLLBACK")
            except sqlite3.Error:
                pass  # closing the connection rolls back too
            finally:
                db.close()

    @contextmanager
    def _changing(self, doing: str) -> Iterator[sqlite3.Connection]:
        if self._writer is None:
            raise StorageError(f"{self._path.name}: {doing}: the pending changes were dropped")
        try:
            yield self._writer
        except sqlite3.DatabaseError as error:
            raise _as_error(self._path.name, doing, error) from error

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Undo the block's changes, and no others, if it raises. The block may end in a commit."""
        with self._changing("set a savepoint") as db:
            db.execute("SAVEPOINT change")
        try:
            yield
            if self.transaction_alive:
                with self._changing("release a savepoint") as db:
                    db.execute("RELEASE change")
        except BaseException:
            # A full disk may have rolled the whole transaction back already.
            if self._writer is not None and self._writer.in_transaction:
                try:
                    self._writer.execute("ROLLBACK TO change")
                    self._writer.execute("RELEASE change")
                except sqlite3.Error:
                    self.end_writing()  # half a change must not be committed
            raise

    @property
    def transaction_alive(self) -> bool:
        return self._writer is not None and self._writer.in_transaction

    def next_docno(self) -> int:
        with self._changing("read the last document number") as db:
            (stored,) = db.execute("SELECT value FROM settings WHERE key = 'next_docno'").fetchone()
            return int(json.loads(stored))

    def insert_documents(self, documents: Sequence[Stored], *, born: int) -> None:
        rows, attributes = [], []
        for d in documents:
            body = pack_text(d.text)
            spans = None if d.passages is None else d.passages.astype("<i4").tobytes()
            metadata = json.dumps(d.metadata, ensure_ascii=False, separators=(",", ":"))
            checksum = _checksum(d.id, d.title, body, spans, metadata)
            rows.append((d.docno, d.id, d.title, body, spans, metadata, checksum, born))
            attributes += [(key, value, d.docno) for key, value in attributes_of(d.metadata)]
        with self._changing("write documents") as db:
            db.executemany(
                "INSERT INTO documents (docno, id, title, body, passages, metadata, checksum, born)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                rows,
            )
            if attributes:
                keys = self._intern(db, {key for key, _, _ in attributes})
                db.executemany(
                    "INSERT OR IGNORE INTO attributes VALUES (?, ?, ?)",
                    [(keys[key], value, docno) for key, value, docno in attributes],
                )

    def _intern(self, db: sqlite3.Connection, names: Iterable[str]) -> dict[str, int]:
        db.executemany(
            "INSERT OR IGNORE INTO attribute_keys (name) VALUES (?)", [(n,) for n in names]
        )
        return dict(db.execute("SELECT name, key FROM attribute_keys").fetchall())

    def find_live(self, ids: Sequence[str]) -> dict[str, int]:
        """Id -> docno for the ids that are live, pending changes included."""
        found: dict[str, int] = {}
        with self._changing("look up ids") as db:
            for part in _batches(ids):
                found.update(
                    db.execute(
                        "SELECT id, docno FROM documents"
                        f" WHERE died IS NULL AND id IN ({_marks(part)})",
                        part,
                    ).fetchall()
                )
        return found

    def kill_documents(self, docnos: Sequence[int], *, died: int) -> None:
        with self._changing("delete documents") as db:
            db.executemany(
                "UPDATE documents SET died = ? WHERE docno = ?", [(died, n) for n in docnos]
            )

    def pending_live(self, start: int, stop: int) -> Units:
        """(n, 2): (docno, passages) of live documents in start..stop, pending changes included."""
        with self._changing("list documents") as db:
            return _pairs(
                db.execute(
                    "SELECT docno, coalesce(length(passages) / 8, 1) FROM documents"
                    " WHERE died IS NULL AND docno >= ? AND docno < ? ORDER BY docno",
                    (start, stop),
                )
            )

    def is_live(self, docnos: Sequence[int]) -> set[int]:
        """Which of these documents are live, pending changes included."""
        live: set[int] = set()
        with self._changing("list documents") as db:
            for part in _batches(docnos):
                live.update(
                    n
                    for (n,) in db.execute(
                        "SELECT docno FROM documents"
                        f" WHERE died IS NULL AND docno IN ({_marks(part)})",
                        part,
                    )
                )
        return live

    def add_segment(self, row: SegmentRow) -> None:
        with self._changing("list a segment") as db:
            db.execute(
                "INSERT INTO segments VALUES (?, ?, ?, ?, ?, NULL)",
                (row.file, row.field, row.rows, row.n_bytes, row.born),
            )

    def retire_segments(self, files: Sequence[str], *, died: int) -> None:
        with self._changing("retire segments") as db:
            db.executemany(
                "UPDATE segments SET died = ? WHERE file = ?", [(died, file) for file in files]
            )

    def supersede(self, file: str, units: Units, *, since: int) -> None:
        with self._changing("mark replaced rows") as db:
            db.executemany(
                "INSERT OR IGNORE INTO superseded VALUES (?, ?, ?)",
                [(file, unit, since) for unit in units.tolist()],
            )

    def commit(self, snapshot: int, *, next_docno: int, documents_delta: int) -> int:
        """Publish everything pending as `snapshot`; returns the number of live documents."""
        with self._changing("commit") as db:
            (before,) = db.execute(
                "SELECT documents FROM snapshots ORDER BY snapshot DESC LIMIT 1"
            ).fetchone()
            documents = int(before) + documents_delta
            db.execute("INSERT INTO snapshots VALUES (?, ?, unixepoch())", (snapshot, documents))
            db.execute(
                "UPDATE settings SET value = ? WHERE key = 'next_docno'", (json.dumps(next_docno),)
            )
            db.execute("COMMIT")
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()
        return documents

    def purge(self, oldest: int, *, documents: bool) -> list[str]:
        """Drop what no snapshot from `oldest` on can see, at once; returns files to remove.

        `documents` also drops deleted documents, which takes a pass over the metadata; every
        segment of the newest snapshot must have been freed of their rows before.
        """
        with self._changing("purge") as db:
            files = [
                f for (f,) in db.execute("SELECT file FROM segments WHERE died <= ?", (oldest,))
            ]
            db.execute("DELETE FROM segments WHERE died <= ?", (oldest,))
            db.executemany("DELETE FROM superseded WHERE file = ?", [(f,) for f in files])
            db.execute("DELETE FROM snapshots WHERE snapshot < ?", (oldest,))
            if documents:
                (newest,) = db.execute("SELECT max(snapshot) FROM snapshots").fetchone()
                (first,) = db.execute("SELECT min(born) FROM segments").fetchone()
                # The newest snapshot's segments hold no row of the dead. Those of an older one may,
                # and whoever reads it needs to know them; a segment born after a death is free.
                gone = oldest if oldest == newest or first is None else min(oldest, first)
                db.execute(
                    "DELETE FROM attributes WHERE docno IN"
                    " (SELECT docno FROM documents WHERE died <= ?)",
                    (gone,),
                )
                db.execute("DELETE FROM documents WHERE died <= ?", (gone,))
                db.execute(
                    "DELETE FROM attribute_keys WHERE key NOT IN (SELECT key FROM attributes)"
                )
            db.execute("COMMIT")
            if documents:
                db.execute("PRAGMA incremental_vacuum")
        self.end_writing()
        return files

    def listed_files(self) -> set[str]:
        """Every segment file that some snapshot may use."""
        with self._changing("list segments") as db:
            return {file for (file,) in db.execute("SELECT file FROM segments")}

    # -- checking ---------------------------------------------------------------------------

    def check(self) -> list[str]:
        """SQLite's own integrity check: a list of complaints."""
        try:
            with self._reading("everything") as db:
                rows = db.execute("PRAGMA integrity_check(20)").fetchall()
        except (DamagedError, StorageError) as error:
            return [str(error)]
        return [text for (text,) in rows if text != "ok"]


def pack_text(text: str) -> bytes:
    """One byte of kind (0 plain, 1 zlib), then UTF-8."""
    raw = text.encode()
    if len(raw) >= COMPRESS_FROM_BYTES:
        packed = zlib.compress(raw, 1)
        if len(packed) < len(raw):
            return b"\x01" + packed
    return b"\x00" + raw


def unpack_text(body: bytes) -> str:
    return (zlib.decompress(body[1:]) if body[:1] == b"\x01" else body[1:]).decode()


def _checksum(id_: str, title: str, body: bytes, passages: bytes | None, metadata: str) -> int:
    parts = (id_.encode(), title.encode(), body, passages or b"", metadata.encode())
    crc = 0
    for part in parts:
        crc = zlib.crc32(part, zlib.crc32(len(part).to_bytes(8, "little"), crc))
    return crc


def _encodable(text: object) -> bool:
    try:
        str(text).encode()
    except UnicodeEncodeError:
        return False
    return True


def _definition_checksum(db: sqlite3.Connection) -> int:
    """CRC-32 over settings and fields as they are stored."""
    rows = [db.execute(sql).fetchall() for sql in (SELECT_SETTINGS, SELECT_FIELDS)]
    return zlib.crc32(repr(rows).encode("utf-8", "surrogatepass"))


def _pairs(rows: Iterable[tuple[int, int]]) -> Units:
    """(n, 2) numbers, without a list of them all in between."""
    return np.fromiter(chain.from_iterable(rows), np.int64).reshape(-1, 2)


def _batches(values: Sequence[Any]) -> Iterator[list[Any]]:
    for start in range(0, len(values), SELECT_BATCH):
        yield list(values[start : start + SELECT_BATCH])


def _marks(values: Sequence[Any]) -> str:
    return ",".join("?" * len(values))


def _as_error(file: str, doing: str, error: Exception) -> Exception:
    if isinstance(error, NONSENSE):
        return DamagedError(file, doing, "values of the schema", repr(error))
    code = getattr(error, "sqlite_errorname", "")
    if code.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return DamagedError(file, doing, "a readable page", str(error))
    if isinstance(error, sqlite3.IntegrityError | sqlite3.ProgrammingError):
        return error
    return StorageError(f"{file}: {doing}: {error}")
