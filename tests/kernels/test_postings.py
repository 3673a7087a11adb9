"""Posting lists and the choice of the best scores."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigrain.kernels import reference
from tests.kernels.levels import Kernels, bitmap, each_native, same

SEEDS = st.integers(0, 2**32 - 1)


@each_native
@given(m=st.integers(0, 60), n=st.integers(1, 50), kind=st.sampled_from("BHI"), seed=SEEDS)
def test_bm25_equals_the_reference(native: Kernels, m: int, n: int, kind: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.integers(0, n, m, dtype=np.uint32)  # with repetitions
    tfs = rng.integers(1, 255, m).astype(kind)
    norms = rng.random(n, dtype=np.float32) + np.float32(0.1)
    got, expected = np.zeros((2, n), np.float32)
    native.accumulate_bm25(rows, tfs, norms, 1.7, got)
    reference.accumulate_bm25(rows, tfs, norms, 1.7, expected)
    same(got, expected)


@each_native
@given(m=st.integers(0, 60), n=st.integers(1, 50), kind=st.sampled_from("fBH"), seed=SEEDS)
def test_weights_equal_the_reference(native: Kernels, m: int, n: int, kind: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.integers(0, n, m, dtype=np.uint32)
    weights = (rng.random(m) * 250).astype(kind)
    got, expected = np.ones((2, n), np.float32)
    native.accumulate_weights(rows, weights, -0.3, got)
    reference.accumulate_weights(rows, weights, -0.3, expected)
    same(got, expected)


@each_native
@given(m=st.integers(0, 100), n=st.integers(1, 90), seed=SEEDS)
def test_live_rows_are_counted(native: Kernels, m: int, n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows, alive = rng.integers(0, n, m, dtype=np.uint32), rng.random(n) < 0.5
    assert native.count_live(rows, bitmap(alive)) == alive[rows].sum()
    assert reference.count_live(rows, bitmap(alive)) == alive[rows].sum()


@each_native
@given(
    scores=st.lists(
        st.sampled_from([0.0, -0.0, 1.0, -1.0, 2.5, np.nan, np.inf, -np.inf, 1e-40]),
        max_size=300,
    ),
    k=st.integers(0, 310),
    floor=st.sampled_from([-np.inf, -1.0, 0.0, 1.0, np.inf]),
    filtered=st.booleans(),
    seed=SEEDS,
)
def test_top_k_equals_the_reference(
    native: Kernels, scores: list[float], k: int, floor: float, filtered: bool, seed: int
) -> None:
    values = np.array(scores, np.float32)
    alive = np.random.default_rng(seed).random(len(values)) < 0.6
    live = bitmap(alive) if filtered else None
    same(native.top_k(values, k, live, floor), reference.top_k(values, k, live, floor))


@each_native
@pytest.mark.parametrize("order", [1, -1])
def test_top_k_of_many(native: Kernels, order: int) -> None:
    values = np.sort(np.random.default_rng(3).normal(size=50_003).astype(np.float32))[::order]
    values = np.ascontiguousarray(values)
    same(native.top_k(values, 77), reference.top_k(values, 77))
