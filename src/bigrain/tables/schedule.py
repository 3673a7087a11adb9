"""The phases of a table's training, in one loop for all methods.

    schedule = table.schedule(steps=5_000)
    for step in schedule:
        if step.fresh:                        # train from the start: a new model around the table
            model = Model(table)
        if step.renewed:                      # the table has new parameters
            optimiser = torch.optim.Adam(model.parameters())
        if step.kind == "score":              # how good is the model as it is? higher is better
            step.report(evaluate(model))
            continue
        batch = next(batches[step.kind])      # "train" or "validate": from which data
        step.update(loss(model, batch), optimiser)

What a method learns beside weights (widths, thresholds) is updated by the schedule, on steps of
kind "validate", or on those of training where the method says so; the optimiser never touches it.
`state_dict` and `load_state_dict`, with those of table, model and optimiser, continue a run where
it was left.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from bigrain.errors import ConfigError, InvalidInputError

if TYPE_CHECKING:
    from bigrain.tables.table import Table

__all__ = ["Phase", "Schedule", "Step"]


@dataclass(frozen=True)
class Phase:
    """A stretch of steps of the same sort."""

    name: str
    steps: int
    kinds: tuple[str, ...] = ("train",)  # of the steps, in turn
    fresh: bool = False  # weights are drawn anew at its beginning
    renewed: bool = False  # the table has new parameters from its beginning


@dataclass(frozen=True)
class Step:
    """One step; end it with `update`, or with `report` where its kind is "score"."""

    schedule: Schedule
    phase: str
    kind: str  # "train", "validate" or "score"
    number: int  # in its phase, from 0
    fresh: bool  # the first step of a training from the start: make a new model
    renewed: bool  # the table's parameters are new: make a new optimiser

    def update(self, loss: Tensor, optimiser: torch.optim.Optimizer) -> None:
        """Go backward from `loss` and update weights, or the method's own parameters.

        Raises InvalidInputError, and changes no weight, where loss or gradients are not finite.
        """
        self.schedule.update(self, loss, optimiser)

    def report(self, score: float) -> None:
        """The score of the model on validation data; higher is better."""
        self.schedule.report(self, score)


class Schedule:
    """Iterate over it once; it ends when the table is ready to be exported."""

    def __init__(self, table: Table, phases: list[Phase]) -> None:
        self.table, self.phases = table, phases
        self._phase, self._done, self._begun = 0, 0, False
        self._optimiser: torch.optim.Optimizer | None = None
        self._open = False  # a step was given out and not ended
        self._started = False  # a step was ended

    @property
    def phase(self) -> Phase | None:
        """The phase at hand; None when all are over."""
        return self.phases[self._phase] if self._phase < len(self.phases) else None

    def __iter__(self) -> Iterator[Step]:
        while (phase := self.phase) is not None:
            if self._open:
                raise ConfigError("end each step with step.update(...) or step.report(...)")
            if not self._begun:
                self._begin(phase)
            kind = phase.kinds[self._done % len(phase.kinds)]
            self._let_learn(kind)
            self._open = True
            first = self._done == 0
            fresh = first and (phase.fresh or not self._started)
            renewed = fresh or (first and phase.renewed)
            yield Step(self, phase.name, kind, self._done, fresh, renewed)

    def skip(self) -> None:
        """End the phase at hand, as when its training has stopped getting better.

        Before the loop it leaves the first phase out; the first step of the loop is fresh then too.
        """
        if self.phase is not None:
            self._started |= self._open
            self._open = False
            self._end(self.phase)

    def update(self, step: Step, loss: Tensor, optimiser: torch.optim.Optimizer) -> None:
        if step.kind == "score":
            raise ConfigError("this step asks for a score: step.report(score)")
        if not torch.isfinite(loss).all():
            raise InvalidInputError(f"the loss is {loss.detach().sum():g}; nothing was updated")
        own = list(self.table.architecture_parameters())
        for parameter in own:
            parameter.grad = None
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        if step.kind == "train":
            optimiser.step()
        if own and own[0].requires_grad and self._optimiser is not None:
            self.table.shape_gradients()
            self._optimiser.step()
            self.table.after_architecture()
        optimiser.zero_grad(set_to_none=True)
        self._advance()

    def report(self, step: Step, score: float) -> None:
        if step.kind != "score":
            raise ConfigError("this step trains: step.update(loss, optimiser)")
        if not -float("inf") < score < float("inf"):
            raise InvalidInputError(f"a score must be finite, not {score}")
        self.table.scored(float(score))
        self._advance()

    def state_dict(self) -> dict[str, Any]:
        """Where the schedule is; save it with the states of table, model and optimiser."""
        return {
            **self._told(),
            "started": self._started,
            "phase": self._phase,
            "done": self._done,
            "begun": self._begun,
            "optimiser": None if self._optimiser is None else self._optimiser.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue there. Load the table's state first.

        Raises ConfigError for the state of a schedule of another method or of other steps.
        """
        here = self._told()
        there = {name: state.get(name) for name in here}
        if there != here:
            raise ConfigError(
                f"this schedule is of {_text(here)}, the state is of {_text(there)}: load it "
                "into a schedule made with the same method, steps and options"
            )
        missing = {"started", "phase", "done", "begun", "optimiser"} - set(state)
        if missing:
            raise ConfigError(f"the state of a schedule lacks {', '.join(sorted(missing))}")
        self._started = state["started"]
        self._phase, self._done, self._begun = state["phase"], state["done"], state["begun"]
        self._open = False
        self._optimiser = self.table.architecture_optimiser() if self._begun else None
        if self._optimiser is not None and state["optimiser"] is not None:
            self._optimiser.load_state_dict(state["optimiser"])

    def _told(self) -> dict[str, Any]:
        """What another schedule must have alike to go on from this one's state."""
        return {
            "method": self.table.name,
            "steps": [[phase.name, phase.steps] for phase in self.phases],
        }

    def _begin(self, phase: Phase) -> None:
        self.table.begin_phase(phase.name)
        self._optimiser = self.table.architecture_optimiser()
        self._begun = True

    def _let_learn(self, kind: str) -> None:
        for parameter in self.table.architecture_parameters():
            parameter.requires_grad_(kind in self.table.architecture_kinds)

    def _advance(self) -> None:
        phase = self.phase
        assert phase is not None
        self._open, self._started = False, True
        self._done += 1
        self.table.after_step(phase.name, self._done / phase.steps)
        if self._done >= phase.steps:
            self._end(phase)

    def _end(self, phase: Phase) -> None:
        self.table.end_phase(phase.name)
        self._phase, self._done, self._begun = self._phase + 1, 0, False


def _text(told: dict[str, Any]) -> str:
    if told["method"] is None or told["steps"] is None:
        return "no schedule"
    steps = ", ".join(f"{name} {count:,}" for name, count in told["steps"])
    return f"{told['method']} with steps {steps}"
