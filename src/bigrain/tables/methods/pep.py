"""PEP: thresholds that are learned prune the table; what is left is trained from the start.

e = sign(E) relu(|E| - sigmoid(s)), with a learned s for the table, each row, column or number. When
no more numbers are left than the budget holds, their places are the mask, and the table is trained
again from its first values with it. Liu et al., "Learnable embedding sizes for recommender systems"
(ICLR 2021).

There, s starts far below 0 and weight decay brings it up; here s goes from -10 a tenth of the way
to 0 left over the search, beside its own gradient, so that a search ends at any length. If it has
not reached the budget, the largest |E| - sigmoid(s) are kept.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.functional import embedding, relu

from bigrain.errors import ConfigError
from bigrain.tables.methods.pruned import Pruned
from bigrain.tables.schedule import Phase
from bigrain.tables.spec import TableSpec

__all__ = ["Pep"]

FIRST = -10.0
LEFT = 0.1  # of it, at the end of the search
RATE = 1e-3
EVERY = 10
GRANULARITIES = ("table", "row", "column", "element")


class Pep(Pruned):
    """Options:
    granularity: what has a threshold of its own: "table", "row", "column" or "element" (which
        doubles the memory of training). Default "row".
    bits: as in Pruned.
    """

    architecture_kinds: ClassVar[tuple[str, ...]] = ("train",)

    def __init__(
        self, name: str, spec: TableSpec, *, granularity: str = "row", bits: int = 32
    ) -> None:
        super().__init__(name, spec, bits=bits)
        if granularity not in GRANULARITIES:
            raise ConfigError(f"{name}: granularity must be one of {', '.join(GRANULARITIES)}")
        rows = self.num_embeddings if granularity in ("row", "element") else 1
        columns = self.embedding_dim if granularity in ("column", "element") else 1
        self.thresholds = nn.Parameter(torch.full((rows, columns), FIRST))
        self.stage, self.steps, self.search_steps = "search", 0, 1

    def phases(self, steps: int, search_steps: int) -> list[Phase]:
        self.search_steps = search_steps
        return [Phase("search", search_steps), Phase("retrain", steps, fresh=True)]

    def begin_phase(self, phase: str) -> None:
        self.stage = phase
        if phase == "retrain":
            if self.mask is None:
                self.mask = self._largest()
            self.thresholds = nn.Parameter(torch.zeros(0), requires_grad=False)
            self.generator.manual_seed(self.spec.seed)  # the values it began with
            self.weight = self.drawn(self.num_embeddings, self.embedding_dim)
            self.hold(self.mask)

    @torch.no_grad()
    def after_step(self, phase: str, share: float) -> None:
        if phase != "search":
            return
        self.steps += 1
        self.thresholds *= LEFT ** (1 / self.search_steps)
        if self.steps % EVERY == 0 and self.mask is None:
            left = int((self.weight.abs() > torch.sigmoid(self.thresholds)).sum())
            if left <= self.values:
                self.mask = self._largest()

    @torch.no_grad()
    def _largest(self) -> Tensor:
        return self.kept_of(self.weight.abs() - torch.sigmoid(self.thresholds), self.values)

    def architecture_parameters(self) -> list[nn.Parameter]:
        return [self.thresholds] if self.stage == "search" else []

    def architecture_optimiser(self) -> torch.optim.Optimizer | None:
        return torch.optim.Adam([self.thresholds], lr=RATE) if self.stage == "search" else None

    def rows(self, ids: Tensor) -> Tensor:
        if self.stage == "retrain":
            return super().rows(ids)
        rows = embedding(ids, self.weight)
        by_row = len(self.thresholds) > 1
        threshold = embedding(ids, self.thresholds) if by_row else self.thresholds
        return rows.sign() * relu(rows.abs() - torch.sigmoid(threshold))

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        if self.stage != "retrain":
            raise self.unfinished()
        return super().arrays()

    def structure(self) -> dict[str, Any]:
        return {
            **super().structure(),
            "stage": self.stage,
            "steps": self.steps,
            "search_steps": self.search_steps,
        }

    def restructure(self, structure: dict[str, Any]) -> None:
        super().restructure(structure)
        self.stage, self.steps = structure["stage"], structure["steps"]
        self.search_steps = structure["search_steps"]
        if self.stage == "retrain":
            self.thresholds = nn.Parameter(torch.zeros(0), requires_grad=False)
