"""Sentences as ranges of tokens."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigrain import kernels
from bigrain.codecs.spans import characters_of, token_ranges, vectors_of
from bigrain.errors import InvalidVectorsError
from bigrain.text.chunk import sentences

TEXT = "Dr. Lee came late.  He sat!\n\nNobody (not even Ann) spoke. Why?"


def words(text: str, pattern: str = r"\w+|[^\w\s]") -> np.ndarray:
    """Offsets of tokens, between special ones."""
    found = [match.span() for match in re.finditer(pattern, text)]
    return np.array([(0, 0), *found, (len(text), len(text))])


@pytest.mark.parametrize("pattern", [r"\w+|[^\w\s]", r"\s*(?:\w+|[^\w\s])"])
def test_sentences_partition_the_tokens(pattern: str) -> None:
    tokens = words(TEXT, pattern)  # also tokens that hold the blank before a word
    spans = sentences(TEXT)
    ranges = token_ranges(tokens, spans)
    assert len(spans) == 4
    covered = np.concatenate([np.arange(a, b) for a, b in ranges])
    assert covered.tolist() == list(range(1, len(tokens) - 1))  # special tokens in none
    for (a, b), (start, end) in zip(ranges, spans, strict=True):
        first, last = characters_of(tokens, a, b)
        assert TEXT[first:last].strip() == TEXT[start:end]


def test_the_best_sentences_of_each_query_token_make_the_score_of_the_passage() -> None:
    rng = np.random.default_rng(0)
    tokens = words(TEXT)[1:-1]
    values = rng.normal(size=(len(tokens), 8)).astype(np.float32)
    query = rng.normal(size=(5, 8)).astype(np.float32)
    ranges = token_ranges(tokens, sentences(TEXT))
    best = np.max([(query @ values[a:b].T).max(axis=1) for a, b in ranges], axis=0)
    whole = kernels.maxsim(query, values, np.array([0, len(values)]))
    np.testing.assert_allclose(best.sum(), whole[0], rtol=1e-5)


def test_spans_without_tokens_get_empty_ranges() -> None:
    tokens = np.array([[0, 0], [0, 3], [10, 12], [12, 12]])
    ranges = token_ranges(tokens, [(0, 3), (4, 6), (7, 9), (10, 12), (13, 20)])
    assert ranges.tolist() == [[1, 2], [2, 2], [2, 2], [2, 3], [4, 4]]
    assert token_ranges(tokens[:0], [(0, 3)]).tolist() == [[0, 0]]
    assert token_ranges(tokens, []).shape == (0, 2)
    assert characters_of(tokens, 0, 1) == (0, 0)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4)), max_size=20), st.data())
def test_every_token_is_in_the_span_of_its_last_character(
    steps: list[tuple[int, int]], data: st.DataObject
) -> None:
    tokens, at = [], 0
    for gap, length in steps:
        tokens.append((at + gap, at + gap + length))
        at += gap + length
    edges = sorted(data.draw(st.lists(st.integers(0, 60), max_size=8).filter(_is_even)))
    spans = list(zip(edges[::2], edges[1::2], strict=True))
    ranges = token_ranges(np.array(tokens).reshape(-1, 2), spans)
    for (start, end), (a, b) in zip(spans, ranges.tolist(), strict=True):
        inside = [i for i, (x, y) in enumerate(tokens) if y > x and start <= y - 1 < end]
        assert [i for i in range(a, b) if tokens[i][1] > tokens[i][0]] == inside
        assert not inside or (inside[0], inside[-1] + 1) == (a, b)


def _is_even(values: list[int]) -> bool:
    return len(values) % 2 == 0


def test_vectors_of_a_sentence_are_those_of_its_tokens() -> None:
    vector_of = np.array([0, 0, 0, 1, 1, 2, 2, 3, 3])
    found = vectors_of(vector_of, np.array([[0, 4], [4, 8], [8, 8]]))
    assert [part.tolist() for part in found] == [[0, 1], [1, 2, 3], []]
    assert vectors_of(np.array([-1, 0, -1]), np.array([[0, 3]]))[0].tolist() == [0]


@pytest.mark.parametrize(
    ("tokens", "spans", "named"),
    [
        ([[0, 3], [5, 4]], [(0, 5)], r"token 1, \(5, 4\), ends before it begins"),
        ([[3, 4], [0, 4]], [(0, 5)], "token 1, .*begins before the one before"),
        ([[0, 9], [3, 4]], [(0, 5)], "token 1, .*ends before the one before"),
        ([[-1, 4]], [(0, 5)], "begins before the text"),
        ([0, 1, 2], [(0, 5)], r"\(n, 2\)"),
        ([[0, 1]], [(0, 5), (4, 8)], "spans overlap"),
        ([[0, 1]], [(5, 8), (0, 5)], "span 1"),
    ],
)
def test_places_out_of_order_are_refused(tokens: list, spans: list, named: str) -> None:
    with pytest.raises(InvalidVectorsError, match=named):
        token_ranges(np.array(tokens), spans)
