"""Compositional embeddings by quotient and remainder.

e(x) = Q[x // k] * R[x mod k], entry by entry: ceil(n / k) + k rows, at least about 2 sqrt(n), and
no two ids share both. Shi et al., "Compositional embeddings using complementary partitions for
memory-efficient recommendation systems" (KDD 2020).
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy.typing as npt
from torch import Tensor
from torch.nn.functional import embedding

from bigrain.errors import ConfigError
from bigrain.tables.budget import largest
from bigrain.tables.forms.base import Form
from bigrain.tables.forms.compositional import Compositional
from bigrain.tables.spec import TableSpec
from bigrain.tables.table import Table, to_numpy

__all__ = ["QuotientRemainder"]


class QuotientRemainder(Table):
    """Options:
    remainder_std: the deviation that remainders start with. Default 1, so that frequent ids, which
        are often neighbours and share a quotient, start as different rows.
    """

    form_type: ClassVar[type[Form]] = Compositional

    def __init__(self, name: str, spec: TableSpec, *, remainder_std: float = 1.0) -> None:
        super().__init__(name, spec)
        if not 0 < remainder_std < math.inf:
            raise ConfigError(f"{name}: remainder_std must be above 0, not {remainder_std}")
        middle = math.isqrt(self.num_embeddings - 1) + 1 if self.num_embeddings > 1 else 1
        smaller_by = largest(  # bytes rise as the divisor falls from the square root
            lambda step: self.bytes_of({"divisor": middle - step}),
            0, middle - 1, self.budget(), name,
        )  # fmt: skip
        self.divisor = middle - smaller_by
        self.quotients = self.drawn(-(-self.num_embeddings // self.divisor), self.embedding_dim)
        self.remainders = self.drawn(self.divisor, self.embedding_dim, std=remainder_std)

    def rows(self, ids: Tensor) -> Tensor:
        k = self.divisor
        return embedding(ids // k, self.quotients) * embedding(ids % k, self.remainders)

    def knobs(self) -> dict[str, Any]:
        return {"divisor": self.divisor}

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        return {"quotients": to_numpy(self.quotients), "remainders": to_numpy(self.remainders)}
