"""Checksums of sets of rows that change with the set: adding a row adds, removing it subtracts.

The sum of a set is the sum modulo 2**64 of a hash of each of its rows. So a commit brings the
checksum of a million rows up to date by looking only at those that changed, and whoever loads
the rows verifies them in one vectorised pass. It finds accidents, not forgers.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass
from hashlib import blake2b
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = [
    "Sums",
    "attribute_sum",
    "columns_of",
    "dead_sum",
    "digest",
    "document_checksum",
    "document_head",
    "key_sum",
    "live_sum",
    "long_sum",
    "segment_sum",
    "signed",
    "superseded_sum",
]

MASK = (1 << 64) - 1
GOLDEN = 0x9E3779B97F4A7C15
LIVE, DEAD, LONG, SEGMENT, SUPERSEDED = range(1, 6)  # one row means something else in each set

Units = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Sums:
    """The sums that a snapshot carries, one for each set of rows."""

    live: int = 0  # numbers of live documents
    dead: int = 0  # deleted documents that are still kept
    long: int = 0  # documents of several passages, deleted ones that are kept included
    segments: int = 0
    superseded: int = 0  # rows replaced in these segments

    def __add__(self, other: Sums) -> Sums:
        return Sums(*((a + b) & MASK for a, b in zip(astuple(self), astuple(other), strict=True)))

    def __sub__(self, other: Sums) -> Sums:
        return Sums(*((a - b) & MASK for a, b in zip(astuple(self), astuple(other), strict=True)))


def live_sum(docnos: Units) -> int:
    """Sum over live documents: (n,) numbers."""
    return _total(_mix(LIVE, docnos))


def dead_sum(docnos: Units, passages: Units, died: Units) -> int:
    """Sum over deleted documents: (n,) numbers, numbers of passages, snapshots of death."""
    return _total(_mix(DEAD, docnos, passages, died))


def long_sum(docnos: Units, passages: Units) -> int:
    """Sum over documents of several passages: (n,) numbers and numbers of passages."""
    return _total(_mix(LONG, docnos, passages))


def segment_sum(rows: Iterable[tuple[str, str, int, int, int]]) -> int:
    """Sum over segments: (file, field, rows, bytes, born) of each."""
    total = 0
    for file, field, *numbers in rows:
        names = np.array([digest(f"{file}\0{field}".encode())], np.uint64)
        columns = (np.array([number], np.int64) for number in numbers)
        total += _total(_mix(SEGMENT, names, *columns))
    return total & MASK


def superseded_sum(file: str, units: Units, since: Units) -> int:
    """Sum over the replaced rows of one segment: (n,) units and snapshots of replacement."""
    name = np.full(len(units), digest(file.encode()), np.uint64)
    return _total(_mix(SUPERSEDED, name, units, since))


def key_sum(keys: Mapping[str, int]) -> int:
    """Sum over the names of metadata keys and their numbers."""
    return sum(digest(f"{number}\0{name}".encode()) for name, number in keys.items()) & MASK


def attribute_sum(rows: Iterable[tuple[int, Any, int]]) -> int:
    """Sum over attributes: (number of the key, value, document) of each.

    A value counts as SQLite compares it: 1 and 1.0 are the same.
    """
    total = 0
    for key, value, docno in rows:
        if isinstance(value, float) and value.is_integer() and abs(value) < 2**63:
            value = int(value)
        total += digest(f"{key}\0{docno}\0{type(value).__name__[0]}{value!r}".encode())
    return total & MASK


def digest(data: bytes) -> int:
    """64 bits of BLAKE2b."""
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "little")


def signed(value: int) -> int:
    """64 bits as SQLite keeps them; `value & MASK` is the way back."""
    return value - (1 << 64) if value >> 63 else value


# -- one document -------------------------------------------------------------------------------


def document_head(docno: int, id_: str, born: int, died: int | None, metadata: str) -> int:
    """CRC-32 of what is read of a document without its text."""
    told = f"{docno!r} {born!r} {died!r} {len(id_)} {id_}{metadata}"
    return zlib.crc32(told.encode())


def document_checksum(
    docno: int | None, id_: str, title: str, body: bytes, passages: bytes | None, metadata: str
) -> int:
    """CRC-32 over number, lengths and bytes; `docno` is None for documents written as format 1."""
    told = [] if docno is None else [docno.to_bytes(8, "little")]
    for part in (id_.encode(), title.encode(), body, passages or b"", metadata.encode()):
        told += (len(part).to_bytes(8, "little"), part)
    return zlib.crc32(b"".join(told))


# -- numbers ------------------------------------------------------------------------------------


def _mix(tag: int, *columns: npt.NDArray[Any]) -> npt.NDArray[np.uint64]:
    """A hash of each row: the finaliser of splitmix64 over its numbers, one after another."""
    state: Any = np.uint64(tag * GOLDEN & MASK)
    for column in columns:
        state = (np.ascontiguousarray(column).view(np.uint64) ^ state) + np.uint64(GOLDEN)
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        state = state ^ (state >> np.uint64(31))
    hashes: npt.NDArray[np.uint64] = state
    return hashes


def _total(hashes: npt.NDArray[np.uint64]) -> int:
    return int(hashes.sum(dtype=np.uint64))


def columns_of(rows: Sequence[Sequence[int]], n: int) -> tuple[Units, ...]:
    """Rows of n numbers as n arrays."""
    table = np.array(rows, np.int64).reshape(-1, n)
    return tuple(np.ascontiguousarray(table[:, i]) for i in range(n))
