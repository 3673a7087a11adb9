"""Spare blocks for small arrays that much else hangs on: damage to them can be undone.

The bytes are cut into blocks; block i is in group i mod GROUPS. Kept are a checksum of every block,
and of each group the exclusive or of its blocks (as in RAID 4: Patterson, Gibson and Katz, SIGMOD
1988). A group with one damaged block gives it back, so any stretch of GROUPS - 1 blocks' length may
be lost.
"""

from __future__ import annotations

import zlib

import numpy as np
import numpy.typing as npt

__all__ = ["BLOCK", "GROUPS", "mended", "spare_of"]

BLOCK = 512
GROUPS = 16
Bytes = npt.NDArray[np.uint8]
Sums = npt.NDArray[np.uint32]


def spare_of(data: Bytes) -> tuple[Bytes, Sums]:
    """((GROUPS, BLOCK) exclusive ors, (blocks,) checksums) of bytes (n,)."""
    blocks = _blocks(data)
    spare = np.zeros((GROUPS, BLOCK), np.uint8)
    for group in range(GROUPS):
        spare[group] = np.bitwise_xor.reduce(blocks[group::GROUPS], axis=0)
    return spare, _sums(blocks)


def mended(data: Bytes, spare: Bytes, sums: Sums) -> Bytes | None:
    """The bytes (n,) as they were; None if too much of them is damaged, or of the rest."""
    blocks = _blocks(data)
    if spare.shape != (GROUPS, BLOCK) or sums.shape != (len(blocks),):
        return None
    damaged = np.flatnonzero(_sums(blocks) != sums)
    if len(np.unique(damaged % GROUPS)) < len(damaged):
        return None
    for block in damaged.tolist():
        group = blocks[block % GROUPS :: GROUPS]
        blocks[block] ^= np.bitwise_xor.reduce(group, axis=0) ^ spare[block % GROUPS]
    if (_sums(blocks) != sums).any():
        return None
    return blocks.reshape(-1)[: len(data)]


def _blocks(data: Bytes) -> Bytes:
    """A copy in blocks, the last one filled up with zeros."""
    blocks = np.zeros((-(-len(data) // BLOCK), BLOCK), np.uint8)
    blocks.reshape(-1)[: len(data)] = data
    return blocks


def _sums(blocks: Bytes) -> Sums:
    return np.array([zlib.crc32(block) for block in blocks], np.uint32)
