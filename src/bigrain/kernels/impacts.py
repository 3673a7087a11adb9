"""Lists of impacts, and records of weights: sparse vectors."""

from __future__ import annotations

from bigrain.kernels.levels import chosen
from bigrain.kernels.reference import F32, I32, I64, U8, U32, U64

__all__ = [
    "deal_postings",
    "decode_weights",
    "encode_weights",
    "first_unsound_weights",
    "order_impacts",
    "pack_impacts",
    "score_weights",
    "search_impacts",
    "search_ordered",
    "sound_impacts",
]


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
    return chosen().pack_impacts(postings, n_rows)


def sound_impacts(data: U8, n_postings: int, filled: int, n_rows: int) -> bool:
    """Whether these are bytes that `pack_impacts` can have written."""
    return chosen().sound_impacts(data, n_postings, filled, n_rows)


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
    return chosen().search_impacts(
        data, filled, sizes, n_rows, offsets, lists, factors, slack, keep, live
    )


def order_impacts(data: U8, n_postings: int, filled: int, n_rows: int, least: int) -> U32:
    """The postings row << 11 | impact of a list (`pack_impacts`) whose impact is at least `least`.

    The largest impact comes first, then the smallest row.
    """
    return chosen().order_impacts(data, n_postings, filled, n_rows, least)


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
    return chosen().search_ordered(data, n_rows, offsets, lists, factors, least, keep, live)


def deal_postings(
    lists: U32, weights: F32, offsets: I64, first_row: int, largest: F32, places: I64, out: U32
) -> None:
    """Turn rows of weights into postings of lists.

    Row i holds `lists` and `weights` offsets[i]:offsets[i + 1] and is row first_row + i. Of each
    entry whose list is below T, row << 11 | impact goes to out[places[list]], and the place moves
    on; the impact is ceil(2040 * weight / largest[list]), at least 1 and at most 2040. `places`
    (T,) int64 and `out` (n,) uint32 are changed; a place outside of `out` takes nothing.
    """
    chosen().deal_postings(lists, weights, offsets, first_row, largest, places, out)


def encode_weights(columns: U32, weights: F32, offsets: I64, width: int) -> U8:
    """Records of rows of weights, one after another.

    A record is the weights (float32), the columns (`width` bytes each, 2 or 4), zeros up to a whole
    number of 32-bit words, and a checksum of all that (`row_checksums`).
    """
    return chosen().encode_weights(columns, weights, offsets, width)


def decode_weights(records: U8, places: I64, width: int) -> tuple[U32, F32, I64]:
    """Undo `encode_weights`: (columns, weights, offsets). `places` (n + 1,) where records begin."""
    return chosen().decode_weights(records, places, width)


def first_unsound_weights(records: U8, places: I64) -> int:
    """The first record whose checksum does not match, -1 if there is none."""
    return chosen().first_unsound_weights(records, places)


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
    return chosen().score_weights(
        records, places, width, columns, weights, queries, record_of, query_of
    )
