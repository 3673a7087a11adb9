"""A linear part beside a network.

Cheng et al., "Wide & deep learning for recommender systems" (DLRS 2016).
"""

from __future__ import annotations

from torch import Tensor, nn

from bigrain.tables.models.parts import FirstOrder, network

__all__ = ["WideDeep"]


class WideDeep(nn.Module):
    """logit = sum_f <w_f, e_f> + network(rows)."""

    def __init__(self, table: nn.Module, fields: int, dim: int, hidden: int = 64) -> None:
        super().__init__()
        self.table, self.wide = table, FirstOrder(fields, dim)
        self.deep = network(fields * dim, hidden, 1)

    def forward(self, ids: Tensor) -> Tensor:
        rows = self.table(ids)
        return self.wide(rows) + self.deep(rows.flatten(1))[:, 0]
