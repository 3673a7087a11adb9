"""What `learn` found, and what it changed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["CandidateRow", "Gain", "LearnReport"]


@dataclass(frozen=True)
class Gain:
    """One part on questions that were held out, before and after; `low` to `high` bound the gain.

    95 %, paired bootstrap over questions. `wins` and `losses` count questions.
    """

    part: str  # "light", "adapter" or "fusion"
    measure: str
    before: float
    after: float
    low: float
    high: float
    questions: int
    wins: int
    losses: int
    decides: bool = False  # whether the part is published by this measure
    published: bool = False

    @property
    def difference(self) -> float:
        return self.after - self.before

    @property
    def better(self) -> bool:
        """Whether the whole interval lies above zero."""
        return self.low > 0

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "difference": self.difference}

    def __str__(self) -> str:
        return (
            f"{self.part}: {self.measure} {self.before:.4f} -> {self.after:.4f} "
            f"({self.difference:+.4f} [{self.low:+.4f}, {self.high:+.4f}]) on {self.questions:,} "
            f"questions held out, {self.wins:,} better, {self.losses:,} worse"
        )


@dataclass(frozen=True)
class CandidateRow:
    """Recall of the first k candidates by codes of so many bytes."""

    codes: str  # "present", "fitted" or "learned"
    light_bytes: int
    k: int
    recall: float


@dataclass(frozen=True)
class LearnReport:
    """What was learned for a field, what it gains, and whether it was published.

    `light_bytes` are those of a code, before and after; `adapter_bytes` stay in memory. `seconds`
    is told by part. `snapshot`: in which it was published, or -1.
    """

    name: str
    questions: int
    held_out: int
    questions_from: str
    gains: tuple[Gain, ...]
    candidates: tuple[CandidateRow, ...]
    light_bytes: tuple[int, int]
    adapter_bytes: int
    weights: dict[str, float] | None  # of the families, where the fusion was learned
    weights_before: dict[str, float]
    seconds: dict[str, float]
    notes: tuple[str, ...] = ()
    snapshot: int = -1

    @property
    def published(self) -> tuple[str, ...]:
        """The parts that were published."""
        return tuple(gain.part for gain in self.gains if gain.published and gain.decides)

    def to_dict(self) -> dict[str, Any]:
        return {
            **asdict(self),
            "gains": [gain.to_dict() for gain in self.gains],
            "published": list(self.published),
            "verdict": self.verdict(),
        }

    def verdict(self) -> str:
        """The answer in words."""
        if not self.gains:
            return "nothing was learned"
        if not self.published:
            return "nothing was published: no part is better beyond chance on questions held out"
        forced = {g.part for g in self.gains if g.decides and not g.better}
        parts = [part + " (forced: not better beyond chance)" * (part in forced)
                 for part in self.published]  # fmt: skip
        left = [g.part for g in self.gains if g.decides and not g.published]
        told = f"published in snapshot {self.snapshot}: {', '.join(parts)}"
        return told + (f"; not better beyond chance: {', '.join(left)}" if left else "")

    def learned_from(self) -> str:
        """What was learned from, and for how long."""
        took = ", ".join(f"{part} {seconds:.1f} s" for part, seconds in self.seconds.items())
        return (
            f"from {self.questions_from}: {self.questions:,} to learn from, {self.held_out:,} held "
            f"out; {took}"
        )

    def plot(self, path: str | os.PathLike[str]) -> None:
        """Draw recall of the candidates against bytes, as PNG or what `path` ends in.

        Needs the extra `eval`.
        """
        from bigrain.learning.plot import plot

        plot(self, path)

    def lines(self) -> Sequence[str]:
        """The report, line by line."""
        told = [self.verdict(), *(str(gain) for gain in self.gains)]
        before, after = self.light_bytes
        size = f"{after} bytes a code" if before == after else f"{before} -> {after} bytes a code"
        if self.adapter_bytes:
            size += f", {self.adapter_bytes:,} bytes of adapter"
        return [*told, size, *self.changed_weights(), self.learned_from(), *self.notes]

    def changed_weights(self) -> Sequence[str]:
        """The weights that are others now, in a line; none without any."""
        if self.weights is None:
            return []
        before = self.weights_before
        changed = [
            f"{name} {before.get(name, 1.0):g} -> {weight:g}"
            for name, weight in self.weights.items()
            if weight != before.get(name, 1.0)
        ]
        return [f"weights of the families: {', '.join(changed)}"]

    def __str__(self) -> str:
        return "\n".join(self.lines())
