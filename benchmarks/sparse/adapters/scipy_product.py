"""SciPy: the product of two CSR matrices, exact; the best of each row by argpartition."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .base import Adapter, Vectors, best


class ScipyProduct(Adapter):
    package, module = "scipy", "scipy"
    describes = "float32 CSR, exact"

    def once(self) -> None:
        import scipy.sparse

        self.sparse = scipy.sparse

    def build(self, documents: Vectors, folder: Path) -> None:
        matrix = self.sparse.csr_matrix(documents[:3], documents.shape)
        self.sparse.save_npz(folder / "columns.npz", matrix.T.tocsr(), compressed=False)

    def open(self, folder: Path) -> None:
        self.columns = self.sparse.load_npz(folder / "columns.npz")

    def prepare(self, queries: Sequence[Any]) -> list[Any]:
        width = self.columns.shape[0]
        return [
            self.sparse.csr_matrix((weights, columns, [0, len(columns)]), (1, width))
            for columns, weights in queries
        ]

    def search(self, queries: Sequence[Any], k: int) -> Any:
        asked = queries[0] if len(queries) == 1 else self.sparse.vstack(queries, format="csr")
        scores = asked @ self.columns
        ends = scores.indptr
        return [
            scores.indices[a:b][best(scores.data[a:b], k)]
            for a, b in zip(ends[:-1], ends[1:], strict=True)
        ]
