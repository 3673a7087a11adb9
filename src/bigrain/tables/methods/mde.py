"""MDE: mixed dimensions, narrow rows for groups of many ids.

d_g = d (n_min / n_g)^alpha, rounded to a power of two and at least 1; a projection (d_g, d)
restores the width. alpha is the smallest that fits. Groups are the fields, or bands of falling
frequency. Ginart et al., "Mixed dimension embeddings with application to memory-efficient
recommendation systems" (ISIT 2021).
"""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from bigrain.tables.budget import largest
from bigrain.tables.methods.widths import NarrowRows
from bigrain.tables.spec import TableSpec

__all__ = ["MixedDimensions"]

STEEPEST, STEPS = 8.0, 8000  # of alpha


class MixedDimensions(NarrowRows):
    """The rule decides, nothing is searched for. Option: `bits`, as in NarrowRows."""

    def __init__(self, name: str, spec: TableSpec, *, bits: int = 32) -> None:
        super().__init__(name, spec, bits=bits)
        step = largest(
            lambda step: self.bytes_of(self.knobs_of(self._widths(step), self.sizes)),
            0, STEPS, self.budget(), name,
        )  # fmt: skip
        self.make_rows(self._widths(step))

    def _widths(self, step: int) -> list[int]:
        alpha = STEEPEST * (1 - step / STEPS)
        smallest = min(self.sizes)
        exact = [self.embedding_dim * (smallest / size) ** alpha for size in self.sizes]
        rounded = [2 ** round(math.log2(width)) if width >= 1 else 1 for width in exact]
        return [min(width, self.embedding_dim) for width in rounded]

    def rows(self, ids: Tensor) -> Tensor:
        return self.narrow_rows(ids)

    def knobs(self) -> dict[str, Any]:
        assert self.widths is not None
        return self.knobs_of(self.widths, self.sizes)
