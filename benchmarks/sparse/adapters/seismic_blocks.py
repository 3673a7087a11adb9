"""Seismic: pruned lists in blocks with summaries, built with two of its published configurations.

Queries are cut to 3 to 40 columns, with heap factors from 0.9 to 0.6; published for recalls of 0.95
to 0.99 are 4 to 10 columns and 0.9 to 0.7. Its compressed vectors (DotVByte) saved 2 % of memory at
3,000 vectors: most of it is summaries.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .base import Adapter, Vectors

CUTS = (
    (3, 0.9),
    (4, 0.9),
    (5, 0.9),
    (6, 0.8),
    (8, 0.8),
    (10, 0.8),
    (12, 0.7),
    (20, 0.7),
    (40, 0.6),
)


class Seismic(Adapter):
    package, module = "pyseismic-lsr", "seismic"
    describes = "3,000 postings a list (at most 6 times), centroids 0.2, energy 0.5"
    built = {"centroid_fraction": 0.2, "summary_energy": 0.5, "min_cluster_size": 2}

    def build(self, documents: Vectors, folder: Path) -> None:
        from seismic import SeismicDataset, SeismicIndex

        dataset = SeismicDataset(dim=documents.shape[1])
        dataset.add_documents_by_id(
            [str(i) for i in range(documents.shape[0])],
            documents.indices.astype(np.int64),
            documents.data,
            documents.indptr.astype(np.int64),
        )
        index = SeismicIndex.build_from_dataset(
            dataset, n_postings=3000, max_fraction=6, num_threads=1, **self.built
        )
        index.save(str(folder / "vectors"))

    def open(self, folder: Path) -> None:
        from seismic import SeismicIndex

        self.index = SeismicIndex.load(str(folder / "vectors.index.seismic"))

    def ladder(self) -> list[dict[str, Any]]:
        return [{"query_cut": cut, "heap_factor": factor} for cut, factor in CUTS]

    def prepare(self, queries: Sequence[Any]) -> list[tuple[Any, Any]]:
        from seismic import get_seismic_string

        words = get_seismic_string()
        return [(columns.astype(str).astype(words), weights) for columns, weights in queries]

    def search(self, queries: Sequence[Any], k: int) -> Any:
        columns, weights = map(list, zip(*queries, strict=True))
        numbers = np.array([str(i) for i in range(len(queries))])
        found = self.index.batch_search(
            numbers.astype(columns[0].dtype), columns, weights, k, num_threads=1, **self.setting
        )
        return len(queries), found

    def single(self, query: Any, k: int) -> Any:
        return self.index.search("0", *query, k, **self.setting)

    def ids(self, found: Any) -> list[list[int]]:
        n, answers = found
        out: list[list[int]] = [[] for _ in range(n)]
        for answer in answers:
            for query, _, document in answer:
                out[int(query)].append(int(document))
        return out


class SeismicSmall(Seismic):
    describes = "3,000 postings a list (at most 6 times), centroids 0.1, energy 0.4, clusters of 10"
    built = {"centroid_fraction": 0.1, "summary_energy": 0.4, "min_cluster_size": 10}
