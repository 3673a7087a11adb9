"""What methods share that prune single numbers of a full table."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import embedding

from bigrain.errors import BudgetError
from bigrain.tables.budget import largest
from bigrain.tables.forms.base import Form
from bigrain.tables.forms.sparse import Sparse, sparse_arrays
from bigrain.tables.methods.rounding import Rounding, check_bits
from bigrain.tables.spec import TableSpec
from bigrain.tables.table import Table, to_numpy

__all__ = ["Pruned"]


class Pruned(Table):
    """A full table of which `values` numbers remain; as many as the budget holds.

    A kept number costs 4 bytes and its place: a bit of all places, or 4 to 8 bytes of its own.
    Option:
    bits: of each kept number in the file, 32, 16 or 8. Default 32.
    """

    form_type: ClassVar[type[Form]] = Sparse

    def __init__(self, name: str, spec: TableSpec, *, bits: int = 32) -> None:
        super().__init__(name, spec)
        self.rounding = Rounding(check_bits(name, bits))
        self.values, self.mapped = self._most()
        self.weight = self.drawn(self.num_embeddings, self.embedding_dim)
        self.register_buffer("mask", None)  # (n, d) what may differ from zero; None: all

    def _most(self) -> tuple[int, bool]:
        """(numbers that fit, whether a bitmap tells their places)"""
        found: list[tuple[int, bool]] = []
        for mapped in (True, False):
            try:
                most = largest(
                    lambda values, mapped=mapped: self.bytes_of(  # type: ignore[misc]
                        self._knobs(values, mapped)
                    ),
                    1, self.num_embeddings * self.embedding_dim, self.budget(), self.name,
                )  # fmt: skip
                found.append((most, mapped))
            except BudgetError:
                if not mapped and not found:
                    raise
        return max(found)

    def rows(self, ids: Tensor) -> Tensor:
        rows = embedding(ids, self.weight)
        rows = rows if self.mask is None else rows * self.mask[ids]
        return rows if self.training else self.rounding(rows, self.weight, self.mask)

    def kept_of(self, size: Tensor, count: int) -> Tensor:
        """(n, d) whether each entry of `size` is among the `count` largest."""
        if count >= size.numel():
            return torch.ones_like(size, dtype=torch.bool)
        threshold = torch.kthvalue(size.reshape(-1), size.numel() - count).values
        return size > threshold

    @torch.no_grad()
    def prune(self, count: int) -> None:
        """Set all but the `count` largest numbers to zero."""
        self.weight *= self.kept_of(self.weight.abs(), count)

    def hold(self, mask: Tensor) -> None:
        """From now on only entries of the mask may differ from zero."""
        self.mask = mask
        with torch.no_grad():
            self.weight *= mask

    def knobs(self) -> dict[str, Any]:
        return self._knobs(self.values, self.mapped)

    def _knobs(self, values: int, mapped: bool) -> dict[str, Any]:
        return {"values": values, "mapped": mapped, "bits": self.rounding.bits}

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        weight = self.weight if self.mask is None else self.weight * self.mask
        flat = to_numpy(weight).reshape(-1)
        cut = len(flat) - self.values
        places = np.sort(np.argpartition(np.abs(flat), cut)[cut:] if cut else np.arange(len(flat)))
        return sparse_arrays(places, flat[places], len(flat), self.mapped, self.rounding.bits)

    def structure(self) -> dict[str, Any]:
        return {"mask": self.mask is not None}

    def restructure(self, structure: dict[str, Any]) -> None:
        if structure["mask"]:
            self.mask = torch.ones(self.num_embeddings, self.embedding_dim, dtype=torch.bool)
