"""The FM-index in NumPy (Ferragina and Manzini 2000); `substrings` is the manual."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bigrain.kernels import checks

__all__ = ["RECORD", "fm_blocks", "fm_ranks", "fm_steps", "suffix_array"]

U8 = npt.NDArray[np.uint8]
I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]

BLOCK = 8192  # characters
COUNTS, MARKS, TEXT = 8, 8 + 4 * 256, 8 + 4 * 256 + BLOCK // 8  # where they begin in a record
RECORD = TEXT + BLOCK
SAMPLE = 16
BEFORE_WORDS = (0x00, 0x20, 0xFF)


def suffix_array(text: U8) -> I32:
    """Prefix doubling: order by the first 2^i characters, for ever larger i."""
    checks.array("text", text, "uint8", 1)
    n = len(text)
    rank = text.astype(np.int64) + 1
    order, step = np.argsort(rank, kind="stable"), 1
    while True:
        following = np.zeros(n, np.int64)
        following[: max(n - step, 0)] = rank[step:]
        key = rank * (n + 257) + following
        order = np.argsort(key, kind="stable")
        rank = np.empty(n, np.int64)
        rank[order] = np.cumsum(np.diff(key[order], prepend=-1) != 0)
        if not n or rank.max() == n:
            return order.astype(np.int32)
        step *= 2


def fm_blocks(text: U8, suffixes: I32, ends: I64) -> tuple[U8, I32]:
    """Blocks of the transform with what goes before them, and the rows of marked suffixes."""
    checks.array("text", text, "uint8", 1)
    checks.array("suffixes", suffixes, "int32", 1)
    checks.array("ends", ends, "int64", 1)
    n = len(text)
    checks.size("suffixes: length", len(suffixes), n)
    checks.below("suffixes", suffixes, n)
    last = int(ends[-1]) if len(ends) else 0
    if last != n or (np.diff(ends, prepend=0) < 0).any():
        raise ValueError(f"ends: must rise to {n}")
    transform = text[suffixes - 1] if n else text
    marked = np.isin(transform, BEFORE_WORDS) | (suffixes % SAMPLE == 0)
    samples = np.searchsorted(ends, suffixes[marked], side="right").astype(np.int32)
    records = np.zeros((-(-n // BLOCK), RECORD), np.uint8)
    counts, before = np.zeros(256, "<u4"), 0
    for record, start in zip(records, range(0, n, BLOCK), strict=True):
        part, marks = transform[start : start + BLOCK], marked[start : start + BLOCK]
        record[4:8] = np.array([before], "<u4").view(np.uint8)
        record[COUNTS:MARKS] = counts.view(np.uint8)
        packed = np.packbits(marks, bitorder="little")
        record[MARKS : MARKS + len(packed)] = packed
        record[TEXT : TEXT + len(part)] = part
        counts += np.bincount(part, minlength=256).astype(np.uint32)
        before += int(marks.sum())
    return records, samples


def fm_ranks(records: list[bytes], slots: I64, offsets: I64, symbols: U8) -> I64:
    """Count symbols before places."""
    blocks = _blocks(records, slots, offsets, BLOCK + 1)
    checks.array("symbols", symbols, "uint8", 1)
    checks.size("symbols: length", len(symbols), len(slots))
    asked = zip(slots.tolist(), offsets.tolist(), symbols.tolist(), strict=True)
    return np.array([_rank(blocks[slot], at, symbol) for slot, at, symbol in asked], np.int64)


def fm_steps(records: list[bytes], slots: I64, offsets: I64) -> tuple[U8, I64, I64]:
    """What stands before suffixes."""
    blocks = _blocks(records, slots, offsets, BLOCK)
    symbols = np.zeros(len(slots), np.uint8)
    ranks, marks = np.zeros(len(slots), np.int64), np.full(len(slots), -1, np.int64)
    for i, (slot, at) in enumerate(zip(slots.tolist(), offsets.tolist(), strict=True)):
        block = blocks[slot]
        symbols[i] = block[TEXT + at]
        marked = np.unpackbits(block[MARKS:TEXT], bitorder="little")
        if marked[at]:
            marks[i] = int(block[4:8].view("<u4")[0]) + int(marked[:at].sum())
        else:
            ranks[i] = _rank(block, at, int(symbols[i]))
    return symbols, ranks, marks


def _rank(block: U8, at: int, symbol: int) -> int:
    before = block[COUNTS + 4 * symbol : COUNTS + 4 * symbol + 4].view("<u4")[0]
    return int(before) + int((block[TEXT : TEXT + at] == symbol).sum())


def _blocks(records: list[bytes], slots: I64, offsets: I64, limit: int) -> list[U8]:
    if not isinstance(records, list):
        raise TypeError(f"records: expected a list, got {type(records).__name__}")
    for number, record in enumerate(records):
        if not isinstance(record, bytes):
            raise TypeError(f"records: number {number} is {type(record).__name__}, not bytes")
        checks.size("records: bytes", len(record), RECORD)
    checks.array("slots", slots, "int64", 1)
    checks.array("offsets", offsets, "int64", 1)
    checks.size("offsets: length", len(offsets), len(slots))
    checks.below("slots", slots, len(records))
    checks.below("offsets", offsets, limit)
    return [np.frombuffer(record, np.uint8) for record in records]
