"""BMP: block-max pruning over 8-bit impacts; queries one at a time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .base import Adapter, Vectors, levels

CUTS = ((0.6, 0.4), (0.7, 0.5), (0.8, 0.6), (0.9, 0.7), (0.95, 0.8), (1.0, 1.0))


class Bmp(Adapter):
    package, module = "bmp", "bmp"
    describes = "impacts of 255 levels, blocks of 32 documents in the order given"

    def build(self, documents: Vectors, folder: Path) -> None:
        from bmp import Indexer

        impacts = levels(documents.data, 255)
        indexer = Indexer(str(folder / "vectors.bmp"), bsize=32, compress_range=False)
        names = [str(column) for column in range(documents.shape[1])]
        ends = documents.indptr.tolist()
        for row, (a, b) in enumerate(zip(ends[:-1], ends[1:], strict=True)):
            columns = [names[c] for c in documents.indices[a:b].tolist()]
            indexer.add_document(str(row), dict(zip(columns, impacts[a:b].tolist(), strict=True)))
        indexer.finish()

    def open(self, folder: Path) -> None:
        from bmp import Searcher

        self.searcher = Searcher(str(folder / "vectors.bmp"))

    def ladder(self) -> list[dict[str, Any]]:
        return [{"alpha": alpha, "beta": beta} for alpha, beta in CUTS]

    def prepare(self, queries: Sequence[Any]) -> list[dict[str, float]]:
        return [dict(zip(map(str, c.tolist()), w.tolist(), strict=True)) for c, w in queries]

    def single(self, query: Any, k: int) -> Any:
        return self.searcher.search(query, k, **self.setting)

    def ids(self, found: Any) -> list[list[int]]:
        return [[int(i) for i in ids] for ids, _ in found]
