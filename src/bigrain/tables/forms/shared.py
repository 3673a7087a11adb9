"""The most frequent ids have rows of their own, the others share some."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from bigrain.tables.forms.base import Floats, Form, Ids, Layout, order_layout

__all__ = ["Shared"]


class Shared(Form):
    kind: ClassVar[str] = "shared"

    @staticmethod
    def layout(  # type: ignore[override]
        num_embeddings: int, embedding_dim: int, *, own: int, shared: int, ordered: bool
    ) -> Layout:
        rows: Layout = {"rows": ("<f4", (own + shared, embedding_dim))}
        return {**rows, **order_layout(num_embeddings, ordered)}

    def rows(self, ids: Ids) -> Floats:
        own, shared = self.knobs["own"], self.knobs["shared"]
        places = self.places(ids)
        rows = np.where(places < own, places, own + (places - own) % shared)
        return self.arrays["rows"].take(rows, axis=0)
