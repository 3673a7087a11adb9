"""What can be read of a damaged catalogue, and putting a new one in its place.

The tables are read page by page (`pages`), and every row is held against the checksums that the
catalogue keeps: of each document, of its lifetime, and of the lists of a snapshot.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bigrain.errors import BigrainError, DamagedError
from bigrain.storage import schema, sums
from bigrain.storage.catalogue import CATALOGUE, NONSENSE, Catalogue, Snapshot, Stored, unpack_text
from bigrain.storage.files import Files, Readable, open_kept, storage_errors
from bigrain.storage.header import HEADER_BYTES, header_problems, mended
from bigrain.storage.pages import Pages, Row
from bigrain.storage.sums import MASK, Sums

__all__ = ["Lost", "SalvagedCatalogue", "SegmentLine", "copy_file", "put_in_place", "salvage"]

TABLES = ("settings", "fields", "snapshots", "documents", "segments", "superseded")
COLUMNS = (
    "docno id born died head metadata title body passages checksum".split(),
    "docno id title body passages metadata checksum born died head".split(),  # once format 1
)
COPY_BYTES = 1 << 20
MAX_NUMBER = 1 << 48
WAL = "-wal"
Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Lost:
    """A document that was there: its number and id as far as they are known."""

    docno: int | None
    id: str | None


@dataclass(frozen=True, slots=True)
class SegmentLine:
    """A line of the list of segments."""

    file: str
    field: str
    rows: int
    n_bytes: int
    born: int


@dataclass
class Found:
    """A document as its row tells it. `whole`: its content matches; `placed`: its lifetime does."""

    docno: int
    id: str
    born: int
    died: int | None
    n_passages: int
    whole: bool
    placed: bool
    row: dict[str, Any]

    def stored(self) -> Stored:
        spans = self.row["passages"]
        passages = None if spans is None else np.frombuffer(spans, "<i4").reshape(-1, 2)
        metadata = json.loads(self.row["metadata"])
        text = unpack_text(self.row["body"])
        return Stored(self.docno, self.id, self.row["title"], text, metadata, passages)


@dataclass
class SalvagedCatalogue:
    """What is left. `documents` reads the live ones again, ascending by number, all of them whole.

    `snapshot_known`: the newest snapshot's own line is there. `settings` and `fields` are None
    where they are not proven. `segments_proven` and
    `superseded_proven` say whether those lists are complete: by their checksum or, where that is
    gone too, because nothing on the way to them was broken.
    """

    newest: int
    snapshot_known: bool
    next_docno: int
    settings: dict[str, Any] | None
    fields: dict[str, tuple[dict[str, Any], dict[str, Any]]] | None
    live: Numbers  # (n, 2) of (number, passages)
    lost: list[Lost]
    lost_unnamed: int
    dead: Numbers  # (n, 2) of (number, passages)
    segments: list[SegmentLine]
    segments_proven: bool
    superseded: dict[str, list[int]]
    superseded_proven: bool
    _read: Callable[[], Iterator[Found]] = field(repr=False)

    def documents(self) -> Iterator[tuple[Stored, int]]:
        """(document, its birth) of every live document that is whole."""
        wanted = set(self.live[:, 0].tolist())
        for found in self._read():
            if found.docno in wanted and found.whole:
                wanted.discard(found.docno)
                born = found.born if found.placed else self.newest
                yield found.stored(), max(0, min(born, self.newest))

    def dead_documents(self) -> Iterator[tuple[Stored, int, int]]:
        """(document, birth, death) of the deleted ones that are whole, for older snapshots."""
        wanted = set(self.dead[:, 0].tolist())
        for found in self._read():
            if found.docno in wanted and found.whole and found.placed and found.died is not None:
                wanted.discard(found.docno)
                yield found.stored(), found.born, found.died


# -- opening ------------------------------------------------------------------------------------


@contextlib.contextmanager
def salvage(files: Files, folder: Path, scratch: Path) -> Iterator[SalvagedCatalogue]:
    """Read the catalogue of `folder`, whose log is joined to it in a copy in `scratch`.

    Raises DamagedError if nothing of it is left.
    """
    path = folder / CATALOGUE
    roots = _template(files, scratch)
    source = path
    if _size(path.with_name(CATALOGUE + WAL)) > 0:
        source = scratch / "joined.sqlite"
        _join_log(files, path, source, scratch)
    file = open_kept(files, path) if source == path else files.open(source)
    try:
        pages = Pages(file)
        found = _read_all(pages, roots)
        if not len(found.live) and (found.lost or found.lost_unnamed or not found.snapshot_known):
            raise DamagedError(
                CATALOGUE, "everything", "documents, which lie only there with their ids",
                f"none that can be read in {file.size:,} bytes; bring the file back from a copy",
            )  # fmt: skip
        yield found
    finally:
        if source != path:
            file.close()
        for name in ("template.sqlite", "joined.sqlite"):
            for suffix in ("", WAL, "-shm", "-journal"):
                files.remove(scratch / (name + suffix))


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _template(files: Files, scratch: Path) -> dict[str, int]:
    """Table -> page of its root, in every catalogue: they are made in one order.

    Leaves a new catalogue `template.sqlite` whose first page can stand for a broken one.
    """
    target = scratch / "template.sqlite"
    for suffix in ("", WAL, "-shm", "-journal"):
        files.remove(scratch / (target.name + suffix))
        files.remove(scratch / (CATALOGUE + suffix))
    Catalogue.create(files, scratch, settings={}, fields={}, cache_bytes=1 << 18).close()
    files.rename(scratch / CATALOGUE, target)
    for suffix in (WAL, "-shm"):
        files.remove(scratch / (CATALOGUE + suffix))
    db = files.connect(target, read_only=False)
    try:
        with storage_errors("cannot read a new catalogue"):
            rows = db.execute("SELECT name, rootpage FROM sqlite_schema").fetchall()
    finally:
        db.close()
    return {name: root for name, root in rows if root}


def _join_log(files: Files, path: Path, target: Path, scratch: Path) -> None:
    """A copy of the catalogue that has taken in what its write-ahead log holds."""
    log = target.with_name(target.name + WAL)
    for suffix in ("", WAL, "-shm", "-journal"):
        files.remove(target.with_name(target.name + suffix))
    copy_file(files, open_kept(files, path), target)
    with contextlib.closing(files.open(path.with_name(CATALOGUE + WAL))) as file:
        copy_file(files, file, log)
    _mend_header(files, target)
    try:
        if not _opens(files, target):
            patched = scratch / "patched.sqlite"
            _patch(files, target, scratch / "template.sqlite", patched)
            files.rename(patched, target)
        db = files.connect(target, read_only=False)
        try:
            db.execute("PRAGMA writable_schema = ON")
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        finally:
            db.close()
    except (sqlite3.DatabaseError, BigrainError):
        pass  # without the log, then
    if not target.is_file():
        copy_file(files, open_kept(files, path), target)


def _mend_header(files: Files, path: Path) -> None:
    """Put the constant bytes of a catalogue's header right, in place: others may have it open."""
    if _size(path) < HEADER_BYTES or not header_problems(files, path):
        return
    head = _read_or_blank(open_kept(files, path), 0, HEADER_BYTES)
    files.overwrite(path, mended(head))


