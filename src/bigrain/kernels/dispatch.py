"""The kernels by name, each sent to the best level this machine has.

A level is a set of processor instructions: `reference` (NumPy), `baseline` (plain C++), `avx2`,
`avx512`. It is chosen once, at the first call, by the processor's feature flags.

Arrays are C-contiguous and of the dtype given; anything else is refused with TypeError (wrong
dtype) or ValueError (wrong shape, id out of range), naming the argument.
"""

from __future__ import annotations

import functools
import os
import warnings
from collections.abc import Callable
from importlib import import_module
from typing import Any, Protocol, cast

import numpy.typing as npt

from bigrain.errors import ConfigError
from bigrain.kernels import reference
from bigrain.kernels.reference import F16, F32, I8, I32, I64, U8, U16, U32, U64
from bigrain.kernels.reference_lists import F64
from bigrain.kernels.token_records import TokenTables as TokenTables
from bigrain.kernels.token_records import token_bytes as token_bytes

ENVIRONMENT = "BIGRAIN_KERNELS"


class PostingList(Protocol):
    """One inverted list in memory, as it is stored; its bytes have been checked."""

    @property
    def n(self) -> int:
        """How many postings."""
        ...

    @property
    def largest(self) -> int:
        """The largest impact."""
        ...

    @property
    def n_bytes(self) -> int:
        """Memory that it takes."""
        ...

    def decode(self) -> tuple[U32, U8, U32]:
        """(rows, impacts, values) of all postings."""
        ...

    def look_up(self, rows: U32) -> I64:
        """The value of each of `rows` (m,) uint32, as int64; -1 where the list has no such row."""
        ...

    def count_live(self, live: U8) -> int:
        """How many of the list's rows have their bit set in the bitmap `live`."""
        ...


class Kernels(Protocol):
    """What a level provides: the functions of `reference`, under the same names."""

    rotate: Callable[[F32, I8], F32]
    sign_encode: Callable[[F32], tuple[U8, F32]]
    build_luts: Callable[[F32], tuple[U8, F32, F32]]
    quantise_tables: Callable[[F32], tuple[U8, F32, F32]]
    scan_lists: Callable[..., tuple[I64, F32, I64]]
    dot_table: Callable[[U8, int, I8], I32]
    route_lists: Callable[..., tuple[I64, I32, F32]]
    nearest: Callable[[U8, F32, F32, I8, F32], I32]
    score_rows: Callable[[U8, int, str, F32, str], F32]
    score_pairs: Callable[[U8, int, str, F32, I32, I32, str], F32]
    row_checksums: Callable[[U8], U32]
    first_damaged: Callable[[U8], int]
    quantise_rows: Callable[[F32], tuple[I8, F32]]
    pack_impacts: Callable[[U32, int], tuple[U8, int]]
    sound_impacts: Callable[[U8, int, int, int], bool]
    search_impacts: Callable[..., tuple[I64, U32, U32]]
    order_impacts: Callable[[U8, int, int, int, int], U32]
    search_ordered: Callable[..., tuple[I64, U32, U32, int]]
    deal_postings: Callable[[U32, F32, I64, int, F32, I64, U32], None]
    encode_weights: Callable[[U32, F32, I64, int], U8]
    decode_weights: Callable[[U8, I64, int], tuple[U32, F32, I64]]
    first_unsound_weights: Callable[[U8, I64], int]
    score_weights: Callable[[U8, I64, int, U32, F32, I64, I32, I32], F32]
    encode_lists: Callable[[U32, U8, U32, I64], tuple[U8, I64, U32]]
    decode_lists: Callable[[U8, I64, U32, U32, int], tuple[U32, U32]]
    PostingList: Callable[[U8, int, int], PostingList]
    search_lists: Callable[..., tuple[I64, F32]]
    score_lists: Callable[..., F32]
    top_k: Callable[[F32, int, U8 | None, float], tuple[I64, F32]]
    pool_tokens: Callable[[I32, I64, I8, F32, float, bool], F32]
    maxsim: Callable[[F32, F32, I64], F32]
    maxsim_pairs: Callable[..., F32]
    token_scores: Callable[..., F32]
    sketch_scores: Callable[[I8, I32, U16, U32, I64, I8, F32, I64], F32]
    suffix_array: Callable[[U8], I32]
    fm_blocks: Callable[[U8, I32, I64], tuple[U8, I32]]
    fm_ranks: Callable[[list[bytes], I64, I64, U8], I64]
    fm_steps: Callable[[list[bytes], I64, I64], tuple[U8, I64, I64]]
    mapped_rows: Callable[[npt.NDArray[Any], U8, U32, I64, int], F32]
    listed_rows: Callable[[npt.NDArray[Any], npt.NDArray[Any], I64, int, I64, int], F32]
    code_rows: Callable[[F32, list[U8], I64, I64, I64], F32]
    narrow_rows: Callable[..., F32]
    WordPiece: Callable[[list[str], str, str, int], Any]


