"""Suffix sorting and the blocks of an FM-index, at every level."""

from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bigrain.kernels import reference
from bigrain.kernels.reference_fm import BLOCK, RECORD
from tests.kernels.levels import Kernels, each_level, each_native, same

TEXTS = st.one_of(
    st.binary(max_size=300),
    st.text("ab", max_size=200).map(str.encode),
    st.builds(lambda part, n: part * n, st.binary(min_size=1, max_size=9), st.integers(1, 40)),
)


def of(text: bytes) -> np.ndarray:
    return np.frombuffer(text, np.uint8).copy()


@each_level
@given(text=TEXTS)
@example(text=b"")
@example(text=b"mississippi")
@example(text=b"\0" * 50)
def test_suffixes_are_in_order(level: Kernels, text: bytes) -> None:
    found = level.suffix_array(of(text)).tolist()
    assert found == sorted(range(len(text)), key=lambda i: text[i:])


@each_native
@pytest.mark.parametrize("alphabet", [2, 4, 200])
def test_suffixes_of_a_long_text(native: Kernels, alphabet: int) -> None:
    rng = np.random.default_rng(alphabet)
    words = [rng.integers(0, alphabet, rng.integers(1, 9), dtype=np.uint8) for _ in range(50)]
    text = np.concatenate([words[i] for i in rng.integers(0, 50, 8000).tolist()])
    same(native.suffix_array(text), reference.suffix_array(text))


def make(seed: int, n_rows: int, longest: int) -> tuple[np.ndarray, np.ndarray]:
    """A text of rows that end in 0xff, and where they end."""
    rng = np.random.default_rng(seed)
    rows = [rng.choice(of(b"ab \0\xc3"), rng.integers(0, longest)) for _ in range(n_rows)]
    parts = [np.append(row, 255).astype(np.uint8) for row in rows]
    ends = np.cumsum([0, *map(len, parts)])[1:].astype(np.int64)
    return np.concatenate([np.empty(0, np.uint8), *parts]), ends


@each_native
@settings(deadline=None)
@given(seed=st.integers(0, 2**32 - 1), n_rows=st.integers(0, 30))
@example(seed=1, n_rows=3000)
def test_blocks_equal_the_reference(native: Kernels, seed: int, n_rows: int) -> None:
    text, ends = make(seed, n_rows, 12)
    suffixes = native.suffix_array(text)
    expected = reference.fm_blocks(text, suffixes, ends)
    same(native.fm_blocks(text, suffixes, ends), expected)
    records = [record.tobytes() for record in expected[0]]
    rng = np.random.default_rng(seed)
    places = rng.integers(0, max(len(text), 1), 40 if len(text) else 0)
    slots, offsets = places // BLOCK, places % BLOCK
    symbols = rng.choice(of(b"ab \0\xffz"), len(places))
    same(native.fm_steps(records, slots, offsets), reference.fm_steps(records, slots, offsets))
    asked = (records, slots, offsets + 1, symbols)
    same(native.fm_ranks(*asked), reference.fm_ranks(*asked))


@each_level
def test_steps_lead_from_every_suffix_to_its_row(level: Kernels) -> None:
    text, ends = make(5, 200, 100)
    suffixes = level.suffix_array(text)
    records, samples = level.fm_blocks(text, suffixes, ends)
    blocks = [record.tobytes() for record in records]
    before = np.concatenate(([0], np.cumsum(np.bincount(text, minlength=256))))
    for number in range(0, len(text), 97):
        at, steps = number, 0
        while True:
            slot, offset = np.array([at // BLOCK]), np.array([at % BLOCK])
            symbol, rank, mark = (int(a[0]) for a in level.fm_steps(blocks, slot, offset))
            if mark >= 0:
                break
            at, steps = int(before[symbol]) + rank, steps + 1
        assert steps < 16
        assert suffixes[at] == suffixes[number] - steps
        assert samples[mark] == np.searchsorted(ends, suffixes[number], side="right")


R, ONE = bytes(RECORD), np.zeros(1, np.int64)
NO = np.empty(0, np.int64)
WRONG: list[tuple[str, tuple[Any, ...], type[Exception], str]] = [
    ("suffix_array", (np.zeros(3, np.int32),), TypeError, "text"),
    ("suffix_array", (np.zeros((3, 1), np.uint8),), ValueError, "text"),
    ("fm_blocks", (of(b"ab"), np.zeros(1, np.int32), ONE + 2), ValueError, "suffixes"),
    ("fm_blocks", (of(b"ab"), np.array([0, 2], np.int32), ONE + 2), ValueError, "suffixes"),
    ("fm_blocks", (of(b"ab"), np.array([0, -1], np.int32), ONE + 2), ValueError, "suffixes"),
    ("fm_blocks", (of(b"ab"), np.array([1, 0], np.int32), ONE + 1), ValueError, "ends"),
    ("fm_blocks", (of(b"ab"), np.array([1, 0], np.int32), NO), ValueError, "ends"),
    ("fm_ranks", ([R], ONE + 1, ONE, np.zeros(1, np.uint8)), ValueError, "slots"),
    ("fm_ranks", ([R], ONE - 1, ONE, np.zeros(1, np.uint8)), ValueError, "slots"),
    ("fm_ranks", ([R], ONE, ONE + BLOCK + 1, np.zeros(1, np.uint8)), ValueError, "offsets"),
    ("fm_ranks", ([R], ONE, ONE, np.zeros(2, np.uint8)), ValueError, "symbols"),
    ("fm_ranks", ([R[1:]], ONE, ONE, np.zeros(1, np.uint8)), ValueError, "records"),
    ("fm_ranks", ((R,), ONE, ONE, np.zeros(1, np.uint8)), TypeError, "records"),
    ("fm_steps", (["text"], ONE, ONE), TypeError, "records"),
    ("fm_steps", ([R], ONE, ONE + BLOCK), ValueError, "offsets"),
    ("fm_steps", ([R], ONE, NO), ValueError, "offsets"),
    ("fm_steps", ([], ONE, ONE), ValueError, "slots"),
]


@each_level
@pytest.mark.parametrize(("name", "arguments", "error", "argument"), WRONG)
def test_wrong_arguments_are_refused_by_name(
    level: Kernels, name: str, arguments: tuple[Any, ...], error: type[Exception], argument: str
) -> None:
    with pytest.raises(error, match=argument):
        getattr(level, name)(*arguments)
