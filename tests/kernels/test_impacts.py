"""Lists of impacts, the search in them, and rows of weights."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bigrain.kernels import reference
from tests.kernels.levels import Kernels, bitmap, each_level, each_native, same

SEEDS = st.integers(0, 2**32 - 1)
N_ROWS = st.sampled_from([1, 31, 32, 33, 700, 2048, 5000])


def some_lists(rng: np.random.Generator, n_rows: int, count: int) -> list[np.ndarray]:
    """Postings of lists from rare to everywhere, with impacts that are mostly small."""
    lists = []
    for _ in range(count):
        rows = np.flatnonzero(rng.random(n_rows) < 10 ** rng.uniform(-3, 0))
        impacts = np.clip(rng.exponential(200, len(rows)).astype(np.int64), 1, 2040)
        lists.append((rows << 11 | impacts).astype(np.uint32))
    return lists


def packed(kernels: Any, lists: list[np.ndarray], n_rows: int) -> tuple[Any, Any, Any]:
    data, filled = zip(*(kernels.pack_impacts(one, n_rows) for one in lists), strict=True)
    return list(data), np.array(filled, np.uint32), np.array([len(o) for o in lists], np.uint32)


@each_native
@given(n_rows=N_ROWS, seed=SEEDS)
@settings(deadline=None, max_examples=40)
def test_a_list_is_laid_out_as_by_the_reference(native: Kernels, n_rows: int, seed: int) -> None:
    for postings in some_lists(np.random.default_rng(seed), n_rows, 4):
        data, filled = reference.pack_impacts(postings, n_rows)
        same(native.pack_impacts(postings, n_rows)[0], data)
        assert native.pack_impacts(postings, n_rows)[1] == filled
        assert native.sound_impacts(data, len(postings), filled, n_rows)
        assert reference.sound_impacts(data, len(postings), filled, n_rows)


@each_native
@given(
    n_rows=N_ROWS,
    keep=st.sampled_from([1, 3, 10, 100]),
    seed=SEEDS,
    alive=st.sampled_from([None, 0.5, 0.02]),
    slack=st.sampled_from([0, 1 << 20]),
)
@settings(deadline=None, max_examples=60)
def test_a_search_finds_what_the_reference_finds(
    native: Kernels, n_rows: int, keep: int, seed: int, alive: float | None, slack: int
) -> None:
    rng = np.random.default_rng(seed)
    made = packed(reference, some_lists(rng, n_rows, 30), n_rows)
    offsets = np.array([0, 0, 1, 9, 39])
    lists = np.concatenate([rng.permutation(30)[:n] for n in np.diff(offsets)]).astype(np.int32)
    factors = (rng.random(len(lists)) ** 3 * 40_000).astype(np.uint32)
    live = None if alive is None else bitmap(rng.random(n_rows) < alive)
    slacks = np.full(4, slack, np.uint64)
    asked = (*made, n_rows, offsets, lists, factors, slacks, keep, live)
    same(native.search_impacts(*asked), reference.search_impacts(*asked))


@each_native
@given(
    n_rows=N_ROWS,
    keep=st.sampled_from([0, 1, 3, 10, 100, 10_000]),
    seed=SEEDS,
    alive=st.sampled_from([None, 0.5, 0.02]),
)
@settings(deadline=None, max_examples=60)
def test_a_search_by_large_impacts_finds_what_the_reference_finds(
    native: Kernels, n_rows: int, keep: int, seed: int, alive: float | None
) -> None:
    rng = np.random.default_rng(seed)
    ordered = []
    for postings in some_lists(rng, n_rows, 30):
        data, filled = reference.pack_impacts(postings, n_rows)
        least = int(rng.integers(0, 300))
        asked = data, len(postings), filled, n_rows, least
        ordered.append(reference.order_impacts(*asked))
        same(native.order_impacts(*asked), ordered[-1])
        impacts = (ordered[-1] & 2047).astype(int)
        assert (np.diff(impacts) <= 0).all() and (impacts >= least).all()
    offsets = np.array([0, 0, 1, 9, 39])
    lists = np.concatenate([rng.permutation(30)[:n] for n in np.diff(offsets)]).astype(np.int32)
    factors = (rng.random(39) ** 3 * 60_000).astype(np.uint32)
    least = rng.integers(0, 600, 39).astype(np.uint32)
    live = None if alive is None else bitmap(rng.random(n_rows) < alive)
    for _ in range(2):  # what the first search added up is gone
        wanted = ordered, n_rows, offsets, lists, factors, least, keep, live
        got, expected = native.search_ordered(*wanted), reference.search_ordered(*wanted)
        same(got[:3], expected[:3])
        assert got[3] == expected[3]


@each_native
def test_equal_sums_are_all_returned(native: Kernels) -> None:
    postings = (np.arange(3000) << 11 | 7).astype(np.uint32)
    made = packed(native, [postings], 3000)
    one = np.array([0, 1]), np.zeros(1, np.int32), np.array([5], np.uint32), np.zeros(1, np.uint64)
    ends, rows, sums = native.search_impacts(*made, 3000, *one, 10, None)
    assert ends.tolist() == [0, 3000] and (rows == np.arange(3000)).all() and (sums == 35).all()


@each_native
def test_a_query_of_very_many_columns_is_answered(native: Kernels) -> None:
    rng = np.random.default_rng(4)
    made = packed(reference, some_lists(rng, 300, 5000), 300)
    offsets, lists = np.array([0, 5000]), np.arange(5000, dtype=np.int32)
    factors = rng.integers(1, 300, 5000).astype(np.uint32)
    asked = (*made, 300, offsets, lists, factors, np.zeros(1, np.uint64), 5, None)
    same(native.search_impacts(*asked), reference.search_impacts(*asked))


@each_level
def test_bytes_that_are_no_list_are_told_apart_and_searched_without_harm(level: Kernels) -> None:
    rng = np.random.default_rng(7)
    n_rows = 1500
    told = 0
    for postings in some_lists(rng, n_rows, 30):
        data, filled = level.pack_impacts(postings, n_rows)
        if not len(data):
            continue
        hurt = data.copy()
        hurt[rng.integers(len(hurt) // 8)] ^= 1 << rng.integers(8)  # of the largest impacts
        told += not level.sound_impacts(hurt, len(postings), filled, n_rows)
        junk = rng.integers(0, 256, len(data)).astype(np.uint8)
        if level.__class__.__name__ == "Kernels":  # the reference would index beyond its arrays
            sizes = np.array([[filled], [len(postings)]], np.uint32)
            one = np.array([0, 1]), np.zeros(1, np.int32), np.array([9], np.uint32)
            level.search_impacts(
                [junk], sizes[0], sizes[1], n_rows, *one, np.zeros(1, np.uint64), 10, None
            )
            ordered = level.order_impacts(junk, len(postings), filled, n_rows, 0)
            assert (ordered >> 11 < n_rows).all()
            words = rng.integers(0, 1 << 32, 300, np.uint32)
            none = np.zeros(1, np.uint32)
            _, rows, _, _ = level.search_ordered([words], n_rows, *one, none, 10, None)
            assert (rows < n_rows).all()
    assert told >= 25


@each_native
@given(n=st.integers(0, 40), width=st.sampled_from([2, 4]), seed=SEEDS)
@settings(deadline=None, max_examples=40)
def test_rows_of_weights_come_back_and_are_scored(
    native: Kernels, n: int, width: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    offsets = np.cumsum([0, *rng.integers(0, 30, n)]).astype(np.int64)
    top = 60 if width == 2 else 1 << 32
    columns = rng.integers(0, top, offsets[-1]).astype(np.uint32)
    weights = rng.exponential(1, offsets[-1]).astype(np.float32)
    records = native.encode_weights(columns, weights, offsets, width)
    same(records, reference.encode_weights(columns, weights, offsets, width))
    counts = np.diff(offsets)
    places = np.cumsum([0, *(4 * counts + -(-width * counts // 4) * 4 + 4)]).astype(np.int64)
    same(native.decode_weights(records, places, width), (columns, weights, offsets))
    assert native.first_unsound_weights(records, places) == -1
    asked = np.unique(np.append(columns[:20], [3, 4099]).astype(np.uint32))
    queries = np.array([0, 1, len(asked)])
    pairs = [rng.integers(0, high, 2 * n).astype(np.int32) for high in (max(n, 1), 2)]
    called = (
        records, places, width, asked, rng.random(len(asked)).astype(np.float32), queries, *pairs
    )  # fmt: skip
    same(native.score_weights(*called), reference.score_weights(*called))
    if n:
        records[rng.integers(len(records))] ^= 16
        found = native.first_unsound_weights(records, places)
        assert found >= 0 and found == reference.first_unsound_weights(records, places)


@each_native
def test_postings_are_dealt_out_with_impacts_that_are_bounds(native: Kernels) -> None:
    rng = np.random.default_rng(1)
    offsets = np.cumsum([0, *rng.integers(0, 9, 50)]).astype(np.int64)
    lists = rng.integers(0, 8, offsets[-1]).astype(np.uint32)  # 6 and 7: not now
    weights = rng.exponential(1, offsets[-1]).astype(np.float32)
    largest = np.array([weights[lists == i].max() for i in range(6)], np.float32)
    starts = np.cumsum([0, *(np.count_nonzero(lists == i) for i in range(6))])
    results = []
    for kernels in (native, reference):
        places, out = starts[:-1].copy(), np.zeros(starts[-1], np.uint32)
        kernels.deal_postings(lists, weights, offsets, 100, largest, places, out)
        assert (places == starts[1:]).all()
        results.append(out)
    same(*results)
    for i in range(6):
        mine = results[0][starts[i] : starts[i + 1]]
        bound = (mine & 2047) * (np.float64(largest[i]) / 2040)
        given_weights = weights[lists == i].astype(np.float64)
        assert (bound >= given_weights * (1 - 1e-15)).all()
        assert (bound <= given_weights + np.float64(largest[i]) / 2040).all()


@each_level
def test_what_no_kernel_can_take_is_refused(level: Kernels) -> None:
    rising = np.array([1 << 11 | 5, 1 << 11 | 6], np.uint32)
    with pytest.raises(ValueError, match="rows must rise"):
        level.pack_impacts(rising, 10)
    with pytest.raises(ValueError, match="impact is outside"):
        level.pack_impacts(np.array([1 << 11], np.uint32), 10)
    with pytest.raises(ValueError, match="at most 524288"):
        level.pack_impacts(rising[:1], 1 << 20)
    made = packed(level, [rising[:1]], 10)
    one = np.array([0, 1]), np.zeros(1, np.int32), np.array([1 << 22], np.uint32)
    with pytest.raises(ValueError, match="query 0: their sum"):
        level.search_impacts(*made, 10, *one, np.zeros(1, np.uint64), 1, None)
    none = np.zeros(1, np.uint32)
    for factor, told in ((1 << 21, "expected numbers below 2097152"), (2**21 - 1, "beyond 65535")):
        one = np.array([0, 1]), np.zeros(1, np.int32), np.array([factor], np.uint32), none
        if factor < 1 << 21:
            one = np.array([0, 2]), np.zeros(2, np.int32), np.repeat(one[2], 2), np.repeat(none, 2)
        with pytest.raises(ValueError, match=f"query 0: .*{told}"):
            level.search_ordered([rising], 10, *one, 1, None)
    with pytest.raises(ValueError, match="width: expected 2 or 4"):
        level.encode_weights(rising, rising.astype(np.float32), np.array([0, 2]), 3)
    with pytest.raises(ValueError, match="whole words"):
        level.decode_weights(np.zeros(6, np.uint8), np.array([0, 6]), 2)
