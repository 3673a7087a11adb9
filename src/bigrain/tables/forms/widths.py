"""Groups of ids with rows of different widths, brought back to the full width.

By a projection of the group, or by zeros where `projected` is false. Where `pruned`, rows that a
bitmap does not list are zero. Numbers have 32, 16 or 8 bits, the last with a scale for each group.
"""

from __future__ import annotations

from functools import cached_property
from typing import ClassVar

import numpy as np

from bigrain import kernels
from bigrain.tables.forms.base import Floats, Form, Ids, Layout, order_layout
from bigrain.tables.forms.numbers import number_dtype
from bigrain.tables.ranks import bitmap_layout

__all__ = ["Widths"]


class Widths(Form):
    kind: ClassVar[str] = "widths"

    @staticmethod
    def layout(  # type: ignore[override]
        num_embeddings: int,
        embedding_dim: int,
        *,
        starts: list[int],
        sizes: list[int],  # rows that are kept of each group
        widths: list[int],
        projected: bool,
        pruned: bool,
        ordered: bool,
        bits: int = 32,
    ) -> Layout:
        if len(starts) != len(sizes) or starts[0] != 0:
            raise ValueError(f"groups of {sizes} rows that begin at {starts}")
        cells = sum(size * width for size, width in zip(sizes, widths, strict=True))
        found: Layout = {"cells": (number_dtype(bits), (cells,))}
        if bits == 8:
            found["scales"] = ("<f4", (len(sizes),))
        if projected:
            narrow = sum(width for width in widths if width < embedding_dim)
            found["projections"] = ("<f4", (narrow, embedding_dim))
        if pruned:
            n_bytes, counts = bitmap_layout(num_embeddings)
            found |= {"kept": ("|u1", (n_bytes,)), "counts": ("<u4", (counts,))}
        return found | order_layout(num_embeddings, ordered)

    @cached_property
    def _groups(self) -> tuple[Floats, Ids, Ids, Ids]:
        """(scales, first places, rows, widths) of the groups."""
        starts, sizes, widths = (
            np.array(self.knobs[name], np.int64) for name in ("starts", "sizes", "widths")
        )
        scales = self.arrays.get("scales", np.ones(len(starts), np.float32))
        return np.asarray(scales), starts, sizes, widths

    def rows(self, ids: Ids) -> Floats:
        return kernels.narrow_rows(
            self.arrays["cells"], *self._groups, self.arrays.get("projections"),
            self.arrays.get("kept"), self.arrays.get("counts"), self.places(ids),
            self.embedding_dim,
        )  # fmt: skip
