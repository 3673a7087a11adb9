"""Pooled token vectors: which tokens go together, and what becomes of them."""

from collections.abc import Callable

import numpy as np
import pytest

from bigrain.codecs.pooling import ward
from bigrain.codecs.pooling.centroids import Centroids
from bigrain.codecs.pooling.groups import Pooled, Pooling, full_length
from bigrain.codecs.pooling.ward import Ward
from bigrain.errors import ConfigError, InvalidVectorsError

Ragged = tuple[np.ndarray, np.ndarray]
LENGTHS = [1, 2, 3, 0, 7, 8, 15, 16, 80, 33, 5]


def ragged(lengths: list[int], dim: int = 12, seed: int = 0) -> Ragged:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(sum(lengths), dim)).astype(np.float32)
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    return values, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def same_groups(one: np.ndarray, other: np.ndarray) -> bool:
    pairs = set(zip(one.tolist(), other.tolist(), strict=True))
    return len(pairs) == len(set(one.tolist())) == len(set(other.tolist()))


def check(values: np.ndarray, offsets: np.ndarray, found: Pooled) -> None:
    """Every vector is the mean of its tokens, in the order of their first ones."""
    assert found.values.dtype == np.float32 and found.vector_of.dtype == np.int32
    assert len(found.offsets) == len(offsets) and found.offsets[-1] == len(found.values)
    for row in range(len(offsets) - 1):
        tokens = values[offsets[row] : offsets[row + 1]].astype(np.float32)
        vector_of = found.vector_of[offsets[row] : offsets[row + 1]]
        vectors = found.values[found.offsets[row] : found.offsets[row + 1]]
        names, first = np.unique(vector_of, return_index=True)
        assert names.tolist() == list(range(len(vectors)))
        assert (np.diff(first) > 0).all()
        for i, vector in enumerate(vectors):
            group = tokens[vector_of == i]
            np.testing.assert_allclose(vector, group.mean(axis=0), rtol=1e-5, atol=1e-6)


POOLINGS: list[Pooling] = [
    Ward(2),
    Ward(4, protected=2),
    Centroids(6),
    Centroids(6, protected=2, iterations=3),
]


@pytest.mark.parametrize("pooling", POOLINGS, ids=str)
def test_vectors_stand_for_their_tokens(pooling: Pooling) -> None:
    values, offsets = ragged(LENGTHS)
    found = pooling(values, offsets)
    check(values, offsets, found)
    assert len(found.values) < len(values)


@pytest.mark.parametrize("pooling", POOLINGS, ids=str)
def test_a_row_is_pooled_alike_alone_and_among_others(pooling: Pooling) -> None:
    values, offsets = ragged(LENGTHS)
    together = pooling(values, offsets)
    for row in (4, 7, 8):
        a, b = offsets[row], offsets[row + 1]
        alone = pooling(values[a:b], np.array([0, b - a]))
        np.testing.assert_array_equal(alone.vector_of, together.vector_of[a:b])


@pytest.mark.parametrize("pooling", POOLINGS, ids=str)
def test_no_rows_empty_rows_and_half_precision_are_taken(pooling: Pooling) -> None:
    values, offsets = ragged([0, 9, 0])
    assert pooling(values[:0], np.array([0])).values.shape == (0, 12)
    found = pooling(values.astype(np.float16), offsets)
    check(values.astype(np.float16), offsets, found)
    assert found.offsets[1] == 0 and found.offsets[2] == found.offsets[3]


def test_factor_one_changes_nothing() -> None:
    values, offsets = ragged(LENGTHS)
    found = Ward(1)(values, offsets)
    np.testing.assert_array_equal(found.values, values)
    np.testing.assert_array_equal(found.offsets, offsets)
    assert found.vector_of[offsets[8] : offsets[9]].tolist() == list(range(80))


