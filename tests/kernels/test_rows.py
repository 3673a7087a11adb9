"""Exact scores and checksums of byte records."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigrain.kernels import reference
from tests.kernels.levels import Kernels, each_level, each_native, same


@each_native
@given(
    n=st.integers(0, 9),
    dim=st.integers(0, 150),
    gap=st.integers(0, 9),
    dtype=st.sampled_from(["float16", "float32"]),
    metric=st.sampled_from(["ip", "l2"]),
    seed=st.integers(0, 2**32 - 1),
)
def test_scores_equal_the_reference(
    native: Kernels, n: int, dim: int, gap: int, dtype: str, metric: str, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    payload = rng.normal(size=(n, dim)).astype(dtype)
    width = dim * payload.itemsize
    records = rng.integers(0, 256, (n, width + gap), dtype=np.uint8)
    records[:, :width] = payload.view(np.uint8).reshape(n, width)
    query = rng.normal(size=dim).astype(np.float32)
    got = native.score_rows(records, dim, dtype, query, metric)
    expected = reference.score_rows(records, dim, dtype, query, metric)
    assert got.dtype == np.float32
    scale = np.abs(payload.astype(np.float32)) @ np.abs(query) + np.abs(expected)
    assert (np.abs(got - expected) <= 1e-5 * scale + 1e-12).all()


@each_native
def test_every_half_precision_number_is_read_exactly(native: Kernels) -> None:
    records = np.arange(65536, dtype=np.uint16).view(np.uint8).reshape(-1, 2)
    got = native.score_rows(records, 1, "float16", np.ones(1, np.float32), "ip")
    np.testing.assert_array_equal(got, records.view(np.float16)[:, 0].astype(np.float32))


@each_native
@given(n=st.integers(0, 5), n_bytes=st.integers(0, 150), seed=st.integers(0, 2**32 - 1))
def test_checksums_equal_the_reference(native: Kernels, n: int, n_bytes: int, seed: int) -> None:
    records = np.random.default_rng(seed).integers(0, 256, (n, n_bytes), dtype=np.uint8)
    same(native.row_checksums(records), reference.row_checksums(records))


@each_level
def test_checksums_do_not_change_between_versions(level: Kernels) -> None:
    """They are written to disk: these values must stay."""
    records = np.arange(22, dtype=np.uint8).reshape(2, 11)
    assert level.row_checksums(records).tolist() == [2579297853, 1211504607]
    assert level.row_checksums(np.zeros((1, 0), np.uint8)).tolist() == [3335978841]


@each_level
@pytest.mark.parametrize("n_bytes", [1, 4, 7, 96, 769])
def test_every_flipped_bit_is_noticed(level: Kernels, n_bytes: int) -> None:
    record = np.random.default_rng(n_bytes).integers(0, 256, n_bytes, dtype=np.uint8)
    damaged = np.repeat(record[None], 8 * n_bytes + 1, axis=0)
    for bit in range(8 * n_bytes):
        damaged[bit + 1, bit // 8] ^= 1 << bit % 8
    sums = level.row_checksums(damaged)
    assert (sums[1:] != sums[0]).all()


def test_any_damage_within_one_byte_is_noticed_for_certain() -> None:
    """A change by +-c * 256^j, c < 256, moves the 64-bit sum by 2^32 at least."""
    keys = reference.checksum_keys(16_386)
    for shift in range(0, 32, 8):
        moved = keys * np.uint64(1 << shift)
        change = np.zeros_like(keys)
        for _ in range(255):
            change += moved
            assert np.minimum(change, -change).min() >= 1 << 32


@each_level
def test_length_matters(level: Kernels) -> None:
    zeros = [level.row_checksums(np.zeros((1, n), np.uint8))[0] for n in range(20)]
    assert len(set(zeros)) == 20
