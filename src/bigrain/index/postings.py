"""Inverted lists: for every key (a word's hash, a column number) the rows that hold it, ascending.

A segment and a run spilled while building have the same shape, so sealing a build and merging
segments are one operation: `write_merged` walks the key space in stretches that fit in memory.

    keys        u64 (T,)     ascending, distinct
    df          u32 (T,)     length of each list
    lists       bytes        per key: its rows (u32), then its weights (meta `weight`: u1|u2|u4|f4)
    list_crc    u32 (T,)     checksum of each list, verified whenever it is read
    terms, term_ends         the words' UTF-8 (lexical fields only)
    lengths     u32 (n,)     words per row (lexical fields only)
"""

from __future__ import annotations

import threading
import zlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from bigrain.errors import DamagedError
from bigrain.index.base import Rows, UnitMap, Units
from bigrain.storage.files import Files
from bigrain.storage.segment import SegmentFile, SegmentWriter

__all__ = [
    "ArrayRun",
    "FileRun",
    "ListCache",
    "PostingsSegment",
    "Run",
    "key_of_word",
    "sorted_run",
    "weights_of",
    "write_merged",
]

Array = npt.NDArray[Any]
Keys = npt.NDArray[np.uint64]
RowNumbers = npt.NDArray[np.uint32]
STRETCH_POSTINGS = 1 << 18
ROW_BYTES = 4
NORM_BYTES = 4


class Run(Protocol):
    """Inverted lists of some rows; `units` names the unit of each row, ascending."""

    keys: Keys
    starts: npt.NDArray[np.int64]  # (T + 1,)

    @property
    def units(self) -> Units: ...
    @property
    def lengths(self) -> RowNumbers | None: ...
    @property
    def weight(self) -> np.dtype[Any]: ...
    def lists(self, a: int, b: int) -> tuple[RowNumbers, Array]: ...
    def terms(self, a: int, b: int) -> list[bytes] | None: ...


def key_of_word(word: bytes) -> int:
    """The 64-bit key of a word's UTF-8. Two words may share one; readers compare the words."""
    return int.from_bytes(blake2b(word, digest_size=8).digest(), "little")


@dataclass
class ArrayRun:
    """A run in memory."""

    keys: Keys
    starts: npt.NDArray[np.int64]
    units: Units
    lengths: RowNumbers | None
    rows: RowNumbers
    weights: Array
    words: list[bytes] | None

    @property
    def weight(self) -> np.dtype[Any]:
        if self.weights.dtype.kind == "f":
            return np.dtype("<f4")
        return np.min_scalar_type(int(self.weights.max(initial=0)))

    def lists(self, a: int, b: int) -> tuple[RowNumbers, Array]:
        part = slice(int(self.starts[a]), int(self.starts[b]))
        return self.rows[part], self.weights[part]

    def terms(self, a: int, b: int) -> list[bytes] | None:
        return None if self.words is None else self.words[a:b]


