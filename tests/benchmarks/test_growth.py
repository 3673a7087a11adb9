"""What `growth.py` makes beyond its file is the same in every pass, and of unit length."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

PATH = Path(__file__).parents[2] / "benchmarks" / "dense" / "growth.py"


@pytest.fixture
def growth(monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    spec = importlib.util.spec_from_file_location("growth_script", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "BATCH", 700)
    return module


def test_synthetic_rows_extend_the_file(growth, tmp_path):
    rng = np.random.default_rng(2)
    stored = rng.normal(size=(1000, 12)).astype(np.float32)
    stored /= np.linalg.norm(stored, axis=1, keepdims=True)
    np.save(tmp_path / "X.npy", stored)
    rows = growth.Rows(tmp_path / "X.npy", 2500)
    first, again = (list(rows.batches()) for _ in range(2))
    joined = np.concatenate([part for _, part in first])
    np.testing.assert_array_equal(joined, np.concatenate([part for _, part in again]))
    np.testing.assert_array_equal(joined[:1000], stored)
    assert [start for start, _ in first] == [0, 700, 1000, 1700, 2400]
    assert len(joined) == 2500 and joined.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(joined, axis=1), 1, atol=1e-5)
    nearest = (joined[1000:] @ stored.T).max(axis=1)
    assert np.median(nearest) > 0.8  # between two stored rows, so near one of them
    queries = stored[:5]
    truth = growth.truth(rows, queries, tmp_path)
    np.testing.assert_array_equal(truth, np.argsort(-(queries @ joined.T), axis=1)[:, :10])


def test_exponents_are_slopes_of_the_logarithms(growth):
    points = [{"n": n} | {m: 3.0 * n**0.5 for m in growth.MEASURES} for n in (100, 1000, 5000)]
    assert growth.exponents(points) == {m: 0.5 for m in growth.MEASURES}
    assert growth.exponents(points[:1]) == {}
