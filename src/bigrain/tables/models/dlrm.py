"""Products of the rows of all pairs of fields, then a network.

Naumov et al., "Deep learning recommendation model for personalization and recommendation systems"
(2019), without numeric features.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bigrain.tables.models.parts import network

__all__ = ["Dlrm"]


class Dlrm(nn.Module):
    """logit = network(<e_f, e_g> for all f < g, and the rows themselves)."""

    def __init__(self, table: nn.Module, fields: int, dim: int, hidden: int = 64) -> None:
        super().__init__()
        first, second = torch.triu_indices(fields, fields, 1)
        self.register_buffer("first", first, persistent=False)
        self.register_buffer("second", second, persistent=False)
        self.table, self.deep = table, network(len(first) + fields * dim, hidden, 1)

    def forward(self, ids: Tensor) -> Tensor:
        rows = self.table(ids)
        products = (rows[:, self.first] * rows[:, self.second]).sum(dim=2)
        return self.deep(torch.cat([products, rows.flatten(1)], dim=1))[:, 0]
