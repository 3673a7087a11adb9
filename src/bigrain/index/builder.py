"""Builds inverted lists from any amount of documents, spilling sorted runs to disk."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, count
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bigrain.index.base import Bitmap, Keep, UnitMap, Units, View
from bigrain.index.bm25 import Bm25
from bigrain.index.inverted import PostingsSegment
from bigrain.index.merging import (
    FileLengths,
    LengthSource,
    Source,
    stretch_for,
    write_merged,
)
from bigrain.index.numbering import UnitLog, alive_bitmap, number_rows
from bigrain.index.postings import SpilledRun, key_of_word
from bigrain.storage.files import Files
from bigrain.storage.segment import SegmentFile

__all__ = ["PostingsBuilder", "merge_postings"]

FAN_IN = 16
ROWS_AT_ONCE = 256
BYTES_PER_KEY = 280  # measured: the word, its place in the dictionary, its order, its hash
BYTES_PER_NEW_POSTING = 56  # of a call, until it is packed
SMALLEST = 1 << 12  # postings
KEY_BITS, ROW_BITS, COUNT_BITS = 28, 18, 18  # no call has more words than 28 bits can number
MAX_KEYS, MAX_ROWS, MAX_COUNT = 1 << KEY_BITS, 1 << ROW_BITS, (1 << COUNT_BITS) - 1


class PostingsBuilder:
    """Pending postings of one field.

    Postings gather in one array. When it is full they are sorted in place and written as a run;
    FAN_IN runs of a generation become one of the next.
    """

    def __init__(
        self, bm25: Bm25, files: Files, spill_folder: Path, name: str, memory_bytes: int
    ) -> None:
        self._files, self._folder, self._name = files, spill_folder, name
        self._bm25, self._memory_bytes = bm25, memory_bytes
        self._spilled: list[tuple[int, SpilledRun, Path]] = []  # with their generation
        self._n_written = 0
        self._pending = _Pending()

    def append(self, units: Units, documents: Sequence[Sequence[str]]) -> None:
        """The words of each unit."""
        # A document that would not fit beside what is there opens the next run.
        for start in range(0, len(documents), ROWS_AT_ONCE):
            part = documents[start : start + ROWS_AT_ONCE]
            self._make_room(len(part), sum(map(len, part)))
            self._pending.append(units[start : start + ROWS_AT_ONCE], part)

    def _make_room(self, n_rows: int, n_postings: int) -> None:
        pending = self._pending
        if pending.log.n_rows and (
            pending.bytes_with(n_postings) > self._memory_bytes
            or pending.log.n_rows + n_rows > MAX_ROWS
            or len(pending.ids) + n_postings > MAX_KEYS
        ):
            self._spill()

    def _spill(self) -> None:
        pending = self._pending
        if not pending.log.n_rows:
            return
        pending.sort()
        self._write(0, [pending], [pending.unit_map], [None], [pending])
        self._pending = _Pending()
        while len(group := self._generation(self._spilled[-1][0])) >= FAN_IN:
            runs = [run for _, run, _ in group]
            self._write(
                group[0][0] + 1, runs, [run.unit_map for run in runs], [None] * len(runs),
                [FileLengths(run.file) for run in runs],
            )  # fmt: skip
            merged = self._spilled[-1]
            self._spilled = [r for r in self._spilled if r not in group and r is not merged]
            self._spilled.append(merged)
            for _, run, path in group:
                run.file.close()
                self._files.remove(path)

    def _generation(self, number: int) -> list[tuple[int, SpilledRun, Path]]:
        """The runs of a generation; they stand together, the newest last."""
        return [one for one in self._spilled if one[0] == number]

    def _write(
        self,
        generation: int,
        runs: Sequence[Source],
        maps: Sequence[UnitMap],
        alive: Sequence[Bitmap | None],
        lengths: Sequence[LengthSource],
    ) -> None:
        path = self._folder / f"{self._name}-{self._n_written}.run"
        self._n_written += 1
        write_merged(
            self._files, path, self._bm25, runs, number_rows(maps, alive), lengths,
            stretch_for(self._memory_bytes), durable=False,
        )  # fmt: skip
        self._spilled.append((generation, SpilledRun(SegmentFile(self._files, path)), path))

    def seal(self, keep: Keep, path: Path, files: Files) -> int:
        """Write the segment; returns its number of rows (0: no file)."""
        if self._spilled:
            self._spill()  # what is left makes room for the merge
        else:
            self._pending.sort()
        runs: list[Source] = [run for _, run, _ in self._spilled]
        maps = [run.unit_map for _, run, _ in self._spilled]
        lengths: list[LengthSource] = [FileLengths(run.file) for _, run, _ in self._spilled]
        if self._pending.log.n_rows:
            runs.append(self._pending)
            maps.append(self._pending.unit_map)
            lengths.append(self._pending)
        alive = [alive_bitmap(units, keep) for units in maps]
        return _merge(self._bm25, runs, maps, alive, lengths, path, files, self._memory_bytes)

    def discard(self) -> None:
        self._pending = _Pending()
        spilled, self._spilled = self._spilled, []
        for _, run, _ in spilled:
            run.file.close()
        for _, _, path in spilled:
            self._files.remove(path)


class _Ids(dict[str, int]):
    """Numbers words in the order in which they are first asked for."""

    def __missing__(self, word: str) -> int:
        number = self[word] = len(self)
        return number


class _Pending:
    """A run in memory: a posting is one 64-bit number (key, row, count), to be sorted in place."""

    def __init__(self) -> None:
        self.ids = _Ids()  # of the words
        self.log = UnitLog()
        self.n_postings = 0
        self._packed = np.empty(SMALLEST, np.uint64)
        self._lengths: list[npt.NDArray[np.uint32]] = []
        self._many: dict[tuple[str, int], int] = {}  # counts of MAX_COUNT and more
        self._keys = np.empty(0, np.uint64)  # of the sorted run
        self._words: list[str] = []
        self._starts = np.zeros(1, np.int64)
        self.unit_map = UnitMap(0, 0, None)

    def bytes_with(self, n_postings: int) -> int:
        """What the run will take with as many postings more."""
        return (
            10 * (self.n_postings + n_postings) + BYTES_PER_NEW_POSTING * n_postings
            + len(self.ids) * BYTES_PER_KEY + 8 * self.log.n_rows + self.log.n_bytes
        )  # fmt: skip

    def append(self, units: Units, documents: Sequence[Sequence[str]]) -> None:
        self._reopen()
        ids, first = self.ids, self.log.n_rows
        lengths = np.fromiter(map(len, documents), np.uint32, len(documents))
        words = map(ids.__getitem__, chain.from_iterable(documents))
        numbers = np.fromiter(words, np.uint64, int(lengths.sum(dtype=np.int64)))
        rows = np.repeat(np.arange(first, first + len(documents), dtype=np.uint64), lengths)
        pairs = (numbers << np.uint64(ROW_BITS)) | rows
        distinct, counts = np.unique(pairs, return_counts=True)
        many = np.flatnonzero(counts >= MAX_COUNT)
        if len(many):
            names = list(ids)
            for at in many.tolist():
                pair = int(distinct[at])
                self._many[names[pair >> ROW_BITS], pair & (MAX_ROWS - 1)] = int(counts[at])
            counts[many] = MAX_COUNT
        packed = (distinct << np.uint64(COUNT_BITS)) | counts.astype(np.uint64)
        stop = self.n_postings + len(packed)
        if stop > len(self._packed):
            # Grown in place where the system can: never twice in memory.
            self._packed.resize(max(stop, len(self._packed) * 5 // 4), refcheck=False)
        self._packed[self.n_postings : stop] = packed
        self.n_postings = stop
        self._lengths.append(lengths)
        self.log.append(units)

    def sort(self) -> None:
        """Order the postings by key and row."""
        self.unit_map, order = self.log.unit_map()
        assert order is None, "numbers of documents rise"
        self._lengths = [np.concatenate(self._lengths)] if self._lengths else []
        self._reopen()
        words = list(self.ids)
        keys = np.fromiter((key_of_word(w.encode()) for w in words), np.uint64, len(words))
        rank = self._rank(keys, words)
        packed, shift = self._packed[: self.n_postings], np.uint64(ROW_BITS + COUNT_BITS)
        low = np.uint64((1 << (ROW_BITS + COUNT_BITS)) - 1)
        for start in range(0, len(packed), 1 << 16):
            part = packed[start : start + (1 << 16)]
            part[:] = (rank[part >> shift] << shift) | (part & low)
        packed.sort()
        edges = np.arange(len(words), dtype=np.uint64) << shift
        self._starts = np.append(np.searchsorted(packed, edges), len(packed)).astype(np.int64)

    def lists(self, a: int, b: int) -> tuple[Any, Any]:
        part = self._packed[int(self._starts[a]) : int(self._starts[b])]
        counts = (part & np.uint64(MAX_COUNT)).astype(np.uint32)
        rows = ((part >> np.uint64(COUNT_BITS)) & np.uint64(MAX_ROWS - 1)).astype(np.uint32)
        for at in np.flatnonzero(counts == MAX_COUNT).tolist() if self._many else ():
            word = self._words[int(part[at] >> np.uint64(ROW_BITS + COUNT_BITS))]
            counts[at] = self._many[word, int(rows[at])]
        return rows, counts - np.uint32(1)

    def terms(self, a: int, b: int) -> list[bytes]:
        return [word.encode() for word in self._words[a:b]]

    def lengths(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.uint32]:
        return self._lengths[0][rows]

    @property
    def n_keys(self) -> int:
        return len(self._keys)

    def dictionary(self, a: int, b: int) -> tuple[Any, npt.NDArray[np.int64]]:
        return self._keys[a:b], np.diff(self._starts[a : b + 1])

    def _rank(self, keys: npt.NDArray[np.uint64], words: list[str]) -> npt.NDArray[np.uint64]:
        """Number the keys in ascending order; returns the new number of every old one."""
        order = np.argsort(keys)
        rank = np.empty(len(keys), np.uint64)
        rank[order] = np.arange(len(keys), dtype=np.uint64)
        self._keys = keys[order]
        self._words = [words[i] for i in order.tolist()]
        self.ids = _Ids()
        return rank

    def _reopen(self) -> None:
        """Take more in after a sort: the run was to be sealed, and that failed."""
        if self._words:
            self.ids = _Ids(zip(self._words, count(), strict=False))
            self._words = []


def merge_postings(
    bm25: Bm25,
    files: Files,
    path: Path,
    views: Sequence[View[PostingsSegment]],
    memory_bytes: int,
) -> int:
    """One segment out of the live rows of several; its number of rows (0: no file)."""
    runs = [view.segment.run for view in views]
    maps = [run.unit_map for run in runs]
    alive = [view.live for view in views]
    lengths = [FileLengths(run.file) for run in runs]
    return _merge(bm25, runs, maps, alive, lengths, path, files, memory_bytes)


def _merge(
    bm25: Bm25,
    runs: Sequence[Source],
    maps: Sequence[UnitMap],
    alive: Sequence[Bitmap | None],
    lengths: Sequence[LengthSource],
    path: Path,
    files: Files,
    memory_bytes: int,
) -> int:
    numbering = number_rows(maps, alive)
    if numbering.n_rows:
        write_merged(files, path, bm25, runs, numbering, lengths, stretch_for(memory_bytes))
    return numbering.n_rows