class FileRun:
    """A run in a segment file; its lists stay on disk."""

    def __init__(self, file: SegmentFile) -> None:
        self.file = file
        self.unit_map = UnitMap.read(file)
        self.keys = file.read("keys")
        self.weight = np.dtype(file.meta["weight"])
        self.list_crc = file.read("list_crc")
        self.starts = np.zeros(len(self.keys) + 1, np.int64)
        np.cumsum(file.read("df"), out=self.starts[1:])
        expected = int(self.starts[-1]) * self.posting_bytes
        if file.section("lists").shape[0] != expected:
            raise DamagedError(
                file.name, "lists", f"{expected} bytes", file.section("lists").shape[0]
            )

    @property
    def posting_bytes(self) -> int:
        return ROW_BYTES + int(self.weight.itemsize)

    @property
    def units(self) -> Units:
        return self.unit_map.slice(0, self.unit_map.n_rows)

    @property
    def lengths(self) -> RowNumbers | None:
        if "lengths" not in self.file.sections:
            return None
        return np.asarray(self.file.read("lengths"), np.uint32)

    @property
    def memory_bytes(self) -> int:
        """The dictionary, and in lexical fields the length norms that an index adds to it."""
        arrays = (self.keys, self.list_crc, self.starts)
        norms = NORM_BYTES * self.unit_map.n_rows if "lengths" in self.file.sections else 0
        return sum(a.nbytes for a in arrays) + self.unit_map.n_bytes + norms

    def find(self, key: int) -> int:
        """The position of a key, or -1."""
        at = int(np.searchsorted(self.keys, np.uint64(key)))
        return at if at < len(self.keys) and int(self.keys[at]) == key else -1

    def read_list(self, at: int) -> tuple[RowNumbers, Array]:
        """(rows, weights) of one key, the checksum verified."""
        return self.lists(at, at + 1)

    def lists(self, a: int, b: int) -> tuple[RowNumbers, Array]:
        """(rows, weights) of the keys a..b, one list after another, every checksum verified."""
        width = self.posting_bytes
        first = int(self.starts[a])
        blob = self.file.read_rows("lists", first * width, int(self.starts[b]) * width).data
        rows, weights = [], []
        edges = (self.starts[a : b + 1] - first).tolist()
        for i, (start, stop) in enumerate(zip(edges, edges[1:], strict=False)):
            part = blob[start * width : stop * width]
            if zlib.crc32(part) != int(self.list_crc[a + i]):
                raise DamagedError(
                    self.file.name,
                    f"lists[{a + i}]",
                    f"crc32 {int(self.list_crc[a + i]):08x}",
                    f"{zlib.crc32(part):08x}",
                )
            split = (stop - start) * ROW_BYTES
            rows.append(np.frombuffer(part[:split], "<u4"))
            weights.append(np.frombuffer(part[split:], self.weight))
        if len(rows) == 1:
            return rows[0], weights[0]
        return _join(rows, np.uint32), _join(weights, self.weight)

    def terms(self, a: int, b: int) -> list[bytes] | None:
        if "terms" not in self.file.sections:
            return None
        if a >= b:
            return []
        ends = self.file.read_rows("term_ends", max(a - 1, 0), b).astype(np.int64)
        edges = np.concatenate(([0], ends)) if a == 0 else ends
        size = self.file.section("terms").shape[0]
        if edges[0] < 0 or edges[-1] > size or (np.diff(edges) < 0).any():
            raise DamagedError(self.file.name, "term_ends", f"rising, up to {size}", "others")
        begin, bounds = int(edges[0]), (edges - edges[0]).tolist()
        blob = self.file.read_rows("terms", begin, int(edges[-1])).tobytes()
        words = [blob[i:j] for i, j in zip(bounds, bounds[1:], strict=False)]
        for word, key in zip(words, self.keys[a:b].tolist(), strict=True):
            if key_of_word(word) != key:  # a key is its word's checksum too
                raise DamagedError(self.file.name, "terms", f"the word of key {key:016x}", word)
        return words


