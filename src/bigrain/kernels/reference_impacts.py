"""The NumPy specification of lists of impacts, the search in them, and rows of weights.

The modules that call them document arguments, results and the layouts; here stands only how they
are computed.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from bigrain.kernels import checks

F32 = npt.NDArray[np.float32]
I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]
U8 = npt.NDArray[np.uint8]
U32 = npt.NDArray[np.uint32]
U64 = npt.NDArray[np.uint64]

ROWS = 32  # in a block
MOST_ROWS = 1 << 19
LARGEST = 2040
LARGEST_SUM = 0xE6666666
BASE = 16  # entries
NONE = 0xFFFF
MOST_FACTOR = 1 << 21  # factors of `search_ordered` are smaller


def _rows(n_rows: int) -> int:
    checks.at_least("n_rows", n_rows, 0)
    if n_rows > MOST_ROWS:
        raise ValueError(f"n_rows: expected at most {MOST_ROWS}, got {n_rows}")
    return n_rows


def _entries(n_rows: int, filled: int) -> tuple[int, bool]:
    """(entries, padded; whether every block has one)."""
    n_blocks = -(-n_rows // ROWS)
    if 4 * filled >= n_blocks:
        return -(-n_blocks // 64) * 64, True
    return -(-filled // BASE) * BASE, False


def _bytes(n_rows: int, filled: int, n: int) -> int:
    entries, every_block = _entries(n_rows, filled)
    return 2 * entries + entries // 4 + (0 if every_block else 2 * entries) + 2 * n


def pack_impacts(postings: U32, n_rows: int) -> tuple[U8, int]:
    """Entries of blocks, then the postings."""
    checks.array("postings", postings, "uint32", 1)
    rows, impacts = postings >> 11, postings & 2047
    checks.below("postings", rows, _rows(n_rows))
    if len(postings) and not (1 <= impacts.min() and impacts.max() <= LARGEST):
        raise ValueError(f"postings: an impact is outside [1, {LARGEST}]")
    if (np.diff(rows.astype(np.int64)) <= 0).any():
        raise ValueError("postings: rows must rise")
    blocks, start, counts = np.unique(rows // ROWS, return_index=True, return_counts=True)
    entries, every_block = _entries(n_rows, len(blocks))
    at = blocks if every_block else np.arange(len(blocks))
    maxima, held = np.zeros(entries, np.uint8), np.zeros(entries, np.uint8)
    if len(blocks):
        maxima[at] = -(-np.maximum.reduceat(impacts, start).astype(np.int64) // 8)
    held[at] = counts
    bases = (np.cumsum(held, dtype=np.uint32) - held)[::BASE].astype("<u4")
    ids = np.full(0 if every_block else entries, NONE, "<u2")
    if not every_block:
        ids[: len(blocks)] = blocks
    parts = [maxima, held, bases, ids, (postings & 0xFFFF).astype("<u2")]
    return np.concatenate([part.view(np.uint8) for part in parts]), len(blocks)


def _unpack(data: U8, n: int, filled: int, n_rows: int) -> tuple[Any, ...]:
    """(blocks, maxima, counts, postings) of the filled entries, or what is not so."""
    entries, every_block = _entries(n_rows, filled)
    sizes = [entries, entries, entries // 4, 0 if every_block else 2 * entries, 2 * n]
    parts = np.split(data, np.cumsum(sizes)[:-1])
    maxima, counts = parts[0], parts[1].astype(np.int64)
    bases, ids, postings = parts[2].view("<u4"), parts[3].view("<u2"), parts[4].view("<u2")
    blocks = np.arange(entries) if every_block else ids.astype(np.int64)
    return blocks, maxima, counts, bases, postings


def sound_impacts(data: U8, n_postings: int, filled: int, n_rows: int) -> bool:
    """Whether every count, base, block, row and largest impact fits the others."""
    checks.array("data", data, "uint8", 1)
    n, n_blocks = n_postings, -(-_rows(n_rows) // ROWS)
    checks.at_least("n_postings", n, 0)
    checks.at_least("filled", filled, 0)
    if filled > n_blocks or n > n_rows:
        return False
    checks.size("data: bytes", len(data), _bytes(n_rows, filled, n))
    blocks, maxima, counts, bases, postings = _unpack(data, n, filled, n_rows)
    if counts.sum() != n or (bases != (np.cumsum(counts) - counts)[::BASE]).any():
        return False
    held = np.flatnonzero(counts)
    if len(held) != filled or ((counts > 0) != (maxima > 0)).any():
        return False
    if 4 * filled < n_blocks and (held != np.arange(filled)).any():
        return False
    named = blocks[held]
    if (named >= n_blocks).any() or (np.diff(named) <= 0).any():
        return False
    rows = np.repeat(named, counts[held]) * ROWS + (postings >> 11)
    impacts = (postings & 2047).astype(np.int64)
    if (np.diff(rows) <= 0).any() or (rows >= n_rows).any():
        return False
    if len(impacts) == 0:
        return True
    largest = np.maximum.reduceat(impacts, (np.cumsum(counts) - counts)[held])
    in_range = bool((impacts > 0).all() and (impacts <= LARGEST).all())
    return in_range and bool((maxima[held] == -(-largest // 8)).all())


def search_impacts(
    data: list[U8],
    filled: U32,
    sizes: U32,
    n_rows: int,
    offsets: I64,
    lists: I32,
    factors: U32,
    slack: U64,
    keep: int,
    live: U8 | None,
) -> tuple[I64, U32, U32]:
    """Add all impacts up; keep what may be among the best."""
    if not isinstance(data, list):
        raise TypeError(f"data: expected a list, got {type(data).__name__}")
    _rows(n_rows)
    checks.at_least("keep", keep, 0)
    checks.size("filled: length", len(checks.array("filled", filled, "uint32", 1)), len(data))
    checks.size("sizes: length", len(checks.array("sizes", sizes, "uint32", 1)), len(data))
    for i, one in enumerate(data):
        if filled[i] > -(-n_rows // ROWS) or sizes[i] > n_rows:
            raise ValueError(f"data: list {i} has more postings than there are rows")
        size = _bytes(n_rows, int(filled[i]), int(sizes[i]))
        checks.size("data: bytes", len(checks.array("data", one, "uint8", 1)), size)
    checks.below("lists", checks.array("lists", lists, "int32", 1), len(data))
    checks.size("factors: length", len(checks.array("factors", factors, "uint32", 1)), len(lists))
    edges = checks.offsets(offsets, len(lists)).tolist()
    checks.size("slack: length", len(checks.array("slack", slack, "uint64", 1)), len(edges) - 1)
    for q, (a, b) in enumerate(pairwise(edges)):
        if LARGEST * int(factors[a:b].sum(dtype=np.uint64)) > LARGEST_SUM:
            raise ValueError(
                f"factors: query {q}: their sum times {LARGEST} is beyond {LARGEST_SUM}"
            )
        if slack[q] > LARGEST_SUM:
            raise ValueError(f"slack: query {q}: beyond {LARGEST_SUM}")
    alive = checks.bitmap(live, n_rows)
    found: list[npt.NDArray[np.int64]] = []
    bounds: list[npt.NDArray[np.int64]] = []
    for q, (a, b) in enumerate(pairwise(edges)):
        total = np.zeros(n_rows, np.int64)
        for i, factor in zip(lists[a:b].tolist(), factors[a:b].tolist(), strict=True):
            blocks, _, counts, _, postings = _unpack(data[i], int(sizes[i]), int(filled[i]), n_rows)
            rows = np.repeat(blocks, counts) * ROWS + (postings >> 11)
            total[rows] += (postings & 2047).astype(np.int64) * factor
        if alive is not None:
            total[~alive] = 0
        order = np.lexsort((np.arange(n_rows), -total))
        order = order[: np.count_nonzero(total)]
        if keep and len(order) >= keep:
            order = order[total[order] >= total[order[keep - 1]] - int(slack[q])]
        found.append(order if keep else order[:0])
        bounds.append(total[found[-1]])
    return _joined(found, bounds)


def _joined(found: list[I64], sums: list[I64]) -> tuple[I64, U32, U32]:
    """(ends, rows, sums) of what each query found."""
    ends = np.cumsum([0, *(len(rows) for rows in found)]).astype(np.int64)
    none = np.empty(0, np.int64)
    rows, of_rows = (np.concatenate([none, *parts]).astype(np.uint32) for parts in (found, sums))
    return ends, rows, of_rows


def order_impacts(data: U8, n_postings: int, filled: int, n_rows: int, least: int) -> U32:
    """Postings by falling impact, then by row."""
    checks.array("data", data, "uint8", 1)
    for name, number in (("n_postings", n_postings), ("filled", filled), ("least", least)):
        checks.at_least(name, number, 0)
    if filled > -(-_rows(n_rows) // ROWS) or n_postings > n_rows:
        raise ValueError("data: the list has more postings than there are rows")
    checks.size("data: bytes", len(data), _bytes(n_rows, filled, n_postings))
    blocks, _, counts, _, postings = _unpack(data, n_postings, filled, n_rows)
    rows = np.repeat(blocks, counts) * ROWS + (postings >> 11)
    impacts = (postings & 2047).astype(np.int64)
    order = np.lexsort((rows, -impacts))
    order = order[impacts[order] >= least]
    ordered: U32 = (rows[order] << 11 | impacts[order]).astype(np.uint32)
    return ordered


def search_ordered(
    data: list[U32],
    n_rows: int,
    offsets: I64,
    lists: I32,
    factors: U32,
    least: U32,
    keep: int,
    live: U8 | None,
) -> tuple[I64, U32, U32, int]:
    """Add the large impacts up; keep the best."""
    if not isinstance(data, list):
        raise TypeError(f"data: expected a list, got {type(data).__name__}")
    _rows(n_rows)
    checks.at_least("keep", keep, 0)
    for one in data:
        checks.array("data", one, "uint32", 1)
    checks.below("lists", checks.array("lists", lists, "int32", 1), len(data))
    checks.size("factors: length", len(checks.array("factors", factors, "uint32", 1)), len(lists))
    checks.size("least: length", len(checks.array("least", least, "uint32", 1)), len(lists))
    edges = checks.offsets(offsets, len(lists)).tolist()
    for q, (a, b) in enumerate(pairwise(edges)):
        if (factors[a:b] >= MOST_FACTOR).any():
            raise ValueError(f"factors: query {q}: expected numbers below {MOST_FACTOR}")
        if (factors[a:b].astype(np.int64) * 2047 >> 16).sum() > 0xFFFF:
            raise ValueError(f"factors: query {q}: sums may be beyond 65535")
    alive = checks.bitmap(live, n_rows)
    found: list[I64] = []
    sums: list[I64] = []
    looked = 0
    for a, b in pairwise(edges):
        total = np.zeros(n_rows, np.int64)
        for i in range(a, b):
            postings = data[lists[i]].astype(np.int64)
            postings = postings[(postings & 2047) >= least[i]]
            looked += len(postings) if keep and n_rows else 0
            total[postings >> 11] += (postings & 2047) * int(factors[i]) >> 16
        if alive is not None:
            total[~alive] = 0
        order = np.lexsort((np.arange(n_rows), -total))[: min(keep, np.count_nonzero(total))]
        found.append(order)
        sums.append(total[order])
    return *_joined(found, sums), looked


def deal_postings(
    lists: U32,
    weights: F32,
    offsets: I64,
    first_row: int,
    largest: F32,
    places: I64,
    out: U32,
) -> None:
    """Append the postings of rows to the lists they belong to."""
    checks.array("lists", lists, "uint32", 1)
    checks.size("weights: length", len(checks.array("weights", weights, "float32", 1)), len(lists))
    checks.array("largest", largest, "float32", 1)
    edges = checks.offsets(offsets, len(lists))
    _rows(_rows(first_row) + len(edges) - 1)
    checks.size("places: length", len(checks.array("places", places, "int64", 1)), len(largest))
    checks.array("out", out, "uint32", 1)
    for name, array in (("places", places), ("out", out)):
        if not array.flags.writeable:
            raise ValueError(f"{name}: must be writable")
    rows = np.repeat(np.arange(first_row, first_row + len(edges) - 1), np.diff(edges))
    for row, number, weight in zip(rows.tolist(), lists.tolist(), weights.tolist(), strict=True):
        if number >= len(largest):
            continue
        with np.errstate(all="ignore"):
            share = np.float64(weight) * LARGEST / np.float64(largest[number])
        impact = min(int(np.ceil(share)), LARGEST) if share > 1 else 1
        at = int(places[number])
        if 0 <= at < len(out):
            out[at] = row << 11 | impact
            places[number] = at + 1


# -- rows of weights ----------------------------------------------------------------------------


def _width(width: int) -> int:
    if width not in (2, 4):
        raise ValueError(f"width: expected 2 or 4, got {width}")
    return width


def _records(records: U8, places: I64, *, words: bool = True) -> list[U8]:
    checks.array("records", records, "uint8", 1)
    edges = checks.offsets(places, len(records), "places").tolist()
    parts = [records[a:b] for a, b in pairwise(edges)]
    for i, part in enumerate(parts):
        if len(part) < 4:
            raise ValueError(f"places: record {i}: expected a checksum")
        if words and len(part) % 4:
            raise ValueError(f"places: record {i}: expected whole words")
    return parts


def encode_weights(columns: U32, weights: F32, offsets: I64, width: int) -> U8:
    """Weights, columns, padding, checksum of every row."""
    from bigrain.kernels.reference import row_checksums

    checks.array("columns", columns, "uint32", 1)
    checks.size(
        "weights: length", len(checks.array("weights", weights, "float32", 1)), len(columns)
    )
    edges = checks.offsets(offsets, len(columns)).tolist()
    if _width(width) == 2:
        checks.below("columns", columns, 1 << 16)
    parts = [b""]
    for a, b in pairwise(edges):
        body = weights[a:b].astype("<f4").tobytes() + columns[a:b].astype(f"<u{width}").tobytes()
        body += bytes(-len(body) % 4)
        checksum = row_checksums(np.frombuffer(body, np.uint8)[None])
        parts += [body, checksum.astype("<u4").tobytes()]
    return np.frombuffer(b"".join(parts), np.uint8).copy()


def decode_weights(records: U8, places: I64, width: int) -> tuple[U32, F32, I64]:
    """Columns and weights of records, and where rows begin."""
    parts, width = _records(records, places), _width(width)
    columns, weights, ends = [np.empty(0, np.uint32)], [np.empty(0, np.float32)], [0]
    for part in parts:
        n = (len(part) - 4) // (4 + width)
        weights.append(np.frombuffer(part[: 4 * n].tobytes(), "<f4"))
        names = part[4 * n : (4 + width) * n].tobytes()
        columns.append(np.frombuffer(names, f"<u{width}").astype(np.uint32))
        ends.append(ends[-1] + n)
    return (
        np.concatenate(columns),
        np.concatenate(weights).astype(np.float32),
        np.array(ends, np.int64),
    )


def first_unsound_weights(records: U8, places: I64) -> int:
    """The first record whose checksum does not match."""
    from bigrain.kernels.reference import row_checksums

    for i, part in enumerate(_records(records, places, words=False)):
        if row_checksums(part[None, :-4])[0] != part[-4:].copy().view("<u4")[0]:
            return i
    return -1


def score_weights(
    records: U8,
    places: I64,
    width: int,
    columns: U32,
    weights: F32,
    queries: I64,
    record_of: I32,
    query_of: I32,
) -> F32:
    """Inner products, in float64 until they are complete."""
    of_columns, of_weights, ends = decode_weights(records, places, width)
    checks.array("columns", columns, "uint32", 1)
    checks.size(
        "weights: length", len(checks.array("weights", weights, "float32", 1)), len(columns)
    )
    edges = checks.offsets(queries, len(columns), "queries")
    checks.below("record_of", checks.array("record_of", record_of, "int32", 1), len(ends) - 1)
    checks.size(
        "query_of: length", len(checks.array("query_of", query_of, "int32", 1)), len(record_of)
    )
    checks.below("query_of", query_of, len(edges) - 1)
    scores = np.empty(len(record_of), np.float32)
    for i, (record, query) in enumerate(zip(record_of.tolist(), query_of.tolist(), strict=True)):
        asked = slice(int(edges[query]), int(edges[query + 1]))
        known = dict(zip(columns[asked].tolist(), weights[asked].tolist(), strict=True))
        total = np.float64(0)
        for j in range(int(ends[record]), int(ends[record + 1])):
            if (weight := known.get(int(of_columns[j]))) is not None:
                total += np.float64(of_weights[j]) * weight
        with np.errstate(over="ignore"):
            scores[i] = np.float32(total)
    return scores
