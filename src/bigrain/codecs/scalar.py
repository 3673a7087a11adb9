"""Scalar quantisation to 4 or 8 bits a dimension: an even grid as wide as the vector.

Close to LVQ (papers/A-5 section 3), but symmetric, so that one factor a vector is enough. Four bits
are one symbol a dimension; eight are two, the higher one first, and the higher alone is the 4-bit
code: the lower tells where in its step the number lies.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from bigrain.codecs.nibbles import pack_nibbles, unpack_nibbles
from bigrain.codecs.quantiser import Fitted, Tables, luts_of, unbiased

__all__ = ["Scalar"]

Floats = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Scalar:
    width: int
    bits: int  # 4 or 8

    code: ClassVar[str] = "scalar"
    learned: ClassVar[bool] = False
    rotated: ClassVar[bool] = True
    scaled: ClassVar[bool] = True

    @staticmethod
    def kept(dim: int, light_bytes: int, bits: int) -> int:
        return min(dim, 8 * light_bytes // bits)

    @classmethod
    def symbols_of(cls, dim: int, light_bytes: int, bits: int) -> int:
        return cls.kept(dim, light_bytes, bits) * bits // 4

    @classmethod
    def fit(cls, sample: Floats, width: int, light_bytes: int, bits: int, seed: int) -> Fitted:
        return Fitted(cls(width, bits))

    @property
    def groups(self) -> int:
        return self.width * self.bits // 4

    @property
    def _top(self) -> int:
        return (1 << self.bits) - 1

    def encode(self, vectors: Floats) -> tuple[Bytes, Floats]:
        widest = np.abs(vectors).max(axis=1, initial=0, keepdims=True)
        grid = vectors * (np.float32((self._top + 1) / 2) / np.where(widest > 0, widest, 1))
        numbers = np.clip(np.floor(grid + (self._top + 1) / 2), 0, self._top).astype(np.uint8)
        packed = pack_nibbles(self._symbols(numbers))
        return packed, unbiased(vectors, self._values(numbers))

    def decode(self, packed: Bytes) -> Floats:
        symbols = unpack_nibbles(packed, self.groups)
        if self.bits == 4:
            return self._values(symbols)
        return self._values((symbols[:, ::2] << 4 | symbols[:, 1::2]).astype(np.uint8))

    def tables(self, queries: Floats) -> Floats:
        symbols = np.arange(16, dtype=np.float32)
        if self.bits == 4:
            return np.asarray(queries[:, :, None] * (2 * symbols - 15), np.float32)
        both = np.stack((32 * symbols - 240, 2 * symbols - 15))
        tables = queries[:, :, None, None] * both
        return np.asarray(tables.reshape(len(queries), self.groups, 16), np.float32)

    def luts(self, queries: Floats) -> Tables:
        return luts_of(self, queries)

    def arrays(self) -> dict[str, Floats]:
        return {}

    def numbers(self) -> dict[str, Any]:
        return {}

    def _symbols(self, numbers: Bytes) -> Bytes:
        if self.bits == 4:
            return numbers
        both = np.stack((numbers >> 4, numbers & 15), axis=2).astype(np.uint8)
        return both.reshape(len(numbers), self.groups)

    def _values(self, numbers: Bytes) -> Floats:
        values = numbers.astype(np.float32)
        values *= 2
        values -= self._top
        return values
