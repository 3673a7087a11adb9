"""Plain sign bits of a rotated vector (Charikar, STOC 2002): the baseline of every 1-bit code.

Nothing is kept of a vector but its signs: one factor, the mean of what RaBitQ would keep for each
vector of the sample, serves all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from bigrain.codecs.planes import Planes
from bigrain.codecs.quantiser import Fitted

__all__ = ["Signs"]

Floats = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Signs(Planes):
    common: Floats  # (1,)

    code: ClassVar[str] = "sign"
    learned: ClassVar[bool] = True
    rotated: ClassVar[bool] = True
    scaled: ClassVar[bool] = False

    @classmethod
    def fit(cls, sample: Floats, width: int, light_bytes: int, bits: int, seed: int) -> Fitted:
        squared = np.einsum("ij,ij->i", sample, sample)
        absolute = np.abs(sample).sum(axis=1)
        told = absolute > 0
        common = float((squared[told] / absolute[told]).mean()) if told.any() else 1.0
        return Fitted(cls(width, 1, np.array([common], np.float32)))

    def encode(self, vectors: Floats) -> tuple[Bytes, Floats]:
        packed = np.packbits(vectors > 0, axis=1, bitorder="little")
        return packed, np.full(len(vectors), self.common[0], np.float32)

    def arrays(self) -> dict[str, Floats]:
        return {"common": self.common}
