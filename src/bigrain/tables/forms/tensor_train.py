"""A row is a product of three small matrices, one for each digit of its id."""

from __future__ import annotations

from typing import ClassVar

from bigrain.tables.forms.base import Floats, Form, Ids, Layout

__all__ = ["TensorTrain"]


class TensorTrain(Form):
    kind: ClassVar[str] = "tensor-train"

    @staticmethod
    def layout(  # type: ignore[override]
        num_embeddings: int,
        embedding_dim: int,
        *,
        rank: int,
        row_factors: list[int],
        dim_factors: list[int],
    ) -> Layout:
        (n1, n2, n3), (d1, d2, d3) = row_factors, dim_factors
        return {
            "first": ("<f4", (n1, d1, rank)),
            "second": ("<f4", (n2, rank, d2 * rank)),
            "third": ("<f4", (n3, rank, d3)),
        }

    def rows(self, ids: Ids) -> Floats:
        _, n2, n3 = self.knobs["row_factors"]
        rank = self.knobs["rank"]
        left = self.arrays["first"][ids // (n2 * n3)] @ self.arrays["second"][ids // n3 % n2]
        left = left.reshape(len(ids), -1, rank)
        return (left @ self.arrays["third"][ids % n3]).reshape(len(ids), -1)
