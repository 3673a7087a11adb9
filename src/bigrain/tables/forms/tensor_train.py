"""A row is a product of three small matrices, one for each digit of its id."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from bigrain.tables.forms.base import Floats, Form, Ids, Layout

__all__ = ["TensorTrain"]

SMALL = 24  # ranks up to which a copy of the middle core for each id is the faster way


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
        first = self.arrays["first"].take(ids // (n2 * n3), axis=0)
        left = self._left(first, ids // n3 % n2).reshape(len(ids), -1, self.knobs["rank"])
        return (left @ self.arrays["third"].take(ids % n3, axis=0)).reshape(len(ids), -1)

    def _left(self, first: Floats, digit: Ids) -> Floats:
        """(m, d1, d2 rank) first cores times the middle cores of the digits (m,)."""
        second = self.arrays["second"]
        if self.knobs["rank"] <= SMALL:
            return first @ second.take(digit, axis=0)
        left = np.empty((*first.shape[:2], second.shape[2]), np.float32)
        order = np.argsort(digit, kind="stable")
        edges = np.searchsorted(digit, np.arange(len(second) + 1), sorter=order)
        for core in np.flatnonzero(np.diff(edges)):
            mine = order[edges[core] : edges[core + 1]]
            left[mine] = first[mine] @ second[core]
        return left
