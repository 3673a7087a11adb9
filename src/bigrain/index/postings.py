"""Inverted lists of lexical fields: for every word the rows that hold it, ascending.

    keys        u64 (T,)     the words' hashes: ascending, distinct
    df          u32 (T,)     length of each list
    lists       bytes        each as `kernels.encode_lists` packs it: rows, impacts, values
    list_ends   u64 (T,)     where each ends
    list_crc    u32 (T,)     checksum of each list, verified whenever it is read
    terms, term_ends         the words' UTF-8
    lengths     u8|u16|u32 (n,)  words per row

A value is the count of the word less 1. A segment keeps its dictionary (keys, places) in memory
and reads lists on demand. A run spilled while building has the same shape, and is read from start
to end (`merging`). How format 1 kept lists: `raw_lists`.
"""

from __future__ import annotations

import threading
import zlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from typing import Any, Protocol, TypeVar, cast

import numpy as np
import numpy.typing as npt

from bigrain import kernels
from bigrain.errors import DamagedError
from bigrain.index.base import UnitMap
from bigrain.index.blocks import BlockCache
from bigrain.index.scratch import Scratch
from bigrain.storage.segment import SegmentFile

__all__ = [
    "FileRun",
    "ListCache",
    "Run",
    "SpilledRun",
    "join",
    "key_of_word",
    "start_of_lists",
]

Array = npt.NDArray[Any]
Keys = npt.NDArray[np.uint64]
RowNumbers = npt.NDArray[np.uint32]
ENTRY_BYTES = 300  # of a list in the cache, beside the list itself


def key_of_word(word: bytes) -> int:
    """The 64-bit key of a word's UTF-8. Two words may share one; readers compare the words."""
    return int.from_bytes(blake2b(word, digest_size=8).digest(), "little")


class Run:
    """The dictionary of a run in a segment file; its lists stay on disk."""

    def __init__(self, file: SegmentFile) -> None:
        self.file = file
        self.unit_map = UnitMap.read(file)
        self.keys = file.read("keys", "<u8", (None,))
        if (self.keys[1:] <= self.keys[:-1]).any():
            raise DamagedError(file.name, "keys", "rising keys", "others")
        self.df = file.read("df", "<u4", (len(self.keys),))
        if not self.df.all():
            raise DamagedError(file.name, "df", "no list that is empty", "one")
        file.section("list_crc", "<u4", (len(self.keys),))
        file.section("terms", "|u1", (None,))
        file.section("term_ends", "<u8", (len(self.keys),))

    @property
    def n_keys(self) -> int:
        return len(self.keys)

    def dictionary(self, a: int, b: int) -> tuple[Keys, RowNumbers]:
        """The keys a..b and the lengths of their lists."""
        return self.keys[a:b], self.df[a:b]

    def find(self, key: int) -> int:
        """The position of a key, or -1."""
        at = int(np.searchsorted(self.keys, np.uint64(key)))
        return at if at < len(self.keys) and int(self.keys[at]) == key else -1

    def read_list(self, at: int) -> kernels.PostingList:
        """The list of one key, its checksum verified."""
        raise NotImplementedError

    def lists(self, a: int, b: int) -> tuple[RowNumbers, RowNumbers]:
        """(rows, values) of the keys a..b, one list after another, every checksum verified."""
        raise NotImplementedError

    def terms(self, a: int, b: int) -> list[bytes]:
        """The words of the keys a..b."""
        return self._terms(a, b, self.keys[a:b])

    def _terms(self, a: int, b: int, keys: Keys) -> list[bytes]:
        if a >= b:
            return []
        ends = self.file.read_rows("term_ends", max(a - 1, 0), b).astype(np.int64)
        edges = np.concatenate(([0], ends)) if a == 0 else ends
        size = self.file.section("terms").shape[0]
        if edges[0] < 0 or edges[-1] > size or (edges[1:] < edges[:-1]).any():
            raise DamagedError(self.file.name, "term_ends", f"rising, up to {size}", "others")
        begin, bounds = int(edges[0]), (edges - edges[0]).tolist()
        blob = self.file.read_rows("terms", begin, int(edges[-1])).tobytes()
        words = [blob[i:j] for i, j in zip(bounds, bounds[1:], strict=False)]
        for word, key in zip(words, keys.tolist(), strict=True):
            if key_of_word(word) != key:  # a key is its word's checksum too
                raise DamagedError(self.file.name, "terms", f"the word of key {key:016x}", word)
        return words


