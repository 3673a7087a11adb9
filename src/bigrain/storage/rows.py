"""Rows of the catalogue: what they are in Python, and the queries that list them."""

from __future__ import annotations

import json
import sqlite3
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from itertools import chain
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from bigrain.errors import BigrainError, DamagedError, StorageError
from bigrain.storage import sums
from bigrain.storage.attributes import Value
from bigrain.storage.sums import MASK, Sums, signed

CATALOGUE = "catalogue.sqlite"
COMPRESS_FROM_BYTES = 200
SELECT_BATCH = 500
# What damaged values bring about.
NONSENSE = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, zlib.error)

DOCUMENT = "docno, id, born, died, head, metadata, title, body, passages, checksum"
HEAD = "docno, id, born, died, head, metadata"
TOGETHER = f"json_group_array(json_array({HEAD}))"
PASSAGES = "coalesce(length(passages) / 8, 1)"
SEEN = "born <= :s AND (died IS NULL OR died > :s)"  # rows that belong to snapshot :s
SUMS = "live_sum, dead_sum, long_sum, segments_sum, superseded_sum"

Units = npt.NDArray[np.int64]
Attribute: TypeAlias = tuple[int, Value, int]  # number of the key, value, document


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

    @property
    def n_passages(self) -> int:
        return 1 if self.passages is None else len(self.passages)


@dataclass(frozen=True, slots=True)
class SegmentRow:
    """A segment file as the catalogue lists it."""

    file: str
    field: str
    rows: int
    n_bytes: int
    born: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A snapshot as the catalogue lists it; `sums` is None if format 1 wrote it."""

    number: int
    documents: int
    at: float
    next_docno: int
    sums: Sums | None

    def row(self) -> tuple[Any, ...]:
        values = (self.number, self.documents, self.at, self.next_docno)
        known = (signed(value) for value in astuple(self.sums or Sums()))
        return with_digest((*values, *known))


def pack_text(text: str) -> bytes:
    """One byte of kind (0 plain, 1 zlib), then UTF-8."""
    raw = text.encode()
    if len(raw) >= COMPRESS_FROM_BYTES:
        packed = zlib.compress(raw, 1)
        if len(packed) < len(raw):
            return b"\x01" + packed
    return b"\x00" + raw


def unpack_text(body: bytes) -> str:
    """Text out of what `pack_text` made."""
    return (zlib.decompress(body[1:]) if body[:1] == b"\x01" else body[1:]).decode()


def encodable(text: object) -> bool:
    """Whether SQLite can be asked for it."""
    try:
        str(text).encode()
    except UnicodeEncodeError:
        return False
    return True


# -- rows, as they are stored -------------------------------------------------------------------


def version_of(db: sqlite3.Connection) -> int:
    """The format that the header tells."""
    (version,) = db.execute("PRAGMA user_version").fetchone()
    return int(version)


def setting(db: sqlite3.Connection, key: str) -> Any:
    """A setting's value, None if there is none of this key."""
    row = db.execute("SELECT value FROM settings WHERE key = ?", (key,)).fetchone()
    return None if row is None else json.loads(row[0])


def set_setting(db: sqlite3.Connection, key: str, value: Any) -> None:
    """Write a setting, in place of the former one."""
    db.execute("INSERT OR REPLACE INTO settings VALUES (?, ?)", (key, json.dumps(value)))


def key_numbers(db: sqlite3.Connection) -> dict[str, int]:
    """The metadata keys with their numbers, by name."""
    rows = db.execute("SELECT name, key FROM attribute_keys NOT INDEXED").fetchall()
    return dict(sorted(rows))


def order_of(row: Attribute) -> tuple[int, bool, Value, int]:
    """SQLite's order: numbers before texts."""
    key, value, docno = row
    if not (isinstance(key, int) and isinstance(docno, int) and isinstance(value, Value)):
        raise TypeError(f"the entry {row}")
    return key, isinstance(value, str), value, docno


def now() -> float:
    """Unix time in whole seconds."""
    return float(int(time.time()))


