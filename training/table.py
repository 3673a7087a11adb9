"""The trainable table and its losses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional
from wordpiece import Bags

PREFIXES = {32: 0.15, 64: 0.2, 128: 0.25, 256: 0.4}


@dataclass(frozen=True)
class LossWeights:
    """Shares of the distillation terms, and the temperatures."""

    cosine: float = 1.0
    relational: float = 20.0
    neighbours: float = 0.3
    teacher_temperature: float = 0.05
    student_temperature: float = 0.05
    contrast_temperature: float = 0.05


class Table(torch.nn.Module):
    """Token rows times exp(log weight); texts are unnormalised sums of them."""

    def __init__(self, rows: np.ndarray, tf_power: float) -> None:
        super().__init__()
        norms = np.linalg.norm(rows, axis=1)
        known = norms > 0
        scale = float(np.median(norms[known]))
        unit = rows / np.where(known, norms, 1.0)[:, None]
        self.rows = torch.nn.Parameter(torch.from_numpy(unit.astype(np.float32)))
        logs = np.where(known, np.log(np.maximum(norms, 1e-9) / scale), 0.0)
        self.logs = torch.nn.Parameter(torch.from_numpy(logs.astype(np.float32)))
        self.tf_power = tf_power

    def encode(
        self,
        bags: Bags,
        rows: np.ndarray,
        keep: float = 1.0,
        rng: np.random.Generator | None = None,
    ) -> torch.Tensor:
        """Sums (len(rows), width) of some texts of `bags`."""
        tokens, counts, offsets = (torch.from_numpy(x) for x in bags.take(rows, keep, rng))
        weights = self.logs[tokens].exp() * counts**self.tf_power
        return functional.embedding_bag(
            tokens, self.rows, offsets, mode="sum", per_sample_weights=weights
        )

    def folded(self) -> np.ndarray:
        """Rows with their weights, float32."""
        with torch.no_grad():
            return (self.rows * self.logs.exp()[:, None]).numpy().copy()


def distillation_loss(
    sums: torch.Tensor,
    target: torch.Tensor,
    rotated: torch.Tensor,
    share: LossWeights,
    prefixes: Mapping[int, float] = PREFIXES,
) -> torch.Tensor:
    """Cosine, relational and neighbourhood (KL) terms at every prefix, by its share.

    `target` holds teacher vectors (B, 384), `rotated` the same on the principal axes (B, width).
    """
    similar = target @ target.T
    itself = torch.eye(len(target), dtype=torch.bool)
    wanted = similar.masked_fill(itself, -1e4).div(share.teacher_temperature).softmax(1)
    total = sums.new_zeros(())
    for dim, part in prefixes.items():
        student = functional.normalize(sums[:, :dim], dim=1)
        cosine = (student * functional.normalize(rotated[:, :dim], dim=1)).sum(1).mean()
        found = student @ student.T
        relational = (found - similar).masked_fill(itself, 0.0).square().mean()
        logits = found.masked_fill(itself, -1e4) / share.student_temperature
        neighbours = -(wanted * logits.log_softmax(1)).sum(1).mean()
        total = total + part * (
            share.cosine * (1 - cosine)
            + share.relational * relational
            + share.neighbours * neighbours
        )
    return total


def contrast_loss(
    left: torch.Tensor,
    right: torch.Tensor,
    guide: torch.Tensor,
    same: torch.Tensor,
    share: LossWeights,
    prefixes: Mapping[int, float] = PREFIXES,
    margin: float = 0.0,
) -> tuple[torch.Tensor, float]:
    """InfoNCE (both directions) at every prefix, false negatives dropped by the guide.

    `guide[i, j]`: similarity of left i and right j according to the guide; entries above that of
    the pair itself (less `margin`) and entries marked `same` never act as negatives. Returns the
    loss and the dropped fraction.
    """
    count = len(left)
    diagonal = torch.eye(count, dtype=torch.bool)
    paired = guide.diagonal()
    drop_right = ((guide > paired[:, None] - margin) | same) & ~diagonal
    drop_left = ((guide > paired[None, :] - margin) | same) & ~diagonal
    labels = torch.arange(count)
    total = left.new_zeros(())
    for dim, part in prefixes.items():
        a, b = (
            functional.normalize(left[:, :dim], dim=1),
            functional.normalize(right[:, :dim], dim=1),
        )
        logits = a @ b.T / share.contrast_temperature
        forward = functional.cross_entropy(logits.masked_fill(drop_right, -1e4), labels)
        backward = functional.cross_entropy(logits.masked_fill(drop_left, -1e4).T, labels)
        total = total + part * (0.7 * forward + 0.3 * backward)
    return total, float(drop_right.float().mean())
