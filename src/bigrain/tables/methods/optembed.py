"""OptEmbed: which rows are kept, and how wide those of each group are.

(a) Supernet: a row is there if its L1 norm is above the learned threshold t_g of its group, through
a step function with the surrogate gradient 2 - 4|u| for |u| <= 0.4, 0.4 up to 1, then 0; thresholds
are pushed up by alpha sum_g exp(-t_g). Each id looked up keeps a random prefix of its dimensions,
so that all widths are trained at once. (b) Evolution over the widths of groups: the score of the
model on validation data is the fitness. (c) The kept rows are trained from the start at the best
widths. Lyu et al., "OptEmbed: learning optimal embedding table for click-through rate prediction"
(CIKM 2022).

The budget bounds the search: widths that are too many bytes are made narrower at random, and where
rows alone are too many, those with the smallest norms go too.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding

from bigrain.errors import ConfigError
from bigrain.tables.budget import check_budget, largest
from bigrain.tables.methods.widths import NarrowRows
from bigrain.tables.schedule import Phase
from bigrain.tables.spec import TableSpec

__all__ = ["OptEmbed"]

THRESHOLD_RATE = 1e-4


class _Step(torch.autograd.Function):
    """1 where u > 0, with the surrogate gradient above."""

    @staticmethod
    def forward(ctx: Any, u: Tensor) -> Tensor:
        ctx.save_for_backward(u)
        return (u > 0).to(u.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        size = ctx.saved_tensors[0].abs()
        slope = torch.where(size <= 0.4, 2 - 4 * size, 0.4 * (size <= 1))
        return gradient * slope


class OptEmbed(NarrowRows):
    """Options:
    alpha: how hard thresholds are pushed up, 1e-6 to 1e-4. Default 1e-5.
    generations, mutations, crossovers, parents: of the evolution; parents + generations *
        (mutations + crossovers) scores are asked for. Default 30, 10, 10, 15.
    bits: as in NarrowRows.
    """

    projected: ClassVar[bool] = False
    pruned: ClassVar[bool] = True
    architecture_kinds: ClassVar[tuple[str, ...]] = ("train",)

    def __init__(
        self,
        name: str,
        spec: TableSpec,
        *,
        alpha: float = 1e-5,
        generations: int = 30,
        mutations: int = 10,
        crossovers: int = 10,
        parents: int = 15,
        bits: int = 32,
    ) -> None:
        super().__init__(name, spec, bits=bits)
        if min(generations, mutations, crossovers) < 0 or parents < 1 or alpha < 0:
            raise ConfigError(f"{name}: counts and alpha must not be negative, parents at least 1")
        self.alpha, self.generations = alpha, generations
        self.mutations, self.crossovers, self.parents = mutations, crossovers, parents
        groups = len(self.sizes)
        nothing = self.knobs_of([1] * groups, [0] * (groups - 1) + [1])
        check_budget(self.bytes_of(nothing), spec.budget_bytes, name)
        self.weight = self.drawn(self.num_embeddings, self.embedding_dim)
        self.thresholds = nn.Parameter(torch.zeros(groups))
        self.queue: list[list[int]] = []  # widths that wait for their score
        self.scores: list[tuple[float, list[int]]] = []  # the best so far, best first
        self.searching = False

    def phases(self, steps: int, search_steps: int) -> list[Phase]:
        scores = self.parents + self.generations * (self.mutations + self.crossovers)
        return [
            Phase("supernet", search_steps),
            Phase("evolution", scores, ("score",)),
            Phase("retrain", steps, fresh=True),
        ]

    def begin_phase(self, phase: str) -> None:
        if phase == "evolution":
            self.searching, self.kept = True, self._rows_to_keep()
            self.queue = [self._fitting(self._random()) for _ in range(self.parents)]
        elif phase == "retrain":
            self._settle(self.scores[0][1], self.kept)

    def scored(self, score: float) -> None:
        self.scores.append((score, self.queue.pop(0)))
        if not self.queue:
            self.scores = sorted(self.scores, key=lambda s: -s[0])[: self.parents]
            self.queue = [self._mutated() for _ in range(self.mutations)]
            self.queue += [self._crossed() for _ in range(self.crossovers)]

    def architecture_parameters(self) -> list[nn.Parameter]:
        return [self.thresholds] if self.widths is None and not self.searching else []

    def architecture_optimiser(self) -> torch.optim.Optimizer | None:
        own = self.architecture_parameters()
        return torch.optim.SGD(own, lr=THRESHOLD_RATE) if own else None

    def shape_gradients(self) -> None:
        if self.thresholds.grad is not None:
            self.thresholds.grad -= self.alpha * torch.exp(-self.thresholds.detach())

    def rows(self, ids: Tensor) -> Tensor:
        if self.widths is not None:
            return self.narrow_rows(ids)
        places = self.places(ids)
        group = self.groups_of(places)
        rows = embedding(places, self.weight)
        column = torch.arange(self.embedding_dim)
        if self.searching:
            width = torch.tensor(self.queue[0] if self.queue else self.scores[0][1])[group]
            assert self.kept is not None
            return rows * self.kept[places][:, None] * (column < width[:, None])
        rows = rows * _Step.apply(rows.abs().sum(dim=1) - self.thresholds[group])[:, None]
        if self.training:
            width = torch.randint(
                1, self.embedding_dim + 1, (len(ids), 1), generator=self.generator
            )
            rows = rows * (column < width)
        return rows

    @torch.no_grad()
    def _rows_to_keep(self) -> Tensor:
        """(n,) the rows above their threshold; fewer where the budget takes no more of width 1."""
        norms = self.weight.abs().sum(dim=1)
        margin = norms - self.thresholds[self.groups_of(torch.arange(self.num_embeddings))]
        kept = margin > 0
        groups = len(self.sizes)

        def size(rows: int) -> int:
            return self.bytes_of(self.knobs_of([1] * groups, [0] * (groups - 1) + [rows]))

        most = largest(size, 1, self.num_embeddings, self.budget(), self.name)
        if int(kept.sum()) > most or not kept.any():
            order = torch.topk(norms, min(most, max(1, int(kept.sum())))).indices
            kept = torch.zeros_like(kept)
            kept[order] = True
            # A list of sizes with more digits than that of `size` may take some rows' bytes.
            for last in order.flip(0)[:-1]:
                sizes = [int(part.sum()) for part in torch.split(kept, self.sizes)]
                if self.bytes_of(self.knobs_of([1] * groups, sizes)) <= self.budget():
                    break
                kept[last] = False
        return kept

    def _random(self) -> list[int]:
        return self._below(self.embedding_dim, len(self.sizes), first=1)

    def _below(self, stop: int, count: int, first: int = 0) -> list[int]:
        drawn = torch.randint(first, stop + first, (count,), generator=self.generator)
        return [int(number) for number in drawn]

    def _mutated(self) -> list[int]:
        """A parent with each width drawn anew at probability 0.1."""
        widths = list(self.scores[self._below(len(self.scores), 1)[0]][1])
        change = torch.rand(len(widths), generator=self.generator) < 0.1
        drawn = self._random()
        return self._fitting([d if c else w for w, d, c in zip(widths, drawn, change, strict=True)])

    def _crossed(self) -> list[int]:
        """The first groups of one parent and the others of another."""
        one, two = (self.scores[at][1] for at in self._below(len(self.scores), 2))
        cut = self._below(len(self.sizes), 1)[0] + 1
        return self._fitting([*one[:cut], *two[cut:]])

    def _fitting(self, widths: list[int]) -> list[int]:
        """Widths made narrower, one group at random at a time, until they fit the budget."""
        sizes = self.kept_sizes()
        while self.bytes_of(self.knobs_of(widths, sizes)) > self.budget() and max(widths) > 1:
            g = self._below(len(widths), 1)[0]
            widths[g] = max(1, widths[g] - max(1, widths[g] // 4))
        return widths

    def _settle(self, widths: list[int], kept: Tensor) -> None:
        """End the search: the kept rows at these widths, and nothing of the supernet."""
        self.generator.manual_seed(self.spec.seed)
        self.make_rows(widths, kept)
        self.weight = nn.Parameter(torch.zeros(0))
        self.searching, self.queue, self.scores = False, [], []

    def knobs(self) -> dict[str, Any]:
        if self.widths is not None:
            return self.knobs_of(self.widths, self.kept_sizes())
        if self.searching and self.scores:
            return self.knobs_of(self.scores[0][1], self.kept_sizes())
        full = [self.embedding_dim] * len(self.sizes)
        return self.knobs_of(full, self.sizes)

    def structure(self) -> dict[str, Any]:
        return {
            "widths": self.widths,
            "kept": self.kept,
            "searching": self.searching,
            "queue": self.queue,
            "scores": self.scores,
        }

    def restructure(self, structure: dict[str, Any]) -> None:
        self.searching = structure["searching"]
        self.queue = [list(widths) for widths in structure["queue"]]
        self.scores = [(score, list(widths)) for score, widths in structure["scores"]]
        self.kept = structure["kept"]
        if structure["widths"] is not None:
            self._settle(structure["widths"], structure["kept"])
