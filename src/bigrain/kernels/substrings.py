"""Suffixes and the FM-index."""

from __future__ import annotations

from bigrain.kernels.levels import chosen
from bigrain.kernels.reference import I32, I64, U8

__all__ = ["fm_blocks", "fm_ranks", "fm_steps", "suffix_array"]


def suffix_array(text: U8) -> I32:
    """Order the suffixes of `text` (n,) uint8: their positions (n,) int32, the smallest first.

    The end of the text is smaller than every character. O(n) by SA-IS (Nong, Zhang, Chan 2009);
    memory 4n bytes for the result and at most 2n besides. n must be below 2^31.
    """
    return chosen().suffix_array(text)


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
    return chosen().fm_blocks(text, suffixes, ends)


def fm_ranks(records: list[bytes], slots: I64, offsets: I64, symbols: U8) -> I64:
    """Count symbols before places in the transform: (q,) int64.

    Place i is character `offsets[i]` (at most 8192) of `records[slots[i]]`; counted is
    `symbols[i]` in it and in all the records of the index before it.
    """
    return chosen().fm_ranks(records, slots, offsets, symbols)


def fm_steps(records: list[bytes], slots: I64, offsets: I64) -> tuple[U8, I64, I64]:
    """Look at places in the transform: (symbols (q,) uint8, ranks (q,) int64, marks (q,) int64).

    `marks` is the number of the place's sample, -1 where it is not marked; there `ranks` counts
    the place's own symbol before it, and is 0 elsewhere.
    """
    return chosen().fm_steps(records, slots, offsets)
