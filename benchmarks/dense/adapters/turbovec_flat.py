"""turbovec: a flat scan of 2-bit codes, the best candidates re-ranked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from .base import Array, Reranked


class Turbovec(Reranked):
    package, module = "turbovec", "turbovec"
    describes = "2-bit flat, calibrated, re-ranked from mapped float32"

    def build(self, folder: Path) -> None:
        import turbovec

        index = turbovec.TurboQuantIndex(dim=self.dim, bit_width=2)
        index.calibrate(self.sample(4096))
        for start in range(0, self.n, 100_000):
            index.add(np.ascontiguousarray(self.originals[start : start + 100_000]))
        index.write(str(folder / "index.tv"))

    def open(self, folder: Path) -> None:
        import turbovec

        self.index = turbovec.TurboQuantIndex.load(str(folder / "index.tv"))
        self.index.prepare()
        self.prepare()

    def ladder(self) -> list[dict[str, Any]]:
        return [{"rerank": r} for r in (10, 12, 15, 20, 30, 50, 100, 200)]

    def search(self, queries: Array, k: int) -> Array:
        _, found = self.index.search(queries, k=max(k, self.setting["rerank"]))
        return self.rerank(queries, np.asarray(found), k)
