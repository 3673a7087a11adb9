"""One table for all ids: a row is k hashed narrow rows side by side."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from bigrain.tables.forms.base import Floats, Form, Ids, Layout
from bigrain.tables.hashing import bucket

__all__ = ["Multiplexed"]


class Multiplexed(Form):
    """Field f uses `hashes[f]` narrow rows; what is left of its width is zero."""

    kind: ClassVar[str] = "multiplexed"

    @staticmethod
    def layout(  # type: ignore[override]
        num_embeddings: int,
        embedding_dim: int,
        *,
        cells: int,
        hashes: list[int],
        starts: list[int],
        seed: int,
    ) -> Layout:
        return {"rows": ("<f4", (cells, embedding_dim // max(hashes)))}

    def rows(self, ids: Ids) -> Floats:
        table, hashes = self.arrays["rows"], self.knobs["hashes"]
        width = table.shape[1]
        places = [bucket(ids, len(table), self.knobs["seed"], j) for j in range(max(hashes))]
        out = table.take(np.stack(places, axis=1), axis=0).reshape(len(ids), -1)
        if len(set(hashes)) > 1:
            wanted = np.array(hashes)[np.searchsorted(self.knobs["starts"], ids, "right") - 1]
            out[np.arange(out.shape[1]) >= wanted[:, None] * width] = 0
        return out
