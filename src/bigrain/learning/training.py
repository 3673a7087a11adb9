"""Steps of Adam on a student: towards scores that are wanted, or towards the vectors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from bigrain.errors import InvalidInputError
from bigrain.learning.student import Student
from bigrain.learning.targets import cross_entropy, target

if TYPE_CHECKING:
    from bigrain.learning.light import Recipe

__all__ = ["Training"]

Floats = npt.NDArray[np.float32]
MOMENTS = ("step", "exp_avg", "exp_avg_sq")  # what torch's Adam has of a parameter


class Training:
    """A student, its optimiser, Adam, and the temperature."""

    def __init__(self, student: Student, steps: int, recipe: Recipe) -> None:
        self.student, self.done = student, 0
        self._recipe, self._steps = recipe, steps
        self._sizes = [float(p.detach().square().mean().sqrt()) for p in student.parameters()]
        self._adam = torch.optim.Adam(
            [{"params": [p], "lr": 0.0} for p in student.parameters()], betas=(0.9, 0.98)
        )
        self._temperature = 0.0

    def temperature(self, exact: Floats) -> float:
        """A share of how much exact scores of the first batch spread over documents."""
        if not self._temperature:
            spread = float(exact.std(axis=1).mean())
            if spread <= 1e-6 * float(np.abs(exact).max()):
                raise InvalidInputError("all documents score alike: there is nothing to learn")
            self._temperature = self._recipe.temperature * spread
        return self._temperature

    def step(self, *parts: Any) -> None:
        """One step from tensors: routed queries (Q, d), what is known of scores, logits of the
        teacher and a mask of judged documents (Q, N), weights (Q,), residuals (N, d)."""
        routed, known, teacher, judged, weights, residuals = parts
        student = self.student
        scores = student.queries(routed) @ student.documents(residuals).T + known
        wanted = target(teacher, judged, self._recipe.share)
        self._update(cross_entropy(scores / self._temperature, wanted, weights))

    def reconstruct(self, residuals: Any) -> None:
        student = self.student
        again = student.documents(residuals) @ student.columns
        self._update((residuals - again).square().sum(dim=1).mean())

    def _update(self, loss: Any) -> None:
        rate = self._recipe.rate_at((self.done + 1) / self._steps)
        for group, size in zip(self._adam.param_groups, self._sizes, strict=True):
            group["lr"] = rate * size
        self._adam.zero_grad()
        loss.backward()
        self._adam.step()
        self.done += 1

    def given(self) -> dict[str, Any]:
        """Everything that training goes on from, as arrays and numbers."""
        found = {f"now.{name}": array for name, array in self.student.given().items()}
        for at, parameter in enumerate(self.student.parameters()):
            moments = self._adam.state.get(parameter, {})
            for name in MOMENTS:
                if name in moments:
                    found[f"adam.{at}.{name}"] = moments[name].detach().numpy().copy()
        return {**found, "done": self.done, "temperature": self._temperature}

    def take(self, given: Mapping[str, Any]) -> None:
        """Go on from what `given` told."""
        self.student.take({k[4:]: v for k, v in given.items() if k.startswith("now.")})
        self.done, self._temperature = given["done"], given["temperature"]
        for at, parameter in enumerate(self.student.parameters()):
            if f"adam.{at}.step" in given:
                self._adam.state[parameter] = {
                    name: torch.from_numpy(given[f"adam.{at}.{name}"].copy()) for name in MOMENTS
                }
