"""Every row as it is."""

from __future__ import annotations

from typing import ClassVar

from bigrain.tables.forms.base import Floats, Form, Ids, Layout

__all__ = ["Rows"]


class Rows(Form):
    kind: ClassVar[str] = "rows"

    @staticmethod
    def layout(num_embeddings: int, embedding_dim: int) -> Layout:  # type: ignore[override]
        return {"rows": ("<f4", (num_embeddings, embedding_dim))}

    def rows(self, ids: Ids) -> Floats:
        return self.arrays["rows"].take(ids, axis=0)
