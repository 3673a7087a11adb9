"""The adapter for ann-benchmarks does what that runner expects of a class."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

PATH = Path(__file__).parents[2] / "examples" / "ann_benchmarks" / "module.py"


@pytest.fixture(scope="module")
def adapter():
    spec = importlib.util.spec_from_file_location("ann_benchmarks_module", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.BigrainANN


@pytest.mark.parametrize("metric", ["angular", "euclidean"])
def test_a_run_finds_the_neighbours(adapter, metric):
    rng = np.random.default_rng(3)
    X = rng.normal(size=(800, 24)).astype(np.float32)
    Q = rng.normal(size=(20, 24)).astype(np.float32)
    algo = adapter(metric, 48)
    algo.fit(X)
    try:
        algo.set_query_arguments(0.99)
        assert str(algo) == "bigrain(light_bytes=48, recall=0.99)"
        algo.batch_query(Q, 10)
        batch = algo.get_batch_results()
        single = [algo.query(q, 10) for q in Q]
    finally:
        algo.done()
    if metric == "angular":
        scores = (Q @ X.T) / np.linalg.norm(X, axis=1)
    else:
        scores = -((Q[:, None] - X[None]) ** 2).sum(axis=2)
    truth = np.argsort(-scores, axis=1)[:, :10]
    for found in (batch, single):
        assert all(isinstance(i, int) for row in found for i in row)
        hits = sum(len(set(row) & set(t)) for row, t in zip(found, truth.tolist(), strict=True))
        assert hits / truth.size >= 0.97


def test_files_are_removed_and_metrics_checked(adapter):
    algo = adapter("angular", 16)
    algo.fit(np.eye(8, dtype=np.float32))
    folder = Path(algo.folder)
    assert folder.exists()
    algo.done()
    assert not folder.exists()
    with pytest.raises(ValueError, match="angular"):
        adapter("jaccard", 16)
