"""Heavy records of vectors: exact scores, reads, checksums."""

from __future__ import annotations

from bigrain.kernels import reference
from bigrain.kernels.levels import chosen, native
from bigrain.kernels.reference import F32, I8, I32, I64, U8, U32

__all__ = [
    "first_damaged",
    "quantise_rows",
    "read_stretches",
    "row_checksums",
    "score_pairs",
    "score_rows",
]


def score_rows(records: U8, dim: int, dtype: str, query: F32, metric: str) -> F32:
    """Score vectors exactly: (n, stride) uint8 records, each starting with `dim` numbers.

    `dtype` is 'float16', 'float32', 'bfloat16' or 'int8' (`bigrain.kernels.numbers`); the query is
    never rounded. `metric` is 'ip' (dot product) or 'l2' (minus the squared
    Euclidean distance): larger is better. Returns (n,) float32. Sums are in float32 with several
    accumulators, so levels differ in the last digits.
    """
    return chosen().score_rows(records, dim, dtype, query, metric)


def score_pairs(
    records: U8, dim: int, dtype: str, queries: F32, record_of: I32, query_of: I32, metric: str
) -> F32:
    """Score pairs (m,): record `record_of[i]` for query `query_of[i]` of `queries` (Q, dim).

    Everything else is as in `score_rows`.
    """
    return chosen().score_pairs(records, dim, dtype, queries, record_of, query_of, metric)


def read_stretches(fd: int, stretches: I64, buffer: U8) -> int:
    """Read stretches (n, 2) int64 of (offset, length) of a file into `buffer`, one after another.

    What the system has in memory is copied at once; the rest is announced together before the
    first of it is waited for. Returns the bytes read up to the first stretch that the file does
    not hold. Raises OSError.
    """
    module = native()
    if module is None:
        return reference.read_stretches(fd, stretches, buffer)
    return int(module.read_stretches(fd, stretches, buffer))


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
    return chosen().row_checksums(records)


def first_damaged(records: U8) -> int:
    """The first of `records` (n, n_bytes) uint8 that is not what its checksum says; -1: none.

    The last four bytes of a record are the checksum of the others (`row_checksums`), little-endian.
    """
    return chosen().first_damaged(records)


def quantise_rows(vectors: F32) -> tuple[I8, F32]:
    """Round vectors (n, D) float32 to (n, D) int8 and a scale (n,) float32 for each.

    vector ~ scale * row: the scale is the largest |number| / 127 (1 / 127 where that is 0), so each
    number is off by half a scale at most. A vector that is not finite is refused.
    """
    return chosen().quantise_rows(vectors)
