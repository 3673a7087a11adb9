"""Words of a segment that begin like, hold, or are spelt nearly like, a given one.

The dictionary is on disk in the order of hashes, so it is read through, a stretch at a time, and
only what may match is looked at word by word. Distances are optimal string alignments: insertions,
deletions, substitutions and swaps of neighbours, no place touched twice (Damerau 1964).
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from bigrain.errors import DamagedError
from bigrain.storage.segment import SegmentFile

__all__ = ["distances", "words_holding", "words_near", "words_with_prefix"]

STRETCH = 1 << 17  # words
BITS = np.array([bin(i).count("1") for i in range(256)], np.uint8)
Array = npt.NDArray[Any]
BYTES_OF_CHAR = 4  # at most, in UTF-8


def words_with_prefix(file: SegmentFile, prefix: str) -> list[str]:
    """The words of a lexical segment that begin with `prefix`."""
    raw = np.frombuffer(prefix.encode("utf-8", "surrogatepass"), np.uint8)
    found = []
    for blob, edges in _stretches(file):
        starts, ends = edges[:-1], edges[1:]
        at = np.flatnonzero(ends - starts >= len(raw))
        for i, byte in enumerate(raw):
            at = at[blob[starts[at] + i] == byte]
        found += [_word(blob, edges, i) for i in at.tolist()]
    return found


def words_holding(file: SegmentFile, part: str) -> list[str]:
    """The words of a lexical segment that hold `part` somewhere."""
    raw = np.frombuffer(part.encode("utf-8", "surrogatepass"), np.uint8)
    found = []
    for blob, edges in _stretches(file):
        at = np.flatnonzero(blob[: max(0, len(blob) - len(raw) + 1)] == raw[0])
        for i, byte in enumerate(raw[1:], 1):
            at = at[blob[at + i] == byte]
        word = np.searchsorted(edges, at, side="right") - 1
        inside = at + len(raw) <= edges[word + 1]
        found += [_word(blob, edges, i) for i in np.unique(word[inside]).tolist()]
    return found


def words_near(file: SegmentFile, word: str, edits: int) -> list[tuple[str, int]]:
    """The words within so many edits of `word`, with their distances."""
    raw = np.frombuffer(word.encode("utf-8", "surrogatepass"), np.uint8)
    own = np.bitwise_or.reduce(_signature(raw))
    narrow = word.isascii()
    lost, gained = edits * (1 if narrow else BYTES_OF_CHAR), edits * BYTES_OF_CHAR
    shortest, longest = len(raw) - lost, len(raw) + gained
    by_length: dict[int, list[str]] = defaultdict(list)
    for blob, edges in _stretches(file):
        lengths = np.diff(edges)
        at = np.flatnonzero((lengths >= max(shortest, 1)) & (lengths <= longest))
        if not len(at):
            continue
        # An edit takes away the bytes of one character and brings those of another.
        signs = np.bitwise_or.reduceat(_signature(blob), edges[:-1])[at]
        at = at[(_count(own & ~signs) <= lost) & (_count(signs & ~own) <= gained)]
        for i in at.tolist():
            near = _word(blob, edges, i)
            if abs(len(near) - len(word)) <= edits:
                by_length[len(near)].append(near)
    found = []
    for words in by_length.values():
        apart = distances(word, words)
        found += [(words[i], int(apart[i])) for i in np.flatnonzero(apart <= edits).tolist()]
    return found


def distances(word: str, others: list[str]) -> npt.NDArray[np.int64]:
    """Edits between `word` and others, which all have one length."""
    n, width = len(others), len(others[0]) if others else 0
    texts = "".join(others).encode("utf-32-le", "surrogatepass")
    chars = np.frombuffer(texts, "<u4").reshape(n, width).T
    own = [ord(char) for char in word]
    before: Array = np.empty(0)
    above = np.repeat(np.arange(width + 1)[:, None], n, axis=1)
    for i, char in enumerate(own, 1):
        row = np.empty_like(above)
        row[0] = i
        for j in range(1, width + 1):
            differs = chars[j - 1] != char
            best = np.minimum(np.minimum(above[j], row[j - 1]) + 1, above[j - 1] + differs)
            if i > 1 and j > 1:
                swapped = (chars[j - 1] == own[i - 2]) & (chars[j - 2] == char)
                best = np.where(swapped, np.minimum(best, before[j - 2] + 1), best)
            row[j] = best
        before, above = above, row
    return np.asarray(above[width], np.int64)


def _stretches(file: SegmentFile) -> Iterator[tuple[Array, Array]]:
    """(UTF-8 of many words, where each begins and the last ends), the checksums verified."""
    n_words, size = file.section("term_ends").shape[0], file.section("terms").shape[0]
    sums, begin = {"term_ends": 0, "terms": 0}, 0
    for start in range(0, n_words, STRETCH):
        ends = file.read_rows("term_ends", start, min(start + STRETCH, n_words))
        edges = np.concatenate(([begin], ends.astype(np.int64)))
        if (edges[1:] <= edges[:-1]).any() or edges[-1] > size:
            raise DamagedError(file.name, "term_ends", f"rising, up to {size}", "others")
        blob = file.read_rows("terms", begin, int(edges[-1]))
        for name, part in (("term_ends", ends), ("terms", blob)):
            sums[name] = zlib.crc32(part.data.cast("B"), sums[name])
        yield blob, edges - begin
        begin = int(edges[-1])
    for name, found in sums.items():
        if n_words and found != file.section(name).crc32:
            expected = file.section(name).crc32
            raise DamagedError(file.name, name, f"crc32 {expected:08x}", f"{found:08x}")


def _word(blob: Array, edges: Array, at: int) -> str:
    return blob[edges[at] : edges[at + 1]].tobytes().decode("utf-8", "replace")


def _signature(raw: Array) -> npt.NDArray[np.uint64]:
    """A bit for every byte; bytes that share one are told apart later."""
    return np.left_shift(np.uint64(1), (raw & 63).astype(np.uint64))


def _count(bits: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
    split = np.ascontiguousarray(bits).view(np.uint8).reshape(-1, 8)
    return np.asarray(BITS[split].sum(axis=1), np.int64)
