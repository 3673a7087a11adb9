"""LanceDB's multivector search: IVF_PQ over the tokens, cosine; refined with the float32 tokens."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from .base import Adapter, Array

BATCH = 2_000


class LanceDb(Adapter):
    package, module = "lancedb", "lancedb"
    describes = "IVF_PQ over tokens, 8 dimensions a byte, sqrt(tokens) lists, cosine"

    def once(self) -> None:
        # With one thread it waits for itself when an index is built; these share the one core.
        for kind in ("TOKIO_WORKER_THREADS", "LANCE_CPU_THREADS", "LANCE_IO_THREADS"):
            os.environ[kind] = "4"
        import lancedb
        import pyarrow

        self.lancedb, self.arrow = lancedb, pyarrow

    def build(self, documents: Any, folder: Path) -> None:
        pa = self.arrow
        vector = pa.list_(pa.list_(pa.float32(), documents.dim))
        schema = pa.schema([("id", pa.int64()), ("vector", vector)])

        def batches() -> Iterator[Any]:
            for start in range(0, documents.n, BATCH):
                part = documents.part(start, min(start + BATCH, documents.n))
                flat = pa.FixedSizeListArray.from_arrays(part.values.ravel(), documents.dim)
                rows = pa.ListArray.from_arrays(part.offsets.astype(np.int32), flat)
                ids = pa.array(np.arange(start, start + part.n))
                yield pa.RecordBatch.from_arrays([ids, rows], schema=schema)

        table = self.lancedb.connect(folder).create_table("v", batches(), schema=schema)
        table.create_index(
            metric="cosine",
            vector_column_name="vector",
            index_type="IVF_PQ",
            num_partitions=round(math.sqrt(len(documents.values))),
            num_sub_vectors=documents.dim // 8,
        )

    def open(self, folder: Path) -> None:
        self.table = self.lancedb.connect(folder).open_table("v")

    def ladder(self) -> list[dict[str, Any]]:
        plain = [{"nprobes": p, "refine": 0} for p in (5, 20, 80)]
        return plain + [
            {"nprobes": p, "refine": r} for p, r in ((5, 5), (20, 5), (20, 20), (80, 20), (80, 80))
        ]

    def single(self, query: Array, k: int) -> Any:
        asked = self.table.search(query, vector_column_name="vector").distance_type("cosine")
        asked = asked.limit(k).nprobes(self.setting["nprobes"]).select(["id", "_distance"])
        if self.setting["refine"]:
            asked = asked.refine_factor(self.setting["refine"])
        return asked.to_arrow()["id"].to_numpy()