def _opens(files: Files, path: Path) -> bool:
    """Whether SQLite takes the file for a database with our tables."""
    db = files.connect(path, read_only=False)
    try:
        db.execute("PRAGMA busy_timeout = 60000")
        names = {name for (name,) in db.execute("SELECT name FROM sqlite_schema").fetchall()}
        db.execute("BEGIN IMMEDIATE")
        db.execute("ROLLBACK")
    except sqlite3.DatabaseError as error:
        name = getattr(error, "sqlite_errorname", "")
        if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_ERROR", "SQLITE_CANTOPEN")):
            return False
        with storage_errors(f"cannot open {path.name}"):
            raise
    except NONSENSE:
        return False
    finally:
        db.close()
    return names.issuperset(TABLES)


def _patch(files: Files, path: Path, template: Path, target: Path) -> None:
    """A copy whose first page is that of a new catalogue, and whose size is what it says."""
    files.remove(target)
    with contextlib.closing(files.open(template)) as file:
        pages = Pages(file)
        first = bytearray(file.read_at(0, pages.size))
    file = open_kept(files, path)
    n_pages = file.size // pages.size
    first[28:32] = n_pages.to_bytes(4, "big")
    first[32:40] = bytes(8)  # no list of free pages
    first[92:96] = first[24:28]
    writer = files.create(target)
    try:
        writer.write(bytes(first))
        for at in range(pages.size, n_pages * pages.size, COPY_BYTES):
            writer.write(file.read_at(at, min(COPY_BYTES, n_pages * pages.size - at)))
        writer.sync()
    finally:
        writer.close()


