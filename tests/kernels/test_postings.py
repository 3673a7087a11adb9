"""The choice of the best scores."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigrain.kernels import reference
from tests.kernels.levels import Kernels, bitmap, each_native, same

SEEDS = st.integers(0, 2**32 - 1)


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