@functools.cache
def _native() -> Any:
    try:
        return import_module("bigrain.kernels._native")
    except ImportError:
        return None


def available_levels() -> tuple[str, ...]:
    """Levels that run on this machine, plainest first."""
    native = _native()
    return ("reference", *(native.levels() if native else ()))


def level() -> str:
    """Name the level in use."""
    levels = available_levels()
    wanted = os.environ.get(ENVIRONMENT, "")
    if not wanted:
        return levels[-1]
    if wanted not in levels:
        raise ConfigError(f"{ENVIRONMENT}={wanted}: available here are {', '.join(levels)}")
    return wanted


def kernels(name: str) -> Kernels:
    """All kernels of one level, for tests and benchmarks."""
    if name not in available_levels():
        raise ConfigError(f"level {name!r}: available here are {', '.join(available_levels())}")
    return cast(Kernels, reference if name == "reference" else _native().Kernels(name))


@functools.cache
def _chosen() -> Kernels:
    if _native() is None and os.environ.get(ENVIRONMENT) != "reference":
        warnings.warn(
            "bigrain: the native kernels are not installed, so slow NumPy versions are used. "
            "Reinstall with a C++17 compiler present, or set BIGRAIN_KERNELS=reference "
            "to silence this.",
            UserWarning,
            stacklevel=3,
        )
    return kernels(level())


def rotate(vectors: F32, signs: I8) -> F32:
    """Apply a pseudo-random rotation: (n, D) float32 -> (n, D) float32, in O(D log D) a vector.

    `signs` (4, D) int8 holds +1 and -1 and is all the state there is. Four rounds of: multiply by
    the signs; normalised Hadamard transform on the first (rounds 0, 2) or last (rounds 1, 3)
    2^k coordinates, the largest power of two <= D; when 2^k < D, turn each pair (i, i + D//2)
    by 45 degrees. Every step is orthonormal, so lengths and dot products stay. All levels give
    the same bits. Source: `FhtKac` rotation of the RaBitQ library.
    """
    return _chosen().rotate(vectors, signs)


def sign_encode(vectors: F32) -> tuple[U8, F32]:
    """Keep one bit a dimension: bit i of a row is `vectors[row, i] > 0`.

    Returns `blocks` (ceil(n/32), ceil(D/4), 16) uint8 and `abs_sum` (n,) float32, the sum of |x_i|.
    A block holds 32 rows; in group g (dimensions 4g..4g+3), the low nibble of byte j belongs to
    row j and the high nibble to row j + 16; nibble bit b is dimension 4g+b. Missing rows and
    dimensions are 0. For a unit vector, `abs_sum / sqrt(D)` is <x_bar, x>, the divisor that
    makes estimates unbiased. Source: RaBitQ (SIGMOD 2024); layout of PQ fast scan.
    """
    return _chosen().sign_encode(vectors)


def unpack_signs(blocks: U8, n: int, dim: int) -> U8:
    """Undo the layout of `sign_encode`: (n, dim) uint8 of 0 and 1. Meant for tests and tools."""
    return reference.unpack_signs(blocks, n, dim)


def build_luts(queries: F32) -> tuple[U8, F32, F32]:
    """Prepare queries (Q, D) float32, already rotated, for `scan_lists`.

    Returns `luts` (Q, ceil(D/4), 16) uint8, `scale` (Q,) and `bias` (Q,) float32, such that
    <2b - 1, q> ~ scale * sum_g luts[g][nibble g of b] + bias for a code b of 0/1 bits.
    Entry j of a group is the sum of q over the set bits of j, less the group's minimum, in steps
    of (largest group range) / 255; scale = 2 * step, bias = -sum |q|. A query that is not finite
    is refused.
    """
    return _chosen().build_luts(queries)


