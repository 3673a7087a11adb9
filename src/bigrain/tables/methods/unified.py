"""Unified Embedding: one hashed table for all fields.

e(x) = E[h_1(x)] ++ ... ++ E[h_k(x)] with independent hashes h_j and narrow rows; field f uses k_f
of them. Collisions between fields do little harm, because each field's part of the input meets
weights of its own. Coleman et al., "Unified Embedding: battle-tested feature representations for
web-scale ML systems" (NeurIPS 2023).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import embedding

from bigrain.errors import ConfigError
from bigrain.tables.budget import largest
from bigrain.tables.forms.base import Form
from bigrain.tables.forms.multiplexed import Multiplexed
from bigrain.tables.hashing import bucket
from bigrain.tables.spec import TableSpec
from bigrain.tables.table import Table, to_numpy

__all__ = ["Unified"]


class Unified(Table):
    """Options:
    hashes: k of every field, or one a field. The largest must divide the width; a field with
        fewer has zeros in the rest. Default 2 (1 for an odd width).
    """

    form_type: ClassVar[type[Form]] = Multiplexed

    def __init__(
        self, name: str, spec: TableSpec, *, hashes: int | Sequence[int] | None = None
    ) -> None:
        super().__init__(name, spec)
        sizes = spec.fields or (spec.num_embeddings,)
        if hashes is None:
            hashes = 1 if spec.embedding_dim % 2 else 2
        self.hashes = [hashes] * len(sizes) if isinstance(hashes, int) else list(hashes)
        if len(self.hashes) != len(sizes) or min(self.hashes, default=0) < 1:
            raise ConfigError(f"{name}: hashes must be {len(sizes)} numbers from 1, not {hashes}")
        if self.embedding_dim % max(self.hashes):
            raise ConfigError(
                f"{name}: {max(self.hashes)} hashes do not divide the width {self.embedding_dim}"
            )
        starts = torch.tensor([0, *sizes[:-1]]).cumsum(0)
        self.register_buffer("starts", starts, persistent=False)
        self.register_buffer("counts", torch.tensor(self.hashes), persistent=False)
        self.width = self.embedding_dim // max(self.hashes)
        self.cells = 1
        self.cells = largest(
            lambda m: self.bytes_of(self.knobs() | {"cells": m}),
            1, self.num_embeddings * max(self.hashes), self.budget(), name,
        )  # fmt: skip
        self.weight = self.drawn(self.cells, self.width)

    def rows(self, ids: Tensor) -> Tensor:
        parts = [
            embedding(bucket(ids, self.cells, self.spec.seed, j), self.weight)
            for j in range(max(self.hashes))
        ]
        if len(set(self.hashes)) > 1:
            wanted = self.counts[self.groups_of(ids)]
            parts = [part * (wanted > j)[:, None] for j, part in enumerate(parts)]
        return torch.cat(parts, dim=1)

    def knobs(self) -> dict[str, Any]:
        return {
            "cells": self.cells,
            "hashes": self.hashes,
            "starts": self.starts.tolist(),
            "seed": self.spec.seed,
        }

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        return {"rows": to_numpy(self.weight)}

    def placing(self) -> dict[str, Any]:
        return {"hashes": self.hashes}
