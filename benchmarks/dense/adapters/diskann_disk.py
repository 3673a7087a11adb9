"""DiskANN's disk index: PQ codes in memory, graph and vectors on disk, read with O_DIRECT."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from .base import Adapter, Array


class DiskAnn(Adapter):
    package, module = "diskannpy", "diskannpy"
    verifies_from_disk = True
    describes = "disk index, degree 64, complexity 100, 48-byte PQ codes in memory"

    def build(self, folder: Path) -> None:
        import diskannpy

        diskannpy.build_disk_index(
            data=np.ascontiguousarray(self.originals), distance_metric="l2",
            index_directory=str(folder), complexity=100, graph_degree=64,
            search_memory_maximum=self.n * 48 / 2**30, build_memory_maximum=16,
            num_threads=self.threads, pq_disk_bytes=0,
        )  # fmt: skip

    def open(self, folder: Path) -> None:
        import diskannpy

        self.index = diskannpy.StaticDiskIndex(  # waits for ever with room for one thread only
            index_directory=str(folder), num_threads=self.threads + 1, num_nodes_to_cache=0
        )

    def ladder(self) -> list[dict[str, Any]]:
        return [{"complexity": c} for c in (10, 15, 25, 40, 70, 120, 200)]

    def search(self, queries: Array, k: int) -> Any:
        complexity = max(k, self.setting["complexity"])
        if len(queries) == 1:
            return self.index.search(queries[0], k, complexity, 4).identifiers[None]
        return self.index.batch_search(queries, k, complexity, self.threads, 4).identifiers

    def ids(self, found: Any) -> Array:
        return np.asarray(found).astype(np.int64)