@pytest.mark.parametrize("protected", [0, 3])
@pytest.mark.parametrize("factor", [2, 3, 6])
def test_as_many_vectors_stay_as_the_factor_says(factor: int, protected: int) -> None:
    values, offsets = ragged(LENGTHS)
    found = Ward(factor, protected=protected)(values, offsets)
    kept = [min(n, protected) for n in LENGTHS]
    rest = [max(1, (n - p) // factor) if n > p else 0 for n, p in zip(LENGTHS, kept, strict=True)]
    expected = np.array(kept) + np.array(rest)
    np.testing.assert_array_equal(np.diff(found.offsets), expected)
    for row, n in enumerate(kept):  # protected tokens come first, unchanged
        at, to = offsets[row], found.offsets[row]
        np.testing.assert_array_equal(found.values[to : to + n], values[at : at + n])


@pytest.mark.parametrize("dim", [12, 100])  # fewer and more dimensions than tokens
@pytest.mark.parametrize("factor", [2, 3, 5])
def test_ward_gives_the_clusters_of_scipy(
    dim: int, factor: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    hierarchy = pytest.importorskip("scipy.cluster.hierarchy")
    monkeypatch.setattr(ward, "BATCH_PAIRS", 1 << 13)  # several batches
    lengths = [2, 5, 9, 30, 31, 40, 70, 64, 12, 33]
    values, offsets = ragged(lengths, dim, seed=factor)
    values = values + 0.5  # all in one half of space, as those of models
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    found = Ward(factor)(values, offsets)
    for row, n in enumerate(lengths):
        tokens = values[offsets[row] : offsets[row + 1]].astype(np.float64)
        tree = hierarchy.linkage(1 - tokens @ tokens.T, "ward")
        expected = hierarchy.fcluster(tree, max(1, n // factor), "maxclust")
        assert same_groups(expected, found.vector_of[offsets[row] : offsets[row + 1]]), row


def test_ward_puts_equal_tokens_together_and_ends_on_any_row() -> None:
    values, _ = ragged([10])
    rng = np.random.default_rng(1)
    which = rng.integers(0, 10, 300)
    found = Ward(30)(values[which], np.array([0, 300]))
    assert same_groups(which, found.vector_of)
    for tokens in (
        np.repeat(values[:1], 301, axis=0),  # all equal
        np.zeros((50, 12), np.float32),
        np.outer(2.0 ** np.arange(40), np.ones(12)).astype(np.float32),  # one pair a round
        np.eye(40, dtype=np.float32),  # all equally far
    ):
        found = Ward(3)(tokens, np.array([0, len(tokens)]))
        assert len(found.values) == len(tokens) // 3


def test_rows_of_very_many_tokens_are_clustered_in_stretches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    values, offsets = ragged([90, 41, 40, 3])
    whole = Ward(3, protected=1)(values, offsets)
    monkeypatch.setattr(ward, "LONGEST", 40)
    found = Ward(3, protected=1)(values, offsets)
    check(values, offsets, found)
    assert np.diff(found.offsets).tolist() == [1 + 9 + 10 + 10, 14, 14, 2]
    np.testing.assert_array_equal(found.vector_of[90:], whole.vector_of[90:])
    groups = found.vector_of[1:90]  # of 29, 30 and 30 tokens
    assert not set(groups[:29]) & set(groups[29:59]) and not set(groups[29:59]) & set(groups[59:])
    alone = Ward(3)(values[1:30], np.array([0, 29]))
    assert same_groups(alone.vector_of, groups[:29])


def test_means_can_be_as_long_as_their_tokens() -> None:
    values, offsets = ragged(LENGTHS)
    found = full_length(Ward(3)(values, offsets), values, offsets)
    np.testing.assert_allclose(np.linalg.norm(found.values, axis=1), 1, rtol=1e-5)
    longer = (7 * values).astype(np.float16)
    scaled = full_length(Ward(3)(longer, offsets), longer, offsets)
    np.testing.assert_allclose(scaled.values, 7 * found.values, atol=0.02)
    unpooled = full_length(Ward(1)(values, offsets), values, offsets)
    np.testing.assert_allclose(unpooled.values, values, rtol=1e-5)
    opposite = np.array([[1, 0], [-1, 0]], np.float32)
    nothing = full_length(Ward(2)(opposite, np.array([0, 2])), opposite, np.array([0, 2]))
    assert nothing.values.tolist() == [[0, 0]]


def test_centroids_are_a_constant_number_and_fewer_tokens_are_kept() -> None:
    values, offsets = ragged(LENGTHS)
    found = Centroids(8)(values, offsets)
    np.testing.assert_array_equal(np.diff(found.offsets), np.minimum(LENGTHS, 8))
    a, b = offsets[4], offsets[6]  # the rows of seven and eight tokens
    np.testing.assert_array_equal(found.values[found.offsets[4] : found.offsets[6]], values[a:b])
    equal = Centroids(8)(np.repeat(values[:1], 30, axis=0), np.array([0, 30]))
    assert len(equal.values) == 8  # also where tokens are equal


def test_centroids_find_groups_that_lie_apart() -> None:
    rng = np.random.default_rng(2)
    which = np.repeat(np.arange(5), 8)
    values = (5 * np.eye(12)[which] + 0.1 * rng.normal(size=(40, 12))).astype(np.float32)
    found = Centroids(5)(values, np.array([0, 40]))
    assert same_groups(which, found.vector_of)


def test_more_iterations_bring_tokens_nearer_to_their_vectors() -> None:
    values, offsets = ragged([200])

    def loss(iterations: int) -> float:
        found = Centroids(20, iterations=iterations)(values, offsets)
        return float(np.square(values - found.values[found.vector_of]).sum())

    assert loss(10) < loss(1) < loss(0)


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: Ward(0), "factor=0"),
        (lambda: Ward(2.5), "factor=2.5"),  # type: ignore[arg-type]
        (lambda: Ward(2, protected=-1), "protected=-1"),
        (lambda: Centroids(0), "n_vectors=0"),
        (lambda: Centroids(4, protected=4), "n_vectors=4"),
        (lambda: Centroids(4, iterations=-1), "iterations=-1"),
    ],
)
def test_settings_that_cannot_be_are_refused(make: Callable[[], Pooling], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        make()


@pytest.mark.parametrize("pooling", POOLINGS, ids=str)
def test_offsets_that_do_not_fit_are_refused(pooling: Pooling) -> None:
    values, _ = ragged([5])
    with pytest.raises(InvalidVectorsError, match="run from 0 to 4"):
        pooling(values, np.array([0, 4]))
