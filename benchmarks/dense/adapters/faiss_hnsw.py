"""faiss HNSW over float32: M=32, efConstruction=200."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from .base import Adapter, Array


class FaissHnsw(Adapter):
    package, module = "faiss-cpu", "faiss"
    describes = "HNSW float32, M 32, efConstruction 200"

    def build(self, folder: Path) -> None:
        import faiss

        faiss.omp_set_num_threads(self.threads)
        index = faiss.IndexHNSWFlat(self.dim, 32, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = 200
        for start in range(0, self.n, 100_000):
            index.add(np.ascontiguousarray(self.originals[start : start + 100_000]))
        faiss.write_index(index, str(folder / "index.faiss"))

    def open(self, folder: Path) -> None:
        import faiss

        faiss.omp_set_num_threads(self.threads)
        self.index = faiss.read_index(str(folder / "index.faiss"))

    def ladder(self) -> list[dict[str, Any]]:
        return [{"ef": e} for e in (16, 32, 64, 128, 256, 512, 1024, 2048)]

    def search(self, queries: Array, k: int) -> Array:
        import faiss

        params = faiss.SearchParametersHNSW(efSearch=max(k, self.setting["ef"]))
        return self.index.search(queries, k, params=params)[1]
