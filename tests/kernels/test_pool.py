"""Pooled token embeddings and MaxSim."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bigrain.kernels import reference
from tests.kernels.levels import Kernels, each_native

LENGTHS = st.lists(st.integers(0, 12), max_size=8)


def ragged(lengths: list[int]) -> np.ndarray:
    return np.cumsum([0, *lengths], dtype=np.int64)


@each_native
@given(
    lengths=LENGTHS,
    dim=st.integers(0, 300),
    power=st.sampled_from([0.0, 0.5, 1.0]),
    normalise=st.booleans(),
    seed=st.integers(0, 999),
)
def test_pooling_equals_the_reference(
    native: Kernels, lengths: list[int], dim: int, power: float, normalise: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    offsets = ragged(lengths)
    ids = rng.integers(0, 11, offsets[-1], dtype=np.int32)
    table = rng.integers(-128, 128, (11, dim), dtype=np.int8)
    scales = rng.random(11, dtype=np.float32)
    got = native.pool_tokens(ids, offsets, table, scales, power, normalise)
    expected = reference.pool_tokens(ids, offsets, table, scales, power, normalise)
    assert got.dtype == np.float32 and got.shape == expected.shape
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


@each_native
@given(lengths=LENGTHS, m=st.integers(0, 70), dim=st.integers(0, 70), seed=st.integers(0, 999))
def test_maxsim_equals_the_reference(
    native: Kernels, lengths: list[int], m: int, dim: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    offsets = ragged(lengths)
    tokens = rng.normal(size=(offsets[-1], dim)).astype(np.float32)
    query = rng.normal(size=(m, dim)).astype(np.float32)
    got = native.maxsim(query, tokens, offsets)
    expected = reference.maxsim(query, tokens, offsets)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5 * max(m * dim, 1))
    assert (np.isneginf(got) == (np.diff(offsets) == 0)).all()
