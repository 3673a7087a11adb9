"""DeepLight: the globally smallest numbers are set to zero while the table is trained.

After a warm-up, every 10 steps the smallest |E| go: the share P (1 - D^k), where D^k falls to 0.001
over the phase, so that it ends at P. They may grow again until the next time; in the last fifth of
the steps the zeros stay. Deng et al., "DeepLight: deep lightweight feature interactions for
accelerating CTR predictions in ad serving" (WSDM 2021).
"""

from __future__ import annotations

from bigrain.tables.methods.pruned import Pruned
from bigrain.tables.schedule import Phase
from bigrain.tables.spec import TableSpec

__all__ = ["DeepLight"]

EVERY = 10
LEFT = 1e-3  # of the way to P, at the end


class DeepLight(Pruned):
    """The optimiser's state is kept throughout. Option: `bits`, as in Pruned."""

    def __init__(self, name: str, spec: TableSpec, *, bits: int = 32) -> None:
        super().__init__(name, spec, bits=bits)
        self.steps = 0

    def phases(self, steps: int, search_steps: int) -> list[Phase]:
        settle = steps // 5
        warm_up = max(1, steps // 10)
        return [
            Phase("warm-up", warm_up),
            Phase("prune", max(1, steps - settle - warm_up)),
            Phase("settle", max(1, settle)),
        ]

    def after_step(self, phase: str, share: float) -> None:
        if phase != "prune":
            return
        self.steps += 1
        if self.steps % EVERY == 0 and share < 1:
            cells = self.num_embeddings * self.embedding_dim
            self.prune(cells - int((cells - self.values) * (1 - LEFT**share)))

    def end_phase(self, phase: str) -> None:
        if phase == "prune":
            self.hold(self.kept_of(self.weight.detach().abs(), self.values))

    def structure(self) -> dict[str, object]:
        return {**super().structure(), "steps": self.steps}

    def restructure(self, structure: dict[str, object]) -> None:
        super().restructure(structure)
        self.steps = int(structure["steps"])  # type: ignore[call-overload]
