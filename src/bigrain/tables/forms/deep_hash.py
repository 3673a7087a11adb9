"""A row is what a small network makes of many hashes of the id."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from bigrain.tables.forms.base import Floats, Form, Ids, Layout
from bigrain.tables.hashing import PRIME, mix, uniform

__all__ = ["DeepHash", "hash_constants"]


def hash_constants(hashes: int, seed: int) -> tuple[Ids, Ids]:
    """Slopes from 1 to p - 1 and shifts from 0 to p - 1 of the universal hashes."""
    number = np.arange(hashes, dtype=np.int64)
    return mix(number, seed, 1) % (PRIME - 1) + 1, mix(number, seed, 2) % PRIME


class DeepHash(Form):
    kind: ClassVar[str] = "deep-hash"

    @staticmethod
    def layout(  # type: ignore[override]
        num_embeddings: int, embedding_dim: int, *, hashes: int, width: int, layers: int, seed: int
    ) -> Layout:
        return {
            "first": ("<f4", (hashes + 1, width)),  # the last row of each is the bias
            "hidden": ("<f4", (layers - 1, width + 1, width)),
            "last": ("<f4", (width + 1, embedding_dim)),
        }

    def rows(self, ids: Ids) -> Floats:
        slopes, shifts = hash_constants(self.knobs["hashes"], self.knobs["seed"])
        x = uniform(ids[:, None], slopes, shifts).astype(np.float32)
        for layer in (self.arrays["first"], *self.arrays["hidden"]):
            x = _mish(x @ layer[:-1] + layer[-1])
        return x @ self.arrays["last"][:-1] + self.arrays["last"][-1]


def _mish(x: Floats) -> Floats:
    """x tanh(ln(1 + e^x)), Misra (BMVC 2020)."""
    return np.asarray(x * np.tanh(np.log1p(np.exp(-np.abs(x))) + np.maximum(x, 0)), np.float32)
