"""What methods share that give groups of ids rows of different widths."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.functional import embedding

from bigrain.tables.forms.base import Form
from bigrain.tables.forms.numbers import stored
from bigrain.tables.forms.widths import Widths
from bigrain.tables.methods.rounding import Rounding, check_bits
from bigrain.tables.ranks import bitmap
from bigrain.tables.spec import TableSpec
from bigrain.tables.table import Table, to_numpy

__all__ = ["NarrowRows"]


class NarrowRows(Table):
    """Group g has rows of `widths[g]`, projected to the full width or filled up with zeros.

    Groups are the fields, or bands of falling frequency. Option:
    bits: of each number of a row in the file, 32, 16 or 8. Default 32.
    """

    form_type: ClassVar[type[Form]] = Widths
    projected: ClassVar[bool] = True
    pruned: ClassVar[bool] = False

    def __init__(self, name: str, spec: TableSpec, *, bits: int = 32) -> None:
        super().__init__(name, spec)
        self.bits = check_bits(name, bits)
        self.first = self.keep_groups()
        self.sizes = np.diff([*self.first, self.num_embeddings]).tolist()
        self.widths: list[int] | None = None  # None while they are searched for
        self.tables, self.projections = nn.ParameterList(), nn.ParameterList()
        self.register_buffer("kept", None)  # (n,) whether the row of each place is there

    def make_rows(self, widths: Sequence[int], kept: Tensor | None = None) -> None:
        """Draw rows of these widths, of the kept places alone where `kept` (n,) tells them."""
        self.widths = [int(width) for width in widths]
        self.kept = kept
        self.roundings = [Rounding(self.bits) for _ in self.widths]
        self.tables, self.projections = nn.ParameterList(), nn.ParameterList()
        for size, width in zip(self.kept_sizes(), self.widths, strict=True):
            self.tables.append(self.drawn(size, width))
            if self.projected and width < self.embedding_dim:
                self.projections.append(
                    self.drawn(width, self.embedding_dim, std=1 / math.sqrt(width))
                )

    def kept_sizes(self) -> list[int]:
        """Rows of each group that are kept."""
        if self.kept is None:
            return self.sizes
        return [int(part.sum()) for part in torch.split(self.kept, self.sizes)]

    def narrow_rows(self, ids: Tensor) -> Tensor:
        places = self.places(ids)
        group = self.groups_of(places)
        if self.kept is None:
            row = places - self.starts[group]
        else:
            before = torch.cumsum(self.kept, 0) - self.kept.long()
            row = before[places] - before[self.starts][group]
        out = torch.zeros(len(ids), self.embedding_dim)
        projections = iter(self.projections)
        for g, table in enumerate(self.tables):
            mine = group == g
            if self.kept is not None:
                mine &= self.kept[places]
            at = torch.nonzero(mine)[:, 0]
            rows = embedding(row[at], table)
            if not self.training:
                rows = self.roundings[g](rows, table)
            if table.shape[1] < self.embedding_dim:
                if self.projected:
                    rows = rows @ next(projections)
                else:
                    rows = nn.functional.pad(rows, (0, self.embedding_dim - table.shape[1]))
            out = out.index_copy(0, at, rows)
        return out

    def knobs_of(self, widths: Sequence[int], sizes: Sequence[int]) -> dict[str, Any]:
        return {
            "starts": self.first,
            "sizes": list(sizes),
            "widths": list(widths),
            "projected": self.projected,
            "pruned": self.pruned,
            "ordered": self.order is not None,
            "bits": self.bits,
        }

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        if self.widths is None:
            raise self.unfinished()
        cells, scales = zip(
            *(stored(to_numpy(table).reshape(-1), self.bits) for table in self.tables), strict=True
        )
        found: dict[str, npt.NDArray[Any]] = {"cells": np.concatenate(cells)}
        if self.bits == 8:
            found["scales"] = np.array(scales, np.float32)
        if self.projected:
            lines = [to_numpy(projection) for projection in self.projections]
            none = np.zeros((0, self.embedding_dim), np.float32)
            found["projections"] = np.concatenate([none, *lines])
        if self.kept is not None:
            places = np.flatnonzero(to_numpy(self.kept))
            found["kept"], found["counts"] = bitmap(places, self.num_embeddings)
        return {**found, **self.order_arrays()}
