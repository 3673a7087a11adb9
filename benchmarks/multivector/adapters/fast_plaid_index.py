"""fast-plaid: PLAID in Rust over libtorch, with residuals of 4 or 2 bits; memory-mapped.

PyLate's PLAID index runs it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .base import Adapter, Array


class _FastPlaid(Adapter):
    package, module = "fast-plaid", "fast_plaid"
    nbits = 4

    def once(self) -> None:
        import torch
        from fast_plaid import search

        torch.set_num_threads(1)
        self.torch, self.engine = torch, search.FastPlaid

    def build(self, documents: Any, folder: Path) -> None:
        values = self.torch.from_numpy(documents.part(0, documents.n).values)
        ends = documents.offsets.tolist()
        rows = [values[a:b] for a, b in zip(ends[:-1], ends[1:], strict=True)]
        index = self.engine(index=str(folder), device="cpu")
        index.create(documents_embeddings=rows, nbits=self.nbits, seed=7)
        index.close()

    def open(self, folder: Path) -> None:
        self.index = self.engine(index=str(folder), device="cpu")

    def ladder(self) -> list[dict[str, Any]]:
        pairs = ((1, 64), (2, 128), (4, 256), (4, 1024), (8, 1024), (8, 4096), (16, 4096),
                 (32, 8192))  # fmt: skip
        return [{"n_ivf_probe": probes, "n_full_scores": n} for probes, n in pairs]

    def prepare(self, queries: Sequence[Array]) -> list[Any]:
        return [self.torch.from_numpy(query) for query in queries]

    def search(self, queries: Sequence[Any], k: int) -> Any:
        return self.index.search(
            list(queries), top_k=k, show_progress=False, n_processes=1, **self.setting
        )

    def ids(self, found: Any) -> list[list[int]]:
        return [[int(i) for i, _ in row] for row in found]

    def close(self) -> None:
        self.index.close()


class FastPlaid4(_FastPlaid):
    describes = "centroids and 4-bit residuals, as it is by default"


class FastPlaid2(_FastPlaid):
    nbits = 2
    describes = "centroids and 2-bit residuals"
