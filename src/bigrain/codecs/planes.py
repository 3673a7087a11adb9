"""Whole numbers of B bits a dimension, kept as B planes of bits in groups of four dimensions.

A dimension's number c in 0 ... 2^B - 1 stands for the odd number v = 2c - (2^B - 1), an evenly
spaced grid without zero. Plane 0 holds the highest bits, that is the signs. Since
v = sum_b 2^b (2 bit_b - 1), the tables of a plane are those of signs times 2^b.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bigrain import kernels
from bigrain.codecs.quantiser import Quantiser, Tables, luts_of

__all__ = ["Planes"]

Floats = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]
SIGNS = (np.arange(16) >> np.arange(4)[:, None] & 1).astype(np.float32) * 2 - 1  # (4, 16)


@dataclass(frozen=True)
class Planes:
    """Packing, decoding and tables of numbers on the grid."""

    width: int
    bits: int

    @staticmethod
    def kept(dim: int, light_bytes: int, bits: int) -> int:
        return min(dim, 4 * (2 * light_bytes // bits))

    @classmethod
    def symbols_of(cls, dim: int, light_bytes: int, bits: int) -> int:
        return bits * -(-cls.kept(dim, light_bytes, bits) // 4)

    @property
    def groups(self) -> int:
        return self.bits * -(-self.width // 4)

    def pack(self, numbers: Bytes) -> Bytes:
        """Packed codes of numbers (n, width) below 2^bits."""
        n, per_plane = len(numbers), 4 * -(-self.width // 4)
        planes = np.zeros((n, self.bits, per_plane), np.uint8)
        for plane in range(self.bits):
            planes[:, plane, : self.width] = numbers >> (self.bits - 1 - plane) & 1
        return np.packbits(planes.reshape(n, 4 * self.groups), axis=1, bitorder="little")

    def unpack(self, packed: Bytes) -> Bytes:
        """Numbers (n, width) of packed codes."""
        planes = np.unpackbits(packed, axis=1, count=4 * self.groups, bitorder="little")
        planes = planes.reshape(len(packed), self.bits, 4 * self.groups // self.bits)
        planes = planes[:, :, : self.width]
        numbers = planes[:, 0].copy()
        for plane in range(1, self.bits):
            numbers = (numbers << 1 | planes[:, plane]).astype(np.uint8)
        return numbers

    def decode(self, packed: Bytes) -> Floats:
        values = self.unpack(packed).astype(np.float32)
        values *= 2
        values -= (1 << self.bits) - 1
        return values

    def tables(self, queries: Floats) -> Floats:
        n, per_plane = len(queries), -(-self.width // 4)
        even = np.zeros((n, 4 * per_plane), np.float32)
        even[:, : self.width] = queries
        signs = even.reshape(n, per_plane, 4) @ SIGNS
        weights = 2.0 ** np.arange(self.bits - 1, -1, -1, dtype=np.float32)
        tables = weights[:, None, None] * signs[:, None]
        return np.asarray(tables.reshape(n, self.groups, 16), np.float32)

    def luts(self: Any, queries: Floats) -> Tables:
        if self.bits == 1:
            return kernels.build_luts(queries)
        quantiser: Quantiser = self
        return luts_of(quantiser, queries)

    def arrays(self) -> dict[str, Floats]:
        return {}

    def numbers(self) -> dict[str, Any]:
        return {}
