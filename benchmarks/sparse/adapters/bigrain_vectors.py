"""bigrain: one sparse field over vectors given to add_vectors()."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .base import Vectors
from .bigrain_words import Opened

BATCH = 50_000


class Bigrain(Opened):
    describes = "SparseField; recall as asked, 1: exact"

    def build(self, documents: Vectors, folder: Path) -> None:
        from scipy.sparse import csr_matrix

        import bigrain

        fields = {"vectors": bigrain.SparseField(vocabulary_size=documents.shape[1])}
        matrix = csr_matrix(documents[:3], documents.shape)
        path = folder / "documents.grain"
        with bigrain.create(path, fields, memory_budget_bytes=self.budget) as col:
            for start in range(0, documents.shape[0], BATCH):
                part = matrix[start : start + BATCH]
                ids = [str(i) for i in range(start, start + part.shape[0])]
                col.add_vectors("vectors", ids, part)
            col.commit()

    def ladder(self) -> list[dict[str, Any]]:
        return [{"recall": r} for r in (0.8, 0.9, 0.95, 0.98, 0.99, 1.0)]

    def prepare(self, queries: Sequence[Any]) -> list[dict[int, float]]:
        return [dict(zip(c.tolist(), w.tolist(), strict=True)) for c, w in queries]
