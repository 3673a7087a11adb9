"""AutoDim: the width of each group is found by a differentiable search.

Candidates c = 2, 4, 8, ..., d, each with a table of its own. While searching, a row is the mixture
sum_c p_gc BN(E_c[x] P_gc), where P_gc projects to d, BN is batch normalisation without scale and
shift, and p_g is a Gumbel softmax of the group's logits whose temperature falls from 1 to 0.1.
Logits learn from validation batches, tables from training batches, in turn. Then every group takes
its likeliest width and the table is trained from the start. Zhao et al., "AutoDim: field-aware
embedding dimension search in recommender systems" (WWW 2021).

AutoDim itself knows no budget: where the likeliest widths are too many bytes, the step to a
narrower candidate that loses the least logit a byte is taken until they fit.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm, embedding

from bigrain.tables.budget import check_budget
from bigrain.tables.methods.widths import NarrowRows
from bigrain.tables.schedule import Phase
from bigrain.tables.spec import TableSpec

__all__ = ["AutoDim"]

COOLEST = 0.1
RATE = 1e-3  # of the logits
EPSILON, MOMENTUM = 1e-5, 0.1


class AutoDim(NarrowRows):
    """The search needs more memory than a full table. Option: `bits`, as in NarrowRows."""

    architecture_kinds: ClassVar[tuple[str, ...]] = ("validate",)

    def __init__(self, name: str, spec: TableSpec, *, bits: int = 32) -> None:
        super().__init__(name, spec, bits=bits)
        d = self.embedding_dim
        powers = [2**k for k in range(1, d.bit_length()) if 2**k < d]
        self.candidates = [*powers, d]
        narrowest = [self.candidates[0]] * len(self.sizes)
        smallest = self.bytes_of(self.knobs_of(narrowest, self.sizes))
        check_budget(smallest, spec.budget_bytes, name)
        self.share = 0.0
        shape = (len(self.sizes), len(self.candidates))
        self.logits = nn.Parameter(torch.zeros(shape))
        self.searched = nn.ParameterList(
            self.drawn(self.num_embeddings, c, std=1.0 / math.sqrt(c)) for c in self.candidates
        )
        self.searched_projections = nn.ParameterList(
            self.drawn(len(self.sizes), c, d, std=1.0) for c in self.candidates
        )
        self.register_buffer("means", torch.zeros(len(self.candidates), d))
        self.register_buffer("variances", torch.ones(len(self.candidates), d))

    def phases(self, steps: int, search_steps: int) -> list[Phase]:
        return [
            Phase("search", search_steps, ("train", "validate")),
            Phase("retrain", steps, fresh=True),
        ]

    def begin_phase(self, phase: str) -> None:
        if phase == "retrain":
            self._settle(self.chosen_widths())

    def after_step(self, phase: str, share: float) -> None:
        self.share = share

    def architecture_parameters(self) -> list[nn.Parameter]:
        return [self.logits] if self.widths is None else []

    def architecture_optimiser(self) -> torch.optim.Optimizer | None:
        return torch.optim.Adam([self.logits], lr=RATE) if self.widths is None else None

    @torch.no_grad()
    def chosen_widths(self) -> list[int]:
        """The likeliest width of each group, made narrower until they fit the budget."""
        logits = self.logits.double()
        chosen = logits.argmax(dim=1).tolist()
        while self._size(chosen) > self.budget(1.0):
            best, loss = -1, math.inf
            for g, c in enumerate(chosen):
                if c == 0:
                    continue
                saved = self.sizes[g] * (self.candidates[c] - self.candidates[c - 1])
                lost = float(logits[g].max() - logits[g, c - 1] + 1) / saved
                best, loss = (g, lost) if lost < loss else (best, loss)
            chosen[best] -= 1
        return [self.candidates[c] for c in chosen]

    def _size(self, chosen: list[int]) -> int:
        widths = [self.candidates[c] for c in chosen]
        return self.bytes_of(self.knobs_of(widths, self.sizes))

    def _settle(self, widths: list[int]) -> None:
        """End the search: one table of these widths, and nothing of the candidates."""
        self.generator.manual_seed(self.spec.seed)
        self.make_rows(widths)
        self.searched, self.searched_projections = nn.ParameterList(), nn.ParameterList()
        self.logits = nn.Parameter(torch.zeros(0))

    def rows(self, ids: Tensor) -> Tensor:
        if self.widths is not None:
            return self.narrow_rows(ids)
        places = self.places(ids)
        group = self.groups_of(places)
        mixture = self._mixture()[group]
        batch = self.training and len(ids) > 1
        out = torch.zeros(len(ids), self.embedding_dim)
        for c, (table, projections) in enumerate(
            zip(self.searched, self.searched_projections, strict=True)
        ):
            rows = embedding(places, table)
            full = torch.zeros(len(ids), self.embedding_dim)
            for g in range(len(self.sizes)):
                at = torch.nonzero(group == g)[:, 0]
                full = full.index_copy(0, at, rows[at] @ projections[g])
            full = batch_norm(
                full, self.means[c], self.variances[c], training=batch,
                momentum=MOMENTUM, eps=EPSILON,
            )  # fmt: skip
            out = out + mixture[:, c : c + 1] * full
        return out

    def _mixture(self) -> Tensor:
        """(groups, candidates)"""
        if not self.training:
            return torch.softmax(self.logits, dim=1)
        drawn = torch.rand(self.logits.shape, generator=self.generator).clamp(1e-9, 1 - 1e-9)
        temperature = max(COOLEST, 1 - (1 - COOLEST) * self.share)
        return torch.softmax((self.logits - torch.log(-torch.log(drawn))) / temperature, dim=1)

    def knobs(self) -> dict[str, Any]:
        widths = self.chosen_widths() if self.widths is None else self.widths
        return self.knobs_of(widths, self.sizes)

    def structure(self) -> dict[str, Any]:
        return {"widths": self.widths, "share": self.share}

    def restructure(self, structure: dict[str, Any]) -> None:
        self.share = structure["share"]
        if structure["widths"] is not None and structure["widths"] != self.widths:
            self._settle(structure["widths"])