class FileRun(Run):
    """A run of packed lists."""

    def __init__(self, file: SegmentFile) -> None:
        super().__init__(file)
        self._starts = start_of_lists(file)

    def read_list(self, at: int) -> kernels.PostingList:
        start, stop = int(self._starts[at]), int(self._starts[at + 1])
        part = self.file.read_rows("lists", start, stop)
        expected = int(self.file.read_rows("list_crc", at, at + 1)[0])
        found = zlib.crc32(part.data)
        if found != expected:
            name = f"lists[{at}]"
            raise DamagedError(self.file.name, name, f"crc32 {expected:08x}", f"{found:08x}")
        try:
            return kernels.posting_list(part, int(self.df[at]), self.unit_map.n_rows)
        except ValueError as error:
            raise self._damaged(at, error) from None

    def lists(self, a: int, b: int) -> tuple[RowNumbers, RowNumbers]:
        checksums = self.file.read_rows("list_crc", a, b)
        return self._lists(a, self._starts[a : b + 1], self.df[a:b], checksums)

    def _lists(
        self, a: int, starts: Array, df: RowNumbers, checksums: RowNumbers
    ) -> tuple[RowNumbers, RowNumbers]:
        first, last = int(starts[0]), int(starts[-1])
        ends = starts[1:].astype(np.int64) - first
        part = self.file.read_rows("lists", first, last)
        try:
            return kernels.decode_lists(part, ends, df, checksums, self.unit_map.n_rows)
        except ValueError as error:
            raise self._damaged(a, error) from None

    def _damaged(self, a: int, error: ValueError) -> DamagedError:
        return DamagedError(self.file.name, f"lists from {a}", "lists as they are packed", error)


def start_of_lists(file: SegmentFile) -> Array:
    """Where each packed list starts, and where the last ends: uint32 where that is enough."""
    ends = file.read("list_ends", "<u8", (None,))
    size = file.section("lists", "|u1", (None,)).shape[0]
    if (ends[1:] <= ends[:-1]).any() or (int(ends[-1]) if len(ends) else 0) != size:
        raise DamagedError(file.name, "list_ends", f"rising ends up to {size}", "others")
    starts = np.zeros(len(ends) + 1, np.uint32 if size < 2**32 else np.uint64)
    starts[1:] = ends
    return starts


class SpilledRun(FileRun):
    """A run read from start to end; of its dictionary only a stretch is in memory."""

    def __init__(self, file: SegmentFile) -> None:
        self.file = file
        self.unit_map = UnitMap.read(file)
        self._n_keys = file.section("keys", "<u8", (None,)).shape[0]
        self._place, self._next = 0, 0
        self._block: tuple[Keys, RowNumbers, Array, RowNumbers]
        self._crc: dict[str, int] = {}

    @property
    def n_keys(self) -> int:
        return self._n_keys

    def dictionary(self, a: int, b: int) -> tuple[Keys, RowNumbers]:
        """The keys a..b and the lengths of their lists; asked for one stretch after another."""
        if a == 0:
            self._crc, self._next = {}, 0
        keys, df, ends, checksums = (
            self._part(name, a, b) for name in ("keys", "df", "list_ends", "list_crc")
        )
        starts = np.append(np.uint64(self._next), ends)
        self._place, self._next, self._block = a, int(starts[-1]), (keys, df, starts, checksums)
        return keys, df

    def _part(self, name: str, a: int, b: int) -> Array:
        """A stretch of a section, whose checksum is verified when its end is reached."""
        part = self.file.read_rows(name, a, b)
        found = self._crc[name] = zlib.crc32(part.data.cast("B"), self._crc.get(name, 0))
        section = self.file.section(name)
        if b == section.shape[0] and found != section.crc32:
            raise DamagedError(self.file.name, name, f"crc32 {section.crc32:08x}", f"{found:08x}")
        return part

    def lists(self, a: int, b: int) -> tuple[RowNumbers, RowNumbers]:
        _, df, starts, checksums = self._block
        i, j = a - self._place, b - self._place
        return self._lists(a, starts[i : j + 1], df[i:j], checksums[i:j])

    def terms(self, a: int, b: int) -> list[bytes]:
        return self._terms(a, b, self._block[0][a - self._place : b - self._place])