def quantise_tables(tables: F32) -> tuple[U8, F32, F32]:
    """Round lookup tables (Q, G, 16) float32 of any 4-bit code to bytes, for `scan_lists`.

    Returns `luts` (Q, G, 16) uint8, `scale` (Q,) and `bias` (Q,) float32, such that
    sum_g tables[q, g, j_g] ~ scale[q] * sum_g luts[q, g, j_g] + bias[q] for symbols j: entries less
    their group's minimum, in steps of (largest group range) / 255, each off by half a step at most.
    scale = step, bias = sum of the minima. A query whose tables are not finite is refused.
    """
    return _chosen().quantise_tables(tables)


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
) -> tuple[I64, F32, I64]:
    """Find the `keep` best rows for each query among the lists it asks for, by 4-bit codes.

    estimate[q, r] = row_scale[r] * (scale[q] * sum_g luts[q, g, nibble] + bias[q]) + base
    [+ row_offset[r]], base being that of the probe which names the row's list.

    Rows lie in the order of their lists: list l holds rows starts[l] to starts[l + 1] of `blocks`
    (laid out as by `sign_encode`; lists need not begin with a block), `starts` (L + 1,) int64.
    `luts`, `scale`, `bias` from `build_luts` or `quantise_tables`; `row_scale` (n,) float16,
    `row_offset` (n,) float32 or None; `live` a bitmap (bit r % 8 of byte r // 8), None: all live.
    Query q asks for the lists `lists[probes[q]:probes[q + 1]]`, each with its entry of `bases`; a
    list named twice counts twice. Returns rows (Q, keep) int64, estimates (Q, keep) float32, counts
    (Q,) int64: best first, ties by smaller row, unused slots -1 and -inf. A row estimated NaN or
    -inf is never returned. A list is read once for all queries of a call that ask for it: pass them
    together.
    """
    return _chosen().scan_lists(
        blocks, starts, luts, scale, bias, row_scale, row_offset, live, probes, lists, bases, keep
    )


def pack_table(table: I8) -> U8:
    """Lay out a table (n, D) int8 for `dot_table` and `nearest`: panels of 16 rows.

    Returns (ceil(n/16), ceil(D/4), 16, 4) uint8: four columns of a row side by side, 128 added to
    every entry, so that one instruction multiplies them with four columns of a vector.
    """
    return reference.pack_table(table)


def unpack_table(panels: U8, n: int, dim: int) -> I8:
    """Undo `pack_table`: the `n` rows (n, dim) int8."""
    return reference.unpack_table(panels, n, dim)


def dot_table(panels: U8, n: int, vectors: I8) -> I32:
    """Inner products (Q, n) int32 of `vectors` (Q, D) int8 with the `n` rows of a packed table."""
    return _chosen().dot_table(panels, n, vectors)


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
    """Choose the lists that each query looks into, by a packed table (L, D) of their centroids.

    A query `vectors[q]` (Q, D) int8 times `vector_scale[q]` has with list l the inner product
    base = vector_scale[q] * scale[l] * <table[l], vectors[q]>, and is expected to find at best

        route = base + length[q] * outward * radius[l]

    there or, with `offset`, where mean = base + offset[l],

        route = mean + 2 * outward * radius[l] * sqrt((length[q] / 2)^2 - mean - radius[l]^2)

    (0 for a negative root). It takes the lists with route >= best - margin * (best - average), best
    and average over all lists, then the best of the others until as many rows that count are seen
    as the first ones hold, and `least`. List l holds sizes[l] rows, of which counted[l] count; a
    list where none counts is left out. `margin` is >= 0 or inf; float32 (L,): scale, radius,
    offset; (Q,): vector_scale, length; int64 (L,): sizes, counted. Returns what `scan_lists` takes:
    `probes` (Q + 1,) int64, `lists` (m,) int32, ascending for each query, and `bases` (m,) float32.
    """
    return _chosen().route_lists(
        panels, sizes, counted, scale, radius, offset, outward, vectors, vector_scale, length,
        margin, least,
    )  # fmt: skip


def nearest(panels: U8, scale: F32, offset: F32, vectors: I8, weight: F32) -> I32:
    """The best row (m,) int32 of a packed table for each of `vectors` (m, D) int8.

    A row l scores scale[l] * <table[l], vector> + weight[vector] * offset[l]; of equals the first
    wins. `scale` and `offset` (n,), `weight` (m,) float32. With offset -|c|^2 / 2 and weight
    1 / (scale of the vector) it is the nearest centroid c by Euclidean distance.
    """
    return _chosen().nearest(panels, scale, offset, vectors, weight)


