"""ALPT: the stored weights are integers while the table is trained, with a learned scale a row.

e(x) = s_x q_x. A step (1) goes down the gradient from the de-quantised rows w = s q of the ids at
hand, (2) moves their scales along sum_j g_j (round(w_j / s) - w_j / s) (at the ends of the range
g_j times the end), times 1 / sqrt(B d (2^(b-1) - 1)), and (3) rounds back at random, so that the
expectation is right. Li et al., "Adaptive low-precision training for embeddings in click-through
rate prediction" (AAAI 2023). The paper computes (2) in a second pass; here one gradient serves
both. A row that outgrows its range gets a wider scale at once.

There is no float table. The rows are updated during `backward`, by row-wise Adagrad with a learning
rate of their own, and the optimiser sees no parameter.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy.typing as npt
import torch
from torch import Tensor

from bigrain.errors import ConfigError
from bigrain.tables.budget import check_budget
from bigrain.tables.forms.base import Form
from bigrain.tables.forms.integers import Integers
from bigrain.tables.spec import TableSpec
from bigrain.tables.table import INITIAL_STD, Table, to_numpy

__all__ = ["Alpt"]

FIRST_SCALE = 0.01
SMALLEST_SCALE = 1e-8
AT_ONCE = 1 << 13


class Alpt(Table):
    """Options:
    bits: 8 or 16. Default 8.
    learning_rate: of the rows. Default 0.05.
    scale_rate: of the scales. Default 2e-5.
    """

    form_type: ClassVar[type[Form]] = Integers

    def __init__(
        self,
        name: str,
        spec: TableSpec,
        *,
        bits: int = 8,
        learning_rate: float = 0.05,
        scale_rate: float = 2e-5,
    ) -> None:
        super().__init__(name, spec)
        if bits not in (8, 16):
            raise ConfigError(f"{name}: bits must be 8 or 16, not {bits}")
        self.bits, self.top = bits, (1 << (bits - 1)) - 1
        self.learning_rate, self.scale_rate = learning_rate, scale_rate
        check_budget(self.bytes(), spec.budget_bytes, name)
        n, d = self.num_embeddings, self.embedding_dim
        cells = torch.empty(n, d, dtype=torch.int8 if bits == 8 else torch.int16)
        self.register_buffer("scales", torch.full((n,), FIRST_SCALE))
        self.register_buffer("squares", torch.zeros(n))
        for start in range(0, n, AT_ONCE):  # so that there is never a float table
            part = cells[start : start + AT_ONCE]
            drawn = torch.randn(part.shape, generator=self.generator) * INITIAL_STD
            part.copy_(self._rounded(drawn / FIRST_SCALE))
        self.register_buffer("cells", cells)

    def rows(self, ids: Tensor) -> Tensor:
        if not (self.training and torch.is_grad_enabled()):
            return self.cells[ids] * self.scales[ids][:, None]
        distinct, where = torch.unique(ids, return_inverse=True)
        weights = self.cells[distinct] * self.scales[distinct][:, None]
        weights.requires_grad_(True)
        weights.register_hook(lambda gradient: self._update(distinct, weights, gradient))
        return weights[where]

    @torch.no_grad()
    def _update(self, ids: Tensor, weights: Tensor, gradient: Tensor) -> None:
        self.squares[ids] += gradient.square().mean(dim=1)
        rate = self.learning_rate / (self.squares[ids].sqrt() + 1e-10)
        new = weights.detach() - rate[:, None] * gradient
        scales = self.scales[ids]
        steps = new / scales[:, None]
        error = torch.where(steps.abs() < self.top, torch.round(steps) - steps, 0)
        error += torch.where(steps.abs() < self.top, 0, steps.sign() * self.top)
        slope = (gradient * error).sum(dim=1) / math.sqrt(new.numel() * self.top)
        scales = (scales - self.scale_rate * slope).clamp_min(SMALLEST_SCALE)
        scales = torch.maximum(scales, new.abs().amax(dim=1) / self.top)
        self.scales[ids] = scales
        self.cells[ids] = self._rounded(new / scales[:, None]).to(self.cells.dtype)

    def _rounded(self, steps: Tensor) -> Tensor:
        """floor(v + u), u uniform in [0, 1)"""
        up = torch.rand(steps.shape, generator=self.generator)
        return torch.floor(steps + up).clamp(-self.top, self.top)

    def knobs(self) -> dict[str, Any]:
        return {"bits": self.bits, "scales": self.num_embeddings}

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        return {"cells": to_numpy(self.cells), "scales": to_numpy(self.scales)}
