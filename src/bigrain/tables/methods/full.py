"""The uncompressed table, for comparison."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy.typing as npt
from torch import Tensor
from torch.nn.functional import embedding

from bigrain.tables.budget import check_budget
from bigrain.tables.forms.base import Form
from bigrain.tables.forms.rows import Rows
from bigrain.tables.spec import TableSpec
from bigrain.tables.table import Table, to_numpy

__all__ = ["Full"]


class Full(Table):
    """e(x) = E[x]."""

    form_type: ClassVar[type[Form]] = Rows

    def __init__(self, name: str, spec: TableSpec) -> None:
        super().__init__(name, spec)
        check_budget(self.bytes(), spec.budget_bytes, name)
        self.weight = self.drawn(self.num_embeddings, self.embedding_dim)

    def rows(self, ids: Tensor) -> Tensor:
        return embedding(ids, self.weight)

    def knobs(self) -> dict[str, Any]:
        return {}

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        return {"rows": to_numpy(self.weight)}
