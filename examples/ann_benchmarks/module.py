"""bigrain for ann-benchmarks (https://github.com/erikbern/ann-benchmarks): see the README here."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

import bigrain

try:
    from ..base.module import BaseANN
except ImportError:  # outside ann-benchmarks

    class BaseANN:  # type: ignore[no-redef]
        """The methods that ann-benchmarks itself adds."""

        def done(self) -> None:
            pass


METRICS = {"angular": "cosine", "euclidean": "l2"}
BATCH = 100_000
BUDGET = 4 << 30


class BigrainANN(BaseANN):
    """Codes of `light_bytes` in memory, float16 rows on disk; queries ask for a recall.

    `metric`: ann-benchmarks' "angular" or "euclidean". `light_bytes` above one bit a dimension
    means one bit a dimension.
    """

    def __init__(self, metric: str, light_bytes: int) -> None:
        if metric not in METRICS:
            raise ValueError(f"metric={metric!r} is not one of {', '.join(METRICS)}")
        self.metric, self.light_bytes = METRICS[metric], int(light_bytes)
        self.recall = 0.95
        self.folder: str | None = None

    def fit(self, X: Any) -> None:
        """Index the rows of X (n, dim); row numbers are the ids."""
        X = np.asarray(X)
        self.folder = tempfile.mkdtemp(prefix="bigrain-ann-")
        light = min(self.light_bytes, -(-X.shape[1] // 8))
        field = bigrain.DenseField(dim=X.shape[1], metric=self.metric, light_bytes=light)
        path = Path(self.folder) / "vectors.grain"
        self.col = bigrain.create(path, {"v": field}, memory_budget_bytes=BUDGET)
        for start in range(0, len(X), BATCH):
            part = np.ascontiguousarray(X[start : start + BATCH], np.float32)
            self.col.add_vectors("v", [str(i) for i in range(start, start + len(part))], part)
        self.col.commit()

    def set_query_arguments(self, recall: float) -> None:
        self.recall = float(recall)

    def query(self, q: Any, n: int) -> list[int]:
        """Row numbers of the n nearest, best first."""
        return self._rows(self._ask(np.asarray(q, np.float32)[None], n)[0])

    def batch_query(self, X: Any, n: int) -> None:
        self.found = self._ask(np.asarray(X, np.float32), n)

    def get_batch_results(self) -> list[list[int]]:
        """The answers of `batch_query`: row numbers, best first."""
        return [self._rows(row) for row in self.found]

    def done(self) -> None:
        """Close the collection and remove its files."""
        if self.folder is not None:
            self.col.close()
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder = None

    def _ask(self, X: Any, n: int) -> Any:
        found, _ = self.col.search_many(list(X), k=n, recall=self.recall, arrays=True)
        return found

    @staticmethod
    def _rows(ids: Any) -> list[int]:
        return [int(i) for i in ids if i is not None]

    def __str__(self) -> str:
        return f"bigrain(light_bytes={self.light_bytes}, recall={self.recall})"
