"""ScaNN: partitions, 4-bit asymmetric hashing, reordered with int8 rows in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from .base import Adapter, Array


class Scann(Adapter):
    package, module = "scann", "scann"
    describes = "tree, asymmetric hashing of 2 dimensions, int8 reordering in memory"

    def build(self, folder: Path) -> None:
        from scann.scann_ops.py import scann_ops_pybind as scann

        vectors = np.ascontiguousarray(self.originals)
        builder = scann.builder(vectors, 10, "dot_product").set_n_training_threads(self.threads)
        builder = builder.tree(self.lists(), 32, training_sample_size=min(self.n, 250_000))
        builder = builder.score_ah(2, anisotropic_quantization_threshold=0.2)
        searcher = builder.reorder(100, quantize=True).build()
        searcher.serialize(str(folder))

    def open(self, folder: Path) -> None:
        from scann.scann_ops.py import scann_ops_pybind as scann

        self.index = scann.load_searcher(str(folder))
        if hasattr(self.index, "set_num_threads"):
            self.index.set_num_threads(self.threads)

    def ladder(self) -> list[dict[str, Any]]:
        leaves = [p for p in (8, 16, 32, 64, 128, 256, 512, 1024) if p <= self.lists()]
        points = [{"leaves": p, "reorder": 100} for p in leaves]
        return [*points, {"leaves": leaves[-1], "reorder": 300}]

    def search(self, queries: Array, k: int) -> Any:
        leaves, reorder = self.setting["leaves"], max(k, self.setting["reorder"])
        if len(queries) == 1:
            return self.index.search(queries[0], k, reorder, leaves)[0][None]
        ask = self.index.search_batched
        if self.threads > 1:
            ask = self.index.search_batched_parallel
        return ask(queries, k, reorder, leaves)[0]

    def ids(self, found: Any) -> Array:
        return np.asarray(found).astype(np.int64)
