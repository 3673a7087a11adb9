"""xtr-warp-rs: WARP in Rust over libtorch, with residuals of 4 bits; memory-mapped.

PyLate's WARP index runs it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .base import Adapter, Array


class _Warp(Adapter):
    package, module = "xtr-warp-rs", "xtr_warp"
    nbits = 4

    def once(self) -> None:
        import torch
        from xtr_warp import XTRWarp

        torch.set_num_threads(1)
        self.torch, self.engine = torch, XTRWarp

    def build(self, documents: Any, folder: Path) -> None:
        values = self.torch.from_numpy(documents.part(0, documents.n).values)
        ends = documents.offsets.tolist()
        rows = [values[a:b] for a, b in zip(ends[:-1], ends[1:], strict=True)]
        index = self.engine(index=str(folder))
        index.create(embeddings_source=rows, device="cpu", nbits=self.nbits, seed=7)

    def open(self, folder: Path) -> None:
        self.index = self.engine(index=str(folder))
        self.index.load(device="cpu", dtype=self.torch.float32)

    def ladder(self) -> list[dict[str, Any]]:
        every = {"max_candidates": 1 << 30, "centroid_score_threshold": 0.0}
        chosen: list[dict[str, Any]] = [{}]  # all chosen by itself
        chosen += [{"nprobe": p, "bound": 16 * p} for p in (4, 16)]
        chosen += [{"nprobe": p, "bound": 16 * p, **every} for p in (8, 16, 32, 64, 128, 256)]
        return [*chosen, {"nprobe": 64, "bound": 1024, "t_prime": 50_000, **every}]

    def prepare(self, queries: Sequence[Array]) -> list[Any]:
        return [self.torch.from_numpy(query) for query in queries]

    def search(self, queries: Sequence[Any], k: int) -> Any:
        return self.index.search(list(queries), top_k=k, num_threads=1, **self.setting)

    def ids(self, found: Any) -> list[list[int]]:
        return [[int(i) for i, _ in row] for row in found]


class Warp4(_Warp):
    describes = "centroids and 4-bit residuals, as it is by default"
