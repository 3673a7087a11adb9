"""bigrain: a code a document in memory, token vectors on disk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .base import Adapter, Array

BATCH = 5_000


class Bigrain(Adapter):
    package, module = "bigrain", "bigrain"
    describes = "MultiVectorField as it is by default"
    settings: dict[str, Any] = {}

    def once(self) -> None:
        import bigrain

        self.bigrain = bigrain

    def build(self, documents: Any, folder: Path) -> None:
        fields = {"tok": self.bigrain.MultiVectorField(dim=documents.dim, **self.settings)}
        with self.bigrain.create(folder / "documents.grain", fields) as col:
            for start in range(0, documents.n, BATCH):
                part = documents.part(start, min(start + BATCH, documents.n))
                ids = [str(i) for i in range(start, start + part.n)]
                col.add_vectors("tok", ids, tuple(part))
            col.commit()

    def open(self, folder: Path) -> None:
        self.col = self.bigrain.open(folder / "documents.grain", read_only=True)

    def ladder(self) -> list[dict[str, Any]]:
        return [{"recall": r} for r in (0.6, 0.75, 0.85, 0.9, 0.93, 0.95, 0.98, 0.99, 1.0)]

    def search(self, queries: Sequence[Array], k: int) -> Any:
        recall = self.setting["recall"]
        found, _ = self.col.search_many(list(queries), k=k, recall=recall, arrays=True)
        return found

    def others(self) -> dict[str, Callable[[Any, int], Any]]:
        return {
            "search()": lambda q, k: self.col.search(q, k=k, recall=self.setting["recall"]),
        }

    def ids(self, found: Any) -> list[list[int]]:
        return [[int(i) for i in row if i is not None] for row in found]

    def close(self) -> None:
        self.col.close()


class BigrainRegression(Bigrain):
    describes = "codes of 96 bytes fitted to MaxSim"
    settings = {"light": "regression", "light_bytes": 96}
