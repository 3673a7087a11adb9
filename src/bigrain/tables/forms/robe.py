"""One flat array; a row is gathered from hashed places, with hashed signs."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from bigrain.tables.forms.base import Floats, Form, Ids, Layout
from bigrain.tables.hashing import mix

__all__ = ["Robe"]


class Robe(Form):
    kind: ClassVar[str] = "robe"

    @staticmethod
    def layout(  # type: ignore[override]
        num_embeddings: int, embedding_dim: int, *, cells: int, chunk: int, seed: int
    ) -> Layout:
        if not 1 <= chunk <= embedding_dim:
            raise ValueError(f"chunks of {chunk}")
        return {"cells": ("<f4", (cells,))}

    def rows(self, ids: Ids) -> Floats:
        cells, chunk, seed = self.arrays["cells"], self.knobs["chunk"], self.knobs["seed"]
        coordinate = np.arange(self.embedding_dim)
        hashed = mix(ids[:, None], seed, coordinate[::chunk] // chunk)
        place = np.repeat(hashed % len(cells), chunk, axis=1)[:, : self.embedding_dim]
        sign = 1 - 2 * (mix(ids[:, None], seed + 1, coordinate // chunk) & 1)
        return cells[(place + coordinate % chunk) % len(cells)] * sign.astype(np.float32)
