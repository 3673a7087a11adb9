"""Cross layers beside a network.

x_{l+1} = x_0 * (W_l x_l + b_l) + x_l, entry by entry. Wang et al., "DCN V2: improved deep & cross
network" (WWW 2021).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bigrain.tables.models.parts import network

__all__ = ["Cross"]

LAYERS = 2


class Cross(nn.Module):
    """logit = <w, cross layers(rows) and network(rows)>."""

    def __init__(self, table: nn.Module, fields: int, dim: int, hidden: int = 64) -> None:
        super().__init__()
        width = fields * dim
        self.table, self.deep = table, network(width, hidden, hidden)
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(LAYERS))
        self.last = nn.Linear(width + hidden, 1)

    def forward(self, ids: Tensor) -> Tensor:
        first = self.table(ids).flatten(1)
        crossed = first
        for layer in self.layers:
            crossed = first * layer(crossed) + crossed
        return self.last(torch.cat([crossed, self.deep(first)], dim=1))[:, 0]