def copy_file(files: Files, source: Readable, target: Path) -> int:
    """Copy a file, synced; returns its size."""
    writer = files.create(target)
    try:
        for at in range(0, source.size, COPY_BYTES):
            writer.write(_read_or_blank(source, at, min(COPY_BYTES, source.size - at)))
        writer.sync()
    finally:
        writer.close()
    return source.size


def _read_or_blank(file: Readable, at: int, length: int) -> bytes:
    """Bytes of a file; zeros where the disk does not give them."""
    for _ in range(2):
        with contextlib.suppress(BigrainError):
            return file.read_at(at, length)
    if length <= 4096:
        return bytes(length)
    parts = (
        _read_or_blank(file, begin, min(4096, at + length - begin))
        for begin in range(at, at + length, 4096)
    )
    return b"".join(parts)


def put_in_place(files: Files, folder: Path, new: Path, scratch: Path) -> None:
    """Let the catalogue of `folder` become what the database `new` holds, in one transaction.

    Handles that are open go on with it.
    """
    path = folder / CATALOGUE
    _mend_header(files, path)
    if not _opens(files, path):
        # SQLite must be able to open what it is to overwrite: give it another first page.
        patched = scratch / "patched.sqlite"
        _patch(files, path, new, patched)
        files.rename(patched, path)
        files.sync_folder(folder)
    source, target = files.connect(new, read_only=False), files.connect(path, read_only=False)
    try:
        with storage_errors("cannot put the catalogue in its place"):
            target.execute("PRAGMA synchronous = FULL")
            source.backup(target)
    finally:
        source.close()
        target.close()


# -- reading ------------------------------------------------------------------------------------

Read = Callable[[], Iterator[Found]]


def _read_all(pages: Pages, roots: dict[str, int]) -> SalvagedCatalogue:
    settings, fields = _definition(pages, roots)
    snapshots = {s.number: s for s in _snapshots(pages, roots)}
    lines, deaths = _segment_lines(pages, roots)
    lines_read = not pages.broken
    replaced = _replaced(pages, roots)
    replaced_read = not pages.broken

    def read() -> Iterator[Found]:
        return _documents(pages, roots["documents"])

    rows = _sort(read())
    seen = [int(part[:, 0].max(initial=0)) for part in (rows.lifetimes,)]
    newest = max([0, *seen, *deaths, *snapshots, *(line.born for line in lines)])
    known = snapshots.get(newest)
    total = None if known is None else known.sums
    live, lost, unnamed = _settle(pages, roots["live_ids"], rows, known)
    ends = [int((part[:, 0] + part[:, 1]).max(initial=0)) for part in (live, rows.dead)]
    return SalvagedCatalogue(
        newest=newest,
        snapshot_known=known is not None,
        next_docno=max([*ends, *(s.next_docno for s in snapshots.values())]),
        settings=settings,
        fields=fields,
        live=live,
        lost=lost,
        lost_unnamed=unnamed,
        dead=rows.dead,
        segments=lines,
        segments_proven=lines_read
        if total is None
        else sums.segment_sum([astuple(line) for line in lines]) == total.segments,
        superseded={file: [unit for unit, _ in pairs] for file, pairs in replaced.items()},
        superseded_proven=replaced_read
        if total is None
        else total.superseded
        in (_replaced_sum(replaced, {line.file for line in lines}), _replaced_sum(replaced, None)),
        _read=read,
    )


def _definition(
    pages: Pages, roots: dict[str, int]
) -> tuple[dict[str, Any] | None, dict[str, tuple[dict[str, Any], dict[str, Any]]] | None]:
    """Settings and fields, or (None, None) if their checksum does not prove them."""
    db = sqlite3.connect(":memory:")
    try:
        db.execute("CREATE TABLE settings (key TEXT PRIMARY KEY, value) WITHOUT ROWID")
        db.execute("CREATE TABLE fields (name PRIMARY KEY, position, spec, fingerprint)")
        for table, n in (("settings", 2), ("fields", 4)):
            marks = ", ".join("?" * n)
            for row in pages.rows(roots[table]):
                if len(row.values) == n:
                    db.execute(f"INSERT OR REPLACE INTO {table} VALUES ({marks})", row.values)
        (stored,) = db.execute(
            "SELECT value FROM settings WHERE key = ?", (schema.DEFINITION,)
        ).fetchone()
        if json.loads(stored) != schema.definition_checksum(db):
            return None, None
        settings = {key: json.loads(value) for key, value in db.execute(schema.SELECT_SETTINGS)}
        settings.pop(schema.SUMMED_SINCE, None)
        fields = {n: (json.loads(s), json.loads(f)) for n, s, f in db.execute(schema.SELECT_FIELDS)}
    except (sqlite3.Error, *NONSENSE):
        return None, None
    finally:
        db.close()
    return settings, fields


