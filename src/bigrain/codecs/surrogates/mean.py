"""Mean pooling: the mean of a document's tokens, the sum of a query's.

It is what MaxSim would be if every query token saw all document tokens alike. Means are made as
long as the tokens are on average: a long document's tokens cancel each other, which would make it
lose against short ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from bigrain.codecs.ragged import require_ragged
from bigrain.codecs.surrogates.protocol import Floats, Ints, Shapes
from bigrain.codecs.surrogates.sizes import whole
from bigrain.codecs.surrogates.sums import summed

__all__ = ["MeanPooling"]


@dataclass(frozen=True)
class MeanPooling:
    """One vector of `dim` dimensions a document."""

    name: ClassVar[str] = "mean"
    fitted_on: ClassVar[int] = 0
    dim: int

    @property
    def width(self) -> int:
        return self.dim

    @classmethod
    def fit(
        cls, values: Floats, offsets: Ints, *, queries: Floats | None = None, seed: int = 0
    ) -> MeanPooling:
        require_ragged(values, offsets)
        return cls(values.shape[1])

    def documents(self, values: npt.NDArray[Any], offsets: npt.NDArray[Any]) -> Floats:
        offsets = require_ragged(values, offsets, self.dim)
        out = summed(values, offsets)
        lengths = np.sqrt(
            np.einsum("ij,ij->i", values, values, dtype=np.float32, casting="same_kind")
        )[:, None]
        mean = summed(lengths, offsets)[:, 0] / np.maximum(np.diff(offsets), 1)
        own = np.sqrt(np.einsum("ij,ij->i", out, out))
        out *= np.divide(mean, own, out=np.zeros_like(own), where=own > 0)[:, None]
        return out

    def queries(self, values: npt.NDArray[Any], offsets: npt.NDArray[Any]) -> Floats:
        return summed(values, require_ragged(values, offsets, self.dim))

    def arrays(self) -> dict[str, Floats]:
        return {}

    def numbers(self) -> dict[str, Any]:
        return {"name": self.name, "dim": self.dim}

    @staticmethod
    def shapes(numbers: dict[str, Any]) -> Shapes:
        whole(numbers, "dim", 1, 1 << 16)
        return {}

    @classmethod
    def read(cls, numbers: dict[str, Any], arrays: dict[str, Floats]) -> MeanPooling:
        return cls(whole(numbers, "dim", 1, 1 << 16))
