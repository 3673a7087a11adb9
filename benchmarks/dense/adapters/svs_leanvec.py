"""Scalable Vector Search: a Vamana graph over LeanVec-reduced LVQ codes, all in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from .base import Adapter, Array


class SvsLeanVec(Adapter):
    package, module = "scalable-vs", "svs"
    describes = "LeanVec to a quarter of the dimensions, LVQ8 + LVQ8, degree 64"

    def _loader(self, path: str) -> Any:
        import svs

        data = svs.VectorDataLoader(path, svs.DataType.float32, dims=self.dim)
        kind = svs.LeanVecKind.lvq8
        return svs.LeanVecLoader(data, self.dim // 4, primary_kind=kind, secondary_kind=kind)

    def build(self, folder: Path) -> None:
        import svs

        source = folder / "vectors.fvecs"
        svs.write_vecs(np.ascontiguousarray(self.originals), str(source))
        parameters = svs.VamanaBuildParameters(
            alpha=0.95, graph_max_degree=64, window_size=128, max_candidate_pool_size=256
        )
        metric = svs.DistanceType.MIP
        index = svs.Vamana.build(parameters, self._loader(str(source)), metric, self.threads)
        index.save(*(str(folder / part) for part in ("config", "graph", "data")))
        source.unlink()

    def open(self, folder: Path) -> None:
        import svs

        data = svs.LeanVecLoader.reload_from(self._loader(""), str(folder / "data"))
        self.index = svs.Vamana(
            str(folder / "config"), svs.GraphLoader(str(folder / "graph")), data,
            svs.DistanceType.MIP, num_threads=self.threads,
        )  # fmt: skip

    def ladder(self) -> list[dict[str, Any]]:
        return [{"window": w} for w in (10, 20, 40, 80, 160, 320, 640)]

    def search(self, queries: Array, k: int) -> Any:
        self.index.search_window_size = max(k, self.setting["window"])
        return self.index.search(queries, k)[0]

    def ids(self, found: Any) -> Array:
        return np.asarray(found).astype(np.int64)
