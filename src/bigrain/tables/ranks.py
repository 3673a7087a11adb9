"""A bitmap that tells how many bits are set before a place, with one count every 256 bits.

Jacobson's rank structure with one level ("Space-efficient static trees and graphs", FOCS 1989).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["bitmap", "bitmap_layout", "bits_at", "counts_before"]

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


def bits_at(bits: Bytes, places: Places) -> npt.NDArray[np.bool_]:
    """Whether the bit at each place is set."""
    return np.asarray((bits[places >> 3] >> (places & 7).astype(np.uint8)) & 1, bool)


def counts_before(bits: Bytes, counts: npt.NDArray[np.uint32], places: Places) -> Places:
    """How many bits are set before each place."""
    block = places >> 8
    window = bits.reshape(-1, STEP_BYTES)[block]
    within = (places & 255)[:, None] - 8 * np.arange(STEP_BYTES)
    keep = (1 << np.clip(within, 0, 8)) - 1  # the bits of each byte that lie before the place
    inside = POPCOUNT[window & keep.astype(np.uint8)].sum(axis=1, dtype=np.int64)
    return np.asarray(counts[block].astype(np.int64) + inside)
