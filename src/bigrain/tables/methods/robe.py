"""ROBE: random offset block embedding, one flat array for all rows.

e(x)_j = s(x, j // Z) M[(h(x, j // Z) + j mod Z) mod |M|], with hashed places h and signs s: every
number of M is part of about n d / |M| rows. Desai, Chou, Shrivastava, "Random offset block
embedding (ROBE) for compressed embedding tables in deep learning recommendation systems" (MLSys
2022).
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import embedding

from bigrain.errors import ConfigError
from bigrain.tables.budget import largest
from bigrain.tables.forms.base import Form
from bigrain.tables.forms.robe import Robe
from bigrain.tables.hashing import mix
from bigrain.tables.spec import TableSpec
from bigrain.tables.table import Table, to_numpy

__all__ = ["RobeZ"]

MAX_CELLS = 1 << 31


class RobeZ(Table):
    """Options:
    chunk: Z, how many neighbours of the array are taken at once. Default 1.
    """

    form_type: ClassVar[type[Form]] = Robe

    def __init__(self, name: str, spec: TableSpec, *, chunk: int = 1) -> None:
        super().__init__(name, spec)
        if not 1 <= chunk <= self.embedding_dim:
            raise ConfigError(f"{name}: chunk must be 1 to {self.embedding_dim}, not {chunk}")
        self.chunk, self.cells = chunk, 1
        self.cells = largest(
            lambda cells: self.bytes_of(self.knobs() | {"cells": cells}),
            1, min(MAX_CELLS, self.num_embeddings * self.embedding_dim), self.budget(), name,
        )  # fmt: skip
        self.weight = self.drawn(self.cells, 1)
        part = torch.arange(self.embedding_dim)
        self.register_buffer("part", part // chunk, persistent=False)
        self.register_buffer("within", part % chunk, persistent=False)

    def rows(self, ids: Tensor) -> Tensor:
        place = mix(ids[:, None], self.spec.seed, self.part) % self.cells
        sign = 1 - 2 * (mix(ids[:, None], self.spec.seed + 1, self.part) & 1)
        return embedding((place + self.within) % self.cells, self.weight)[:, :, 0] * sign

    def knobs(self) -> dict[str, Any]:
        return {"cells": self.cells, "chunk": self.chunk, "seed": self.spec.seed}

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        return {"cells": to_numpy(self.weight[:, 0])}

    def placing(self) -> dict[str, Any]:
        return {"chunk": self.chunk}
