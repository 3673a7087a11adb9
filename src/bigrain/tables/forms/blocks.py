"""Blocks of rows, where alike blocks are kept once."""

from __future__ import annotations

from typing import ClassVar

from bigrain.tables.forms.base import Floats, Form, Ids, Layout
from bigrain.tables.spec import order_dtype

__all__ = ["Blocks"]


class Blocks(Form):
    kind: ClassVar[str] = "blocks"

    @staticmethod
    def layout(  # type: ignore[override]
        num_embeddings: int, embedding_dim: int, *, block_rows: int, kept: int
    ) -> Layout:
        return {
            "blocks": ("<f4", (kept * block_rows, embedding_dim)),
            "block_of": (order_dtype(kept), (-(-num_embeddings // block_rows),)),
        }

    def rows(self, ids: Ids) -> Floats:
        size = self.knobs["block_rows"]
        block = self.arrays["block_of"].take(ids // size).astype("int64")
        return self.arrays["blocks"].take(block * size + ids % size, axis=0)