def score_rows(records: U8, dim: int, dtype: str, query: F32, metric: str) -> F32:
    """Score vectors exactly: (n, stride) uint8 records, each starting with `dim` numbers.

    `dtype` is 'float16', 'float32', 'bfloat16' or 'int8' (`bigrain.kernels.numbers`); the query is
    never rounded. `metric` is 'ip' (dot product) or 'l2' (minus the squared
    Euclidean distance): larger is better. Returns (n,) float32. Sums are in float32 with several
    accumulators, so levels differ in the last digits.
    """
    return _chosen().score_rows(records, dim, dtype, query, metric)


def score_pairs(
    records: U8, dim: int, dtype: str, queries: F32, record_of: I32, query_of: I32, metric: str
) -> F32:
    """Score pairs (m,): record `record_of[i]` for query `query_of[i]` of `queries` (Q, dim).

    Everything else is as in `score_rows`.
    """
    return _chosen().score_pairs(records, dim, dtype, queries, record_of, query_of, metric)


def read_stretches(fd: int, stretches: I64, buffer: U8) -> int:
    """Read stretches (n, 2) int64 of (offset, length) of a file into `buffer`, one after another.

    What the system has in memory is copied at once; the rest is announced together before the
    first of it is waited for. Returns the bytes read up to the first stretch that the file does
    not hold. Raises OSError.
    """
    native = _native()
    if native is None:
        return reference.read_stretches(fd, stretches, buffer)
    return int(native.read_stretches(fd, stretches, buffer))


def row_checksums(records: U8) -> U32:
    """Hash each record (n, n_bytes) uint8 to 32 bits, to find damage.

    Multilinear hash: h = key_0 + sum_i key_{i+1} * w_i mod 2^64 over the 32-bit little-endian
    words w (zero padded) and, last, the length; the result is h >> 32. Two different records
    collide with probability 2^-32 (Lemire & Kaser, "Strongly universal string hashing is fast").
    Keys are odd, hence invertible mod 2^64: changing one word always changes h. It changes the
    upper half, too, unless the change of h is below 2^32; for the keys of the first 16,384 words a
    test shows that no change within one byte is so small: such damage is always found.
    This is a checksum, not a protection against an adversary.
    """
    return _chosen().row_checksums(records)


def first_damaged(records: U8) -> int:
    """The first of `records` (n, n_bytes) uint8 that is not what its checksum says; -1: none.

    The last four bytes of a record are the checksum of the others (`row_checksums`), little-endian.
    """
    return _chosen().first_damaged(records)


def quantise_rows(vectors: F32) -> tuple[I8, F32]:
    """Round vectors (n, D) float32 to (n, D) int8 and a scale (n,) float32 for each.

    vector ~ scale * row: the scale is the largest |number| / 127 (1 / 127 where that is 0), so each
    number is off by half a scale at most. A vector that is not finite is refused.
    """
    return _chosen().quantise_rows(vectors)


def pack_impacts(postings: U32, n_rows: int) -> tuple[U8, int]:
    """Lay out one list of impacts over `n_rows` rows, at most 2^19.

    `postings` (m,) uint32 are row << 11 | impact, rows rising, impacts from 1 to 2040. Rows lie in
    blocks of 32. Returns the bytes and the number of blocks with a posting, `filled`. The bytes,
    little-endian: for each entry the largest impact / 8, rounded up (1 byte), and the number of
    postings (1 byte); for every 16th entry where its postings begin (4 bytes); the block of each
    entry (2 bytes, 0xFFFF where there is none); the postings, row in the block << 11 | impact (2
    bytes). If a quarter of the blocks or more are filled every block has an entry, padded to 64 of
    them, and blocks are not named; else the filled ones have, padded to 16.
    """
    return _chosen().pack_impacts(postings, n_rows)


