"""Sums of sets of rows: as docs/format/catalogue.md tells them, and additive."""

from hashlib import blake2b

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bigrain.storage import sums
from bigrain.storage.sums import Sums

NUMBERS = st.integers(-(2**63), 2**63 - 1)
WORD = 2**64


def mixed(tag: int, *numbers: int) -> int:
    """The hash of one row in plain Python."""
    h = tag * 0x9E3779B97F4A7C15 % WORD
    for n in numbers:
        h = ((n % WORD ^ h) + 0x9E3779B97F4A7C15) % WORD
        h = (h ^ h >> 30) * 0xBF58476D1CE4E5B9 % WORD
        h = (h ^ h >> 27) * 0x94D049BB133111EB % WORD
        h ^= h >> 31
    return h


def name(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little")


@given(st.lists(st.tuples(NUMBERS, NUMBERS, NUMBERS), max_size=6))
def test_sums_are_what_the_format_says(rows: list[tuple[int, int, int]]) -> None:
    docno, passages, died = sums.columns_of(rows, 3)
    assert sums.dead_sum(docno, passages, died) == sum(mixed(2, *r) for r in rows) % WORD
    assert sums.long_sum(docno, passages) == sum(mixed(3, *r[:2]) for r in rows) % WORD
    assert sums.live_sum(docno) == sum(mixed(1, r[0]) for r in rows) % WORD
    expected = sum(mixed(5, name("a.seg"), *r[:2]) for r in rows) % WORD
    assert sums.superseded_sum("a.seg", docno, passages) == expected
    segments = [(f"f{i}.seg", "field", *r) for i, r in enumerate(rows)]
    expected = sum(mixed(4, name(f"{f}\0{g}"), *r) for f, g, *r in segments) % WORD
    assert sums.segment_sum(segments) == expected


@given(st.lists(NUMBERS, max_size=8), st.lists(NUMBERS, max_size=8))
def test_rows_are_added_and_taken_away_in_any_order(one: list[int], other: list[int]) -> None:
    def total(numbers: list[int]) -> Sums:
        return Sums(live=sums.live_sum(np.array(numbers, np.int64)))

    assert total(one) + total(other) == total(other + one)
    assert total(one + other) - total(other) == total(one[::-1])


@given(st.integers(0, WORD - 1))
def test_a_sum_survives_sqlite(value: int) -> None:
    assert -(2**63) <= sums.signed(value) < 2**63
    assert sums.signed(value) & sums.MASK == value


def test_equal_values_of_metadata_have_equal_sums() -> None:
    assert sums.attribute_sum([(1, 2, 3)]) == sums.attribute_sum([(1, 2.0, 3)])
    different = [(1, 2, 3), (1, "2", 3), (1, 2.5, 3), (2, 2, 3), (1, 2, 4), (1, 2**53, 3)]
    assert len({sums.attribute_sum([row]) for row in different}) == len(different)