def insert_snapshot(db: sqlite3.Connection, snapshot: Snapshot) -> None:
    """Write a snapshot's row, in place of the former one."""
    db.execute(
        f"INSERT OR REPLACE INTO snapshots (snapshot, documents, at, next_docno, {SUMS}, checksum)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        snapshot.row(),
    )


def with_digest(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """A row with the checksum that ends it."""
    return (*values, signed(sums.digest(repr(values).encode())))


def segment_rows(db: sqlite3.Connection, snapshot: int) -> list[tuple[str, str, int, int, int]]:
    """(file, field, rows, bytes, born) of a snapshot's segments."""
    return db.execute(
        f"SELECT file, field, rows, bytes, born FROM segments WHERE {SEEN} ORDER BY born, file",
        {"s": snapshot},
    ).fetchall()


def dead_rows(db: sqlite3.Connection, snapshot: int) -> Units:
    """(n, 3): number, passages, snapshot of death."""
    rows = db.execute(
        f"SELECT docno, {PASSAGES}, died FROM documents"
        " WHERE died IS NOT NULL AND died <= :s ORDER BY docno",
        {"s": snapshot},
    )
    return table_of(rows, 3)


def long_rows(db: sqlite3.Connection, snapshot: int) -> Units:
    """(n, 2): number, passages."""
    rows = db.execute(
        f"SELECT docno, {PASSAGES} FROM documents"
        " WHERE passages IS NOT NULL AND born <= :s ORDER BY docno",
        {"s": snapshot},
    )
    return table_of(rows, 2)


def live_rows(db: sqlite3.Connection, snapshot: int) -> Units:
    """(n,) numbers of live documents, ascending."""
    rows = db.execute(f"SELECT docno FROM documents WHERE {SEEN} ORDER BY docno", {"s": snapshot})
    return table_of(rows, 1)[:, 0]


def superseded_rows(db: sqlite3.Connection, snapshot: int) -> dict[str, Units]:
    """File -> (2, n): units and snapshots of replacement, of segments that are there."""
    found: dict[str, list[int]] = {}
    rows = db.execute(
        "SELECT file, unit, since FROM superseded WHERE since <= :s AND file IN"
        f" (SELECT file FROM segments WHERE {SEEN})",
        {"s": snapshot},
    )
    for file, unit, since in rows:
        found.setdefault(file, []).extend((unit, since))
    return {file: np.array(numbers, np.int64).reshape(-1, 2).T for file, numbers in found.items()}


def superseded_total(found: Mapping[str, Units]) -> int:
    """Their checksum."""
    return sum(sums.superseded_sum(file, *rows) for file, rows in found.items()) & MASK


def table_of(rows: Iterable[tuple[int, ...]], n: int) -> Units:
    """(rows, n) numbers, without a list of them all in between."""
    return np.fromiter(chain.from_iterable(rows), np.int64).reshape(-1, n)


def batches(values: Sequence[Any]) -> Iterator[list[Any]]:
    """Parts small enough for the parameters of one statement."""
    for start in range(0, len(values), SELECT_BATCH):
        yield list(values[start : start + SELECT_BATCH])


def ended(db: sqlite3.Connection) -> bool:
    """End a transaction that only read; whether that went well."""
    try:
        db.execute("ROLLBACK")
    except sqlite3.Error:
        return False
    return True


def marks(values: Sequence[Any]) -> str:
    """Question marks for a list of values."""
    return ",".join("?" * len(values))


def as_error(file: str, doing: str, error: Exception) -> Exception:
    """What an error of SQLite, or of damaged values, is to a caller."""
    if isinstance(error, BigrainError):
        return error
    if isinstance(error, NONSENSE):
        return DamagedError(file, doing, "values of the schema", repr(error))
    code = getattr(error, "sqlite_errorname", "")
    # Text that is not UTF-8, bytes where there should be text.
    undecodable = str(error).startswith(("Could not decode", "JSON cannot hold BLOB"))
    if code.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")) or undecodable:
        return DamagedError(file, doing, "a readable page", str(error))
    if isinstance(error, sqlite3.IntegrityError | sqlite3.ProgrammingError):
        return error
    return StorageError(f"{file}: {doing}: {error}")