def sound_impacts(data: U8, n_postings: int, filled: int, n_rows: int) -> bool:
    """Whether these are bytes that `pack_impacts` can have written."""
    return _chosen().sound_impacts(data, n_postings, filled, n_rows)


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
    """Find for each query the rows with the largest sums of impacts.

    `data` are lists as `pack_impacts` lays them out (4-byte aligned), with `filled` and their
    numbers of postings `sizes` (T,) uint32. Query q asks for lists[offsets[q]:offsets[q + 1]]; the
    sum of a row is that of impact * factor, and 2040 times the sum of a query's factors is at most
    0.9 * 2^32. Of the live rows with a sum above 0 those are returned whose sum is at least that
    of the best number `keep`, less `slack` (Q,) uint64; all of them if there are fewer: `offsets`
    (Q + 1,) int64, `rows` and `sums` (m,) uint32, largest first, ties by row. What blocks can hold
    at most decides which are looked into, so the answer is exact. Source: block-max pruning (BMP,
    SIGIR 2024).
    """
    return _chosen().search_impacts(
        data, filled, sizes, n_rows, offsets, lists, factors, slack, keep, live
    )


def order_impacts(data: U8, n_postings: int, filled: int, n_rows: int, least: int) -> U32:
    """The postings row << 11 | impact of a list (`pack_impacts`) whose impact is at least `least`.

    The largest impact comes first, then the smallest row.
    """
    return _chosen().order_impacts(data, n_postings, filled, n_rows, least)


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
    """Find for each query the rows with the largest sums over large impacts.

    `data` are lists by falling impact (`order_impacts`) of rows below `n_rows`. Query q asks for
    lists[offsets[q]:offsets[q + 1]]; the sum of a row is that of floor(impact * factor / 65536)
    over its postings whose impact is at least the list's `least`. Factors are below 2^21, and the
    floor(2047 * factor / 65536) of a query add up to 65535 at most. Returns the `keep` live rows
    with the largest sums above 0, ties by row: `offsets` (Q + 1,) int64, `rows` and `sums` (m,)
    uint32, largest first; and how many postings were looked at. Source: score-at-a-time search
    (JASS, ICTIR 2015).
    """
    return _chosen().search_ordered(data, n_rows, offsets, lists, factors, least, keep, live)


def deal_postings(
    lists: U32, weights: F32, offsets: I64, first_row: int, largest: F32, places: I64, out: U32
) -> None:
    """Turn rows of weights into postings of lists.

    Row i holds `lists` and `weights` offsets[i]:offsets[i + 1] and is row first_row + i. Of each
    entry whose list is below T, row << 11 | impact goes to out[places[list]], and the place moves
    on; the impact is ceil(2040 * weight / largest[list]), at least 1 and at most 2040. `places`
    (T,) int64 and `out` (n,) uint32 are changed; a place outside of `out` takes nothing.
    """
    _chosen().deal_postings(lists, weights, offsets, first_row, largest, places, out)


def encode_weights(columns: U32, weights: F32, offsets: I64, width: int) -> U8:
    """Records of rows of weights, one after another.

    A record is the weights (float32), the columns (`width` bytes each, 2 or 4), zeros up to a whole
    number of 32-bit words, and a checksum of all that (`row_checksums`).
    """
    return _chosen().encode_weights(columns, weights, offsets, width)


def decode_weights(records: U8, places: I64, width: int) -> tuple[U32, F32, I64]:
    """Undo `encode_weights`: (columns, weights, offsets). `places` (n + 1,) where records begin."""
    return _chosen().decode_weights(records, places, width)


def first_unsound_weights(records: U8, places: I64) -> int:
    """The first record whose checksum does not match, -1 if there is none."""
    return _chosen().first_unsound_weights(records, places)


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
    """Inner products (m,) of pairs of a record and a query.

    Query q holds `columns` and `weights` queries[q]:queries[q + 1], its columns all different. Sums
    of float64 products in the order of the record, rounded to float32 once.
    """
    return _chosen().score_weights(
        records, places, width, columns, weights, queries, record_of, query_of
    )


def encode_lists(rows: U32, impacts: U8, values: U32, starts: I64) -> tuple[U8, I64, U32]:
    """Pack inverted lists: list i has the postings starts[i] to starts[i + 1], at least one.

    A posting is a row, rising within a list, an impact from 1 (an upper bound of what it adds to
    scores, in units of the caller's) and a value (what it exactly is). `rows`, `values` (m,)
    uint32, `impacts` (m,) uint8, `starts` (T + 1,) int64. Returns the bytes of all lists, one
    after another, where each ends (T,) int64, and the CRC-32 of each (T,) uint32.

    A list begins with its first row (u32, little-endian). Then come its postings in blocks of 128,
    the last with what is left:

        gap bits     u8, 0 to 32
        value bits   u8, 0 to 32
        gaps         (row - row before - 1) of each posting, packed; the very first is 0
        impacts      u8 of each posting
        values       of each posting, packed

    m packed numbers of b bits are ceil(m b / 8) bytes: number i is the bits i b to (i + 1) b, of
    which bit j is the bit j % 8, from the lowest, of byte j // 8.
    """
    return _chosen().encode_lists(rows, impacts, values, starts)


