"""TT-Rec: the table as a tensor train of three cores.

n <= n1 n2 n3 and d = d1 d2 d3; the id's digits (i1, i2, i3) pick a matrix each, and e(x) is their
product G1[i1] G2[i2] G3[i3] of shapes (d1, r), (r, d2 r), (r, d3). r (n1 d1 + n2 r d2 + n3 d3)
numbers. Cores start from a normal distribution whose centre is cut out, so that products of three
are not all near zero. Yin et al., "TT-Rec: tensor train compression for deep learning
recommendation models" (MLSys 2021).
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.functional import embedding

from bigrain.tables.budget import largest
from bigrain.tables.forms.base import Form
from bigrain.tables.forms.tensor_train import TensorTrain
from bigrain.tables.spec import TableSpec
from bigrain.tables.table import INITIAL_STD, Table, to_numpy

__all__ = ["TtRec"]

MAX_RANK = 512
CUT = 0.38  # of the mass around zero


class TtRec(Table):
    """The rank is the largest that fits."""

    form_type: ClassVar[type[Form]] = TensorTrain

    def __init__(self, name: str, spec: TableSpec) -> None:
        super().__init__(name, spec)
        self.row_factors = row_factors(self.num_embeddings)
        self.dim_factors = dim_factors(self.embedding_dim)
        self.rank = 1
        self.rank = largest(
            lambda rank: self.bytes_of(self.knobs() | {"rank": rank}),
            1, MAX_RANK, self.budget(), name,
        )  # fmt: skip
        std = (INITIAL_STD / self.rank) ** (1 / 3)
        (n1, n2, n3), (d1, d2, d3) = self.row_factors, self.dim_factors
        self.first = self._core(n1, d1 * self.rank, std)
        self.second = self._core(n2, self.rank * d2 * self.rank, std)
        self.third = self._core(n3, self.rank * d3, std)

    def _core(self, rows: int, width: int, std: float) -> nn.Parameter:
        drawn = torch.rand(rows, width, generator=self.generator) * 2 - 1
        outer = torch.erfinv(torch.sign(drawn) * (CUT + (1 - CUT) * drawn.abs()) * 0.9999)
        return nn.Parameter(outer / outer.square().mean().sqrt() * std)

    def rows(self, ids: Tensor) -> Tensor:
        _, n2, n3 = self.row_factors
        d1, d2, d3 = self.dim_factors
        m, rank = len(ids), self.rank
        # In the order of the middle digit, so that no core of it is copied for each id.
        digit, order = torch.sort(ids // n3 % n2, stable=True)
        counts = torch.bincount(digit, minlength=n2).tolist()
        first = embedding(ids[order] // (n2 * n3), self.first).view(m * d1, rank)
        cores = self.second.view(n2, rank, d2 * rank).unbind()
        left = torch.cat(
            [
                part @ core
                for part, core in zip(first.split([d1 * c for c in counts]), cores, strict=True)
                if len(part)
            ]
            or [first.new_zeros(0, d2 * rank)]
        )
        third = embedding(ids[order] % n3, self.third).view(m, rank, d3)
        rows = torch.bmm(left.view(m, d1 * d2, rank), third).view(m, self.embedding_dim)
        return torch.zeros_like(rows).index_copy(0, order, rows)

    def knobs(self) -> dict[str, Any]:
        return {
            "rank": self.rank,
            "row_factors": self.row_factors,
            "dim_factors": self.dim_factors,
        }

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        (n1, n2, n3), (d1, _, d3), rank = self.row_factors, self.dim_factors, self.rank
        return {
            "first": to_numpy(self.first).reshape(n1, d1, rank),
            "second": to_numpy(self.second).reshape(n2, rank, -1),
            "third": to_numpy(self.third).reshape(n3, rank, d3),
        }


def row_factors(n: int) -> list[int]:
    """Three near cube roots whose product is at least n."""
    third = math.ceil(round(n ** (1 / 3), 9))
    second = math.ceil(math.sqrt(n / third))
    return [-(-n // (third * second)), second, third]


def dim_factors(d: int) -> list[int]:
    """Three divisors with product d and the smallest sum."""
    divisors = [k for k in range(1, d + 1) if d % k == 0]
    triples = [(a, b, d // a // b) for a in divisors for b in divisors if d % (a * b) == 0]
    return list(min(triples, key=lambda t: (sum(t), t)))
