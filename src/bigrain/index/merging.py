"""Merging inverted lists: any number of runs into one segment, in bounded memory.

Every run is read from its smallest key to its largest, all of them in step, some tens of thousands
of postings at a time. What grows with the number of keys goes to a file beside the segment until
its place there is reached. Only the longest single list must fit in memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from bigrain import kernels
from bigrain.errors import StorageError
from bigrain.index.base import UnitMap
from bigrain.index.bm25 import Bm25
from bigrain.index.numbering import Numbering
from bigrain.index.postings import Array, Keys, RowNumbers, join
from bigrain.storage.files import Files
from bigrain.storage.segment import SegmentFile, SegmentWriter
from bigrain.storage.spill import Spill

__all__ = ["FileLengths", "LengthSource", "Source", "stretch_for", "write_merged"]

MIN_BLOCK_KEYS, MAX_BLOCK_KEYS = 256, 4096  # of a run's dictionary in memory
CHUNK = 1 << 16
BYTES_PER_POSTING = 64  # measured: reading, renumbering, sorting, joining
COLUMNS = ("key", "key", "df", "size", "size", "crc", "length of the word")
SPILL_BUFFER = 1 << 16


class Source(Protocol):
    """Inverted lists of some rows, read once from the first key to the last."""

    @property
    def n_keys(self) -> int: ...
    def dictionary(self, a: int, b: int) -> tuple[Keys, npt.NDArray[Any]]: ...
    def lists(self, a: int, b: int) -> tuple[RowNumbers, RowNumbers]: ...
    def terms(self, a: int, b: int) -> list[bytes]: ...


class LengthSource(Protocol):
    """Words per row of one run."""

    def lengths(self, rows: npt.NDArray[np.int64]) -> RowNumbers: ...


def stretch_for(memory_bytes: int) -> int:
    """How many postings may be in memory at a time."""
    return int(min(max(memory_bytes // BYTES_PER_POSTING, 1 << 12), 1 << 18))


def write_merged(
    files: Files,
    path: Path,
    bm25: Bm25,
    sources: Sequence[Source],
    numbering: Numbering,
    lengths: Sequence[LengthSource],
    stretch_postings: int,
    *,
    durable: bool = True,
) -> None:
    """Merge runs into one segment file; impacts are made by the mean length of its rows.

    What is not `durable` is not synced, as it is not to outlive the process, and its impacts are
    all 1, as nobody searches it.
    """
    keys, terms = (
        Spill(files, path.with_name(path.name + ending), kind, row, buffer_bytes=SPILL_BUFFER)
        for ending, kind, row in ((".keys", "<u4", (len(COLUMNS),)), (".terms", "|u1", ()))
    )
    writer = SegmentWriter(files, path)
    try:
        words_per_row = _gather(numbering, lengths)
        saturation = bm25.saturation_among(words_per_row)
        with writer.section("lists", np.uint8) as section:
            for stretch in _stretches(sources, numbering, stretch_postings):
                impacts = np.ones(len(stretch.rows), np.uint8)
                if durable:
                    impacts = saturation.impacts(
                        stretch.values.astype(np.int64) + 1, words_per_row[stretch.rows]
                    )
                data, ends, checksums = kernels.encode_lists(
                    stretch.rows, impacts, stretch.values, stretch.starts
                )
                section.append(data)
                entries = np.zeros((len(stretch.keys), len(COLUMNS)), np.uint32)
                entries[:, :2] = stretch.keys.astype("<u8").view("<u4").reshape(-1, 2)
                entries[:, 2] = np.diff(stretch.starts)
                sizes = np.diff(ends, prepend=0).astype("<u8")
                entries[:, 3:5] = sizes.view("<u4").reshape(-1, 2)
                entries[:, 5] = checksums
                entries[:, 6] = [len(word) for word in stretch.words]
                terms.append(np.frombuffer(b"".join(stretch.words), np.uint8))
                keys.append(entries)
        _write_dictionary(writer, keys)
        _write_terms(writer, keys, terms)
        writer.add("lengths", words_per_row)
        meta: dict[str, Any] = {"family": "lexical"}
        if durable:
            meta["impacts"] = {"flat": saturation.flat, "slope": saturation.slope}
        writer.finish({**meta, **UnitMap.write(writer, numbering.units)}, sync=durable)
    except BaseException:
        writer.abandon()
        raise
    finally:
        for spill in (keys, terms):
            with suppress(StorageError):  # the next writer sweeps what cannot be removed
                spill.discard()


def _gather(numbering: Numbering, lengths: Sequence[LengthSource]) -> Array:
    """Words per row in the smallest type that holds them."""
    found: Array = np.empty(numbering.n_rows, np.uint8)
    at = 0
    for run, rows in numbering.places():
        part = lengths[run].lengths(rows)
        needed = np.min_scalar_type(int(part.max(initial=0)))
        if needed.itemsize > found.itemsize:
            found = found.astype(needed)
        found[at : at + len(part)] = part
        at += len(part)
    return found


def _column(keys: Spill, first: int, n: int = 1) -> Iterator[Array]:
    for start in range(0, keys.n_rows, CHUNK):
        entries = keys.read(start, min(start + CHUNK, keys.n_rows))
        yield np.ascontiguousarray(entries[:, first : first + n])


def _write_dictionary(writer: SegmentWriter, keys: Spill) -> None:
    with writer.section("keys", np.uint64) as section:
        for part in _column(keys, 0, 2):
            section.append(part.view("<u8")[:, 0])
    with writer.section("df", np.uint32) as section:
        for part in _column(keys, 2):
            section.append(part[:, 0])
    _write_ends(writer, "list_ends", (part.view("<u8")[:, 0] for part in _column(keys, 3, 2)))
    with writer.section("list_crc", np.uint32) as section:
        for part in _column(keys, 5):
            section.append(part[:, 0])


def _write_terms(writer: SegmentWriter, keys: Spill, terms: Spill) -> None:
    with writer.section("terms", np.uint8) as section:
        for start in range(0, terms.n_rows, CHUNK):
            section.append(terms.read(start, min(start + CHUNK, terms.n_rows)))
    _write_ends(writer, "term_ends", (part[:, 0] for part in _column(keys, 6)))


def _write_ends(writer: SegmentWriter, name: str, sizes: Iterator[Array]) -> None:
    end = 0
    with writer.section(name, np.uint64) as section:
        for part in sizes:
            ends = np.cumsum(part, dtype=np.uint64) + np.uint64(end)
            section.append(ends)
            end = int(ends[-1])


@dataclass
class _Stretch:
    """The merged lists of some consecutive keys."""

    keys: Keys
    starts: npt.NDArray[np.int64]
    rows: RowNumbers
    values: RowNumbers
    words: list[bytes]


class _Cursor:
    """Where a source is read, and the stretch of its dictionary from there on."""

    def __init__(self, source: Source, run: int, numbering: Numbering, block_keys: int) -> None:
        self._source, self._run, self._numbering = source, run, numbering
        self._block_keys = block_keys
        self._first = self._at = 0  # key number of the block's start, and of the next key to take
        self._keys: Keys = np.empty(0, np.uint64)
        self._starts = np.zeros(1, np.int64)

    def fill(self) -> bool:
        """Have keys at hand; False if there are no more."""
        if self._at == self._first + len(self._keys):
            if self._at == self._source.n_keys:
                return False
            self._first = self._at
            stop = min(self._at + self._block_keys, self._source.n_keys)
            self._keys, df = self._source.dictionary(self._at, stop)
            self._starts = np.concatenate(([0], np.cumsum(df, dtype=np.int64)))
        return True

    def reach(self, n_postings: int) -> int:
        """The key up to which there are about `n_postings`, at least one key."""
        at = self._at - self._first
        limit = int(self._starts[at]) + n_postings
        stop = int(np.searchsorted(self._starts, limit, side="right")) - 1
        return int(self._keys[max(stop, at + 1) - 1])

    def take(self, high: int) -> tuple[Keys, RowNumbers, RowNumbers, dict[int, bytes]] | None:
        """(key of each posting, new rows, values, words) up to a key, of what is not dropped."""
        a = self._at
        b = self._first + int(np.searchsorted(self._keys, np.uint64(high), side="right"))
        if a >= b:
            return None
        rows, values = self._source.lists(a, b)
        words = self._source.terms(a, b)
        keys = self._keys[a - self._first : b - self._first]
        counts = np.diff(self._starts[a - self._first : b - self._first + 1])
        self._at = b
        new = np.empty(len(rows), np.uint32)
        kept = np.empty(len(rows), bool)
        for start in range(0, len(rows), CHUNK):
            part = self._numbering.rows(self._run, rows[start : start + CHUNK])
            kept[start : start + CHUNK] = part >= 0
            new[start : start + CHUNK] = part
        of_posting = np.repeat(keys, counts) if len(keys) > 1 else keys
        if not kept.all():
            new, values = new[kept], values[kept]
            of_posting = of_posting[kept] if len(keys) > 1 else of_posting
        if len(keys) == 1:
            of_posting = np.broadcast_to(keys, len(new))
        return of_posting, new, values, dict(zip(keys.tolist(), words, strict=True))


def _stretches(
    sources: Sequence[Source], numbering: Numbering, stretch_postings: int
) -> Iterator[_Stretch]:
    """The merged lists, one stretch of the key space after another."""
    share = max(1, stretch_postings // max(1, len(sources)))
    block_keys = min(MAX_BLOCK_KEYS, max(MIN_BLOCK_KEYS, share))
    cursors = [_Cursor(source, run, numbering, block_keys) for run, source in enumerate(sources)]
    while reading := [cursor for cursor in cursors if cursor.fill()]:
        high = min(cursor.reach(share) for cursor in reading)
        parts = [part for cursor in reading if (part := cursor.take(high)) is not None]
        words: dict[int, bytes] = {}
        for _, _, _, named in parts:
            words.update(named)
        all_rows = join([rows for _, rows, _, _ in parts], np.uint32)
        if not len(all_rows):
            continue
        all_values = join([values for _, _, values, _ in parts], np.uint32)
        single = len({int(keys[0]) for keys, _, _, _ in parts if len(keys)}) == 1 and all(
            not len(keys) or keys[0] == keys[-1] for keys, _, _, _ in parts
        )
        if single:
            distinct = next(keys[:1] for keys, _, _, _ in parts if len(keys)).copy()
            starts = np.zeros(1, np.int64)
            if (all_rows[1:] < all_rows[:-1]).any():
                order = np.argsort(all_rows, kind="stable")
                all_rows, all_values = all_rows[order], all_values[order]
        else:
            all_keys = join([keys for keys, _, _, _ in parts], np.uint64)
            if len(parts) > 1:
                order = np.lexsort((all_rows, all_keys))
                all_keys, all_rows = all_keys[order], all_rows[order]
                all_values = all_values[order]
            starts = np.flatnonzero(np.concatenate(([True], all_keys[1:] != all_keys[:-1])))
            distinct = all_keys[starts]
        yield _Stretch(
            distinct,
            np.append(starts, len(all_rows)),
            all_rows,
            all_values,
            [words[k] for k in distinct.tolist()],
        )


class FileLengths:
    """Words per row, read from a run's file."""

    def __init__(self, file: SegmentFile) -> None:
        self._file = file

    def lengths(self, rows: npt.NDArray[np.int64]) -> RowNumbers:
        low, high = int(rows[0]), int(rows[-1]) + 1
        found: RowNumbers = self._file.read_rows("lengths", low, high)[rows - low]
        return found