def _snapshots(pages: Pages, roots: dict[str, int]) -> Iterator[Snapshot]:
    """The snapshots that match their checksum; those of format 1 have none."""
    for row in pages.rows(roots["snapshots"]):
        values: list[Any] = [row.rowid, *row.values[1:]]
        if len(values) < 3 or not all(type(v) is int and 0 <= v < MAX_NUMBER for v in values[:2]):
            continue
        if len(values) == 3 or values[-1] is None:
            yield Snapshot(values[0], values[1], 0.0, 0, None)
        elif len(values) == 10 and isinstance(values[2], int | float):
            values[2] = float(values[2])  # SQLite keeps a whole number as one
            numbers = values[4:9]
            if all(type(v) is int for v in (values[3], *numbers)):
                told = Sums(*(v & MASK for v in numbers))
                found = Snapshot(values[0], values[1], values[2], values[3], told)
                if found.row() == tuple(values):
                    yield found


def _documents(pages: Pages, root: int) -> Iterator[Found]:
    """Every row of the documents that says anything, as it is best understood."""
    for row in pages.rows(root):
        told = [found for c in COLUMNS if (found := _document(row, c)) is not None]
        if told:
            yield max(told, key=lambda found: found.whole + found.placed)


def _document(row: Row, columns: Sequence[str]) -> Found | None:
    docno, told = row.rowid, dict.fromkeys(columns)
    told.update(zip(columns, row.values, strict=False))  # what was added later may be absent
    if not 0 <= docno < MAX_NUMBER:
        return None
    values: Any = told
    id_, metadata, spans = values["id"], values["metadata"], values["passages"]
    born, died, head = values["born"], values["died"], values["head"]
    placed = whole = False
    if not isinstance(id_, str) or not isinstance(metadata, str):
        id_ = ""
    else:
        if type(born) is int and (died is None or type(died) is int):
            placed = head is None or sums.document_head(docno, id_, born, died, metadata) == head
        split = isinstance(spans, bytes) and len(spans) >= 8 and len(spans) % 8 == 0
        if isinstance(values["title"], str) and isinstance(values["body"], bytes):
            content = (id_, values["title"], values["body"], spans, metadata)
            whole = (spans is None or split) and values["checksum"] in (
                sums.document_checksum(docno, *content),
                sums.document_checksum(None, *content),
            )
    return Found(
        docno,
        id_,
        born if type(born) is int and 0 <= born < MAX_NUMBER else 0,
        died if type(died) is int and 0 <= died < MAX_NUMBER else None,
        len(spans) // 8 if isinstance(spans, bytes) and len(spans) >= 8 else 1,
        whole,
        placed,
        values,
    )


@dataclass
class Rows:
    """The rows of the documents by what can be said of them; numbers only."""

    live: Numbers  # (n, 2): number, passages
    dead: Numbers  # (n, 2)
    doubtful: Numbers  # (n, 3): number, passages, whether it says that it lives; whole
    damaged: dict[int, tuple[str | None, bool]]  # number -> id if known, whether it seems to live
    lifetimes: Numbers  # (n, 1): the latest birth or death of every row that is placed


def _sort(found: Iterator[Found]) -> Rows:
    live, dead, doubtful, latest = array("q"), array("q"), array("q"), 0
    damaged: dict[int, tuple[str | None, bool]] = {}
    for one in found:
        if one.placed:
            latest = max(latest, one.born, one.died or 0)
        if one.placed and one.died is not None:
            dead.extend((one.docno, one.n_passages))
        elif one.placed and one.whole and one.row["head"] is not None:
            live.extend((one.docno, one.n_passages))
        elif one.whole:  # format 1 had no checksum over numbers and lifetimes
            doubtful.extend((one.docno, one.n_passages, one.died is None))
        else:
            damaged[one.docno] = (one.id if one.placed else None, one.placed or one.died is None)
    tables = [
        _distinct(np.array(part, np.int64).reshape(-1, n))
        for part, n in ((live, 2), (dead, 2), (doubtful, 3))
    ]
    # Where pages are broken, an older copy of a row may come too: death is never taken back.
    died = tables[1][:, 0]
    alive = tables[0][~np.isin(tables[0][:, 0], died)]
    known = np.concatenate((alive[:, 0], died))
    unsure = tables[2][~np.isin(tables[2][:, 0], known)]
    settled = {*damaged} & {*known.tolist(), *unsure[:, 0].tolist()} if damaged else set()
    for docno in settled:
        del damaged[docno]
    return Rows(alive, tables[1], unsure, damaged, np.array([[latest]], np.int64))


