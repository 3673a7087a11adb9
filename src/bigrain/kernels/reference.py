"""The NumPy specification of every kernel: short, plain, and the truth.

The native kernels are tested against these functions. Speed was given up for clarity: whole
intermediate arrays, no blocking, loops over queries and documents. The modules that call
them (`codes`, `records`) document arguments and results; here stands only how they are computed.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from bigrain.kernels import checks
from bigrain.kernels.numbers import TYPES, bytes_of, read_numbers
from bigrain.kernels.reference_embedding import code_rows as code_rows
from bigrain.kernels.reference_embedding import listed_rows as listed_rows
from bigrain.kernels.reference_embedding import mapped_rows as mapped_rows
from bigrain.kernels.reference_embedding import narrow_rows as narrow_rows
from bigrain.kernels.reference_fm import fm_blocks as fm_blocks
from bigrain.kernels.reference_fm import fm_ranks as fm_ranks
from bigrain.kernels.reference_fm import fm_steps as fm_steps
from bigrain.kernels.reference_fm import suffix_array as suffix_array
from bigrain.kernels.reference_impacts import deal_postings as deal_postings
from bigrain.kernels.reference_impacts import decode_weights as decode_weights
from bigrain.kernels.reference_impacts import encode_weights as encode_weights
from bigrain.kernels.reference_impacts import first_unsound_weights as first_unsound_weights
from bigrain.kernels.reference_impacts import order_impacts as order_impacts
from bigrain.kernels.reference_impacts import pack_impacts as pack_impacts
from bigrain.kernels.reference_impacts import score_weights as score_weights
from bigrain.kernels.reference_impacts import search_impacts as search_impacts
from bigrain.kernels.reference_impacts import search_ordered as search_ordered
from bigrain.kernels.reference_impacts import sound_impacts as sound_impacts
from bigrain.kernels.reference_lists import PostingList as PostingList
from bigrain.kernels.reference_lists import decode_lists as decode_lists
from bigrain.kernels.reference_lists import encode_lists as encode_lists
from bigrain.kernels.reference_lists import score_lists as score_lists
from bigrain.kernels.reference_lists import search_lists as search_lists
from bigrain.kernels.reference_maxsim import maxsim_pairs as maxsim_pairs
from bigrain.kernels.reference_maxsim import sketch_scores as sketch_scores
from bigrain.kernels.reference_maxsim import token_scores as token_scores

F16 = npt.NDArray[np.float16]
F32 = npt.NDArray[np.float32]
I8 = npt.NDArray[np.int8]
I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]
U8 = npt.NDArray[np.uint8]
U16 = npt.NDArray[np.uint16]
U32 = npt.NDArray[np.uint32]
U64 = npt.NDArray[np.uint64]

BLOCK = 32  # rows in a fast-scan block
PANEL = 16  # rows of an int8 table that lie side by side

F32_GROUP, F32_NUMBER = np.float32(253), np.float32(127)


def rotate(vectors: F32, signs: I8) -> F32:
    """Four rounds of signs, Hadamard transform and Givens rotation (see `codes.rotate`)."""
    checks.array("vectors", vectors, "float32", 2)
    checks.array("signs", signs, "int8", 2)
    dim = vectors.shape[1]
    checks.at_least("vectors: dimension", dim, 1)
    checks.size("signs: rows", signs.shape[0], 4)
    checks.size("signs: columns", signs.shape[1], dim)
    if (np.abs(signs.astype(np.int16)) != 1).any():
        raise ValueError("signs: every entry must be +1 or -1")
    width, half = 1 << (dim.bit_length() - 1), dim // 2
    cos45 = np.float32(0.5**0.5)
    x = vectors.copy()
    for turn in range(4):
        x *= signs[turn]
        start = 0 if turn % 2 == 0 else dim - width
        x[:, start : start + width] = _hadamard(x[:, start : start + width])
        if width < dim:
            a, b = x[:, :half], x[:, half : 2 * half]
            x[:, :half], x[:, half : 2 * half] = (a + b) * cos45, (a - b) * cos45
    return x


def _hadamard(x: F32) -> F32:
    n, width = x.shape
    step = 1
    while step < width:
        pairs = x.reshape(n, width // (2 * step), 2, step)
        a, b = pairs[:, :, 0], pairs[:, :, 1]
        x = np.stack([a + b, a - b], axis=2).reshape(n, width)
        step *= 2
    return x * np.float32(width**-0.5)


def sign_encode(vectors: F32) -> tuple[U8, F32]:
    """Signs as nibbles in blocks of 32 rows, and the sum of absolute values."""
    checks.array("vectors", vectors, "float32", 2)
    n, dim = vectors.shape
    n_blocks, groups = -(-n // BLOCK), -(-dim // 4)
    bits = np.zeros((n_blocks * BLOCK, groups * 4), np.uint8)
    bits[:n, :dim] = vectors > 0
    nibbles = bits.reshape(n_blocks, BLOCK, groups, 4) @ np.array([1, 2, 4, 8], np.uint8)
    nibbles = nibbles.transpose(0, 2, 1)
    blocks = nibbles[:, :, :16] | nibbles[:, :, 16:] << 4
    abs_sum = np.abs(vectors).sum(axis=1, dtype=np.float64).astype(np.float32)
    return np.ascontiguousarray(blocks), abs_sum


def unpack_signs(blocks: U8, n: int, dim: int) -> U8:
    """Blocks back to one 0/1 byte per dimension."""
    checks.array("blocks", blocks, "uint8", 3)
    checks.at_least("n", n, 0)
    checks.size("blocks: count", blocks.shape[0], -(-n // BLOCK))
    checks.size("blocks: dimension groups", blocks.shape[1], -(-dim // 4))
    checks.size("blocks: bytes per group", blocks.shape[2], 16)
    nibbles = _nibbles(blocks, n)
    bits = nibbles[:, :, None] >> np.arange(4, dtype=np.uint8) & 1
    return np.ascontiguousarray(bits.reshape(n, 4 * blocks.shape[1])[:, :dim])


def _nibbles(blocks: U8, n: int) -> U8:
    """(n, groups): the nibble of each row in each group of four dimensions."""
    both = np.concatenate([blocks & 15, blocks >> 4], axis=2)
    return both.transpose(0, 2, 1).reshape(len(blocks) * BLOCK, blocks.shape[1])[:n]


def build_luts(queries: F32) -> tuple[U8, F32, F32]:
    """One 16-entry byte table per group of four dimensions, of whole numbers."""
    checks.array("queries", queries, "float32", 2)
    n, dim = queries.shape
    groups = -(-dim // 4)
    q = np.zeros((n, groups * 4), np.float32)
    q[:, :dim] = queries
    a, b, c, d = np.moveaxis(np.abs(q).reshape(n, groups, 4), 2, 0)
    with np.errstate(over="ignore", invalid="ignore"):
        total = np.abs(queries).sum(axis=1, dtype=np.float64).astype(np.float32)
        widest = (a + b + c + d).max(axis=1, initial=0)
        step = np.maximum(widest / F32_GROUP, np.abs(q).max(axis=1, initial=0) / F32_NUMBER)
        step = np.where(step >= np.finfo(np.float32).tiny, step, np.float32(1))
        numbers = np.rint(q / step[:, None])
        bias = -(step * np.abs(numbers).sum(axis=1))
    for told in (total, bias):
        if not np.isfinite(told).all():
            raise ValueError(f"queries: row {int(np.argmin(np.isfinite(told)))} is not finite")
    grouped = numbers.astype(np.int32).reshape(n, groups, 4)
    table = np.repeat(-np.minimum(grouped, 0).sum(axis=2)[:, :, None], 16, axis=2)
    for bit in range(4):
        table[:, :, np.arange(16) >> bit & 1 == 1] += grouped[:, :, bit, None]
    return table.astype(np.uint8), step * np.float32(2), bias


def quantise_tables(tables: F32) -> tuple[U8, F32, F32]:
    """Tables less each group's minimum, in steps common to a query."""
    checks.array("tables", tables, "float32", 3)
    checks.size("tables: entries per group", tables.shape[2], 16)
    with np.errstate(over="ignore", invalid="ignore"):
        least = tables.min(axis=2)
        bias = least.sum(axis=1, dtype=np.float64).astype(np.float32)
        table = tables - least[:, :, None]
        step = table.max(axis=(1, 2), initial=0) / np.float32(255)
    finite = np.isfinite(bias) & np.isfinite(table).all(axis=(1, 2))
    if not finite.all():
        raise ValueError(f"tables: query {int(np.argmin(finite))} is not finite")
    step = np.where(step > 0, step, np.float32(1))
    luts = np.minimum(np.rint(table / step[:, None, None]), 255).astype(np.uint8)
    return luts, step, bias


