"""Deep hash embedding: no row at all, but a network of many hashes of the id.

k universal hashes of the id, brought to [-1, 1], go through five hidden layers (linear, batch
normalisation, Mish) of width w and a linear one to d. Kang et al., "Learning to embed categorical
features without embedding tables for recommendation" (KDD 2021). For inference the normalisation is
folded into the layers: (k + 1) w + 4 (w + 1) w + (w + 1) d numbers.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm, linear, mish

from bigrain.errors import ConfigError
from bigrain.tables.budget import check_budget, largest
from bigrain.tables.forms.base import Form
from bigrain.tables.forms.deep_hash import DeepHash, hash_constants
from bigrain.tables.hashing import uniform
from bigrain.tables.spec import TableSpec
from bigrain.tables.table import INITIAL_STD, Table, to_numpy

__all__ = ["Dhe"]

LAYERS = 5
HASHES = (1024, 512, 256, 128, 64, 32, 16)
MAX_WIDTH = 4096
EPSILON, MOMENTUM = 1e-5, 0.1


class Dhe(Table):
    """Options:
    hashes: k; without it 1024, or fewer where the budget leaves the network narrower than k / 4.
    """

    form_type: ClassVar[type[Form]] = DeepHash

    def __init__(self, name: str, spec: TableSpec, *, hashes: int | None = None) -> None:
        super().__init__(name, spec)
        if hashes is not None and hashes < 1:
            raise ConfigError(f"{name}: hashes must be at least 1, not {hashes}")
        self.hashes, self.width = self._fitting(hashes)
        slopes, shifts = hash_constants(self.hashes, spec.seed)
        self.register_buffer("slopes", torch.from_numpy(slopes), persistent=False)
        self.register_buffer("shifts", torch.from_numpy(shifts), persistent=False)
        k, w = self.hashes, self.width
        self.first = self.drawn(w, k, std=math.sqrt(3 / k))
        self.hidden = self.drawn(LAYERS - 1, w, w, std=math.sqrt(2 / w))
        self.biases = nn.Parameter(torch.zeros(LAYERS, w))
        self.gains, self.shift = (
            nn.Parameter(torch.ones(LAYERS, w)),
            nn.Parameter(torch.zeros(LAYERS, w)),
        )
        self.register_buffer("means", torch.zeros(LAYERS, w))
        self.register_buffer("variances", torch.ones(LAYERS, w))
        self.last = self.drawn(self.embedding_dim, w, std=INITIAL_STD * math.sqrt(2 / w))
        self.last_bias = nn.Parameter(torch.zeros(self.embedding_dim))

    def _fitting(self, hashes: int | None) -> tuple[int, int]:
        """(hashes, the largest width that fits)"""
        for k in HASHES if hashes is None else (hashes,):
            if self.bytes_of(self._knobs(k, 1)) <= self.budget():
                width = largest(
                    lambda w, k=k: self.bytes_of(self._knobs(k, w)),  # type: ignore[misc]
                    1, MAX_WIDTH, self.budget(), self.name,
                )  # fmt: skip
                if hashes is not None or width >= k // 4 or k == HASHES[-1]:
                    return k, width
        check_budget(self.bytes_of(self._knobs(k, 1)), self.budget(), self.name)
        raise AssertionError("a network that fits was passed over")

    def rows(self, ids: Tensor) -> Tensor:
        distinct, where = torch.unique(ids, return_inverse=True)
        x = uniform(distinct[:, None], self.slopes, self.shifts).to(self.first.dtype)
        batch = self.training and len(distinct) > 1
        for layer, weight in enumerate((self.first, *self.hidden)):
            x = linear(x, weight, self.biases[layer])
            x = batch_norm(
                x, self.means[layer], self.variances[layer], self.gains[layer],
                self.shift[layer], batch, MOMENTUM, EPSILON,
            )  # fmt: skip
            x = mish(x)
        return linear(x, self.last, self.last_bias)[where]

    def _knobs(self, hashes: int, width: int) -> dict[str, Any]:
        return {"hashes": hashes, "width": width, "layers": LAYERS, "seed": self.spec.seed}

    def knobs(self) -> dict[str, Any]:
        return self._knobs(self.hashes, self.width)

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        gain = self.gains / torch.sqrt(self.variances + EPSILON)
        bias = (self.biases - self.means) * gain + self.shift
        layers = [
            _stacked(weight * gain[layer][:, None], bias[layer])
            for layer, weight in enumerate((self.first, *self.hidden))
        ]
        return {
            "first": layers[0],
            "hidden": np.stack(layers[1:]),
            "last": _stacked(self.last, self.last_bias),
        }


def _stacked(weight: Tensor, bias: Tensor) -> npt.NDArray[Any]:
    """(inputs + 1, outputs), the bias below"""
    return to_numpy(torch.cat([weight.T, bias[None]]))
