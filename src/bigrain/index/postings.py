"""Inverted lists: for every key (a word's hash, a column number) the rows that hold it, ascending.

    keys        u64 (T,)     ascending, distinct
    df          u32 (T,)     length of each list
    lists       bytes        per key: its rows (u32), then its weights (meta `weight`: u1|u2|u4|f4)
    list_crc    u32 (T,)     checksum of each list, verified whenever it is read
    terms, term_ends         the words' UTF-8 (lexical fields only)
    lengths     u32 (n,)     words per row (lexical fields only)

A segment keeps its dictionary (keys, places, checksums) in memory and reads lists on demand. A run
spilled while building has the same shape, and is read from start to end (`merging`).
"""

from __future__ import annotations

import threading
import zlib
from collections import OrderedDict
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from bigrain.errors import DamagedError
from bigrain.index.base import Rows, UnitMap
from bigrain.index.scratch import Scratch
from bigrain.storage.segment import SegmentFile

__all__ = [
    "FileRun",
    "ListCache",
    "PostingsSegment",
    "SpilledRun",
    "key_of_word",
    "light_bytes_of",
    "weights_of",
]

Array = npt.NDArray[Any]
Keys = npt.NDArray[np.uint64]
RowNumbers = npt.NDArray[np.uint32]
ROW_BYTES = 4
KEY_BYTES = 8 + 8 + 4  # key, place of its list, checksum
NORM_BYTES = 4


def key_of_word(word: bytes) -> int:
    """The 64-bit key of a word's UTF-8. Two words may share one; readers compare the words."""
    return int.from_bytes(blake2b(word, digest_size=8).digest(), "little")


class FileRun:
    """A run in a segment file; its lists stay on disk."""

    def __init__(self, file: SegmentFile) -> None:
        self.file = file
        self.unit_map = UnitMap.read(file)
        self.keys = file.read("keys", "<u8", (None,))
        n_keys, lexical = len(self.keys), file.meta.get("family") == "lexical"
        if (self.keys[1:] <= self.keys[:-1]).any():
            raise DamagedError(file.name, "keys", "rising keys", "others")
        weight = file.meta.get("weight")
        if weight not in (("|u1", "<u2", "<u4") if lexical else ("|u1", "<u2", "<f4")):
            raise DamagedError(file.name, "table", "a type of weights", weight)
        self.weight = np.dtype(str(weight))
        self.list_crc = file.read("list_crc", "<u4", (n_keys,))
        df = file.read("df", "<u4", (n_keys,))
        if not df.all():
            raise DamagedError(file.name, "df", "no list that is empty", "one")
        self.starts = np.zeros(n_keys + 1, np.int64)
        np.cumsum(df, out=self.starts[1:])
        file.section("lists", "|u1", (int(self.starts[-1]) * self.posting_bytes,))
        if lexical:
            file.section("lengths", "<u4", (self.unit_map.n_rows,))
            file.section("terms", "|u1", (None,))
            file.section("term_ends", "<u8", (n_keys,))

    @property
    def posting_bytes(self) -> int:
        return ROW_BYTES + int(self.weight.itemsize)

    @property
    def n_keys(self) -> int:
        return len(self.keys)

    @property
    def n_postings(self) -> int:
        return int(self.starts[-1])

    def dictionary(self, a: int, b: int) -> tuple[Keys, npt.NDArray[np.int64]]:
        """The keys a..b and the lengths of their lists."""
        return self.keys[a:b], np.diff(self.starts[a : b + 1])

    def find(self, key: int) -> int:
        """The position of a key, or -1."""
        at = int(np.searchsorted(self.keys, np.uint64(key)))
        return at if at < len(self.keys) and int(self.keys[at]) == key else -1

    def read_list(self, at: int) -> tuple[RowNumbers, Array]:
        """(rows, weights) of one key, the checksum verified."""
        return self.lists(at, at + 1)

    def lists(self, a: int, b: int) -> tuple[RowNumbers, Array]:
        """(rows, weights) of the keys a..b, one list after another, every checksum verified."""
        return self._lists(a, self.starts[a : b + 1], self.list_crc[a:b])

    def _lists(
        self, a: int, starts: npt.NDArray[np.int64], checksums: npt.NDArray[np.uint32]
    ) -> tuple[RowNumbers, Array]:
        width = self.posting_bytes
        first = int(starts[0])
        blob = self.file.read_rows("lists", first * width, int(starts[-1]) * width).data
        rows, weights = [], []
        edges = (starts - first).tolist()
        for i, (start, stop) in enumerate(zip(edges, edges[1:], strict=False)):
            part = blob[start * width : stop * width]
            if zlib.crc32(part) != int(checksums[i]):
                raise DamagedError(
                    self.file.name,
                    f"lists[{a + i}]",
                    f"crc32 {int(checksums[i]):08x}",
                    f"{zlib.crc32(part):08x}",
                )
            split = (stop - start) * ROW_BYTES
            rows.append(np.frombuffer(part[:split], "<u4"))
            weights.append(np.frombuffer(part[split:], self.weight))
        joined = join(rows, np.uint32)
        self._check_rows(joined, a, edges)
        return joined, join(weights, self.weight)

    def _check_rows(self, rows: RowNumbers, first: int, edges: Sequence[int]) -> None:
        """Every list of a stretch names rows of this segment, in ascending order."""
        falls = np.flatnonzero(rows[1:] <= rows[:-1]) + 1  # only where the next list begins
        if (len(rows) and int(rows.max()) >= self.unit_map.n_rows) or not np.isin(
            falls, edges
        ).all():
            raise DamagedError(
                self.file.name,
                f"lists from {first}",
                f"rising rows below {self.unit_map.n_rows}",
                "others",
            )

    def terms(self, a: int, b: int) -> list[bytes] | None:
        """The words of the keys a..b, in lexical fields."""
        return self._terms(a, b, self.keys[a:b])

    def _terms(self, a: int, b: int, keys: Keys) -> list[bytes] | None:
        if "terms" not in self.file.sections:
            return None
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


