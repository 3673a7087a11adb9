"""A factorisation machine beside a network.

The products of all pairs of rows in one go: sum_{f<g} <e_f, e_g> = (|sum e|^2 - sum |e|^2) / 2. Guo
et al., "DeepFM: a factorization-machine based neural network for CTR prediction" (IJCAI 2017).
"""

from __future__ import annotations

from torch import Tensor, nn

from bigrain.tables.models.parts import FirstOrder, network

__all__ = ["DeepFm"]


class DeepFm(nn.Module):
    """logit = sum_f <w_f, e_f> + sum_{f<g} <e_f, e_g> + network(rows)."""

    def __init__(self, table: nn.Module, fields: int, dim: int, hidden: int = 64) -> None:
        super().__init__()
        self.table, self.first = table, FirstOrder(fields, dim)
        self.deep = network(fields * dim, hidden, 1)

    def forward(self, ids: Tensor) -> Tensor:
        rows = self.table(ids)
        pairs = (rows.sum(dim=1).square() - rows.square().sum(dim=1)).sum(dim=1) / 2
        return self.first(rows) + pairs + self.deep(rows.flatten(1))[:, 0]
