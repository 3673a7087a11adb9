"""usearch: HNSW over sign bits with re-ranking, and over float16."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from .base import Adapter, Array, Reranked


class UsearchBits(Reranked):
    package, module = "usearch", "usearch"
    describes = "HNSW over sign bits, connectivity 8, re-ranked from mapped float32"

    def _index(self) -> Any:
        from usearch.index import Index

        return Index(ndim=self.dim, metric="hamming", dtype="b1", connectivity=8)

    def build(self, folder: Path) -> None:
        index = self._index()
        for start in range(0, self.n, 100_000):
            bits = np.packbits(self.originals[start : start + 100_000] > 0, axis=1)
            index.add(np.arange(start, start + len(bits)), bits, threads=self.threads)
        index.save(str(folder / "index.usearch"))

    def open(self, folder: Path) -> None:
        self.index = self._index()
        self.index.load(str(folder / "index.usearch"))
        self.prepare()

    def ladder(self) -> list[dict[str, Any]]:
        return [{"expansion": e, "rerank": e} for e in (50, 100, 200, 400, 800, 1600, 3200)]

    def search(self, queries: Array, k: int) -> Array:
        self.index.expansion_search = self.setting["expansion"]
        bits = np.packbits(queries > 0, axis=1)
        found = self.index.search(bits, self.setting["rerank"], threads=self.threads)
        keys = np.atleast_2d(np.asarray(found.keys)).astype(np.int64)
        keys[(keys < 0) | (keys >= self.n)] = -1
        return self.rerank(queries, keys, k)


class UsearchHalf(Adapter):
    package, module = "usearch", "usearch"
    describes = "HNSW float16, connectivity 16, expansion_add 128"

    def _index(self) -> Any:
        from usearch.index import Index

        return Index(ndim=self.dim, metric="ip", dtype="f16", connectivity=16, expansion_add=128)

    def build(self, folder: Path) -> None:
        index = self._index()
        for start in range(0, self.n, 100_000):
            part = np.ascontiguousarray(self.originals[start : start + 100_000])
            index.add(np.arange(start, start + len(part)), part, threads=self.threads)
        index.save(str(folder / "index.usearch"))

    def open(self, folder: Path) -> None:
        self.index = self._index()
        self.index.load(str(folder / "index.usearch"))

    def ladder(self) -> list[dict[str, Any]]:
        return [{"expansion": e} for e in (16, 32, 64, 128, 256, 512, 1024)]

    def search(self, queries: Array, k: int) -> Array:
        self.index.expansion_search = max(k, self.setting["expansion"])
        found = self.index.search(queries, k, threads=self.threads)
        return np.atleast_2d(np.asarray(found.keys)).astype(np.int64)
