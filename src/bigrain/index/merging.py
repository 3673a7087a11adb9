"""Merging inverted lists: any number of runs into one segment, in bounded memory.

Every run is read from its smallest key to its largest, all of them in step, some tens of thousands
of postings at a time. What grows with the number of keys goes to a file beside the segment until
its place there is reached. Only the longest single list must fit in memory.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from bigrain.errors import StorageError
from bigrain.index.base import UnitMap
from bigrain.index.numbering import Numbering
from bigrain.index.postings import Array, Keys, RowNumbers, join
from bigrain.storage.files import Files
from bigrain.storage.segment import SegmentFile, SegmentWriter
from bigrain.storage.spill import Spill

__all__ = ["FileLengths", "LengthSource", "Source", "stretch_for", "write_merged"]

MIN_BLOCK_KEYS, MAX_BLOCK_KEYS = 256, 4096  # of a run's dictionary in memory
CHUNK = 1 << 16
BYTES_PER_POSTING = 64  # measured: reading, renumbering, sorting, joining
SPILL_BUFFER = 1 << 16


class Source(Protocol):
    """Inverted lists of some rows, read once from the first key to the last."""

    @property
    def n_keys(self) -> int: ...
    @property
    def n_postings(self) -> int: ...
    @property
    def weight(self) -> np.dtype[Any]: ...
    def dictionary(self, a: int, b: int) -> tuple[Keys, npt.NDArray[np.int64]]: ...
    def lists(self, a: int, b: int) -> tuple[RowNumbers, Array]: ...
    def terms(self, a: int, b: int) -> list[bytes] | None: ...


class LengthSource(Protocol):
    """Words per row of one run."""

    def lengths(self, rows: npt.NDArray[np.int64]) -> RowNumbers: ...


def stretch_for(memory_bytes: int) -> int:
    """How many postings may be in memory at a time."""
    return int(min(max(memory_bytes // BYTES_PER_POSTING, 1 << 12), 1 << 18))


def write_merged(
    files: Files,
    path: Path,
    family: str,
    sources: Sequence[Source],
    numbering: Numbering,
    lengths: Sequence[LengthSource] | None,
    stretch_postings: int,
    *,
    durable: bool = True,
) -> None:
    """Merge runs into one segment file; `lengths` for lexical fields.

    What is not `durable` is not synced: it is not to outlive the process.
    """
    weight = max((s.weight for s in sources), key=lambda w: w.itemsize)
    keys, terms = (
        Spill(files, path.with_name(path.name + ending), kind, row, buffer_bytes=SPILL_BUFFER)
        for ending, kind, row in ((".keys", "<u4", (5,)), (".terms", "|u1", ()))
    )
    writer = SegmentWriter(files, path)
    try:
        with writer.section("lists", np.uint8) as section:
            for stretch in _stretches(sources, numbering, stretch_postings):
                entries = np.empty((len(stretch.keys), 5), np.uint32)
                entries[:, :2] = stretch.keys.astype("<u8").view("<u4").reshape(-1, 2)
                entries[:, 2] = np.diff(stretch.starts)
                pieces = []
                for i, (a, b) in enumerate(pairwise(stretch.starts.tolist())):
                    rows = np.ascontiguousarray(stretch.rows[a:b], "<u4").data.cast("B")
                    weights = stretch.weights[a:b].astype(weight).data.cast("B")
                    entries[i, 3] = zlib.crc32(weights, zlib.crc32(rows))
                    pieces += [rows, weights]
                if len(stretch.keys) == 1:
                    for piece in pieces:
                        section.append(np.frombuffer(piece, np.uint8))
                else:
                    section.append(np.frombuffer(b"".join(pieces), np.uint8))
                if stretch.words is not None:
                    entries[:, 4] = [len(word) for word in stretch.words]
                    terms.append(np.frombuffer(b"".join(stretch.words), np.uint8))
                keys.append(entries)
        _write_dictionary(writer, keys, terms if lengths is not None else None)
        if lengths is not None:
            with writer.section("lengths", np.uint32) as section:
                for run, of_run in numbering.places():
                    section.append(lengths[run].lengths(of_run))
        units = UnitMap.write(writer, numbering.units)
        meta = {"family": family, "weight": weight.newbyteorder("<").str, **units}
        writer.finish(meta, sync=durable)
    except BaseException:
        writer.abandon()
        raise
    finally:
        for spill in (keys, terms):
            with suppress(StorageError):  # the next writer sweeps what cannot be removed
                spill.discard()


def _write_dictionary(writer: SegmentWriter, keys: Spill, terms: Spill | None) -> None:
    def column(first: int, n: int = 1) -> Iterator[Array]:
        for start in range(0, keys.n_rows, CHUNK):
            entries = keys.read(start, min(start + CHUNK, keys.n_rows))
            yield np.ascontiguousarray(entries[:, first : first + n])

    with writer.section("keys", np.uint64) as section:
        for part in column(0, 2):
            section.append(part.view("<u8")[:, 0])
    for name, at in (("df", 2), ("list_crc", 3)):
        with writer.section(name, np.uint32) as section:
            for part in column(at):
                section.append(part[:, 0])
    if terms is None:
        return
    with writer.section("terms", np.uint8) as section:
        for start in range(0, terms.n_rows, CHUNK):
            section.append(terms.read(start, min(start + CHUNK, terms.n_rows)))
    end = 0
    with writer.section("term_ends", np.uint64) as section:
        for part in column(4):
            ends = np.cumsum(part[:, 0], dtype=np.uint64) + np.uint64(end)
            section.append(ends)
            end = int(ends[-1])


@dataclass
class _Stretch:
    """The merged lists of some consecutive keys."""

    keys: Keys
    starts: npt.NDArray[np.int64]
    rows: RowNumbers
    weights: Array
    words: list[bytes] | None


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
            self._starts = np.concatenate(([0], np.cumsum(df)))
        return True

    def reach(self, n_postings: int) -> int:
        """The key up to which there are about `n_postings`, at least one key."""
        at = self._at - self._first
        limit = int(self._starts[at]) + n_postings
        stop = int(np.searchsorted(self._starts, limit, side="right")) - 1
        return int(self._keys[max(stop, at + 1) - 1])

    def take(self, high: int) -> tuple[Keys, RowNumbers, Array, dict[int, bytes] | None] | None:
        """(key of each posting, new rows, weights, words) up to a key, of what is not dropped."""
        a = self._at
        b = self._first + int(np.searchsorted(self._keys, np.uint64(high), side="right"))
        if a >= b:
            return None
        rows, weights = self._source.lists(a, b)
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
            new, weights = new[kept], weights[kept]
            of_posting = of_posting[kept] if len(keys) > 1 else of_posting
        if len(keys) == 1:
            of_posting = np.broadcast_to(keys, len(new))
        named = None if words is None else dict(zip(keys.tolist(), words, strict=True))
        return of_posting, new, weights, named


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
            words.update(named or {})
        all_rows = join([rows for _, rows, _, _ in parts], np.uint32)
        if not len(all_rows):
            continue
        all_weights = join([weights for _, _, weights, _ in parts], np.uint8)
        single = len({int(keys[0]) for keys, _, _, _ in parts if len(keys)}) == 1 and all(
            not len(keys) or keys[0] == keys[-1] for keys, _, _, _ in parts
        )
        if single:
            distinct = next(keys[:1] for keys, _, _, _ in parts if len(keys)).copy()
            starts = np.zeros(1, np.int64)
            if (all_rows[1:] < all_rows[:-1]).any():
                order = np.argsort(all_rows)
                all_rows, all_weights = all_rows[order], all_weights[order]
        else:
            all_keys = join([keys for keys, _, _, _ in parts], np.uint64)
            if len(parts) > 1:
                order = np.lexsort((all_rows, all_keys))
                all_keys, all_rows = all_keys[order], all_rows[order]
                all_weights = all_weights[order]
            starts = np.flatnonzero(np.concatenate(([True], all_keys[1:] != all_keys[:-1])))
            distinct = all_keys[starts]
        yield _Stretch(
            distinct,
            np.append(starts, len(all_rows)),
            all_rows,
            all_weights,
            [words[k] for k in distinct.tolist()] if words else None,
        )


class FileLengths:
    """Words per row, read from a run's file."""

    def __init__(self, file: SegmentFile) -> None:
        self._file = file

    def lengths(self, rows: npt.NDArray[np.int64]) -> RowNumbers:
        low, high = int(rows[0]), int(rows[-1]) + 1
        found: RowNumbers = self._file.read_rows("lengths", low, high)[rows - low]
        return found
