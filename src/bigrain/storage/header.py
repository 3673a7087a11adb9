"""The bytes at the head of a catalogue that are the same in every one, and putting them right.

SQLite believes them unseen: a changed one lets it refuse every write, or misread every page.
https://www.sqlite.org/fileformat2.html#the_database_header.
"""

from __future__ import annotations

import errno
from pathlib import Path

from bigrain.errors import DamagedError, StorageError
from bigrain.storage import schema
from bigrain.storage.files import Files, open_kept

__all__ = ["HEADER_BYTES", "header_problems", "mended"]

HEADER_BYTES = 100
CONSTANTS = (
    (0, b"SQLite format 3\0", "the magic"),
    (18, b"\2", "the write version"),
    (19, b"\2", "the read version"),
    (20, b"\0", "the space reserved in pages"),
    (21, b"\x40\x20\x20", "the payload fractions"),
    (44, b"\0\0\0\4", "the schema format"),
    (56, b"\0\0\0\1", "the text encoding"),
    (68, schema.APPLICATION_ID.to_bytes(4, "big"), "the application id"),
)


def header_problems(files: Files, path: Path) -> list[str]:
    """What is wrong with the header of the catalogue at `path`."""
    for attempt in (0, 1):
        try:
            head = open_kept(files, path).read_at(0, HEADER_BYTES)
            break
        except StorageError as error:
            if error.errno != errno.EIO:
                raise
            if attempt:
                return [f"{path.name}: {error}"]
    if len(head) < HEADER_BYTES:
        return [str(DamagedError(path.name, "the header", f"{HEADER_BYTES} bytes", len(head)))]
    return [
        str(
            DamagedError(
                path.name,
                f"byte {at} of the header, {what},",
                right.hex(),
                head[at : at + len(right)].hex(),
            )
        )
        for at, right, what in CONSTANTS
        if head[at : at + len(right)] != right
    ]


def mended(head: bytes) -> bytes:
    """The first bytes of a catalogue, `HEADER_BYTES` or more, with the constant ones put right."""
    right = bytearray(head)
    for at, constant, _ in CONSTANTS:
        right[at : at + len(constant)] = constant
    return bytes(right)
