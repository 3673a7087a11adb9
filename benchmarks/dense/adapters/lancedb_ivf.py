"""LanceDB: IVF_RQ and IVF_PQ with refinement; queries one at a time, it has no faster batch."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from .base import Adapter, Array


class _LanceIvf(Adapter):
    package, module = "lancedb", "lancedb"
    verifies_from_disk = True
    index: dict[str, Any] = {}

    def build(self, folder: Path) -> None:
        import lancedb
        import pyarrow as pa

        vector = pa.list_(pa.float32(), self.dim)
        schema = pa.schema([("id", pa.int64()), ("vector", vector)])

        def batches() -> Iterator[Any]:
            for start in range(0, self.n, 50_000):
                part = np.ascontiguousarray(self.originals[start : start + 50_000])
                values = pa.FixedSizeListArray.from_arrays(pa.array(part.ravel()), self.dim)
                ids = pa.array(np.arange(start, start + len(part)))
                yield pa.RecordBatch.from_arrays([ids, values], schema=schema)

        table = lancedb.connect(folder).create_table("v", batches(), schema=schema)
        table.create_index(metric="dot", num_partitions=self.lists(), **self.index)

    def open(self, folder: Path) -> None:
        import lancedb

        self.table = lancedb.connect(folder).open_table("v")
        self.pool = ThreadPoolExecutor(self.threads)

    def ladder(self) -> list[dict[str, Any]]:
        probes = [p for p in (8, 16, 32, 64, 128, 256) if p <= self.lists()]
        return [{"nprobes": p, "refine": 10} for p in probes] + [
            {"nprobes": probes[-1], "refine": 30}
        ]

    def search(self, queries: Array, k: int) -> Any:
        probes, refine = self.setting["nprobes"], max(1, self.setting["refine"] * 10 // k)

        def one(query: Array) -> Any:
            asked = self.table.search(query, vector_column_name="vector").distance_type("dot")
            asked = asked.limit(k).nprobes(probes).refine_factor(refine).select(["id", "_distance"])
            return asked.to_arrow()["id"].to_numpy()

        return [one(q) for q in queries] if self.threads == 1 else list(self.pool.map(one, queries))

    def ids(self, found: Any) -> Array:
        k = max(map(len, found))
        return np.array([np.pad(row, (0, k - len(row)), constant_values=-1) for row in found])


class LanceIvfRq(_LanceIvf):
    describes = "IVF_RQ, 1 bit, refined"
    index = {"index_type": "IVF_RQ"}


class LanceIvfPq(_LanceIvf):
    describes = "IVF_PQ, 8 dimensions a byte, refined"

    @property
    def index(self) -> dict[str, Any]:  # type: ignore[override]
        return {"index_type": "IVF_PQ", "num_sub_vectors": self.dim // 8}
