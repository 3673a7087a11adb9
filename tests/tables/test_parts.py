"""Hashes, bitmaps, packed codes, groups, budgets: what methods are made of. NumPy only."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bigrain.errors import BudgetError
from bigrain.kernels.reference_embedding import bits_at, counts_before
from bigrain.tables.budget import largest
from bigrain.tables.forms.codes import Codes, pack_bits
from bigrain.tables.forms.sparse import Sparse, sparse_arrays
from bigrain.tables.forms.widths import Widths
from bigrain.tables.groups import frequency_starts
from bigrain.tables.hashing import bucket, mix, uniform
from bigrain.tables.ranks import bitmap
from bigrain.tables.spec import TableSpec


def test_hashes_are_the_same_in_every_process() -> None:
    ids = np.array([0, 1, 2, 10**9, (1 << 31) - 1])
    assert mix(ids, 7).tolist() == [mix(int(i), 7) for i in ids]
    assert mix(ids, 7).tolist() == GOLDEN


GOLDEN = [1474683084, 3518465285, 562518197, 3995673982, 4271860275]


def test_torch_hashes_as_numpy_does() -> None:
    torch = pytest.importorskip("torch")
    ids = np.random.default_rng(0).integers(0, 1 << 31, 5000)
    for seed in (0, 3, (1 << 31) - 1):
        for part in (0, 5, 1000):
            there = mix(torch.from_numpy(ids), seed, part).numpy()
            np.testing.assert_array_equal(there, mix(ids, seed, part))
    slopes, shifts = ids[:8], ids[8:16]
    np.testing.assert_allclose(
        uniform(torch.from_numpy(ids[:, None]), torch.from_numpy(slopes), torch.from_numpy(shifts)),
        uniform(ids[:, None], slopes, shifts),
        atol=2e-7,
    )


def test_hashes_fill_buckets_evenly_and_independently() -> None:
    ids, m = np.arange(200_000), 1000
    one, two = (bucket(ids, m, 5, part) for part in (0, 1))
    for places in (one, two):
        counts = np.bincount(places, minlength=m)
        assert abs(counts.var() / counts.mean() - 1) < 0.15  # as of a Poisson distribution
    together = np.bincount(one // 10 * 100 + two // 10, minlength=10_000)
    assert abs(together.var() / together.mean() - 1) < 0.05
    assert (bucket(ids, m, 5) != bucket(ids, m, 6)).mean() > 0.99


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 2000), st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_bitmaps_count(n_bits: int, seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    set_ = rng.random(n_bits) < share
    bits, counts = bitmap(np.flatnonzero(set_), n_bits)
    places = np.arange(n_bits)
    np.testing.assert_array_equal(bits_at(bits, places), set_)
    np.testing.assert_array_equal(counts_before(bits, counts, places), np.cumsum(set_) - set_)
    assert counts_before(bits, counts, np.array([n_bits]))[0] == set_.sum()


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 60), st.integers(1, 9), st.integers(1, 8), st.integers(0, 2**32 - 1))
def test_codes_come_out_as_they_went_in(n: int, parts: int, bits: int, seed: int) -> None:
    codes = np.random.default_rng(seed).integers(0, 1 << bits, (n, parts))
    words = np.arange(1 << bits, dtype=np.float32)
    books = np.ascontiguousarray(np.broadcast_to(words[None, :, None], (parts, 1 << bits, 1)))
    form = Codes(
        n,
        parts,
        {"parts": parts, "bits": [bits], "starts": [0], "ordered": False},
        {"books": books, "codes0": pack_bits(codes, bits)},
    )
    np.testing.assert_array_equal(form.lookup(np.arange(n)), codes)
    assert form.arrays["codes0"].nbytes == -(-n * parts * bits // 8) + 1


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_codewords_of_any_size_are_put_together(size: int) -> None:
    rng = np.random.default_rng(size)
    books = rng.standard_normal((8, 32, size)).astype(np.float32)
    codes = rng.integers(0, 8, (20, 8))
    codes[:6] = rng.integers(0, 32, (6, 8))
    arrays = {"books": books, "codes0": pack_bits(codes[:6], 5), "codes1": pack_bits(codes[6:], 3)}
    knobs = {"parts": 8, "bits": [5, 3], "starts": [0, 6], "ordered": False}
    found = Codes(20, 8 * size, knobs, arrays).lookup(np.arange(20))
    np.testing.assert_array_equal(found, books[np.arange(8), codes].reshape(20, -1))


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 40), st.integers(1, 20), st.floats(0, 1), st.booleans(), st.integers(0, 2**31)
)
def test_sparse_rows(n: int, d: int, share: float, mapped: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    dense = rng.standard_normal((n, d)).astype(np.float32)
    dense[rng.random((n, d)) >= share] = 0
    places = np.flatnonzero(dense)
    arrays = sparse_arrays(places, dense.reshape(-1)[places], n * d, mapped)
    form = Sparse(n, d, {"values": len(places), "mapped": mapped}, arrays)
    ids = rng.integers(0, n, 30)
    np.testing.assert_array_equal(form.lookup(ids), dense[ids])


def test_pruned_narrow_rows() -> None:
    kept = np.array([0, 2, 3, 7, 9])  # of ten rows in groups of 4 and 6
    cells = np.arange(3 * 2 + 2 * 3, dtype=np.float32) + 1
    bits, counts = bitmap(kept, 10)
    knobs = {
        "starts": [0, 4], "sizes": [3, 2], "widths": [2, 3], "projected": False, "pruned": True,
        "ordered": False,
    }  # fmt: skip
    form = Widths(10, 4, knobs, {"cells": cells, "kept": bits, "counts": counts})
    rows = form.lookup(np.arange(10))
    assert rows[2].tolist() == [3, 4, 0, 0] and rows[9].tolist() == [10, 11, 12, 0]
    assert np.flatnonzero(rows.any(axis=1)).tolist() == kept.tolist()


def test_bands_of_frequency_grow_about_fourfold() -> None:
    assert frequency_starts(265_694) == [0, 259, 1037, 4151, 16605, 66423]
    assert frequency_starts(1) == [0]
    for n in range(1, 200):
        starts = frequency_starts(n)
        assert starts[0] == 0 and sorted(set(starts)) == starts and starts[-1] < n


def test_ranks_by_frequency() -> None:
    def order(frequencies: object) -> object:
        ranks = TableSpec.of(4, 2, None, frequencies, None, 0).order
        return None if ranks is None else ranks.tolist()

    assert order([1, 5, 5, 9]) == [3, 1, 2, 0]
    assert order([9, 5, 5, 1]) is None
    assert order("falling") is None


def test_the_largest_that_fits() -> None:
    assert largest(lambda k: 10 * k, 1, 100, 555, "x") == 55
    assert largest(lambda k: 10 * k, 1, 20, 555, "x") == 20
    with pytest.raises(BudgetError, match="takes 10 bytes"):
        largest(lambda k: 10 * k, 1, 20, 9, "x")