def decode_lists(data: U8, ends: I64, counts: U32, checksums: U32, n_rows: int) -> tuple[U32, U32]:
    """Rows and values (m,) uint32 of lists that `encode_lists` packed, one after another.

    List i ends at byte ends[i] of `data` (int64), has counts[i] postings and the CRC-32
    checksums[i] (uint32). ValueError, naming the list, where the bytes are not that.
    """
    return _chosen().decode_lists(data, ends, counts, checksums, n_rows)


def posting_list(data: U8, n: int, n_rows: int) -> PostingList:
    """Open one list of `n` postings that `encode_lists` packed into `data`, which is copied.

    ValueError if the bytes are not `n` postings with rows below `n_rows`, whatever they are.
    """
    return _chosen().PostingList(data, n, n_rows)


def search_lists(
    lists: list[PostingList],
    weights: F64,
    bounds: F64,
    lengths: npt.NDArray[Any] | None,
    flat: float,
    slope: float,
    live: U8 | None,
    n_rows: int,
    k: int,
    floor: float = 0.0,
) -> tuple[I64, F32]:
    """The best `k` rows of some lists, exactly: rows int64 and scores float32, best first.

    A row's score is the sum, over the lists that hold it, of weights[i] * part, in float64 and in
    the order of the lists, rounded to float32 at the end. With `lengths` (n_rows,) uint8, uint16 or
    uint32, the words of each row, a value v stands for the count c = v + 1, and

        part = c / (c + (flat + slope * length))

    (BM25, with flat = k1 (1 - b) and slope = k1 b / average length). With `lengths` None a value is
    the bits of a float32, which is the part.

    Only rows in a list of weight above 0, whose bit in `live` is set, with scores above `floor`;
    ties by smaller row. `weights`, `bounds` (m,) float64, from 0: bounds[i] * impact must be at
    least weights[i] * part for every posting of list i, or good rows may be missed. All lists were
    opened for `n_rows` rows. The memory does not depend on the number of rows: MaxScore in windows
    (see native/search_lists.cpp).
    """
    return _chosen().search_lists(
        lists, weights, bounds, lengths, flat, slope, live, n_rows, k, floor
    )


def score_lists(
    lists: list[PostingList],
    weights: F64,
    lengths: npt.NDArray[Any] | None,
    flat: float,
    slope: float,
    n_rows: int,
    rows: U32,
) -> F32:
    """The scores (m,) float32 of `rows` (m,) uint32: 0 for those in none of the lists.

    Everything else is as in `search_lists`, to the bit.
    """
    return _chosen().score_lists(lists, weights, lengths, flat, slope, n_rows, rows)


def top_k(
    scores: F32, k: int, live: U8 | None = None, floor: float = float("-inf")
) -> tuple[I64, F32]:
    """Return rows int64 and scores float32 of the k best of `scores` (n,) float32.

    Only live rows strictly above `floor`; best first, ties by smaller row; at most k. NaN is never
    returned.
    """
    return _chosen().top_k(scores, k, live, floor)


def pool_tokens(
    ids: I32, offsets: I64, table: I8, scales: F32, power: float = 1.0, normalise: bool = True
) -> F32:
    """Sum the embeddings of each text's tokens: (n, D) float32.

    Text i has ids[offsets[i]:offsets[i+1]]; a token t that occurs c times adds
    c**power * scales[t] * table[t], with `table` (V, D) int8 and `scales` (V,) float32. With
    `normalise` every row has length 1, or stays zero.
    """
    return _chosen().pool_tokens(ids, offsets, table, scales, power, normalise)


def maxsim(query: F32, tokens: F32, offsets: I64) -> F32:
    """MaxSim of ColBERT: per document, sum over query tokens of the largest dot product.

    `query` (m, D), `tokens` (T, D) float32; document i owns tokens[offsets[i]:offsets[i+1]].
    Returns (n,) float32; an empty document scores -inf.
    """
    return _chosen().maxsim(query, tokens, offsets)


