"""The catalogue: documents, metadata, segments, deletions and settings in one SQLite file.

The writer keeps one transaction open from its first change to `commit`, so pending changes are
nowhere until they are everywhere. Readers remember a snapshot number: a row counts for snapshot S
if `born <= S` and it has not died by S. Each snapshot carries checksums of the rows it sees, and
whatever lists rows verifies them. The schema is told in docs/format/catalogue.md.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import astuple, replace
from pathlib import Path
from typing import Any

import numpy as np

from bigrain.errors import BigrainError, DamagedError, StorageError
from bigrain.storage import schema, sums
from bigrain.storage.attributes import attributes_of
from bigrain.storage.files import Files, storage_errors
from bigrain.storage.reading import CatalogueReader
from bigrain.storage.rows import (
    CATALOGUE,
    HEAD,
    NONSENSE,
    PASSAGES,
    Attribute,
    SegmentRow,
    Snapshot,
    Stored,
    StoredDocument,
    Units,
    as_error,
    batches,
    dead_rows,
    insert_snapshot,
    key_numbers,
    live_rows,
    long_rows,
    marks,
    now,
    pack_text,
    segment_rows,
    set_setting,
    setting,
    superseded_rows,
    superseded_total,
    table_of,
    unpack_text,
    version_of,
)
from bigrain.storage.sums import Sums

__all__ = [
    "CATALOGUE",
    "NONSENSE",
    "Attribute",
    "Catalogue",
    "SegmentRow",
    "Snapshot",
    "Stored",
    "StoredDocument",
    "pack_text",
    "unpack_text",
]


class Catalogue(CatalogueReader):
    """One open catalogue. Reads may come from any thread; writes from one."""

    def __init__(self, files: Files, folder: Path, *, cache_bytes: int) -> None:
        super().__init__(files, folder, cache_bytes=cache_bytes)
        self._writer: sqlite3.Connection | None = None
        self._wrote = False
        self._change = Sums()  # what the open transaction adds to the newest snapshot's sums

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
            db.execute(f"PRAGMA application_id = {schema.APPLICATION_ID}")
            db.execute(f"PRAGMA user_version = {schema.FORMAT_VERSION}")
            db.execute("BEGIN IMMEDIATE")
            for statement in schema.SCHEMA.split(";\n"):
                if statement.strip():
                    db.execute(statement)
            db.executemany(
                "INSERT INTO settings VALUES (?, ?)",
                [
                    (key, json.dumps(value))
                    for key, value in {
                        **settings,
                        schema.DEFINITION: 0,
                        "newest_snapshot": 0,
                        "attribute_keys_sum": 0,
                    }.items()
                ],
            )
            db.executemany(
                "INSERT INTO fields VALUES (?, ?, ?, ?)",
                [
                    (name, i, json.dumps(spec), json.dumps(fingerprint))
                    for i, (name, (spec, fingerprint)) in enumerate(fields.items())
                ],
            )
            set_setting(db, schema.DEFINITION, schema.definition_checksum(db))
            insert_snapshot(db, Snapshot(0, 0, now(), 0, Sums()))
            db.execute("COMMIT")
            db.close()
        files.sync_folder(folder)
        return catalogue

    def close(self) -> None:
        self.end_writing()
        super().close()
        if self._wrote:
            self._wrote = False
            with contextlib.suppress(sqlite3.Error, BigrainError):
                db = self._connect(read_only=False)
                db.execute("PRAGMA busy_timeout = 200")  # readers at work do it when they end
                db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                db.close()

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
            self._writer, self._wrote, self._change = db, True, Sums()
            try:
                self._upgrade()
            except BaseException:
                self.end_writing()
                raise

    def _upgrade(self) -> None:
        """Give a catalogue of format 1 its checksums; they become durable with the next commit."""
        with self._changing("upgrade the catalogue") as db:
            if version_of(db) > 1:
                return
            newest = self._newest(db)
            next_docno = setting(db, "next_docno")
            schema.add_columns(db)
            dead, long = dead_rows(db, newest.number), long_rows(db, newest.number)
            upgraded = replace(
                newest,
                next_docno=int(next_docno),
                sums=Sums(
                    sums.live_sum(live_rows(db, newest.number)),
                    sums.dead_sum(*dead.T),
                    sums.long_sum(*long.T),
                    sums.segment_sum(segment_rows(db, newest.number)),
                    superseded_total(superseded_rows(db, newest.number)),
                ),
            )
            insert_snapshot(db, upgraded)
            db.execute("DELETE FROM settings WHERE key = 'next_docno'")
            set_setting(db, schema.SUMMED_SINCE, newest.number)
            set_setting(db, "newest_snapshot", newest.number)
            set_setting(db, "attribute_keys_sum", sums.key_sum(key_numbers(db)))
            set_setting(db, schema.DEFINITION, schema.definition_checksum(db))
            db.execute(f"PRAGMA user_version = {schema.FORMAT_VERSION}")

    def settle(self) -> None:
        """Commit nothing, durably, before anything is pending, so that no doubt is left.

        A COMMIT that failed may have left its whole transaction in SQLite's log, where nobody sees
        it until the log is recovered, after a crash or once all have closed. This writes over it.
        """
        self.end_writing()
        db = self._connect(read_only=False)
        try:
            with storage_errors("cannot settle earlier changes"):
                db.execute("BEGIN IMMEDIATE")
                (version,) = db.execute("PRAGMA user_version").fetchone()
                db.execute(f"PRAGMA user_version = {version}")
                db.execute("COMMIT")
        finally:
            db.close()
        self.begin_writing()

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
        except (sqlite3.DatabaseError, *NONSENSE) as error:
            raise as_error(self._path.name, doing, error) from error

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Undo the block's changes, and no others, if it raises. The block may end in a commit."""
        before = self._change
        with self._changing("set a savepoint") as db:
            db.execute("SAVEPOINT change")
        try:
            yield
            if self.transaction_alive:
                with self._changing("release a savepoint") as db:
                    db.execute("RELEASE change")
        except BaseException:
            self._change = before
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
            return self._newest(db).next_docno

    def insert_documents(self, documents: Sequence[Stored], *, born: int) -> None:
        rows, attributes = [], []
        for d in documents:
            body = pack_text(d.text)
            spans = None if d.passages is None else d.passages.astype("<i4").tobytes()
            metadata = json.dumps(d.metadata, ensure_ascii=False, separators=(",", ":"))
            head = sums.document_head(d.docno, d.id, born, None, metadata)
            checksum = sums.document_checksum(d.docno, d.id, d.title, body, spans, metadata)
            rows.append((d.docno, d.id, born, head, metadata, d.title, body, spans, checksum))
            attributes += [(key, value, d.docno) for key, value in attributes_of(d.metadata)]
        with self._changing("write documents") as db:
            db.executemany(
                "INSERT INTO documents (docno, id, born, head, metadata, title, body, passages,"
                " checksum) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                rows,
            )
            if attributes:
                keys = self._intern(db, {key for key, _, _ in attributes})
                db.executemany(
                    "INSERT OR IGNORE INTO attributes VALUES (?, ?, ?)",
                    [(keys[key], value, docno) for key, value, docno in attributes],
                )
        long = [(d.docno, d.n_passages) for d in documents if d.passages is not None]
        self._change += Sums(
            live=sums.live_sum(np.array([d.docno for d in documents], np.int64)),
            long=sums.long_sum(*sums.columns_of(long, 2)),
        )

    def _intern(self, db: sqlite3.Connection, names: Iterable[str]) -> dict[str, int]:
        known = key_numbers(db)
        new = [name for name in names if name not in known]
        if new:
            db.executemany("INSERT INTO attribute_keys (name) VALUES (?)", [(n,) for n in new])
            known = key_numbers(db)
            set_setting(db, "attribute_keys_sum", sums.key_sum(known))
        return known

    def find_live(self, ids: Sequence[str]) -> dict[str, int]:
        """Id -> docno for the ids that are live, pending changes included."""
        found: dict[str, int] = {}
        with self._changing("look up ids") as db:
            for part in batches(ids):
                rows = db.execute(
                    f"SELECT {HEAD} FROM documents WHERE died IS NULL AND id IN ({marks(part)})",
                    part,
                )
                for row in rows:
                    self._check_head(row)
                    found[row[1]] = row[0]
        return found

    def kill_documents(self, docnos: Sequence[int], *, died: int) -> None:
        gone: list[tuple[int, int]] = []
        with self._changing("delete documents") as db:
            for part in batches(docnos):
                changes = []
                rows = db.execute(
                    f"SELECT {HEAD}, {PASSAGES} FROM documents"
                    f" WHERE died IS NULL AND docno IN ({marks(part)})",
                    part,
                )
                for row in rows:
                    self._check_head(row)
                    docno, id_, born, _, head, metadata, passages = row
                    if head is not None:
                        head = sums.document_head(docno, id_, born, died, metadata)
                    changes.append((died, head, docno))
                    gone.append((docno, passages))
                if len(changes) != len(part):
                    raise DamagedError(
                        self._path.name, "documents", f"{len(part)} live ones", len(changes)
                    )
                db.executemany("UPDATE documents SET died = ?, head = ? WHERE docno = ?", changes)
        numbers, counts = sums.columns_of(gone, 2)
        since = np.full(len(numbers), died, np.int64)
        self._change += Sums(dead=sums.dead_sum(numbers, counts, since))
        self._change -= Sums(live=sums.live_sum(numbers))

    def pending_live(self, start: int, stop: int) -> Units:
        """(n, 2): (docno, passages) of live documents in start..stop, pending changes included."""
        with self._changing("list documents") as db:
            return table_of(
                db.execute(
                    "SELECT docno, coalesce(length(passages) / 8, 1) FROM documents"
                    " WHERE died IS NULL AND docno >= ? AND docno < ? ORDER BY docno",
                    (start, stop),
                ),
                2,
            )

    def is_live(self, docnos: Sequence[int]) -> set[int]:
        """Which of these documents are live, pending changes included."""
        live: set[int] = set()
        with self._changing("list documents") as db:
            for part in batches(docnos):
                live.update(
                    n
                    for (n,) in db.execute(
                        "SELECT docno FROM documents"
                        f" WHERE died IS NULL AND docno IN ({marks(part)})",
                        part,
                    )
                )
        return live

    def redefine_field(
        self, name: str, spec: Mapping[str, Any], fingerprint: Mapping[str, Any]
    ) -> None:
        """Give a field another spec, visible with the commit that brings its new segments."""
        with self._changing("change the definition of a field") as db:
            changed = db.execute(
                "UPDATE fields SET spec = ?, fingerprint = ? WHERE name = ?",
                (json.dumps(spec), json.dumps(fingerprint), name),
            )
            if changed.rowcount != 1:
                raise DamagedError(self._path.name, "fields", f"a field {name!r}", "none")
            set_setting(db, schema.DEFINITION, schema.definition_checksum(db))

    def redefine_settings(self, settings: Mapping[str, Any]) -> None:
        """Change settings, visible with the next commit; a value of None takes one away."""
        with self._changing("change the settings") as db:
            for key, value in settings.items():
                if value is None:
                    db.execute("DELETE FROM settings WHERE key = ?", (key,))
                else:
                    set_setting(db, key, value)
            set_setting(db, schema.DEFINITION, schema.definition_checksum(db))

    def add_segment(self, row: SegmentRow) -> None:
        with self._changing("list a segment") as db:
            db.execute(
                "INSERT INTO segments VALUES (?, ?, ?, ?, ?, NULL)",
                astuple(row),
            )
        self._change += Sums(segments=sums.segment_sum([astuple(row)]))

    def retire_segments(self, files: Sequence[str], *, died: int) -> None:
        with self._changing("retire segments") as db:
            for file in files:
                row = db.execute(
                    "SELECT file, field, rows, bytes, born FROM segments"
                    " WHERE file = ? AND died IS NULL",
                    (file,),
                ).fetchone()
                if row is None:
                    raise DamagedError(self._path.name, "segments", f"a row for {file}", "none")
                replaced = db.execute(
                    "SELECT unit, since FROM superseded WHERE file = ?", (file,)
                ).fetchall()
                db.execute("UPDATE segments SET died = ? WHERE file = ?", (died, file))
                self._change -= Sums(
                    segments=sums.segment_sum([row]),
                    superseded=sums.superseded_sum(file, *sums.columns_of(replaced, 2)),
                )

    def supersede(self, file: str, units: Units, *, since: int) -> None:
        with self._changing("mark replaced rows") as db:
            known: set[int] = set()
            for part in batches(units.tolist()):
                known.update(
                    unit
                    for (unit,) in db.execute(
                        f"SELECT unit FROM superseded WHERE file = ? AND unit IN ({marks(part)})",
                        [file, *part],
                    )
                )
            new = [(unit, since) for unit in units.tolist() if unit not in known]
            db.executemany(
                "INSERT INTO superseded VALUES (?, ?, ?)", [(file, *pair) for pair in new]
            )
        self._change += Sums(superseded=sums.superseded_sum(file, *sums.columns_of(new, 2)))

    def commit(self, snapshot: int, *, next_docno: int, documents_delta: int) -> int:
        """Publish everything pending as `snapshot`; returns the number of live documents."""
        with self._changing("commit") as db:
            before = self._newest(db)
            documents = before.documents + documents_delta
            total = (before.sums or Sums()) + self._change
            insert_snapshot(db, Snapshot(snapshot, documents, now(), next_docno, total))
            set_setting(db, "newest_snapshot", snapshot)
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
                newest = self._newest(db)
                (first,) = db.execute("SELECT min(born) FROM segments").fetchone()
                # The newest snapshot's segments hold no row of the dead. Those of an older one may,
                # and whoever reads it needs to know them; a segment born after a death is free.
                free = oldest == newest.number or first is None
                self._drop_dead(db, newest.number, oldest if free else min(oldest, first))
            db.execute("COMMIT")
            if documents:
                db.execute("PRAGMA incremental_vacuum")
        self.end_writing()
        return files

    def _drop_dead(self, db: sqlite3.Connection, newest: int, gone: int) -> None:
        """Delete the documents that died by snapshot `gone`, and take them out of all sums."""
        dead = dead_rows(db, newest)
        self._require(db, newest, "deletions", "dead", sums.dead_sum(*dead.T))
        dead = dead[dead[:, 2] <= gone]
        if not len(dead):
            return
        died = "died IS NOT NULL AND died <= ?"
        long = table_of(
            db.execute(
                f"SELECT docno, {PASSAGES} FROM documents WHERE {died} AND passages IS NOT NULL",
                (gone,),
            ),
            2,
        )
        db.execute(
            f"DELETE FROM attributes WHERE docno IN (SELECT docno FROM documents WHERE {died})",
            (gone,),
        )
        db.execute(f"DELETE FROM documents WHERE {died}", (gone,))
        db.execute("DELETE FROM attribute_keys WHERE key NOT IN (SELECT key FROM attributes)")
        set_setting(db, "attribute_keys_sum", sums.key_sum(key_numbers(db)))
        dropped = Sums(dead=sums.dead_sum(*dead.T), long=sums.long_sum(*long.T))
        for (number,) in db.execute("SELECT snapshot FROM snapshots").fetchall():
            kept = self._snapshot(db, number)
            if kept.sums is not None:
                insert_snapshot(db, replace(kept, sums=kept.sums - dropped))

    def listed_files(self) -> set[str]:
        """Every segment file that some snapshot may use."""
        with self._changing("list segments") as db:
            return {file for (file,) in db.execute("SELECT file FROM segments")}

    def copy_to(self, folder: Path) -> None:
        """Write what is committed at this moment into another folder, page by page, synced.

        Pages keep their places: repair finds the tables of a damaged catalogue by them.
        """
        target = (folder / CATALOGUE).absolute()
        with storage_errors(f"cannot write the copy of {CATALOGUE}"):
            copy = self._files.connect(target, read_only=False)
        try:
            with self._reading("everything") as db:
                copy.execute("PRAGMA synchronous = FULL")
                db.backup(copy)
                copy.execute("PRAGMA journal_mode = WAL")
        finally:
            copy.close()
        self._files.sync_folder(folder)
