"""Inverted lists as they are stored."""

import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bigrain.kernels import reference
from tests.kernels.levels import Kernels, bitmap, each_level, each_native, same

SEEDS = st.integers(0, 2**32 - 1)
LENGTHS = st.sampled_from([1, 2, 15, 16, 17, 127, 128, 129, 256, 300])


def some_lists(rng: np.random.Generator, lengths: list[int], gap_bits: int, value_bits: int) -> Any:
    """Postings with gaps of all sizes up to a number of bits, and the edges of the lists."""
    rows, ends = [], np.cumsum([0, *lengths])
    for n in lengths:
        gaps = rng.integers(0, 2 ** rng.integers(0, gap_bits + 1, n), dtype=np.int64)
        mine = np.cumsum(gaps + 1) - 1
        rows.append(mine[mine < 2**32 - 1])
    starts = np.cumsum([0] + [len(each) for each in rows])
    m = int(starts[-1])
    values = rng.integers(0, 2 ** rng.integers(0, value_bits + 1, m), dtype=np.int64)
    assert m <= ends[-1]
    return (
        np.concatenate(rows).astype(np.uint32),
        rng.integers(1, 256, m).astype(np.uint8),
        values.astype(np.uint32),
        starts.astype(np.int64),
    )


def first_of_each_is_there(postings: Any) -> bool:
    return bool((np.diff(postings[3]) > 0).all())


@each_native
@given(
    lengths=st.lists(LENGTHS, min_size=0, max_size=3),
    gap_bits=st.integers(0, 31),
    value_bits=st.integers(0, 32),
    seed=SEEDS,
)
@settings(deadline=None)
def test_lists_are_packed_and_opened_as_by_the_reference(
    native: Kernels, lengths: list[int], gap_bits: int, value_bits: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    postings = some_lists(rng, lengths or [1], gap_bits, value_bits)
    if not first_of_each_is_there(postings):
        return
    rows, impacts, values, starts = postings
    data, ends, checksums = native.encode_lists(*postings)
    same((data, ends, checksums), reference.encode_lists(*postings))
    begin = 0
    for i, end in enumerate(ends.tolist()):
        assert zlib.crc32(data[begin:end]) == checksums[i]
        mine = slice(int(starts[i]), int(starts[i + 1]))
        n_rows = int(rows[mine][-1]) + 1
        opened = native.PostingList(data[begin:end], mine.stop - mine.start, n_rows)
        same(opened.decode(), (rows[mine], impacts[mine], values[mine]))
        assert (opened.n, opened.largest) == (mine.stop - mine.start, impacts[mine].max())
        asked = rng.choice(np.append(rows[mine], rng.integers(0, 2**32, 9, np.uint32)), 20)
        expected = reference.PostingList(data[begin:end], opened.n, n_rows)
        same(opened.look_up(asked), expected.look_up(asked))
        if n_rows < 1 << 20:
            live = bitmap(rng.random(n_rows) < 0.5)
            assert opened.count_live(live) == expected.count_live(live)
        begin = end


@each_level
def test_rows_at_both_ends_of_their_range(level: Kernels) -> None:
    last = 2**32 - 2
    for rows in ([0], [last], [0, last], [0, 1, last - 1, last]):
        m = len(rows)
        postings = (
            np.array(rows, np.uint32), np.full(m, 255, np.uint8),
            np.full(m, 2**32 - 1, np.uint32), np.array([0, m]),
        )  # fmt: skip
        data, _, _ = level.encode_lists(*postings)
        same(level.PostingList(data, m, last + 1).decode(), postings[:3])
        assert (level.PostingList(data, m, last + 1).look_up(postings[0]) == 2**32 - 1).all()
        with pytest.raises(ValueError, match="a row that is not there"):
            level.PostingList(data, m, rows[-1])


@each_level
def test_a_row_and_nine_bytes(level: Kernels) -> None:
    """What a list of one word that occurs once takes."""
    one = np.ones(1, np.uint32)
    data, _, _ = level.encode_lists(one, one.astype(np.uint8), one - one, np.array([0, 1]))
    assert data.tolist() == [1, 0, 0, 0, 0, 0, 1]


@each_level
@given(seed=SEEDS, cut=st.integers(0, 400), flips=st.integers(0, 3), n=st.integers(1, 300))
@settings(deadline=None, max_examples=60)
def test_other_bytes_are_refused_or_are_rows_in_order(
    level: Kernels, seed: int, cut: int, flips: int, n: int
) -> None:
    rng = np.random.default_rng(seed)
    postings = some_lists(rng, [200], 9, 3)
    data = level.encode_lists(*postings)[0].copy()
    for at in rng.integers(0, min(len(data), 12) if cut % 2 else len(data), flips):
        data[at] = rng.integers(0, 256)
    data = np.ascontiguousarray(data[: len(data) - cut] if cut < len(data) else data)
    n = 200 if cut == 0 else n
    outcomes = []
    for kernels in (level, reference):
        try:
            outcomes.append(kernels.PostingList(data, n, 300_000).decode())
        except ValueError as error:
            outcomes.append(str(error))
    if isinstance(outcomes[1], str):
        assert outcomes[0] == outcomes[1]
    else:
        same(outcomes[0], outcomes[1])
        rows = outcomes[0][0].astype(np.int64)
        assert (np.diff(rows) > 0).all() and rows[-1] < 300_000
