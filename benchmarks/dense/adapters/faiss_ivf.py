"""faiss inverted lists with fast-scan codes, refined from memory-mapped float16 rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from .base import Adapter, Array


class _FaissIvf(Adapter):
    package, module = "faiss-cpu", "faiss"
    verifies_from_disk = True
    codec = ""

    def build(self, folder: Path) -> None:
        import faiss

        faiss.omp_set_num_threads(self.threads)
        metric = faiss.METRIC_INNER_PRODUCT
        index = faiss.index_factory(self.dim, f"IVF{self.lists()},{self.codec}", metric)
        index.train(self.sample(64 * self.lists()))
        rows = faiss.IndexScalarQuantizer(self.dim, faiss.ScalarQuantizer.QT_fp16, metric)
        for start in range(0, self.n, 100_000):
            part = np.ascontiguousarray(self.originals[start : start + 100_000])
            index.add(part)
            rows.add(part)
        faiss.write_index(index, str(folder / "codes.faiss"))
        faiss.write_index(rows, str(folder / "rows.faiss"))

    def open(self, folder: Path) -> None:
        import faiss

        faiss.omp_set_num_threads(self.threads)
        self.base = faiss.read_index(str(folder / "codes.faiss"))
        self.rows = faiss.read_index(str(folder / "rows.faiss"), faiss.IO_FLAG_MMAP_IFC)
        self.index = faiss.IndexRefine(self.base, self.rows)

    def ladder(self) -> list[dict[str, Any]]:
        probes = [p for p in (8, 16, 32, 64, 128, 256, 512, 1024, 2048) if p <= self.lists()]
        points = [{"nprobe": p, "refine": r} for p in probes for r in self.refines[:1]]
        more = [{"nprobe": p, "refine": r} for p in probes[-3:] for r in self.refines[1:]]
        return points + more

    refines = (100, 300)

    def search(self, queries: Array, k: int) -> Array:
        import faiss

        inner = faiss.IVFSearchParameters(nprobe=self.setting["nprobe"])
        factor = max(1.0, self.setting["refine"] / k)
        params = faiss.IndexRefineSearchParameters(k_factor=factor, base_index_params=inner)
        return self.index.search(queries, k, params=params)[1]


class FaissIvfRabitq(_FaissIvf):
    codec = "RaBitQfs"
    describes = "IVF, 1-bit RaBitQ fast-scan, refined from mapped float16"


class FaissIvfPq(_FaissIvf):
    describes = "IVF, PQ with 4-bit fast-scan (4 dimensions a code), refined from mapped float16"
    refines = (100, 300)

    @property
    def codec(self) -> str:  # type: ignore[override]
        return f"PQ{self.dim // 4}x4fs"