NO_TABLES = (None, None, None, 0.0)


def maxsim_pairs(
    records: U8,
    starts: I64,
    counts: I32,
    query_of: I32,
    queries: F32,
    offsets: I64,
    kind: str,
    tables: TokenTables | None = None,
) -> F32:
    """MaxSim of P pairs of a record of tokens and a query: (P,) float32.

    Pair p is `counts[p]` (P,) int32 tokens of the record that begins at byte `starts[p]` (P,) int64
    of `records` (1-D uint8; no alignment is asked), laid out as `token_records` tells for `kind`,
    and query `query_of[p]` (P,) int32. Query q has the tokens queries[offsets[q]:offsets[q + 1]]
    of `queries` (M, d) float32, all finite; their records have tokens of as many dimensions.
    A record without tokens scores -inf; a query without tokens scores 0 with any other.

    To weigh query tokens, multiply them with their weights, which must not be negative. Pairs may
    come in any order. `tables` belong to kinds with bucket numbers. A record that does not lie
    within `records`, or has a centroid number that is not in the tables, is refused; factors that
    are not finite give some number.

    Query tokens of 64 or more dimensions are rounded to 16 bits a number where that is faster.
    """
    given = NO_TABLES if tables is None else tables
    return _chosen().maxsim_pairs(records, starts, counts, query_of, queries, offsets, kind, *given)


def token_scores(record: U8, query: F32, kind: str, tables: TokenTables | None = None) -> F32:
    """Inner products (t, m) float32 of all tokens of a record with all tokens of a query.

    `record` (1-D uint8) is one record of t tokens, as for `maxsim_pairs`; `query` (m, d) float32.
    """
    return _chosen().token_scores(record, query, kind, *(NO_TABLES if tables is None else tables))


def sketch_scores(
    table: I8, sums: I32, ids: U16, starts: U32, rows: I64, tokens: I8, scale: F32, offsets: I64
) -> F32:
    """MaxSim (Q, n) float32 of documents whose tokens are taken for their nearest centroids.

    score[q, i] = sum_t scale[t] * 2^s * max_c (<table[c], tokens[t]> >> s)

    over the tokens t of query q, offsets[q] to offsets[q + 1], and the centroids c of document
    rows[q, i], ids[starts[r]:starts[r + 1]]; s is the least that brings 128^2 * D below 2^15.
    `table` (K, D) int8 with D a multiple of 4 and K up to 65,536, `sums` (K,) int32 the sums of its
    rows, `ids` (T,) uint16, `starts` (n + 1,) uint32, `rows` (Q, n) int64, `tokens` (M, D) int8
    times `scale` (M,) float32, `offsets` (Q + 1,) int64. A row of -1 and a document without
    centroids score -inf. Source: centroid interaction (PLAID: Santhanam et al., CIKM 2022).
    """
    return _chosen().sketch_scores(table, sums, ids, starts, rows, tokens, scale, offsets)


def suffix_array(text: U8) -> I32:
    """Order the suffixes of `text` (n,) uint8: their positions (n,) int32, the smallest first.

    The end of the text is smaller than every character. O(n) by SA-IS (Nong, Zhang, Chan 2009);
    memory 4n bytes for the result and at most 2n besides. n must be below 2^31.
    """
    return _chosen().suffix_array(text)


def fm_blocks(text: U8, suffixes: I32, ends: I64) -> tuple[U8, I32]:
    """Make the blocks of an FM-index from `text` (n,) uint8 and its `suffixes` (n,) int32.

    `ends` (rows,) int64 rises to n: where each row of the text ends. Character i of the
    Burrows-Wheeler transform stands before suffix number i (the text's last one before suffix 0).
    A suffix is marked where its position is a multiple of 16, or follows a blank, 0x00 or 0xFF.

    Returns `records` (ceil(n / 8192), 10248) uint8 and `samples` (m,) int32, the rows in which the
    marked suffixes begin, in order of suffixes. A record holds 4 bytes left 0, the number of marks
    in the records before (u32), the count of each symbol there (256 u32), a bit a character for
    its mark, bit i % 8 of byte i // 8, and 8192 characters; all little-endian.
    """
    return _chosen().fm_blocks(text, suffixes, ends)


