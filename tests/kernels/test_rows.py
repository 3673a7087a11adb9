"""Exact scores and checksums of byte records."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigrain.kernels import reference
from bigrain.kernels.numbers import TYPES, bytes_of, read_numbers, write_numbers
from tests.kernels.levels import Kernels, each_level, each_native, same


@each_native
@given(
    n=st.integers(0, 9),
    dim=st.integers(0, 150),
    gap=st.integers(0, 9),
    dtype=st.sampled_from(TYPES),
    metric=st.sampled_from(["ip", "l2"]),
    seed=st.integers(0, 2**32 - 1),
)
def test_scores_equal_the_reference(
    native: Kernels, n: int, dim: int, gap: int, dtype: str, metric: str, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(n, dim)).astype(np.float32)
    width = bytes_of(dim, dtype)
    records = rng.integers(0, 256, (n, width + gap), dtype=np.uint8)
    records[:, :width] = write_numbers(vectors, dtype)
    query = rng.normal(size=dim).astype(np.float32)
    got = native.score_rows(records, dim, dtype, query, metric)
    expected = reference.score_rows(records, dim, dtype, query, metric)
    assert got.dtype == np.float32
    scale = np.abs(read_numbers(records, dim, dtype)) @ np.abs(query) + np.abs(expected)
    assert (np.abs(got - expected) <= 1e-5 * scale + 1e-12).all()


@each_native
def test_every_half_precision_number_is_read_exactly(native: Kernels) -> None:
    records = np.arange(65536, dtype=np.uint16).view(np.uint8).reshape(-1, 2)
    got = native.score_rows(records, 1, "float16", np.ones(1, np.float32), "ip")
    np.testing.assert_array_equal(got, records.view(np.float16)[:, 0].astype(np.float32))


@each_native
@pytest.mark.parametrize("dim", [1, 15, 16, 67])
def test_every_brain_float_is_read_exactly(native: Kernels, dim: int) -> None:
    numbers = np.arange(65536, dtype=np.uint16)
    records = np.zeros((65536, dim), np.uint16)
    records[:, -1] = numbers
    query = np.ones(dim, np.float32)
    got = native.score_rows(records.view(np.uint8), dim, "bfloat16", query, "ip")
    expected = (numbers.astype(np.uint32) << 16).view(np.float32)
    normal = np.abs(expected) >= np.finfo(np.float32).tiny
    np.testing.assert_array_equal(got[normal], expected[normal])
    assert np.isnan(got[np.isnan(expected)]).all()


@each_native
@pytest.mark.parametrize("dim", [1, 15, 16, 67])
def test_every_whole_number_is_read_exactly(native: Kernels, dim: int) -> None:
    numbers = np.arange(-128, 128).astype(np.int8)
    records = np.zeros((256, 4 + dim), np.uint8)
    records[:, :4] = np.float32(0.375).reshape(1).view(np.uint8)
    records[:, -1] = numbers.view(np.uint8)
    got = native.score_rows(records, dim, "int8", np.ones(dim, np.float32), "ip")
    np.testing.assert_array_equal(got, np.float32(0.375) * numbers)


@each_level
@pytest.mark.parametrize("metric", ["ip", "l2"])
@pytest.mark.parametrize("dtype", TYPES)
def test_rows_of_scale_beyond_all_measure_score_as_the_reference(
    level: Kernels, dtype: str, metric: str
) -> None:
    """A forged row may hold anything; what comes of it is not finite at any level."""
    records = np.full((3, bytes_of(9, dtype)), 0x7F, np.uint8)
    records[0], records[2] = 0xFF, 0
    query = np.arange(1, 10, dtype=np.float32)
    with np.errstate(all="ignore"):
        got = level.score_rows(records, 9, dtype, query, metric)
        expected = reference.score_rows(records, 9, dtype, query, metric)
    assert np.isfinite(got).tolist() == np.isfinite(expected).tolist()
    assert got[2] == (0 if metric == "ip" else -np.square(query).sum())


@given(
    dtype=st.sampled_from(TYPES),
    dim=st.integers(1, 40),
    exponent=st.integers(-44, 15),
    seed=st.integers(0, 2**32 - 1),
)
def test_numbers_are_read_as_they_were_written_within_the_types_error(
    dtype: str, dim: int, exponent: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    if dtype == "float16":
        exponent = min(exponent, 3)
    vectors = (rng.uniform(-1, 1, (20, dim)) * 10.0**exponent).astype(np.float32)
    vectors[0] = 0
    raw = write_numbers(vectors, dtype)
    assert raw.shape == (20, bytes_of(dim, dtype))
    found = read_numbers(raw, dim, dtype)
    np.testing.assert_array_equal(write_numbers(found, dtype), raw)
    error, size = np.abs(found.astype(np.float64) - vectors), np.abs(vectors)
    smallest = np.finfo(np.float32).tiny
    allowed = {
        "float32": 0 * size,
        "float16": size * 2.0**-11 + 2.0**-25,
        "bfloat16": size * 2.0**-8 + smallest * 2.0**-8,
        "int8": np.maximum(size.max(axis=1, keepdims=True) / 127, smallest) / 2 * (1 + 2.0**-14)
        + 0 * size,
    }[dtype]
    assert (error <= allowed).all()


@each_native
@given(n=st.integers(0, 5), n_bytes=st.integers(0, 150), seed=st.integers(0, 2**32 - 1))
def test_checksums_equal_the_reference(native: Kernels, n: int, n_bytes: int, seed: int) -> None:
    records = np.random.default_rng(seed).integers(0, 256, (n, n_bytes), dtype=np.uint8)
    same(native.row_checksums(records), reference.row_checksums(records))


@each_level
@given(
    n=st.integers(0, 140),
    n_bytes=st.integers(0, 90),
    wrong=st.sets(st.integers(0, 139), max_size=3),
    seed=st.integers(0, 2**32 - 1),
)
def test_the_first_damaged_record_is_named(
    level: Kernels, n: int, n_bytes: int, wrong: set[int], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    payload = rng.integers(0, 256, (n, n_bytes), dtype=np.uint8)
    sums = reference.row_checksums(payload).astype("<u4").view(np.uint8).reshape(n, 4)
    records = np.concatenate((payload, sums), axis=1)
    there = sorted(row for row in wrong if row < n)
    for row in there:
        records[row, rng.integers(n_bytes + 4)] ^= 1 << rng.integers(8)
    assert level.first_damaged(records) == (there[0] if there else -1)


@each_level
@given(n=st.integers(0, 9), dim=st.integers(0, 90), seed=st.integers(0, 2**32 - 1))
def test_rows_are_rounded_to_half_a_step(level: Kernels, n: int, dim: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(n, dim)).astype(np.float32)
    vectors *= rng.choice(np.array([0, 1e-45, 1e-40, 1, 1e30], np.float32), (n, 1))
    rows, scale = level.quantise_rows(vectors)
    same((rows, scale), reference.quantise_rows(vectors))
    assert rows.dtype == np.int8 and scale.dtype == np.float32 and (scale > 0).all()
    usual = np.abs(vectors).max(axis=1, initial=0) > 1e-30
    error = np.abs(rows * scale[:, None].astype(np.float64) - vectors)[usual]
    assert (error <= scale[usual, None] * 0.50001).all()
    if n and dim:
        vectors[-1, -1] = np.nan
        with pytest.raises(ValueError, match=f"vectors: row {n - 1} is not finite"):
            level.quantise_rows(vectors)


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
