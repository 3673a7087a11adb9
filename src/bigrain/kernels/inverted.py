"""Inverted lists: packed, searched exactly."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from bigrain.kernels.levels import PostingList, chosen
from bigrain.kernels.reference import F32, I64, U8, U32
from bigrain.kernels.reference_lists import F64

__all__ = ["decode_lists", "encode_lists", "posting_list", "score_lists", "search_lists"]


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
    return chosen().encode_lists(rows, impacts, values, starts)


def decode_lists(data: U8, ends: I64, counts: U32, checksums: U32, n_rows: int) -> tuple[U32, U32]:
    """Rows and values (m,) uint32 of lists that `encode_lists` packed, one after another.

    List i ends at byte ends[i] of `data` (int64), has counts[i] postings and the CRC-32
    checksums[i] (uint32). ValueError, naming the list, where the bytes are not that.
    """
    return chosen().decode_lists(data, ends, counts, checksums, n_rows)


def posting_list(data: U8, n: int, n_rows: int) -> PostingList:
    """Open one list of `n` postings that `encode_lists` packed into `data`, which is copied.

    ValueError if the bytes are not `n` postings with rows below `n_rows`, whatever they are.
    """
    return chosen().PostingList(data, n, n_rows)


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
    return chosen().search_lists(
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
    return chosen().score_lists(lists, weights, lengths, flat, slope, n_rows, rows)