class Held(Protocol):
    """What a cache can hold."""

    @property
    def n_bytes(self) -> int: ...


H_co = TypeVar("H_co", bound=Held, covariant=True)
H = TypeVar("H", bound=Held)


class Lists(Protocol[H_co]):
    """What lists are read from."""

    @property
    def file(self) -> SegmentFile: ...
    def read_list(self, at: int) -> H_co: ...


class ListCache:
    """Least recently used inverted lists, bounded in bytes, shared by a collection's segments.

    With it go as many bytes for blocks of substring fields, and what these count in.
    """

    def __init__(self, max_bytes: int, scratch: Scratch | None = None) -> None:
        self.max_bytes, self.n_bytes = max_bytes, 0
        self.scratch = scratch or Scratch(1 << 62)
        self.blocks = BlockCache(max_bytes)
        self._lists: OrderedDict[tuple[type, str, int], Held] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, run: Lists[H], at: int) -> H:
        """One list, as its source reads it."""
        key = (type(run), run.file.name, at)
        with self._lock:
            if key in self._lists:
                self._lists.move_to_end(key)
                return cast(H, self._lists[key])
        found = run.read_list(at)
        if found.n_bytes + ENTRY_BYTES <= self.max_bytes // 4:
            with self._lock:
                if key not in self._lists:
                    self._lists[key] = found
                    self.n_bytes += found.n_bytes + ENTRY_BYTES
                while self.n_bytes > self.max_bytes:
                    _, dropped = self._lists.popitem(last=False)
                    self.n_bytes -= dropped.n_bytes + ENTRY_BYTES
        return found

    def get_many(self, run: Lists[H], places: Sequence[int]) -> list[H]:
        """Some lists."""
        kind, name = type(run), run.file.name
        with self._lock:
            held = [self._lists.get((kind, name, at)) for at in places]
            for at, one in zip(places, held, strict=True):
                if one is not None:
                    self._lists.move_to_end((kind, name, at))
        return [
            self.get(run, at) if one is None else cast(H, one)
            for at, one in zip(places, held, strict=True)
        ]

    def together(
        self, sizes: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]
    ) -> Iterator[tuple[int, int]]:
        """Ranges of queries whose lists take half of what may be held, or one query.

        `sizes` in bytes, of query after query; those of query q begin at ends[q].
        """
        start, n = 0, len(ends) - 1
        if n and (n == 1 or sizes.sum() <= self.max_bytes // 2):
            yield 0, n
            return
        before = np.concatenate(([0], np.cumsum(sizes)))[ends]
        while start < n:
            stop = int(np.searchsorted(before, before[start] + self.max_bytes // 2, "right"))
            stop = min(max(stop - 1, start + 1), n)
            yield start, stop
            start = stop

    def forget(self) -> None:
        """Drop every list: the memory is needed, or the segments are gone."""
        with self._lock:
            self._lists.clear()
            self.n_bytes = 0
        self.blocks.forget()


def join(arrays: Sequence[Array], dtype: npt.DTypeLike) -> Array:
    """The arrays one after another."""
    if not arrays:
        return np.empty(0, dtype)
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
