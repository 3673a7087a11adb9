"""Groups of ids with rows of different widths, brought back to the full width.

By a projection of the group, or by zeros where `projected` is false. Where `pruned`, rows that a
bitmap does not list are zero.
"""

from __future__ import annotations

from functools import cached_property
from typing import ClassVar

import numpy as np

from bigrain.tables.forms.base import Floats, Form, Ids, Layout, order_layout
from bigrain.tables.ranks import bitmap_layout, bits_at, counts_before

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
    ) -> Layout:
        if len(starts) != len(sizes) or starts[0] != 0:
            raise ValueError(f"groups of {sizes} rows that begin at {starts}")
        cells = sum(size * width for size, width in zip(sizes, widths, strict=True))
        found: Layout = {"cells": ("<f4", (cells,))}
        if projected:
            narrow = sum(width for width in widths if width < embedding_dim)
            found["projections"] = ("<f4", (narrow, embedding_dim))
        if pruned:
            n_bytes, counts = bitmap_layout(num_embeddings)
            found |= {"kept": ("|u1", (n_bytes,)), "counts": ("<u4", (counts,))}
        return found | order_layout(num_embeddings, ordered)

    @cached_property
    def groups(self) -> list[tuple[Floats, Floats | None]]:
        """(rows, projection) of each group."""
        found, cell, line = [], 0, 0
        for size, width in zip(self.knobs["sizes"], self.knobs["widths"], strict=True):
            rows = self.arrays["cells"][cell : cell + size * width].reshape(size, width)
            cell += size * width
            projection = None
            if self.knobs["projected"] and width < self.embedding_dim:
                projection = self.arrays["projections"][line : line + width]
                line += width
            found.append((rows, projection))
        return found

    def rows(self, ids: Ids) -> Floats:
        starts = np.array(self.knobs["starts"])
        places = self.places(ids)
        group = np.searchsorted(starts, places, "right") - 1
        keep = np.ones(len(ids), bool)
        row = places - starts[group]
        if self.knobs["pruned"]:
            kept, counts = self.arrays["kept"], self.arrays["counts"]
            keep = bits_at(kept, places)
            row = counts_before(kept, counts, places) - counts_before(kept, counts, starts)[group]
        out = np.zeros((len(ids), self.embedding_dim), np.float32)
        for g, (rows, projection) in enumerate(self.groups):
            mine = np.flatnonzero((group == g) & keep)
            if projection is None:
                out[mine, : rows.shape[1]] = rows[row[mine]]
            else:
                out[mine] = rows[row[mine]] @ projection
        return out
