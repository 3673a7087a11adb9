"""The tables of the catalogue, and how those of format 1 become those of format 2."""

from __future__ import annotations

import sqlite3
import zlib

__all__ = [
    "APPLICATION_ID",
    "DEFINITION",
    "FORMAT_VERSION",
    "SCHEMA",
    "SELECT_FIELDS",
    "SELECT_SETTINGS",
    "SUMMED_SINCE",
    "add_columns",
    "definition_checksum",
    "has_sums",
]

FORMAT_VERSION = 2
APPLICATION_ID = 0x6267726E  # "bgrn"

SCHEMA = """
CREATE TABLE settings (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE fields (
    name TEXT PRIMARY KEY, position INTEGER NOT NULL, spec TEXT NOT NULL,
    fingerprint TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE snapshots (
    snapshot INTEGER PRIMARY KEY, documents INTEGER NOT NULL, at REAL NOT NULL,
    next_docno INTEGER, live_sum INTEGER, dead_sum INTEGER, long_sum INTEGER,
    segments_sum INTEGER, superseded_sum INTEGER, checksum INTEGER
);
CREATE TABLE documents (
    docno INTEGER PRIMARY KEY, id TEXT NOT NULL, born INTEGER NOT NULL, died INTEGER, head INTEGER,
    metadata TEXT NOT NULL, title TEXT NOT NULL, body BLOB NOT NULL, passages BLOB,
    checksum INTEGER NOT NULL
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
SUMMED_SINCE = "summed_since"  # the first snapshot with checksums, where format 1 came before
SELECT_SETTINGS = (
    f"SELECT key, value FROM settings WHERE key NOT IN ('{DEFINITION}', 'next_docno',"
    " 'newest_snapshot', 'attribute_keys_sum') ORDER BY key"
)
SELECT_FIELDS = "SELECT name, spec, fingerprint FROM fields ORDER BY position"

ADDED = [
    ("snapshots", "next_docno"),
    ("snapshots", "live_sum"),
    ("snapshots", "dead_sum"),
    ("snapshots", "long_sum"),
    ("snapshots", "segments_sum"),
    ("snapshots", "superseded_sum"),
    ("snapshots", "checksum"),
    ("documents", "head"),
]


def has_sums(db: sqlite3.Connection) -> bool:
    """Whether the tables are those of format 2, whatever the header says."""
    names = {row[1] for row in db.execute("PRAGMA table_info(snapshots)")}
    return "checksum" in names


def add_columns(db: sqlite3.Connection) -> None:
    """Give the tables of format 1 the columns of format 2, all null."""
    for table, column in ADDED:
        db.execute(f"ALTER TABLE {table} ADD COLUMN {column} INTEGER")


def definition_checksum(db: sqlite3.Connection) -> int:
    """CRC-32 over settings and fields as they are stored."""
    rows = [db.execute(sql).fetchall() for sql in (SELECT_SETTINGS, SELECT_FIELDS)]
    return zlib.crc32(repr(rows).encode("utf-8", "surrogatepass"))
