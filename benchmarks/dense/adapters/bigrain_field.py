"""bigrain: codes of 48 bytes, or learned ones of 32, in memory; float16 rows on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from .base import Adapter, Array

BUDGET = 4 << 30
BATCH = 100_000


class Bigrain(Adapter):
    package, module = "bigrain", "bigrain"
    verifies_from_disk = True
    code, light_bytes = "rabitq", 48
    describes = "48-byte codes, float16 rows"
    budget = BUDGET

    def build(self, folder: Path) -> None:
        import bigrain

        light = min(self.light_bytes, -(-self.dim // 8))
        field = bigrain.DenseField(dim=self.dim, metric="cosine", code=self.code, light_bytes=light)
        path = folder / "vectors.grain"
        with bigrain.create(path, {"v": field}, memory_budget_bytes=self.budget) as col:
            for start in range(0, self.n, BATCH):
                part = np.ascontiguousarray(self.originals[start : start + BATCH])
                col.add_vectors("v", [str(i) for i in range(start, start + len(part))], part)
            col.commit()

    def open(self, folder: Path) -> None:
        import bigrain

        path = folder / "vectors.grain"
        self.col = bigrain.open(path, read_only=True, memory_budget_bytes=self.budget)

    def ladder(self) -> list[dict[str, Any]]:
        return [{"recall": r} for r in (0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995)]

    def search(self, queries: Array, k: int) -> Any:
        recall = self.setting["recall"]
        found, _ = self.col.search_many(
            list(queries), k=k, recall=recall, arrays=True, threads=self.threads
        )
        return found

    def ids(self, found: Any) -> Array:
        return np.array([[-1 if i is None else int(i) for i in row] for row in found], np.int64)

    def others(self) -> dict[str, Any]:
        return {"search()": lambda q: self.col.search(q, k=10, recall=self.setting["recall"])}

    def close(self) -> None:
        self.col.close()


class BigrainOpq(Bigrain):
    code, light_bytes = "opq", 32
    describes = "32-byte codes with a learned rotation, float16 rows"
