"""Adaptive embedding: rows of their own for frequent ids, shared ones for the others.

The most frequent ids have own rows; the id of rank r below them uses shared row
(r - own) mod shared. One map of ranks where ids are not numbered by falling frequency.
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
from bigrain.tables.forms.shared import Shared
from bigrain.tables.spec import TableSpec
from bigrain.tables.table import Table, to_numpy

__all__ = ["Adapt"]


class Adapt(Table):
    """Options:
    share: of ids with rows of their own, where half of the rows suffice for them. Without it half
        of the rows are own, whatever the budget.
    """

    form_type: ClassVar[type[Form]] = Shared

    def __init__(self, name: str, spec: TableSpec, *, share: float | None = None) -> None:
        super().__init__(name, spec)
        if share is not None and not 0 <= share <= 1:
            raise ConfigError(f"{name}: share must be from 0 to 1, not {share}")
        spec.need_frequencies(name)
        self.ordered = self.keep_order()
        self.share = share
        rows = largest(
            lambda rows: self.bytes_of(self._knobs(rows)),
            1, self.num_embeddings, self.budget(), name,
        )  # fmt: skip
        self.own, self.shared = self._knobs(rows)["own"], self._knobs(rows)["shared"]
        self.weight = self.drawn(rows, self.embedding_dim)

    def _knobs(self, rows: int) -> dict[str, Any]:
        own = rows // 2 if rows < self.num_embeddings else rows - 1
        if self.share is not None:
            own = min(int(self.share * self.num_embeddings), own)
        return {"own": own, "shared": rows - own, "ordered": self.ordered}

    def rows(self, ids: Tensor) -> Tensor:
        places = self.places(ids)
        shared = self.own + (places - self.own) % self.shared
        return embedding(torch.where(places < self.own, places, shared), self.weight)

    def knobs(self) -> dict[str, Any]:
        return {"own": self.own, "shared": self.shared, "ordered": self.ordered}

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        return {"rows": to_numpy(self.weight), **self.order_arrays()}

    def placing(self) -> dict[str, Any]:
        return {"own": self.own}
