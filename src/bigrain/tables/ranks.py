"""Bitmaps with one count every 256 bits, as `kernels.mapped_rows` reads them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["bitmap", "bitmap_layout"]

STEP_BYTES = 32
POPCOUNT = np.array([bin(byte).count("1") for byte in range(256)], np.uint8)

Bytes = npt.NDArray[np.uint8]
Places = npt.NDArray[np.int64]


def bitmap_layout(n_bits: int) -> tuple[int, int]:
    """(bytes of the bitmap, number of counts)"""
    blocks = n_bits // (8 * STEP_BYTES) + 1
    return blocks * STEP_BYTES, blocks


def bitmap(places: Places, n_bits: int) -> tuple[Bytes, npt.NDArray[np.uint32]]:
    """Bits at `places` set, and the counts before each block."""
    n_bytes, blocks = bitmap_layout(n_bits)
    bits = np.zeros(n_bytes, np.uint8)
    np.bitwise_or.at(bits, places >> 3, np.left_shift(1, places & 7).astype(np.uint8))
    per_block = POPCOUNT[bits].reshape(blocks, STEP_BYTES).sum(axis=1)
    return bits, (np.cumsum(per_block) - per_block).astype(np.uint32)