class SpilledRun(FileRun):
    """A run read from start to end; of its dictionary only a stretch is in memory."""

    def __init__(self, file: SegmentFile) -> None:
        self.file = file
        self.unit_map = UnitMap.read(file)
        self.weight = np.dtype(file.meta["weight"])
        self._n_keys = file.section("keys", "<u8", (None,)).shape[0]
        self._n_postings = file.section("lists").shape[0] // self.posting_bytes
        self._place, self._next = 0, 0
        self._block: tuple[Keys, npt.NDArray[np.int64], npt.NDArray[np.uint32]]
        self._crc: dict[str, int] = {}

    @property
    def n_keys(self) -> int:
        return self._n_keys

    @property
    def n_postings(self) -> int:
        return self._n_postings

    def dictionary(self, a: int, b: int) -> tuple[Keys, npt.NDArray[np.int64]]:
        """The keys a..b and the lengths of their lists; asked for one stretch after another."""
        if a == 0:
            self._crc, self._next = {}, 0
        keys, df, checksums = (self._part(name, a, b) for name in ("keys", "df", "list_crc"))
        starts = np.zeros(b - a + 1, np.int64)
        np.cumsum(df, out=starts[1:])
        starts += self._next
        self._place, self._next, self._block = a, int(starts[-1]), (keys, starts, checksums)
        return keys, np.diff(starts)

    def _part(self, name: str, a: int, b: int) -> Array:
        """A stretch of a section, whose checksum is verified when its end is reached."""
        part = self.file.read_rows(name, a, b)
        found = self._crc[name] = zlib.crc32(part.data.cast("B"), self._crc.get(name, 0))
        section = self.file.section(name)
        if b == section.shape[0] and found != section.crc32:
            raise DamagedError(self.file.name, name, f"crc32 {section.crc32:08x}", f"{found:08x}")
        return part

    def lists(self, a: int, b: int) -> tuple[RowNumbers, Array]:
        _, starts, checksums = self._block
        i, j = a - self._place, b - self._place
        return self._lists(a, starts[i : j + 1], checksums[i:j])

    def terms(self, a: int, b: int) -> list[bytes] | None:
        return self._terms(a, b, self._block[0][a - self._place : b - self._place])


class Lists(Protocol):
    """What lists are read from."""

    @property
    def file(self) -> SegmentFile: ...
    def read_list(self, at: int) -> tuple[Array, ...]: ...


class ListCache:
    """Least recently used inverted lists, bounded in bytes, shared by a collection's segments.

    With it goes what searches add up in.
    """

    def __init__(self, max_bytes: int, scratch: Scratch | None = None) -> None:
        self.max_bytes, self.n_bytes = max_bytes, 0
        self.scratch = scratch or Scratch(1 << 62)
        self._lists: OrderedDict[tuple[str, int], tuple[Array, ...]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, run: Lists, at: int) -> Any:
        """One list of a run, as its `read_list` gives it: a tuple of arrays."""
        key = (run.file.name, at)
        with self._lock:
            if key in self._lists:
                self._lists.move_to_end(key)
                return self._lists[key]
        found = run.read_list(at)
        size = sum(part.nbytes for part in found)
        if size <= self.max_bytes // 4:
            with self._lock:
                if key not in self._lists:
                    self._lists[key] = found
                    self.n_bytes += size
                while self.n_bytes > self.max_bytes:
                    _, parts = self._lists.popitem(last=False)
                    self.n_bytes -= sum(part.nbytes for part in parts)
        return found

    def forget(self) -> None:
        """Drop every list: the memory is needed, or the segments are gone."""
        with self._lock:
            self._lists.clear()
            self.n_bytes = 0


def weights_of(listed: tuple[RowNumbers, Array], rows: Rows) -> npt.NDArray[np.float32]:
    """The weight of each row in one inverted list, 0 where it is not in the list."""
    members, weights = listed
    # One type on both sides, or NumPy would copy the list.
    where = np.minimum(np.searchsorted(members, rows.astype(np.uint32)), len(members) - 1)
    return np.where(members[where] == rows, weights[where], 0).astype(np.float32)


class PostingsSegment:
    """An opened inverted segment."""

    def __init__(self, file: SegmentFile) -> None:
        self.file = file
        self.run = FileRun(file)
        self.units = self.run.unit_map

    @property
    def memory_bytes(self) -> int:
        return light_bytes_of(self.file)

    @property
    def longest_list_bytes(self) -> int:
        """What reading the longest list takes."""
        df = int(np.diff(self.run.starts).max(initial=0))
        return df * self.run.posting_bytes


def light_bytes_of(file: SegmentFile) -> int:
    """The dictionary, and in lexical fields the length norms that an index adds to it."""
    norms = NORM_BYTES * file.number("n_rows") if "lengths" in file.sections else 0
    return KEY_BYTES * file.section("keys").shape[0] + UnitMap.bytes_in(file) + norms


def join(arrays: Sequence[Array], dtype: npt.DTypeLike) -> Array:
    if not arrays:
        return np.empty(0, dtype)
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
