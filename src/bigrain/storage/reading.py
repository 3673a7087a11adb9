"""Reading the catalogue, every list held against the checksum that its snapshot carries."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bigrain.errors import DamagedError, FormatError, NotACollectionError, StorageError
from bigrain.storage import schema, sums
from bigrain.storage.attributes import Value
from bigrain.storage.files import Files
from bigrain.storage.rows import (
    CATALOGUE,
    DOCUMENT,
    NONSENSE,
    SEEN,
    SELECT_BATCH,
    SUMS,
    TOGETHER,
    Attribute,
    SegmentRow,
    Snapshot,
    StoredDocument,
    Units,
    as_error,
    batches,
    dead_rows,
    encodable,
    ended,
    key_numbers,
    live_rows,
    long_rows,
    marks,
    order_of,
    segment_rows,
    setting,
    superseded_rows,
    superseded_total,
    unpack_text,
    version_of,
    with_digest,
)
from bigrain.storage.sums import MASK, Sums

__all__ = ["CatalogueReader"]

KEPT_CONNECTIONS = 4
LEAST_CACHE_KIB = 256


class CatalogueReader:
    """One open catalogue. Reads may come from any thread."""

    def __init__(self, files: Files, folder: Path, *, cache_bytes: int) -> None:
        self._files, self._path = files, folder / CATALOGUE
        self._cache_kib = cache_bytes // 1024
        self._idle: list[sqlite3.Connection] = []  # as many as threads read at once
        self._closed = False
        self._has_heads = False  # once true, it stays so: formats only rise
        self._lock = threading.Lock()

    def check_format(self) -> None:
        """Refuse what is no catalogue, or a newer one."""
        with self._reading("the catalogue's header", at_once=True) as db:
            (application,) = db.execute("PRAGMA application_id").fetchone()
            version = version_of(db)
            summed = schema.has_sums(db)
        if application != schema.APPLICATION_ID:
            if (self._path.parent / "segments").is_dir():
                found = f"the mark {application}" if self._path.stat().st_size else "an empty file"
                raise DamagedError(self._path.name, "the header", "the mark of bigrain", found)
            raise NotACollectionError(f"{self._path} is not a bigrain catalogue")
        if version > schema.FORMAT_VERSION:
            raise FormatError(
                f"{self._path.parent} has collection format {version}; this bigrain reads up to "
                f"{schema.FORMAT_VERSION}: upgrade bigrain"
            )
        told = 2 if summed else 1
        if version != told:
            raise DamagedError(
                self._path.name, "the header", f"format {told}, as its tables are", version
            )

    def format_version(self) -> int:
        """The format it was last written in; 1 has no checksums of lists of rows."""
        with self._reading("the catalogue's header") as db:
            return version_of(db)

    def _connect(self, *, read_only: bool) -> sqlite3.Connection:
        db = self._files.connect(self._path, read_only=read_only)
        try:
            # Half for the writer; each reader an eighth, as many as threads read at once.
            share = self._cache_kib // (8 if read_only else 2)
            db.execute(f"PRAGMA cache_size = -{max(share, LEAST_CACHE_KIB)}")
            db.execute("PRAGMA temp_store = FILE")
            if not read_only:
                db.execute("PRAGMA synchronous = FULL")
                db.execute(f"PRAGMA journal_size_limit = {1 << 26}")
        except (sqlite3.DatabaseError, *NONSENSE) as error:
            db.close()
            raise as_error(self._path.name, "the header", error) from error
        return db

    @contextmanager
    def _reading(self, what: str, *, at_once: bool = False) -> Iterator[sqlite3.Connection]:
        """A connection to read with; `at_once` lets all that is read be of one moment."""
        with self._lock:
            db = self._idle.pop() if self._idle else None
        try:
            if db is None:
                db = self._connect(read_only=True)
            if at_once:
                db.execute("BEGIN")
            yield db
        except (sqlite3.DatabaseError, *NONSENSE) as error:
            raise as_error(self._path.name, what, error) from error
        finally:
            if db is not None:
                usable = not db.in_transaction or ended(db)
                with self._lock:
                    if usable and not self._closed and len(self._idle) < KEPT_CONNECTIONS:
                        self._idle.append(db)
                        db = None
            if db is not None:
                db.close()

    def close(self) -> None:
        with self._lock:
            idle, self._idle, self._closed = self._idle, [], True
        for db in idle:
            db.close()

    # -- reading ----------------------------------------------------------------------------

    def definition(
        self,
    ) -> tuple[dict[str, Any], dict[str, tuple[dict[str, Any], dict[str, Any]]]]:
        """What `create` laid down, its checksum verified: settings, and fields in their order.

        Fields are name -> (spec, encoder fingerprint).
        """
        with self._reading("settings", at_once=True) as db:
            found = schema.definition_checksum(db)
            stored = setting(db, schema.DEFINITION)
            if stored != found:
                raise DamagedError(self._path.name, "settings or fields", f"crc32 {stored}", found)
            settings = {k: json.loads(v) for k, v in db.execute(schema.SELECT_SETTINGS)}
            fields = {
                n: (json.loads(s), json.loads(f)) for n, s, f in db.execute(schema.SELECT_FIELDS)
            }
        settings.pop(schema.SUMMED_SINCE, None)
        return settings, fields

    def snapshot(self) -> tuple[int, int]:
        """(newest snapshot, live documents in it)."""
        with self._reading("snapshots", at_once=True) as db:
            newest = self._newest(db)
        return newest.number, newest.documents

    def listed(self, snapshot: int) -> Snapshot:
        """What the catalogue says of one snapshot."""
        with self._reading("snapshots", at_once=True) as db:
            return self._snapshot(db, snapshot)

    def _newest(self, db: sqlite3.Connection) -> Snapshot:
        (number,) = db.execute("SELECT max(snapshot) FROM snapshots").fetchone()
        if number is None:
            raise DamagedError(self._path.name, "snapshots", "at least one row", "none")
        newest = self._snapshot(db, number)
        told = setting(db, "newest_snapshot") if version_of(db) > 1 else number
        if told != number:
            raise DamagedError(self._path.name, "snapshots", f"{told} to be the newest", number)
        return newest

    def _snapshot(self, db: sqlite3.Connection, number: int) -> Snapshot:
        """One row of the snapshots, its checksum verified."""
        if version_of(db) == 1:
            row = db.execute(
                "SELECT snapshot, documents, at FROM snapshots WHERE snapshot = ?", (number,)
            ).fetchone()
        else:
            row = db.execute(
                f"SELECT snapshot, documents, at, next_docno, {SUMS}, checksum FROM snapshots"
                " WHERE snapshot = ?",
                (number,),
            ).fetchone()
        if row is None:
            (newest,) = db.execute("SELECT max(snapshot) FROM snapshots").fetchone()
            if newest is not None and newest > number:
                raise StorageError(
                    f"snapshot {number} was compacted away before it was read; the newest is "
                    f"{newest}: open the collection again"
                )
            raise DamagedError(self._path.name, "snapshots", f"snapshot {number}", "none")
        if not all(isinstance(number, int) and number >= 0 for number in row[:2]):
            raise DamagedError(self._path.name, "snapshots", "two numbers from 0", row[:2])
        if len(row) == 3 or (row[-1] is None and number < (setting(db, schema.SUMMED_SINCE) or 0)):
            next_docno = int(setting(db, "next_docno") or 0)  # format 1 has the newest one only
            return Snapshot(row[0], row[1], row[2], next_docno, None)
        if row != with_digest(row[:-1]):
            raise DamagedError(
                self._path.name, f"snapshot {number}", "a matching checksum", row[-1]
            )
        known = Sums(*(value & MASK for value in row[4:-1]))
        return Snapshot(row[0], row[1], row[2], row[3], known)

    def _require(
        self, db: sqlite3.Connection, snapshot: int, part: str, name: str, found: int
    ) -> None:
        """Hold a sum over rows just read against the one that the snapshot carries."""
        known = self._snapshot(db, snapshot).sums
        if known is not None and getattr(known, name) != found:
            raise DamagedError(
                self._path.name, part, f"checksum {getattr(known, name):016x}", f"{found:016x}"
            )

    def segments(self, snapshot: int) -> list[SegmentRow]:
        with self._reading("segments", at_once=True) as db:
            rows = segment_rows(db, snapshot)
            self._require(db, snapshot, "segments", "segments", sums.segment_sum(rows))
        return [SegmentRow(*row) for row in rows]

    def dead_documents(self, snapshot: int) -> Units:
        """(n, 2) array of (docno, number of passages) deleted or replaced by this snapshot."""
        with self._reading("deletions", at_once=True) as db:
            dead = dead_rows(db, snapshot)
            self._require(db, snapshot, "deletions", "dead", sums.dead_sum(*dead.T))
        return dead[:, :2]

    def long_documents(self, snapshot: int) -> Units:
        """(n, 2) array of (docno, number of passages) where there are several."""
        with self._reading("passages", at_once=True) as db:
            long = long_rows(db, snapshot)
            self._require(db, snapshot, "passages", "long", sums.long_sum(*long.T))
        return long

    def live_docnos(self, snapshot: int) -> Units:
        """The numbers of all live documents, ascending."""
        with self._reading("documents", at_once=True) as db:
            live = live_rows(db, snapshot)
            self._require(db, snapshot, "documents", "live", sums.live_sum(live))
        return live

    def superseded(self, snapshot: int) -> dict[str, Units]:
        """File -> units whose row there has been replaced by a later segment."""
        with self._reading("superseded rows", at_once=True) as db:
            found = superseded_rows(db, snapshot)
            self._require(db, snapshot, "superseded rows", "superseded", superseded_total(found))
        return {file: rows[0] for file, rows in found.items()}

    def documents(self, docnos: Sequence[int]) -> dict[int, StoredDocument]:
        """Documents by number; numbers that are not there are left out."""
        found: dict[int, StoredDocument] = {}
        with self._reading("documents", at_once=len(docnos) > SELECT_BATCH) as db:
            for part in batches(docnos):
                where = f"docno IN ({marks(part)})"
                for row in db.execute(f"{self._select(db, DOCUMENT)} {where}", part):
                    found[row[0]] = self._unpack(row)
        return found

    def documents_by_id(self, ids: Sequence[str], snapshot: int) -> dict[str, StoredDocument]:
        """The documents of a snapshot by id; ids that are not there are left out."""
        found: dict[str, StoredDocument] = {}
        ids = [i for i in ids if encodable(i)]  # SQLite cannot be asked for lone surrogates
        with self._reading("documents", at_once=True) as db:
            for part in batches(ids):
                alive = db.execute(
                    f"{self._select(db, DOCUMENT)} died IS NULL AND id IN ({marks(part)})",
                    part,
                ).fetchall()
                died_later = db.execute(
                    f"{self._select(db, DOCUMENT)} died IS NOT NULL AND died > ?"
                    f" AND id IN ({marks(part)})",
                    [snapshot, *part],
                ).fetchall()
                for row in alive + died_later:
                    document = self._unpack(row)
                    if row[2] <= snapshot:
                        found[row[1]] = document
                if any(row[3] is not None for row in alive):
                    raise DamagedError(
                        self._path.name, "documents", "a live document", "a dead one"
                    )
        return found

    def ids(self, docnos: Sequence[int]) -> dict[int, str]:
        """The id of each document number that is there."""
        return {row[0]: row[1] for row in self._heads(docnos)}

    def ids_and_metadata(self, docnos: Sequence[int]) -> dict[int, tuple[str, dict[str, Any]]]:
        """(id, metadata) of each document number that is there."""
        return {row[0]: (row[1], json.loads(row[5])) for row in self._heads(docnos)}

    def _heads(self, docnos: Sequence[int]) -> list[tuple[Any, ...]]:
        """HEAD of documents, checked, without reading their texts where that can be.

        In one row: SQLite's module lets go of the interpreter for every row, and threads that do so
        wait for each other.
        """
        found = []
        with self._reading("documents", at_once=len(docnos) > SELECT_BATCH) as db:
            for part in batches(docnos):
                where = f"docno IN ({marks(part)})"
                (told,) = db.execute(f"{self._select(db, TOGETHER)} {where}", part).fetchone()
                rows = json.loads(told)
                for docno, id_, born, died, head, metadata in rows:
                    if head is None:  # format 1: one checksum over everything
                        whole = f"{self._select(db, DOCUMENT)} docno = ?"
                        self._unpack(db.execute(whole, (docno,)).fetchone())
                    elif sums.document_head(docno, id_, born, died, metadata) != head:
                        self._check_head((docno, id_, born, died, head, metadata))
                found += rows
        return found

    def live_documents(self, snapshot: int) -> Iterator[StoredDocument]:
        """Every document of a snapshot, by number."""
        for found in self.scan(snapshot):
            if isinstance(found, DamagedError):
                raise found
            yield found

    def scan(self, snapshot: int) -> Iterator[StoredDocument | DamagedError]:
        """Every document of a snapshot by number, or what is wrong with it.

        In stretches, so that no read stays open between two of them. After the last one, what is
        wrong with all of them together, unless one of them was told to be damaged.
        """
        with self._reading("snapshots", at_once=True) as db:
            listed = self._snapshot(db, snapshot)
        n = total = 0
        sound = True
        for rows in self._stretches(SEEN, snapshot):
            if isinstance(rows, DamagedError):
                yield rows
                return
            n += len(rows)
            total += sums.live_sum(np.array([row[0] for row in rows], np.int64))
            for row in rows:
                try:
                    yield self._unpack(row)
                except DamagedError as error:
                    sound = False
                    yield error
        if sound and n != listed.documents:
            yield DamagedError(
                self._path.name, "documents", f"{listed.documents:,} in the snapshot", f"{n:,}"
            )
        elif sound and listed.sums is not None and total & MASK != listed.sums.live:
            yield DamagedError(
                self._path.name, "documents", f"checksum {listed.sums.live:016x}", f"{total:016x}"
            )

    def scan_dead(self, snapshot: int) -> Iterator[StoredDocument | DamagedError]:
        """Every document that died by this snapshot and is still kept, or what is wrong with it."""
        for rows in self._stretches("died IS NOT NULL AND died <= :s", snapshot):
            if isinstance(rows, DamagedError):
                yield rows
                return
            for row in rows:
                try:
                    yield self._unpack(row)
                except DamagedError as error:
                    yield error

    def _stretches(
        self, condition: str, snapshot: int
    ) -> Iterator[list[tuple[Any, ...]] | DamagedError]:
        last = -1
        while True:
            with self._reading("documents", at_once=True) as db:
                rows = db.execute(
                    f"{self._select(db, DOCUMENT)} docno > :last AND {condition}"
                    f" ORDER BY docno LIMIT {SELECT_BATCH}",
                    {"last": last, "s": snapshot},
                ).fetchall()
            if not rows:
                return
            for row in rows:
                if row[0] <= last:
                    yield DamagedError(
                        self._path.name, "documents", f"a number above {last}", row[0]
                    )
                    return
                last = row[0]
            yield rows

    def metadata_keys(self) -> dict[str, int]:
        """The metadata keys there are, each with its number in `attributes`, by name."""
        with self._reading("metadata keys", at_once=True) as db:
            keys = key_numbers(db)
            told = setting(db, "attribute_keys_sum") if version_of(db) > 1 else sums.key_sum(keys)
        if told != sums.key_sum(keys):
            raise DamagedError(self._path.name, "metadata keys", f"checksum {told}", "another")
        return keys

    def mark_docnos(
        self, sql: str, parameters: Sequence[Any], flags: npt.NDArray[np.bool_]
    ) -> None:
        """Run a query on `attributes` that gives document numbers; set the flags of these."""
        with self._reading("metadata index") as db:
            found = db.execute(sql, parameters)
            while rows := found.fetchmany(8 * SELECT_BATCH):
                numbers = np.fromiter((row[0] for row in rows), np.int64, len(rows))
                flags[numbers[(numbers >= 0) & (numbers < len(flags))]] = True

    def attributes(self) -> Iterator[list[Attribute]]:
        """Stretches of (key, value, docno), everything that filters see, in the index's order."""
        last: Attribute | None = None
        while True:
            with self._reading("metadata index") as db:
                after = "" if last is None else "WHERE (key, value, docno) > (?, ?, ?)"
                rows = db.execute(
                    f"SELECT key, value, docno FROM attributes {after}"
                    f" ORDER BY key, value, docno LIMIT {4 * SELECT_BATCH}",
                    last or (),
                ).fetchall()
                if not rows:
                    return
                orders = [order_of(row) for row in rows]
                if last is not None and not order_of(last) < orders[-1]:
                    raise ValueError(f"{rows[-1]} after {last}")
                last = rows[-1]
            yield rows

    def has_attribute(self, key: int, value: Value, docno: int) -> bool:
        with self._reading("metadata index") as db:
            found = db.execute(
                "SELECT 1 FROM attributes WHERE key = ? AND value = ? AND docno = ?",
                (key, value, docno),
            ).fetchone()
        return found is not None

    def count_attributes(self) -> int:
        with self._reading("metadata index") as db:
            (n,) = db.execute("SELECT count(*) FROM attributes").fetchone()
            return int(n)

    def _select(self, db: sqlite3.Connection, columns: str) -> str:
        """A query for documents; format 1, which a writer may leave behind, has no `head`."""
        self._has_heads = self._has_heads or version_of(db) > 1
        listed = columns if self._has_heads else columns.replace("head", "NULL")
        return f"SELECT {listed} FROM documents WHERE"

    def _check_head(self, row: tuple[Any, ...]) -> None:
        docno, id_, born, died, head, metadata, *_ = row
        if head is None:
            return
        found = sums.document_head(docno, id_, born, died, metadata)
        if found != head:
            raise DamagedError(self._path.name, f"document {id_!r}", f"crc32 {head}", found)

    def _unpack(self, row: tuple[Any, ...]) -> StoredDocument:
        docno, id_, _, _, head, metadata, title, body, passages, checksum = row
        try:
            self._check_head(row)
            found = sums.document_checksum(
                None if head is None else docno, id_, title, body, passages, metadata
            )
            if found != checksum:
                raise DamagedError(self._path.name, f"document {id_!r}", f"crc32 {checksum}", found)
            spans = None if passages is None else np.frombuffer(passages, "<i4").reshape(-1, 2)
            told = {} if metadata == "{}" else json.loads(metadata)
            return StoredDocument(docno, id_, title, unpack_text(body), told, spans)
        except NONSENSE as error:
            raise DamagedError(
                self._path.name, f"document {id_!r}", "values of the schema", repr(error)
            ) from error

    # -- checking ---------------------------------------------------------------------------

    def check(self) -> list[str]:
        """`complaints`, what kept them from being found included."""
        try:
            return self.complaints()
        except (DamagedError, StorageError) as error:
            return [str(error)]

    def complaints(self) -> list[str]:
        """What SQLite's own integrity check has to say; nothing about a sound file.

        Raises `DamagedError` if the row of a snapshot is not what its checksum says.
        """
        with self._reading("everything", at_once=True) as db:
            rows = db.execute("PRAGMA integrity_check(20)").fetchall()
            for (number,) in db.execute("SELECT snapshot FROM snapshots").fetchall():
                self._snapshot(db, number)
            newest = self._newest(db).number
            later = db.execute(
                "SELECT file FROM segments WHERE born > :s OR died > :s", {"s": newest}
            ).fetchall()
        told = [text for (text,) in rows if text != "ok"]
        return told + [f"{file} is of a snapshot after {newest}, the newest" for (file,) in later]
