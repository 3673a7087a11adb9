"""What the models share."""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["FirstOrder", "network"]


def network(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """Two hidden layers with ReLU."""
    return nn.Sequential(
        nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(),
        nn.Linear(hidden, outputs),
    )  # fmt: skip


class FirstOrder(nn.Module):
    """sum_f <w_f, e_f> + b of rows (batch, fields, dim)."""

    def __init__(self, fields: int, dim: int) -> None:
        super().__init__()
        self.weigh = nn.Linear(fields * dim, 1)

    def forward(self, rows: Tensor) -> Tensor:
        return self.weigh(rows.flatten(1))[:, 0]
