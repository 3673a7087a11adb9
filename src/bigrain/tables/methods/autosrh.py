"""AutoSrh: soft choice of dimensions by groups of ids, then pruning.

e(x) = E[x] * alpha[g(x)], where alpha (groups, d) starts at 1. While searching, E learns from
training batches and alpha from validation batches, in turn: by SGD with the gradient divided by its
mean magnitude and an L1 penalty, and clipped to [0, 1]. Then E is trained from the start with alpha
frozen, alpha is folded in, and the globally smallest |E alpha| go. Kong et al., "AutoSrh: an
embedding dimensionality search framework for tabular data prediction" (TKDE 2022).

Groups are the fields, or bands of falling frequency. A last fifth of the steps trains what is left.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from bigrain.tables.methods.pruned import Pruned
from bigrain.tables.schedule import Phase
from bigrain.tables.spec import TableSpec

__all__ = ["AutoSrh"]

RATE, PENALTY = 1e-3, 1e-5


class AutoSrh(Pruned):
    """Needs fields or frequencies. Option: `bits`, as in Pruned."""

    architecture_kinds: ClassVar[tuple[str, ...]] = ("validate",)

    def __init__(self, name: str, spec: TableSpec, *, bits: int = 32) -> None:
        super().__init__(name, spec, bits=bits)
        groups = len(self.keep_groups())
        self.alpha = nn.Parameter(torch.ones(groups, self.embedding_dim))
        self.stage = "search"

    def phases(self, steps: int, search_steps: int) -> list[Phase]:
        settle = max(1, steps // 5)
        return [
            Phase("search", search_steps, ("train", "validate")),
            Phase("retrain", max(1, steps - settle), fresh=True),
            Phase("settle", settle),
        ]

    def begin_phase(self, phase: str) -> None:
        self.stage = phase
        self.alpha.requires_grad_(phase == "search")
        if phase == "retrain":
            self.generator.manual_seed(self.spec.seed)
            self.weight = self.drawn(self.num_embeddings, self.embedding_dim)

    @torch.no_grad()
    def end_phase(self, phase: str) -> None:
        if phase != "retrain":
            return
        step = 1 << 16
        for start in range(0, self.num_embeddings, step):
            ids = torch.arange(start, min(start + step, self.num_embeddings))
            self.weight[ids] *= self._gates(ids)
        self.alpha.fill_(1)
        self.hold(self.kept_of(self.weight.abs(), self.values))

    def architecture_parameters(self) -> list[nn.Parameter]:
        return [self.alpha] if self.stage == "search" else []

    def architecture_optimiser(self) -> torch.optim.Optimizer | None:
        return torch.optim.SGD([self.alpha], lr=RATE) if self.stage == "search" else None

    def shape_gradients(self) -> None:
        if self.alpha.grad is not None:
            self.alpha.grad /= self.alpha.grad.abs().mean().clamp_min(1e-12)
            self.alpha.grad += PENALTY * self.alpha.detach().sign()

    def after_architecture(self) -> None:
        with torch.no_grad():
            self.alpha.clamp_(0, 1)

    def _gates(self, ids: Tensor) -> Tensor:
        return self.alpha[self.groups_of(self.places(ids))]

    def rows(self, ids: Tensor) -> Tensor:
        return super().rows(ids) * self._gates(ids)

    def arrays(self) -> dict[str, Any]:
        if self.stage != "settle":
            raise self.unfinished()
        return super().arrays()

    def structure(self) -> dict[str, Any]:
        return {**super().structure(), "stage": self.stage}

    def restructure(self, structure: dict[str, Any]) -> None:
        super().restructure(structure)
        self.stage = structure["stage"]
        self.alpha.requires_grad_(self.stage == "search")
