"""MaxSim by nearest centroids: every level computes what the reference says."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigrain.kernels import reference
from tests.kernels.levels import Kernels, each_level, each_native


def arguments(
    rng: np.random.Generator, width: int, k: int, sizes: list[int], asked: list[int], n: int
) -> tuple[np.ndarray, ...]:
    """A table of k centroids, documents of so many tokens, queries of so many, n rows for each."""
    table = rng.integers(-128, 128, (k, width)).astype(np.int8)
    starts = np.cumsum([0, *sizes]).astype(np.uint32)
    offsets = np.cumsum([0, *asked], dtype=np.int64)
    return (
        table,
        table.sum(axis=1, dtype=np.int32),
        rng.integers(0, k, starts[-1]).astype(np.uint16),
        starts,
        rng.integers(-1, len(sizes), (len(asked), n)),
        rng.integers(-128, 128, (offsets[-1], width)).astype(np.int8),
        rng.random(offsets[-1]).astype(np.float32),
        offsets,
    )


@each_native
@given(
    groups=st.integers(1, 40),
    k=st.integers(1, 150),
    sizes=st.lists(st.integers(0, 40), max_size=8),
    asked=st.lists(st.integers(0, 40), max_size=3),
    n=st.integers(0, 20),
    seed=st.integers(0, 999),
)
def test_as_the_reference(
    native: Kernels, groups: int, k: int, sizes: list[int], asked: list[int], n: int, seed: int
) -> None:
    given_ = arguments(np.random.default_rng(seed), 4 * groups, k, sizes, asked, n)
    got, expected = native.sketch_scores(*given_), reference.sketch_scores(*given_)
    assert got.dtype == np.float32 and got.shape == expected.shape
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5 * 128 * 128 * 4 * groups)


@each_level
def test_maxsim_where_tokens_are_their_centroids(level: Kernels) -> None:
    rng = np.random.default_rng(0)
    width, k = 32, 50
    table = rng.integers(-127, 128, (k, width)).astype(np.int8)
    tokens = rng.integers(-127, 128, (20, width)).astype(np.int8)
    ids = rng.permutation(k).astype(np.uint16)
    starts = np.array([0, 10, 11, k], np.uint32)
    rows = np.array([[2, 0, -1, 1]])
    found = level.sketch_scores(
        table, table.sum(1, dtype=np.int32), ids, starts, rows, tokens,
        np.full(20, 0.5, np.float32), np.array([0, 20]),
    )  # fmt: skip
    products = 0.5 * table.astype(int) @ tokens.T.astype(int)
    exact = [products[ids[starts[r] : starts[r + 1]]].max(axis=0).sum() for r in (2, 0, 1)]
    assert found[0, 2] == -np.inf
    assert found[0, [0, 1, 3]] == pytest.approx(exact, abs=20 * 16)


@each_level
@pytest.mark.parametrize("width", [4, 128, 4096])
def test_the_largest_products_fit(level: Kernels, width: int) -> None:
    table = np.full((1, width), -128, np.int8)
    found = level.sketch_scores(
        table, table.sum(1, dtype=np.int32), np.zeros(1, np.uint16), np.array([0, 1], np.uint32),
        np.zeros((2, 1), np.int64), np.array([table[0], -1 - table[0]]),
        np.ones(2, np.float32), np.array([0, 1, 2]),
    )  # fmt: skip
    assert found.ravel() == pytest.approx([128 * 128 * width, -127 * 128 * width], rel=1e-3)
