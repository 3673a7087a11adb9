"""RaBitQ: 1 to 8 bits a dimension of a randomly rotated vector (papers/A-5 sections 1 and 2).

With one bit the code keeps the signs (Gao and Long, SIGMOD 2024), with more the point of the odd
grid {+-1, +-3, ... +-(2^B - 1)} that is nearest *in angle* (Gao et al., extended RaBitQ, SIGMOD
2025): it maximises <y, v> / |v|. Estimates are without bias over rotations; their error is about
0.75 / sqrt(D) with one bit, and half of that with each further one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from bigrain.codecs.planes import Planes
from bigrain.codecs.quantiser import Fitted, unbiased

__all__ = ["STEPS", "Rabitq"]

Floats = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]
# The step of an even grid that loses least of a normal variable (Max, 1960), by bits.
STEPS = {1: 1.596, 2: 0.9957, 3: 0.5860, 4: 0.3352, 5: 0.1881, 6: 0.1041, 7: 0.0569, 8: 0.0308}
TRIED = (0.7, 0.8, 0.9, 1.0, 1.12, 1.26, 1.45)  # times that step
TOGETHER = 96  # rows searched at a time, so that they stay in a near cache
REFINED = 2


@dataclass(frozen=True)
class Rabitq(Planes):
    code: ClassVar[str] = "rabitq"
    learned: ClassVar[bool] = False
    rotated: ClassVar[bool] = True
    scaled: ClassVar[bool] = True

    @classmethod
    def fit(cls, sample: Floats, width: int, light_bytes: int, bits: int, seed: int) -> Fitted:
        return Fitted(cls(width, bits))

    def encode(self, vectors: Floats) -> tuple[Bytes, Floats]:
        if self.bits == 1:
            absolute = np.abs(vectors).sum(axis=1)
            squared = np.einsum("ij,ij->i", vectors, vectors)
            scale = np.divide(squared, absolute, out=np.zeros_like(squared), where=absolute > 0)
            return np.packbits(vectors > 0, axis=1, bitorder="little"), scale
        steps = np.empty((len(vectors), 1), np.float32)
        for start in range(0, len(vectors), TOGETHER):
            part = slice(start, start + TOGETHER)
            steps[part] = self._best_steps(np.abs(vectors[part]))
        half = 1 << (self.bits - 1)
        numbers = np.floor(vectors / steps)
        np.clip(numbers, -half, half - 1, out=numbers)
        numbers += half
        packed = self.pack(numbers.astype(np.uint8))
        numbers *= 2
        numbers -= 2 * half - 1
        return packed, unbiased(vectors, numbers)

    def _best_steps(self, sizes: Floats) -> Floats:
        """(n, 1) the grid's step for each row of |y|: the best of some, then refined.

        The refinement puts the step where it fits the chosen points best (least squares) and
        chooses points again; neither can make the angle wider.
        """
        top = np.float32((1 << (self.bits - 1)) - 1)
        spread = np.sqrt(np.square(sizes).mean(axis=1, keepdims=True))
        widest = sizes.max(axis=1, keepdims=True)
        tried = [np.float32(factor * STEPS[self.bits]) * spread for factor in TRIED]
        tried.append(widest / (top + 1))
        best = np.zeros_like(spread)
        steps = np.ones_like(spread)
        points = np.empty_like(sizes)

        def fitted(step: Floats) -> tuple[Floats, Floats]:
            """(squared cosine times |y|^2, the best step for the points chosen with `step`)."""
            np.divide(sizes, np.where(step > 0, step, 1), out=points)
            np.floor(points, out=points)
            np.minimum(points, top, out=points)
            points.__iadd__(np.float32(0.5))
            product = np.einsum("ij,ij->i", sizes, points)[:, None]
            squared = np.einsum("ij,ij->i", points, points)[:, None]
            return product * product / squared, product / squared

        refined = steps
        for step in tried:
            cosine, other = fitted(step)
            better = cosine > best
            steps, refined = np.where(better, step, steps), np.where(better, other, refined)
            best = np.where(better, cosine, best)
        for _ in range(REFINED):
            step = refined
            cosine, other = fitted(step)
            better = cosine > best
            steps, refined = np.where(better, step, steps), np.where(better, other, refined)
            best = np.where(better, cosine, best)
        return np.asarray(np.where(steps > 0, steps, 1), np.float32)
