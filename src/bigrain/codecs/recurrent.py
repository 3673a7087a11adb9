"""Recurrent binary codes: rounds of signs of what the rounds before left (papers/A-3 section 2).

    b_0 = sign(x),   b_{i+1} = b_i + 2^-(i+1) * sign(x - b_i)

BEBR (Gan et al., KDD 2023) learns the maps between rounds; here they are the rotation and the unit
in which a vector is measured, so nothing has to be trained. B rounds give a point of the same grid
as B bits of RaBitQ: b = 2^-(B-1) * (2c - (2^B - 1)), c the number whose highest bit is the first
round.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from bigrain.codecs.planes import Planes
from bigrain.codecs.quantiser import Fitted, unbiased
from bigrain.codecs.rabitq import STEPS

__all__ = ["Recurrent"]

Floats = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Recurrent(Planes):
    """`bits` is the number of rounds."""

    code: ClassVar[str] = "recurrent"
    learned: ClassVar[bool] = False
    rotated: ClassVar[bool] = True
    scaled: ClassVar[bool] = True

    @classmethod
    def fit(cls, sample: Floats, width: int, light_bytes: int, bits: int, seed: int) -> Fitted:
        return Fitted(cls(width, bits))

    def encode(self, vectors: Floats) -> tuple[Bytes, Floats]:
        spread = np.sqrt(np.square(vectors).mean(axis=1, keepdims=True))
        unit = np.where(spread > 0, spread, 1) * np.float32(STEPS[self.bits] * 2 ** (self.bits - 2))
        left = np.asarray(vectors / unit, np.float32)
        reached = np.zeros_like(left)
        numbers: Bytes = np.zeros(vectors.shape, np.uint8)
        for turn in range(self.bits):
            positive = left > 0
            numbers = (numbers << 1 | positive).astype(np.uint8)
            step = np.where(positive, np.float32(2.0**-turn), np.float32(-(2.0**-turn)))
            reached += step
            left -= step
        return self.pack(numbers), unbiased(vectors, reached * np.float32(2.0 ** (self.bits - 1)))
