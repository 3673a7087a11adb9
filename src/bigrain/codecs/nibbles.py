"""Rows of 4-bit symbols: the one form in which every light code of a dense vector is stored.

A code of G symbols is packed two to a byte, the first one low. The scan reads it in blocks of 32
rows (PQ fast scan: Andre, Kermarrec, Le Scouarnec, VLDB 2015), and needs nothing but a table of 16
numbers for each symbol: see `kernels.scan_lists`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["BLOCK", "blocks_of", "pack_nibbles", "packed_bytes", "rows_of", "unpack_nibbles"]

Bytes = npt.NDArray[np.uint8]
BLOCK = 32


def packed_bytes(groups: int) -> int:
    """Bytes of a code of `groups` symbols."""
    return -(-groups // 2)


def pack_nibbles(symbols: Bytes) -> Bytes:
    """(n, G) symbols below 16 as (n, ceil(G / 2)) bytes."""
    n, groups = symbols.shape
    even = np.zeros((n, 2 * packed_bytes(groups)), np.uint8)
    even[:, :groups] = symbols
    return np.asarray(even[:, ::2] | even[:, 1::2] << 4, np.uint8)


def unpack_nibbles(packed: Bytes, groups: int) -> Bytes:
    """(n, G) symbols of packed codes."""
    both = np.stack((packed & 15, packed >> 4), axis=2)
    return both.reshape(len(packed), 2 * packed.shape[1])[:, :groups]


def blocks_of(packed: Bytes, groups: int) -> Bytes:
    """Packed codes (n, bytes) as fast-scan blocks (ceil(n/32), G, 16).

    A block holds 32 rows; in group g the low nibble of byte j is symbol g of row j and the high
    nibble that of row j + 16. Missing rows are 0.
    """
    n, n_bytes = packed.shape
    padded = np.zeros((-(-n // BLOCK) * BLOCK, n_bytes), np.uint8)
    padded[:n] = packed
    symbols = unpack_nibbles(padded, groups).reshape(-1, BLOCK, groups).transpose(0, 2, 1)
    return np.ascontiguousarray(symbols[:, :, :16] | symbols[:, :, 16:] << 4)


def rows_of(blocks: Bytes, places: npt.NDArray[np.int64]) -> Bytes:
    """Packed codes (n, bytes) of single rows of blocks."""
    lane = places % BLOCK
    both = blocks[places // BLOCK, :, lane % 16]
    return pack_nibbles(np.where((lane < 16)[:, None], both & 15, both >> 4).astype(np.uint8))