def _distinct(table: Numbers) -> Numbers:
    """One line for every number, ascending."""
    return table[np.unique(table[:, 0], return_index=True)[1]]


def _settle(
    pages: Pages, root: int, rows: Rows, known: Snapshot | None
) -> tuple[Numbers, list[Lost], int]:
    """(live documents, those that are lost, how many more are), by the index of live ids."""
    listed = array("q")
    for row in pages.rows(root):
        if len(row.values) == 2 and type(row.values[1]) is int:
            listed.append(row.values[1])
    index, sound = np.unique(np.array(listed, np.int64)), not pages.broken
    in_index = np.isin(rows.doubtful[:, 0], index)
    says = rows.doubtful[:, 2].astype(bool)
    lives = in_index if sound else in_index | says
    live = np.concatenate((rows.live, rows.doubtful[lives][:, :2]))
    live = live[np.argsort(live[:, 0])]
    damaged = np.array(sorted(rows.damaged), np.int64)
    there = np.isin(damaged, index)
    alive = np.array([rows.damaged[n][1] for n in damaged.tolist()], bool)
    placed = np.array([rows.damaged[n][0] is not None for n in damaged.tolist()], bool)
    gone = damaged[placed | there | (alive & ~np.bool_(sound))]
    others = np.concatenate((live[:, 0], rows.dead[:, 0], rows.doubtful[:, 0], damaged))
    missing = index[~np.isin(index, others)]
    if known is not None and known.sums is not None:
        told = known.sums.live
        if sums.live_sum(np.sort(np.concatenate((live[:, 0], gone)))) == told:
            missing = missing[:0]  # what the index tells besides is not so
    lost_numbers = np.concatenate((gone, missing))
    names = {n: name for n, (name, _) in rows.damaged.items() if name is not None}
    wanted = {*lost_numbers.tolist()} - {*names}
    if wanted:
        for row in pages.rows(root):
            if len(row.values) == 2 and row.values[1] in wanted and isinstance(row.values[0], str):
                names[int(row.values[1])] = row.values[0]  # type: ignore[arg-type]
    lost = [Lost(n, names.get(n)) for n in lost_numbers.tolist()]
    counted = len(live) + len(lost) if known is None else known.documents
    return live, lost, max(0, counted - len(live) - len(lost))


def _segment_lines(pages: Pages, roots: dict[str, int]) -> tuple[list[SegmentLine], list[int]]:
    """(segments that are in use, snapshots in which others died)."""
    lines: dict[str, SegmentLine] = {}
    deaths: list[int] = []
    for row in pages.rows(roots["segments"]):
        match row.values:
            case [str(file), str(name), int(n), int(size), int(born), None | int() as died]:
                if died is not None:
                    deaths.append(died)
                    lines.pop(file, None)
                elif file not in lines:
                    lines[file] = SegmentLine(file, name, n, size, born)
    return sorted(lines.values(), key=lambda line: (line.born, line.file)), deaths


def _replaced(pages: Pages, roots: dict[str, int]) -> dict[str, list[tuple[int, int]]]:
    found: dict[str, dict[int, int]] = {}
    for row in pages.rows(roots["superseded"]):
        match row.values:
            case [str(file), int(unit), int(since)]:
                found.setdefault(file, {})[unit] = since
    return {file: sorted(pairs.items()) for file, pairs in found.items()}


def _replaced_sum(replaced: dict[str, list[tuple[int, int]]], files: set[str] | None) -> int:
    """The sum over some files, or over all: of segments in use, whose list may be damaged."""
    total = 0
    for file in replaced.keys() if files is None else files & replaced.keys():
        units, since = sums.columns_of(replaced[file], 2)
        total += sums.superseded_sum(file, units, since)
    return total & MASK