def scan_lists(
    blocks: U8,
    starts: I64,
    luts: U8,
    scale: F32,
    bias: F32,
    row_scale: F16,
    row_offset: F32 | None,
    live: U8 | None,
    probes: I64,
    lists: I32,
    bases: F32,
    keep: int,
    rank: int = 1,
    doubt: F32 | None = None,
) -> tuple[I64, F32, I64]:
    """Estimate every row of the lists asked for from its code, keep the best."""
    checks.array("blocks", blocks, "uint8", 3)
    checks.array("luts", luts, "uint8", 3)
    checks.at_least("keep", keep, 0)
    n_rows = len(checks.array("row_scale", row_scale, "float16", 1))
    n_queries, groups = luts.shape[:2]
    checks.size("blocks: count", blocks.shape[0], -(-n_rows // BLOCK))
    checks.size("blocks: bytes per group", blocks.shape[2], 16)
    checks.size("luts: entries per group", luts.shape[2], 16)
    checks.size("luts: dimension groups", groups, blocks.shape[1])
    checks.size("scale: length", len(checks.array("scale", scale, "float32", 1)), n_queries)
    checks.size("bias: length", len(checks.array("bias", bias, "float32", 1)), n_queries)
    checks.offsets(starts, n_rows, "starts")
    if row_offset is not None:
        checks.array("row_offset", row_offset, "float32", 1)
        checks.size("row_offset: length", len(row_offset), n_rows)
    checks.array("lists", lists, "int32", 1)
    checks.offsets(probes, len(lists), "probes")
    checks.size("probes: length", len(probes), n_queries + 1)
    checks.size("bases: length", len(checks.array("bases", bases, "float32", 1)), len(lists))
    checks.below("lists", lists, len(starts) - 1)
    checks.at_least("rank", rank, 1)
    if doubt is not None:
        checks.size("doubt: length", len(checks.array("doubt", doubt, "float32", 1)), n_queries)
        for one in doubt[~(doubt >= 0)]:
            raise ValueError(f"doubt: expected at least 0, got {one:g}")
    alive = checks.bitmap(live, n_rows)
    nibbles = _nibbles(blocks, n_rows)
    found = np.full((n_queries, keep), -1, np.int64)
    estimates = np.full((n_queries, keep), -np.inf, np.float32)
    counts = np.zeros(n_queries, np.int64)
    for q in range(n_queries):
        asked = range(int(probes[q]), int(probes[q + 1]))
        rows = np.concatenate(
            [np.arange(starts[lists[p]], starts[lists[p] + 1]) for p in asked]
            or [np.empty(0, np.int64)]
        )
        base = np.repeat(bases[asked], [starts[lists[p] + 1] - starts[lists[p]] for p in asked])
        sums = luts[q][np.arange(groups), nibbles[rows]].sum(axis=1, dtype=np.int64)
        estimate = row_scale[rows].astype(np.float32) * (
            scale[q] * sums.astype(np.float32) + bias[q]
        )
        estimate = estimate + base
        if row_offset is not None:
            estimate = estimate + row_offset[rows]
        order = np.argsort(rows, kind="stable")
        rows, estimate = rows[order], estimate[order]
        best, values = _best(estimate, keep, None if alive is None else alive[rows], -np.inf)
        if doubt is not None and np.isfinite(doubt[q]) and len(best) > rank:
            best = best[values >= values[rank - 1] - doubt[q]]
        n = counts[q] = len(best)
        found[q, :n], estimates[q, :n] = rows[best], values[:n]
    return found, estimates, counts


def pack_table(table: I8) -> U8:
    """Rows (n, D) as panels (ceil(n/16), ceil(D/4), 16, 4), 128 added, zero-padded before that."""
    checks.array("table", table, "int8", 2)
    n, dim = table.shape
    groups = -(-dim // 4)
    panels = np.full((-(-n // PANEL), groups, PANEL, 4), 128, np.uint8)
    for start in range(0, n, PANEL):
        rows = np.full((PANEL, 4 * groups), 128, np.uint8)
        some = table[start : start + PANEL].view(np.uint8) ^ 128  # adds 128
        rows[: len(some), :dim] = some
        panels[start // PANEL] = rows.reshape(PANEL, groups, 4).transpose(1, 0, 2)
    return panels


def unpack_table(panels: U8, n: int, dim: int) -> I8:
    """Panels back to rows (n, dim)."""
    checks.array("panels", panels, "uint8", 4)
    checks.at_least("n", n, 0)
    checks.size("panels: count", panels.shape[0], -(-n // PANEL))
    checks.size("panels: rows", panels.shape[2], PANEL)
    checks.size("panels: columns per group", panels.shape[3], 4)
    checks.size("panels: column groups", panels.shape[1], -(-dim // 4))
    rows = panels.transpose(0, 2, 1, 3).reshape(-1, 4 * panels.shape[1])[:n, :dim]
    return (rows ^ 128).view(np.int8)


def dot_table(panels: U8, n: int, vectors: I8) -> I32:
    """Inner products of int8 vectors with every row of a packed table."""
    checks.array("vectors", vectors, "int8", 2)
    table = unpack_table(panels, n, vectors.shape[1]).astype(np.int64)
    return (vectors.astype(np.int64) @ table.T).astype(np.int32)


def route_lists(
    panels: U8,
    sizes: I64,
    counted: I64,
    scale: F32,
    radius: F32,
    offset: F32 | None,
    outward: float,
    vectors: I8,
    vector_scale: F32,
    length: F32,
    margin: float,
    least: int,
) -> tuple[I64, I32, F32]:
    """The lists each query is to look into, and what their estimates begin with."""
    checks.array("scale", scale, "float32", 1)
    checks.at_least("scale: length", len(scale), 1)
    dots = dot_table(panels, len(scale), vectors).astype(np.float32)
    for name, numbers in (("sizes", sizes), ("counted", counted)):
        checks.array(name, numbers, "int64", 1)
        checks.size(f"{name}: length", len(numbers), len(scale))
        if not ((numbers >= 0) & (numbers < 2**32)).all():
            raise ValueError(f"{name}: expected numbers from 0 to 2**32 - 1")
    of_lists = (("radius", radius),) if offset is None else (("radius", radius), ("offset", offset))
    for name, array in of_lists:
        checks.size(f"{name}: length", len(checks.array(name, array, "float32", 1)), len(scale))
    for name, array in (("vector_scale", vector_scale), ("length", length)):
        checks.size(f"{name}: length", len(checks.array(name, array, "float32", 1)), len(vectors))
    if not margin >= 0:
        raise ValueError(f"margin: expected at least 0, got {margin}")
    checks.at_least("least", least, 0)
    with np.errstate(invalid="ignore", over="ignore"):
        bases = dots * vector_scale[:, None] * scale
        out = np.float32(outward) * radius
        if offset is None:
            routes = bases + length[:, None] * out
        else:
            mean = bases + offset
            apart = np.square(length / 2)[:, None] - mean - np.square(radius)
            routes = mean + 2 * out * np.sqrt(np.where(apart > 0, apart, 0))
    routes[np.isnan(routes)] = -np.inf
    chosen = np.zeros(routes.shape, bool)
    padded = np.zeros(-(-len(scale) // PANEL) * PANEL)
    for route, take in zip(routes, chosen, strict=True):
        best, padded[: len(route)] = float(route.max()), route
        with np.errstate(invalid="ignore", over="ignore"):
            mean_route = sum(padded.reshape(-1, PANEL).sum(axis=0).tolist()) / len(route)
            limit = np.float64(best) - np.float64(margin) * (np.float64(best) - mean_route)
        take[:] = route >= np.float32(limit if np.isfinite(limit) else -np.inf)
        seen = int(counted[take].sum())
        enough = min(max(int(sizes[take].sum()), least), int(counted.sum()))
        for one in np.lexsort((np.arange(len(route)), -route)):
            if seen >= enough:
                break
            if not take[one]:
                take[one], seen = True, seen + int(counted[one])
        take &= counted > 0
    probes = np.concatenate(([0], np.cumsum(chosen.sum(axis=1)))).astype(np.int64)
    return probes, np.nonzero(chosen)[1].astype(np.int32), bases[chosen]


def nearest(panels: U8, scale: F32, offset: F32, vectors: I8, weight: F32) -> I32:
    """The row of a packed table that scores best for each vector; the first of equals."""
    for name, array in (("scale", scale), ("offset", offset), ("weight", weight)):
        checks.array(name, array, "float32", 1)
    dots = dot_table(panels, len(scale), vectors).astype(np.float32)
    checks.size("offset: length", len(offset), len(scale))
    checks.size("weight: length", len(weight), len(vectors))
    checks.at_least("scale: length", len(scale), 1)
    best: I32 = (scale * dots + weight[:, None] * offset).argmax(axis=1).astype(np.int32)
    return best


def _best(
    scores: F32, k: int, alive: npt.NDArray[np.bool_] | None, floor: float
) -> tuple[I64, F32]:
    eligible = scores > np.float32(floor)  # False for NaN
    if alive is not None:
        eligible &= alive
    rows = np.flatnonzero(eligible).astype(np.int64)
    rows = rows[np.argsort(-scores[rows], kind="stable")[:k]]
    return rows, scores[rows]


def top_k(scores: F32, k: int, live: U8 | None = None, floor: float = -np.inf) -> tuple[I64, F32]:
    """The k best scores above the floor, best first, smaller row first on ties."""
    checks.array("scores", scores, "float32", 1)
    checks.at_least("k", k, 0)
    if np.isnan(floor):
        raise ValueError("floor: must not be NaN")
    return _best(scores, k, checks.bitmap(live, len(scores)), floor)


def score_rows(records: U8, dim: int, dtype: str, query: F32, metric: str) -> F32:
    """Exact scores of vectors that stand at the start of byte records."""
    checks.array("records", records, "uint8", 2)
    checks.array("query", query, "float32", 1)
    if dtype not in TYPES:
        raise ValueError(f"dtype: expected one of {', '.join(TYPES)}, got {dtype!r}")
    if metric not in ("ip", "l2"):
        raise ValueError(f"metric: expected 'ip' or 'l2', got {metric!r}")
    checks.at_least("dim", dim, 0)
    checks.size("query: length", len(query), dim)
    checks.at_least("records: bytes per record", records.shape[1], bytes_of(dim, dtype))
    x = read_numbers(records, dim, dtype).astype(np.float64)
    scores: F32 = (x @ query if metric == "ip" else -np.square(x - query).sum(axis=1)).astype(
        np.float32
    )
    return scores


def score_pairs(
    records: U8, dim: int, dtype: str, queries: F32, record_of: I32, query_of: I32, metric: str
) -> F32:
    """Exact scores of pairs of a record and a query."""
    checks.array("queries", queries, "float32", 2)
    checks.array("record_of", record_of, "int32", 1)
    checks.array("query_of", query_of, "int32", 1)
    checks.size("queries: dimension", queries.shape[1], dim)
    checks.size("query_of: length", len(query_of), len(record_of))
    checks.array("records", records, "uint8", 2)
    checks.below("record_of", record_of, len(records))
    checks.below("query_of", query_of, len(queries))
    scores = np.zeros(len(record_of), np.float32)
    if not len(record_of):
        score_rows(records, dim, dtype, np.zeros(dim, np.float32), metric)  # refuses what is wrong
    for i, (record, query) in enumerate(zip(record_of.tolist(), query_of.tolist(), strict=True)):
        one = records[record : record + 1]
        scores[i] = score_rows(one, dim, dtype, queries[query], metric)[0]
    return scores


def read_stretches(fd: int, stretches: I64, buffer: U8) -> int:
    """Reads one after another, announced together."""
    checks.array("stretches", stretches, "int64", 2)
    checks.array("buffer", buffer, "uint8", 1)
    checks.size("stretches: columns", stretches.shape[1], 2)
    pairs: list[list[int]] = stretches.tolist()
    left = len(buffer)
    for row, (offset, length) in enumerate(pairs):
        if offset < 0 or length < 0:
            raise ValueError(f"stretches: row {row}: expected numbers from 0")
        if offset + length >= 1 << 63:
            raise ValueError(f"stretches: row {row}: expected an end below 2**63")
        left -= length
        if left < 0:
            raise ValueError(f"buffer: bytes: expected more than {len(buffer)}")
    advise = getattr(os, "posix_fadvise", None)
    if advise is not None and len(pairs) > 1:
        for offset, length in pairs:
            advise(fd, offset, length, os.POSIX_FADV_WILLNEED)
    view, done = buffer.data, 0
    for offset, length in pairs:
        wanted = done + length
        while done < wanted:
            got = os.preadv(fd, [view[done:wanted]], offset + length - (wanted - done))
            if not got:
                return done
            done += got
    return done


CHECKSUM_SEED = 0x6269677261696E31  # "bigrain1"


def checksum_keys(count: int) -> U64:
    """`count` odd keys: the splitmix64 sequence of the seed, lowest bit set."""
    with np.errstate(over="ignore"):
        z = np.uint64(CHECKSUM_SEED) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(
            0x9E3779B97F4A7C15
        )
        z = (z ^ z >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ z >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return (z ^ z >> np.uint64(31)) | np.uint64(1)


def row_checksums(records: U8) -> U32:
    """Multilinear hash of each record."""
    checks.array("records", records, "uint8", 2)
    n, n_bytes = records.shape
    n_words = -(-n_bytes // 4)
    padded = np.zeros((n, 4 * n_words), np.uint8)
    padded[:, :n_bytes] = records
    words = np.full((n, n_words + 1), n_bytes, np.uint64)  # the length is the last word
    words[:, :n_words] = padded.view("<u4")
    keys = checksum_keys(n_words + 2)
    with np.errstate(over="ignore"):
        h: U64 = keys[0] + (words * keys[1:]).sum(axis=1, dtype=np.uint64)
    return (h >> np.uint64(32)).astype(np.uint32)


def first_damaged(records: U8) -> int:
    """The first record whose last four bytes are not the checksum of the others, or -1."""
    checks.array("records", records, "uint8", 2)
    checks.at_least("records: bytes per record", records.shape[1], 4)
    stored = np.ascontiguousarray(records[:, -4:]).view("<u4")[:, 0]
    wrong = np.flatnonzero(row_checksums(np.ascontiguousarray(records[:, :-4])) != stored)
    return int(wrong[0]) if len(wrong) else -1


def quantise_rows(vectors: F32) -> tuple[I8, F32]:
    """Whole multiples, from -127 to 127, of largest / 127."""
    checks.array("vectors", vectors, "float32", 2)
    if (bad := np.flatnonzero(~np.isfinite(vectors).all(axis=1))).size:
        raise ValueError(f"vectors: row {bad[0]} is not finite")
    scale = np.abs(vectors).max(axis=1, initial=0) / np.float32(127)
    scale[~(scale > 0)] = np.float32(1) / np.float32(127)
    grid = np.clip(np.rint(vectors / scale[:, None]), -127, 127)
    return grid.astype(np.int8), scale


def pool_tokens(
    ids: I32, offsets: I64, table: I8, scales: F32, power: float, normalise: bool
) -> F32:
    """Sum of scaled table rows per text, repeated tokens dampened."""
    checks.array("ids", ids, "int32", 1)
    starts = checks.offsets(offsets, len(ids))
    checks.array("table", table, "int8", 2)
    checks.array("scales", scales, "float32", 1)
    checks.size("scales: length", len(scales), len(table))
    checks.below("ids", ids, len(table))
    out = np.zeros((len(starts) - 1, table.shape[1]), np.float32)
    for i, (start, end) in enumerate(zip(starts[:-1], starts[1:], strict=True)):
        some, counts = np.unique(ids[start:end], return_counts=True)
        weights = scales[some] * counts.astype(np.float32) ** np.float32(power)
        out[i] = (weights[:, None] * table[some].astype(np.float32)).sum(axis=0)
    if normalise:
        norm = np.sqrt(np.square(out, dtype=np.float64).sum(axis=1, keepdims=True))
        out = (out / np.where(norm > 0, norm, 1)).astype(np.float32)
    return out


def maxsim(query: F32, tokens: F32, offsets: I64) -> F32:
    """Sum over query tokens of the best dot product with a token of the document."""
    checks.array("query", query, "float32", 2)
    checks.array("tokens", tokens, "float32", 2)
    checks.size("tokens: dimension", tokens.shape[1], query.shape[1])
    starts = checks.offsets(offsets, len(tokens))
    out = np.full(len(starts) - 1, -np.inf, np.float32)
    for i, (start, end) in enumerate(zip(starts[:-1], starts[1:], strict=True)):
        if end > start:
            out[i] = (query @ tokens[start:end].T).max(axis=1).sum()
    return out


ASCII_SPACE = frozenset(" \t\n\v\f\r")
ASCII_PUNCTUATION = frozenset("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")


class WordPiece:
    """Greedy longest-match-first word pieces (see `embedding.WordPiece`)."""

    def __init__(
        self,
        vocabulary: Sequence[str],
        unk: str = "[UNK]",
        prefix: str = "##",
        max_chars_per_word: int = 100,
    ) -> None:
        self._ids: dict[str, int] = {}
        for i, token in enumerate(vocabulary):
            if not isinstance(token, str):
                raise TypeError(f"vocabulary: token {i} is not a string")
            if _has_surrogate(token):
                raise ValueError(f"vocabulary: token {i} contains a lone surrogate")
            if token in self._ids:
                raise ValueError(f"vocabulary: token {i} repeats {token!r}")
            self._ids[token] = i
        if unk not in self._ids:
            raise ValueError(f"unk: {unk!r} is not in the vocabulary")
        checks.at_least("max_chars_per_word", max_chars_per_word, 0)
        self._unk, self._prefix, self._max = self._ids[unk], prefix, max_chars_per_word

    def encode(self, texts: Sequence[str]) -> tuple[I32, I64]:
        """Ids of all texts, one after the other, and where each text starts."""
        ids: list[int] = []
        offsets = [0]
        if not isinstance(texts, list):
            raise TypeError(f"texts: expected a list, got {type(texts).__name__}")
        for number, text in enumerate(texts):
            if not isinstance(text, str):
                raise TypeError(f"texts: number {number} is not a string")
            if _has_surrogate(text):
                raise ValueError(f"texts: number {number} contains a lone surrogate")
            for word in _words(text):
                ids.extend(self._pieces(word))
            offsets.append(len(ids))
        return np.array(ids, np.int32), np.array(offsets, np.int64)

    def _pieces(self, word: str) -> list[int]:
        pieces: list[int] = []
        start = 0
        while start < len(word) <= self._max:
            lead = self._prefix if start else ""
            for end in range(len(word), start, -1):
                if (found := self._ids.get(lead + word[start:end])) is not None:
                    break
            else:
                return [self._unk]
            pieces.append(found)
            start = end
        return pieces or [self._unk]


def _words(text: str) -> list[str]:
    spaced = (f" {c} " if c in ASCII_PUNCTUATION else " " if c in ASCII_SPACE else c for c in text)
    return [word for word in "".join(spaced).split(" ") if word]


def _has_surrogate(text: str) -> bool:
    return any("\ud800" <= c <= "\udfff" for c in text)
