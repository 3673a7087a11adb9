"""INT8 and INT16: a full table is trained and rounded when it is exported.

s = max |E[x]| / (2^(b-1) - 1),  q = round(E[x] / s),  e(x) = s q. INT8 has a scale for each row,
INT16 one for the table, which is precise enough there and keeps it at half of the bytes. Rounding
is to the nearest, so that exporting twice gives the same file; `stochastic` rounds floor(v + u)
with u uniform in [0, 1) from the seed instead, which is unbiased.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import embedding

from bigrain.tables.budget import check_budget
from bigrain.tables.forms.base import Form
from bigrain.tables.forms.integers import Integers
from bigrain.tables.spec import TableSpec
from bigrain.tables.table import Table, to_numpy

__all__ = ["Int8", "Int16"]


class Rounded(Table):
    """Outside training it gives the rounded rows. Options:
    stochastic: round at random instead of to the nearest.
    """

    form_type: ClassVar[type[Form]] = Integers
    bits: ClassVar[int]
    by_row: ClassVar[bool]

    def __init__(self, name: str, spec: TableSpec, *, stochastic: bool = False) -> None:
        super().__init__(name, spec)
        check_budget(self.bytes(), spec.budget_bytes, name)
        self.stochastic = stochastic
        self.weight = self.drawn(self.num_embeddings, self.embedding_dim)
        self._whole: tuple[int, Tensor] | None = None  # version of the weight, its scale

    def rows(self, ids: Tensor) -> Tensor:
        rows = embedding(ids, self.weight)
        if self.training or self.stochastic:
            return rows
        scales = self._scales(rows) if self.by_row else self._whole_scale()
        return torch.round(rows / scales) * scales

    def _whole_scale(self) -> Tensor:
        """(1, 1), looked for again only where the weight has changed."""
        if self._whole is None or self._whole[0] != self.weight._version:
            self._whole = (self.weight._version, self._scales(self.weight.detach()))
        return self._whole[1]

    def _scales(self, rows: Tensor) -> Tensor:
        """(m, 1), or (1, 1) for all; 1 for zeros alone."""
        top = rows.abs().amax(dim=(1,) if self.by_row else (0, 1), keepdim=True)
        top = top / ((1 << (self.bits - 1)) - 1)
        return torch.where(top > 0, top, torch.ones_like(top))

    def knobs(self) -> dict[str, Any]:
        return {"bits": self.bits, "scales": self.num_embeddings if self.by_row else 1}

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        scales = self._scales(self.weight)
        cells = self.weight / scales
        if self.stochastic:
            draw = torch.Generator().manual_seed(self.spec.seed)
            cells = torch.floor(cells + torch.rand(cells.shape, generator=draw))
            cells = cells.clamp(-(1 << (self.bits - 1)), (1 << (self.bits - 1)) - 1)
        kind = torch.int8 if self.bits == 8 else torch.int16
        return {
            "cells": to_numpy(torch.round(cells).to(kind)),
            "scales": to_numpy(scales[:, 0]),
        }


class Int8(Rounded):
    bits: ClassVar[int] = 8
    by_row: ClassVar[bool] = True


class Int16(Rounded):
    bits: ClassVar[int] = 16
    by_row: ClassVar[bool] = False