class ListCache:
    """Least recently used inverted lists, bounded in bytes, shared by a collection's segments."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes, self.n_bytes = max_bytes, 0
        self._lists: OrderedDict[tuple[str, int], tuple[RowNumbers, Array]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, run: FileRun, at: int) -> tuple[RowNumbers, Array]:
        key = (run.file.name, at)
        with self._lock:
            if key in self._lists:
                self._lists.move_to_end(key)
                return self._lists[key]
        found = run.read_list(at)
        size = found[0].nbytes + found[1].nbytes
        if size <= self.max_bytes // 4:
            with self._lock:
                if key not in self._lists:
                    self._lists[key] = found
                    self.n_bytes += size
                while self.n_bytes > self.max_bytes:
                    _, (rows, weights) = self._lists.popitem(last=False)
                    self.n_bytes -= rows.nbytes + weights.nbytes
        return found


def weights_of(listed: tuple[RowNumbers, Array], rows: Rows) -> npt.NDArray[np.float32]:
    """The weight of each row in one inverted list, 0 where it is not in the list."""
    members, weights = listed
    where = np.minimum(np.searchsorted(members, rows), len(members) - 1)
    return np.where(members[where] == rows, weights[where], 0).astype(np.float32)


class PostingsSegment:
    """An opened inverted segment."""

    def __init__(self, file: SegmentFile) -> None:
        self.file = file
        self.run = FileRun(file)
        self.units = self.run.unit_map

    @property
    def memory_bytes(self) -> int:
        return self.run.memory_bytes


def sorted_run(
    ids: npt.NDArray[np.uint32],
    rows: RowNumbers,
    weights: Array,
    *,
    key_of_id: Keys,
    word_of_id: Sequence[bytes] | None,
    units: Units,
    lengths: RowNumbers | None,
) -> ArrayRun:
    """A run out of unordered (local id, row, weight) triples; ids count 0..T-1."""
    by_key = np.argsort(key_of_id)
    rank = np.empty(len(by_key), np.uint64)
    rank[by_key] = np.arange(len(by_key), dtype=np.uint64)
    order = np.argsort((rank[ids] << np.uint64(32)) | rows)
    starts = np.zeros(len(by_key) + 1, np.int64)
    np.cumsum(np.bincount(ids, minlength=len(by_key))[by_key], out=starts[1:])
    words = None if word_of_id is None else [word_of_id[i] for i in by_key.tolist()]
    return ArrayRun(key_of_id[by_key], starts, units, lengths, rows[order], weights[order], words)


@dataclass
class _Stretch:
    """The merged lists of some consecutive keys."""

    keys: Keys
    starts: npt.NDArray[np.int64]
    rows: RowNumbers
    weights: Array
    words: list[bytes] | None


def write_merged(
    files: Files,
    path: Path,
    family: str,
    runs: Sequence[Run],
    rows_of_run: Sequence[Rows],
    units: Units,
    lengths: RowNumbers | None,
    stretch_postings: int = STRETCH_POSTINGS,
) -> None:
    """Merge runs into one segment file.

    `rows_of_run[i][r]` is the new row of row r of run i, or -1 to drop it; `units` are the new
    rows' units. About `stretch_postings` postings are in memory at a time.
    """
    weight = max((r.weight for r in runs), key=lambda w: w.itemsize, default=np.dtype(np.uint8))
    keys: list[Array] = []
    df: list[Array] = []
    crc: list[int] = []
    words: list[bytes] = []
    writer = SegmentWriter(files, path)
    try:
        with writer.section("lists", np.uint8) as section:
            for stretch in _stretches(runs, rows_of_run, stretch_postings):
                weights = stretch.weights.astype(weight)
                pieces = []
                edges = stretch.starts.tolist()
                for a, b in zip(edges, edges[1:], strict=False):
                    piece = stretch.rows[a:b].tobytes() + weights[a:b].tobytes()
                    crc.append(zlib.crc32(piece))
                    pieces.append(piece)
                section.append(np.frombuffer(b"".join(pieces), np.uint8))
                keys.append(stretch.keys)
                df.append(np.diff(stretch.starts).astype(np.uint32))
                words += stretch.words or []
        writer.add("keys", _join(keys, np.uint64))
        writer.add("df", _join(df, np.uint32))
        writer.add("list_crc", np.array(crc, np.uint32))
        if lengths is not None:
            writer.add("terms", np.frombuffer(b"".join(words), np.uint8))
            writer.add("term_ends", np.cumsum([len(w) for w in words], dtype=np.uint64))
            writer.add("lengths", lengths)
        writer.finish(
            {
                "family": family,
                "weight": weight.newbyteorder("<").str,
                **UnitMap.write(writer, units),
            }
        )
    except BaseException:
        writer.abandon()
        raise


def _stretches(
    runs: Sequence[Run], rows_of_run: Sequence[Rows], stretch_postings: int
) -> Iterator[_Stretch]:
    """The merged lists, one stretch of the key space after another."""
    for low, high in _key_ranges(runs, stretch_postings):
        keys, rows, weights = [], [], []
        words: dict[int, bytes] = {}
        for run, mapping in zip(runs, rows_of_run, strict=True):
            a = int(np.searchsorted(run.keys, np.uint64(low)))
            b = len(run.keys) if high is None else int(np.searchsorted(run.keys, np.uint64(high)))
            if a == b:
                continue
            old_rows, run_weights = run.lists(a, b)
            new_rows = mapping[old_rows]
            kept = new_rows >= 0
            keys.append(np.repeat(run.keys[a:b], np.diff(run.starts[a : b + 1]))[kept])
            rows.append(new_rows[kept].astype(np.uint32))
            weights.append(run_weights[kept])
            names = run.terms(a, b)
            if names is not None:
                words.update(zip(run.keys[a:b].tolist(), names, strict=True))
        all_keys, all_rows = _join(keys, np.uint64), _join(rows, np.uint32)
        if not len(all_keys):
            continue
        all_weights = _join(weights, np.uint8)
        if len(keys) > 1:
            order = np.lexsort((all_rows, all_keys))
            all_keys, all_rows, all_weights = all_keys[order], all_rows[order], all_weights[order]
        starts = np.flatnonzero(np.concatenate(([True], all_keys[1:] != all_keys[:-1])))
        distinct = all_keys[starts]
        yield _Stretch(
            distinct,
            np.append(starts, len(all_keys)),
            all_rows,
            all_weights,
            [words[k] for k in distinct.tolist()] if words else None,
        )


def _key_ranges(runs: Sequence[Run], stretch_postings: int) -> Iterator[tuple[int, int | None]]:
    """Ranges [low, high) of keys that hold about `stretch_postings` postings each."""
    total = sum(int(run.starts[-1]) for run in runs)
    cuts: list[int] = []
    if total > stretch_postings:
        # Keys are hashes: the largest run's distribution over them stands for all.
        largest = max(runs, key=lambda run: int(run.starts[-1]))
        n_parts = -(-total // stretch_postings)
        marks = np.linspace(0, int(largest.starts[-1]), n_parts + 1)[1:-1]
        at = np.clip(np.searchsorted(largest.starts, marks), 0, len(largest.keys) - 1)
        cuts = sorted({int(k) for k in largest.keys[at]} - {0})
    edges: list[int] = [0, *cuts]
    yield from zip(edges, [*edges[1:], None], strict=True)


def _join(arrays: Sequence[Array], dtype: npt.DTypeLike) -> Array:
    if not arrays:
        return np.empty(0, dtype)
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
