"""A small task: learn the rows of a fixed random table of half as many directions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

BATCH = 64


class Task:
    """Targets of ids, and the order in which ids are asked for; skewed like real ids."""

    def __init__(self, rows: int, dim: int, seed: int = 0) -> None:
        draw = torch.Generator().manual_seed(seed)
        self.targets = torch.randn(rows, dim, generator=draw) * 0.5
        self.draw = draw
        self.rows = rows

    def batch(self) -> torch.Tensor:
        skewed = torch.rand(BATCH, generator=self.draw) ** 3
        return (skewed * self.rows).long()

    def loss(self, model: nn.Module, ids: torch.Tensor) -> torch.Tensor:
        return ((model(ids) - self.targets[ids]) ** 2).mean()


class Model(nn.Module):
    """The table with a scale of its own, so that the optimiser has something in any case."""

    def __init__(self, table: nn.Module) -> None:
        super().__init__()
        self.table, self.scale = table, nn.Parameter(torch.ones(()))

    def forward(self, ids: torch.Tensor) -> Any:
        return self.table(ids) * self.scale


class Run:
    """A run of a schedule that can stop at any step and be saved."""

    def __init__(self, table: Any, steps: int, search_steps: int | None = None) -> None:
        self.table, self.task = table, Task(table.num_embeddings, table.embedding_dim)
        self.schedule = table.schedule(steps, search_steps=search_steps)
        self.model = Model(table)
        self.optimiser = self.optimiser_of(self.model)
        self.losses: list[float] = []
        self.taken = 0

    @staticmethod
    def optimiser_of(model: nn.Module) -> torch.optim.Optimizer:
        return torch.optim.Adam(model.parameters(), lr=0.02)

    def go(self, stop: Callable[[int], bool] = lambda taken: False) -> Run:
        for step in self.schedule:
            if step.fresh:
                self.model = Model(self.table)
            if step.renewed:
                self.optimiser = self.optimiser_of(self.model)
            ids = self.task.batch()
            if step.kind == "score":
                with torch.no_grad():
                    step.report(-float(self.task.loss(self.model.eval(), ids)))
                self.model.train()
            else:
                self.model.train()
                loss = self.task.loss(self.model, ids)
                self.losses.append(loss.item())
                step.update(loss, self.optimiser)
            self.taken += 1
            if stop(self.taken):
                break
        return self


def train(table: Any, steps: int) -> list[float]:
    """All phases of a table; returns the losses of the model itself."""
    return Run(table, steps).go().losses
