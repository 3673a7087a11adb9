"""RaBitQ-Library: 1-bit IVF with re-ranking, and the SymphonyQG graph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from .base import SEED, Adapter, Array, Reranked


class RabitqIvf(Reranked):
    package, module = "rabitqlib", "rabitqlib"
    describes = "IVF, 1 bit, re-ranked from mapped float32"

    def build(self, folder: Path) -> None:
        from rabitqlib import FinalAssignmentMode, IvfIndex, RaBitQKMeans

        vectors, lists = np.ascontiguousarray(self.originals), self.lists()
        means = RaBitQKMeans(
            self.dim, lists, num_threads=self.threads, seed=SEED,
            final_assignment=FinalAssignmentMode.Exact,
        )  # fmt: skip
        means.train(vectors)
        index = IvfIndex(self.dim, self.n, lists, nbits=1, metric="l2")
        index.build(vectors, means.centroids, means.assignments, num_threads=self.threads)
        index.save(str(folder / "index"))

    def open(self, folder: Path) -> None:
        from rabitqlib import IvfIndex

        self.index = IvfIndex.load(str(folder / "index"))
        self.prepare()

    def ladder(self) -> list[dict[str, Any]]:
        probes = [p for p in (8, 16, 32, 64, 128, 256, 512, 1024, 2048) if p <= self.lists()]
        points = [{"nprobe": p, "rerank": 100} for p in probes]
        return [
            *points,
            {"nprobe": probes[-2], "rerank": 300},
            {"nprobe": probes[-1], "rerank": 300},
        ]

    def search(self, queries: Array, k: int) -> Array:
        found, _ = self.index.search(
            queries, k=max(k, self.setting["rerank"]), nprobe=self.setting["nprobe"],
            num_threads=self.threads,
        )  # fmt: skip
        found = np.asarray(found).astype(np.int64)
        found[found >= self.n] = -1
        return self.rerank(queries, found, k)


class SymphonyQG(Adapter):
    package, module = "rabitqlib", "rabitqlib"
    describes = "degree 32, raw vectors in memory, efConstruction 200"

    def build(self, folder: Path) -> None:
        from rabitqlib import SymqgIndex

        index = SymqgIndex(self.dim, max_degree=32, metric="l2")
        index.build(np.ascontiguousarray(self.originals), 200, num_threads=self.threads)
        index.save(str(folder / "index"))

    def open(self, folder: Path) -> None:
        from rabitqlib import SymqgIndex

        self.index = SymqgIndex.load(str(folder / "index"))

    def ladder(self) -> list[dict[str, Any]]:
        return [{"ef": e} for e in (10, 20, 40, 80, 160, 320, 640, 1280)]

    def search(self, queries: Array, k: int) -> Any:
        ef = max(k, self.setting["ef"])
        return self.index.search(queries, k=k, ef=ef, num_threads=self.threads)[0]
