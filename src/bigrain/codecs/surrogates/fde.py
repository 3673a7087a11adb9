"""Fixed-dimensional encodings (`codecs.fde`) as a surrogate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy.typing as npt

from bigrain.codecs.fde import FixedDimensional
from bigrain.codecs.ragged import require_ragged
from bigrain.codecs.surrogates.protocol import Floats, Ints, Shapes
from bigrain.codecs.surrogates.sizes import whole

__all__ = ["FdeSurrogate"]

SETTINGS = ("dim", "repetitions", "partition_bits", "projection_dim", "seed")
REPETITIONS, PARTITION_BITS, PROJECTION_DIM = 20, 3, 8  # the smallest published choice
WIDEST = 1 << 20


@dataclass(frozen=True)
class FdeSurrogate:
    """An encoding of 1,280 dimensions, drawn at random: nothing is learned."""

    name: ClassVar[str] = "fde"
    fitted_on: ClassVar[int] = 0
    encoding: FixedDimensional

    @property
    def dim(self) -> int:
        return self.encoding.dim

    @property
    def width(self) -> int:
        return self.encoding.width

    @classmethod
    def fit(
        cls, values: Floats, offsets: Ints, *, queries: Floats | None = None, seed: int = 0
    ) -> FdeSurrogate:
        require_ragged(values, offsets)
        dim = values.shape[1]
        sizes = (REPETITIONS, PARTITION_BITS, min(PROJECTION_DIM, dim))
        return cls(FixedDimensional(dim, *sizes, seed=seed))

    def documents(self, values: npt.NDArray[Any], offsets: npt.NDArray[Any]) -> Floats:
        return self.encoding.documents(values, offsets)

    def queries(self, values: npt.NDArray[Any], offsets: npt.NDArray[Any]) -> Floats:
        return self.encoding.queries(values, offsets)

    def arrays(self) -> dict[str, Floats]:
        return {}

    def numbers(self) -> dict[str, Any]:
        return {"name": self.name} | {one: getattr(self.encoding, one) for one in SETTINGS}

    @staticmethod
    def shapes(numbers: dict[str, Any]) -> Shapes:
        dim = whole(numbers, "dim", 1, 1 << 16)
        repetitions = whole(numbers, "repetitions", 1, 1000)
        bits = whole(numbers, "partition_bits", 0, 10)
        width = (repetitions << bits) * whole(numbers, "projection_dim", 1, dim)
        whole(numbers, "seed", 0, (1 << 63) - 1)
        if width > WIDEST:
            raise ValueError(f"an encoding of {width} dimensions; at most {WIDEST} are read")
        return {}

    @classmethod
    def read(cls, numbers: dict[str, Any], arrays: dict[str, Floats]) -> FdeSurrogate:
        cls.shapes(numbers)
        return cls(FixedDimensional(**{one: numbers[one] for one in SETTINGS}))