def fm_ranks(records: list[bytes], slots: I64, offsets: I64, symbols: U8) -> I64:
    """Count symbols before places in the transform: (q,) int64.

    Place i is character `offsets[i]` (at most 8192) of `records[slots[i]]`; counted is
    `symbols[i]` in it and in all the records of the index before it.
    """
    return _chosen().fm_ranks(records, slots, offsets, symbols)


def fm_steps(records: list[bytes], slots: I64, offsets: I64) -> tuple[U8, I64, I64]:
    """Look at places in the transform: (symbols (q,) uint8, ranks (q,) int64, marks (q,) int64).

    `marks` is the number of the place's sample, -1 where it is not marked; there `ranks` counts
    the place's own symbol before it, and is 0 elsewhere.
    """
    return _chosen().fm_steps(records, slots, offsets)


def mapped_rows(values: npt.NDArray[Any], bits: U8, counts: U32, ids: I64, dim: int) -> F32:
    """Read rows (m, dim) float32 of which some numbers are kept and the others are zero.

    Bit c of `bits` (a multiple of 32 bytes; bit c % 8 of byte c // 8) tells whether number
    c % dim of row c // dim is kept; `counts` (uint32) how many are before each 256 bits. Kept
    numbers stand in `values` in order (finite float32, float16 or int8); `ids` (m,) int64 are rows.
    """
    return _chosen().mapped_rows(values, bits, counts, ids, dim)


def listed_rows(
    values: npt.NDArray[Any], places: npt.NDArray[Any], first: I64, step: int, ids: I64, dim: int
) -> F32:
    """Read rows as `mapped_rows`, whose kept numbers are those at rising `places` (uint32, uint64).

    `first` (ceil(rows / step) + 1,) int64 are the first places of row 0, step, 2 step, ..., then
    their number.
    """
    return _chosen().listed_rows(values, places, first, step, ids, dim)


def code_rows(books: F32, packed: list[U8], bits: I64, starts: I64, ids: I64) -> F32:
    """Read rows (m, parts * size) float32 of product codes.

    `books` (parts, words, size) float32 has the codewords. The ids of a band begin at its entry of
    `starts` (int64, from 0 rising); their codes, `bits` (int64, 1 to 8) a part, lie in its array of
    `packed` one after the other, the lowest bit first, and a byte follows the last.
    """
    return _chosen().code_rows(books, packed, bits, starts, ids)


def narrow_rows(
    cells: npt.NDArray[Any],
    scales: F32,
    starts: I64,
    sizes: I64,
    widths: I64,
    projections: F32 | None,
    kept: U8 | None,
    counts: U32 | None,
    places: I64,
    dim: int,
) -> F32:
    """Read rows (m, dim) float32 of groups with rows of different widths.

    The places of a group begin at its entry of `starts` (int64, from 0 rising); `cells` (finite
    float32, float16 or int8) has its `sizes` rows of `widths` numbers, group after group, to be
    multiplied with its entry of `scales`. Where `projections` (lines, dim) float32 are given, a
    group narrower than `dim` has the next `widths` lines of them; else zeros follow its numbers.
    Where a bitmap `kept` is given, with `counts` as in `mapped_rows`, only rows of places with
    their bit set are there, and the others are zero.
    """
    return _chosen().narrow_rows(
        cells, scales, starts, sizes, widths, projections, kept, counts, places, dim
    )


class WordPiece:
    """Greedy longest-match-first word pieces, as in BERT, for text that is already normalised.

    The caller has lower-cased, stripped accents, and put blanks around CJK characters and
    non-ASCII punctuation. Words end at ASCII white space; an ASCII punctuation character is a word
    of its own; everything else belongs to words. `vocabulary`: a token's id is its position.
    A word that cannot be built, or is longer than `max_chars_per_word` characters, becomes `unk`.

    >>> WordPiece(["[UNK]", "play", "##ing"]).encode(["playing chess"])
    (array([1, 2, 0], dtype=int32), array([0, 3]))
    """

    def __init__(
        self,
        vocabulary: list[str],
        *,
        unk: str = "[UNK]",
        prefix: str = "##",
        max_chars_per_word: int = 100,
    ) -> None:
        self._impl = _chosen().WordPiece(vocabulary, unk, prefix, max_chars_per_word)

    def encode(self, texts: list[str]) -> tuple[I32, I64]:
        """Return ids (T,) int32 of all texts and offsets (n + 1,) int64 of their starts.

        A text with a lone surrogate is refused with its number.
        """
        ids, offsets = self._impl.encode(texts)
        return ids, offsets
