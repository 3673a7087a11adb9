"""Classes of sets of ids: the mean of their rows through a network."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bigrain.tables.models.parts import network

__all__ = ["Bag"]


class Bag(nn.Module):
    """logits = network(mean of e(x) over the set)."""

    def __init__(self, table: nn.Module, dim: int, outputs: int, hidden: int = 64) -> None:
        super().__init__()
        self.table, self.deep = table, network(dim, hidden, outputs)

    def forward(self, ids: Tensor, offsets: Tensor) -> Tensor:
        """(batch, outputs) of sets whose ids lie from offsets[i] to offsets[i + 1]."""
        lengths = offsets[1:] - offsets[:-1]
        of = torch.repeat_interleave(torch.arange(len(lengths)), lengths)
        rows = self.table(ids)
        sums = torch.zeros(len(lengths), rows.shape[1]).index_add(0, of, rows)
        return self.deep(sums / lengths.clamp_min(1)[:, None])
