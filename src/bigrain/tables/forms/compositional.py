"""A row of the quotients times a row of the remainders, entry by entry."""

from __future__ import annotations

from typing import ClassVar

from bigrain.tables.forms.base import Floats, Form, Ids, Layout

__all__ = ["Compositional"]


class Compositional(Form):
    kind: ClassVar[str] = "compositional"

    @staticmethod
    def layout(num_embeddings: int, embedding_dim: int, *, divisor: int) -> Layout:  # type: ignore[override]
        return {
            "quotients": ("<f4", (-(-num_embeddings // divisor), embedding_dim)),
            "remainders": ("<f4", (divisor, embedding_dim)),
        }

    def rows(self, ids: Ids) -> Floats:
        k = self.knobs["divisor"]
        quotients = self.arrays["quotients"].take(ids // k, axis=0)
        return quotients * self.arrays["remainders"].take(ids % k, axis=0)
