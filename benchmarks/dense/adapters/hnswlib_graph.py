"""hnswlib: HNSW over float32, M=16, efConstruction=100."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from .base import SEED, Adapter, Array


class Hnswlib(Adapter):
    package, module = "hnswlib", "hnswlib"
    describes = "HNSW float32, M 16, efConstruction 100"

    def build(self, folder: Path) -> None:
        import hnswlib

        index = hnswlib.Index(space="ip", dim=self.dim)
        index.init_index(self.n, ef_construction=100, M=16, random_seed=SEED)
        for start in range(0, self.n, 100_000):
            part = np.ascontiguousarray(self.originals[start : start + 100_000])
            index.add_items(part, np.arange(start, start + len(part)), self.threads)
        index.save_index(str(folder / "index.hnsw"))

    def open(self, folder: Path) -> None:
        import hnswlib

        self.index = hnswlib.Index(space="ip", dim=self.dim)
        self.index.load_index(str(folder / "index.hnsw"))

    def ladder(self) -> list[dict[str, Any]]:
        return [{"ef": e} for e in (16, 32, 64, 128, 256, 512, 1024, 2048)]

    def search(self, queries: Array, k: int) -> Array:
        self.index.set_ef(max(k, self.setting["ef"]))
        return self.index.knn_query(queries, k, num_threads=self.threads)[0]
