"""Light codes: rotations, tables, scans of lists, centroids, the best of many."""

from __future__ import annotations

from bigrain.kernels import reference
from bigrain.kernels.levels import chosen
from bigrain.kernels.reference import F16, F32, I8, I32, I64, U8

__all__ = [
    "build_luts",
    "dot_table",
    "nearest",
    "pack_table",
    "quantise_tables",
    "rotate",
    "route_lists",
    "scan_lists",
    "sign_encode",
    "top_k",
    "unpack_signs",
    "unpack_table",
]


def rotate(vectors: F32, signs: I8) -> F32:
    """Apply a pseudo-random rotation: (n, D) float32 -> (n, D) float32, in O(D log D) a vector.

    `signs` (4, D) int8 holds +1 and -1 and is all the state there is. Four rounds of: multiply by
    the signs; normalised Hadamard transform on the first (rounds 0, 2) or last (rounds 1, 3)
    2^k coordinates, the largest power of two <= D; when 2^k < D, turn each pair (i, i + D//2)
    by 45 degrees. Every step is orthonormal, so lengths and dot products stay. All levels give
    the same bits. Source: `FhtKac` rotation of the RaBitQ library.
    """
    return chosen().rotate(vectors, signs)


def sign_encode(vectors: F32) -> tuple[U8, F32]:
    """Keep one bit a dimension: bit i of a row is `vectors[row, i] > 0`.

    Returns `blocks` (ceil(n/32), ceil(D/4), 16) uint8 and `abs_sum` (n,) float32, the sum of |x_i|.
    A block holds 32 rows; in group g (dimensions 4g..4g+3), the low nibble of byte j belongs to
    row j and the high nibble to row j + 16; nibble bit b is dimension 4g+b. Missing rows and
    dimensions are 0. For a unit vector, `abs_sum / sqrt(D)` is <x_bar, x>, the divisor that
    makes estimates unbiased. Source: RaBitQ (SIGMOD 2024); layout of PQ fast scan.
    """
    return chosen().sign_encode(vectors)


def unpack_signs(blocks: U8, n: int, dim: int) -> U8:
    """Undo the layout of `sign_encode`: (n, dim) uint8 of 0 and 1. Meant for tests and tools."""
    return reference.unpack_signs(blocks, n, dim)


def build_luts(queries: F32) -> tuple[U8, F32, F32]:
    """Prepare queries (Q, D) float32, already rotated, for `scan_lists`.

    Returns `luts` (Q, ceil(D/4), 16) uint8, `scale` (Q,) and `bias` (Q,) float32, such that
    <2b - 1, q> ~ scale * sum_g luts[g][nibble g of b] + bias for a code b of 0/1 bits.
    The numbers of a query are rounded to whole steps, the larger one of (the largest |q|_1 of a
    group) / 253 and (the largest |q_i|) / 127; entry j of a group is their sum over the set bits of
    j, less the least such sum. scale = 2 * step, bias = -step * (sum of the sizes of the whole
    numbers). Entries are sums, so levels may multiply instead of looking up. A query that is not
    finite is refused.
    """
    return chosen().build_luts(queries)


def quantise_tables(tables: F32) -> tuple[U8, F32, F32]:
    """Round lookup tables (Q, G, 16) float32 of any 4-bit code to bytes, for `scan_lists`.

    Returns `luts` (Q, G, 16) uint8, `scale` (Q,) and `bias` (Q,) float32, such that
    sum_g tables[q, g, j_g] ~ scale[q] * sum_g luts[q, g, j_g] + bias[q] for symbols j: entries less
    their group's minimum, in steps of (largest group range) / 255, each off by half a step at most.
    scale = step, bias = sum of the minima. A query whose tables are not finite is refused.
    """
    return chosen().quantise_tables(tables)


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
    -inf is never returned. With `doubt` (Q,) float32, at least 0, neither is one that lies more
    than that below the estimate number `rank` (from 1), if there are as many. A list is read once
    for all queries of a call that ask for it: pass them together.
    """
    return chosen().scan_lists(
        blocks, starts, luts, scale, bias, row_scale, row_offset, live, probes, lists, bases, keep,
        rank, doubt,
    )  # fmt: skip


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
    return chosen().dot_table(panels, n, vectors)


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
    return chosen().route_lists(
        panels, sizes, counted, scale, radius, offset, outward, vectors, vector_scale, length,
        margin, least,
    )  # fmt: skip


def nearest(panels: U8, scale: F32, offset: F32, vectors: I8, weight: F32) -> I32:
    """The best row (m,) int32 of a packed table for each of `vectors` (m, D) int8.

    A row l scores scale[l] * <table[l], vector> + weight[vector] * offset[l]; of equals the first
    wins. `scale` and `offset` (n,), `weight` (m,) float32. With offset -|c|^2 / 2 and weight
    1 / (scale of the vector) it is the nearest centroid c by Euclidean distance.
    """
    return chosen().nearest(panels, scale, offset, vectors, weight)


def top_k(
    scores: F32, k: int, live: U8 | None = None, floor: float = float("-inf")
) -> tuple[I64, F32]:
    """Return rows int64 and scores float32 of the k best of `scores` (n,) float32.

    Only live rows strictly above `floor`; best first, ties by smaller row; at most k. NaN is never
    returned.
    """
    return chosen().top_k(scores, k, live, floor)
