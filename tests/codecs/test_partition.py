"""Lists: centroids, assignment, and products with queries."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigrain.codecs.partition import Partition, list_count, quantise


def clustered(n: int, dim: int, n_clusters: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(n_clusters, dim)) * 3
    return (centres[rng.integers(0, n_clusters, n)] + rng.normal(size=(n, dim))).astype(np.float32)


def fitted(vectors: np.ndarray, n_lists: int, seed: int = 0) -> Partition:
    return Partition.fit(*quantise(vectors), n_lists, seed)


@given(n=st.integers(1, 40), dim=st.integers(1, 50), seed=st.integers(0, 99))
def test_rounding_is_within_half_a_step(n: int, dim: int, seed: int) -> None:
    vectors = np.random.default_rng(seed).normal(size=(n, dim)).astype(np.float32)
    vectors[0] = 0
    rows, scale = quantise(vectors)
    assert (np.abs(rows * scale[:, None] - vectors) <= 0.5001 * scale[:, None]).all()


def test_a_vector_goes_to_its_nearest_centroid() -> None:
    vectors = clustered(2000, 40, 12)
    partition = fitted(vectors, 20)
    lists = partition.assign(vectors)
    centroids = partition.centroids(np.arange(20, dtype=np.int32))
    squared = ((vectors[:, None] - centroids) ** 2).sum(axis=2)
    chosen = squared[np.arange(len(vectors)), lists]
    # Vectors are rounded to 8 bits a number before they are compared.
    assert (chosen <= squared.min(axis=1) * 1.02).all()
    assert (lists == squared.argmin(axis=1)).mean() > 0.98


def test_lists_find_the_clusters_that_are_there() -> None:
    vectors = clustered(3000, 32, 8)
    partition = fitted(vectors, 64)
    residual = vectors - partition.centroids(partition.assign(vectors))
    around_mean = vectors - vectors.mean(axis=0)
    assert np.square(residual).sum() < 0.15 * np.square(around_mean).sum()
    assert len(np.unique(partition.assign(vectors))) > 32


def test_the_same_seed_gives_the_same_lists() -> None:
    vectors = clustered(500, 16, 5)
    assert (fitted(vectors, 9, 3).table == fitted(vectors, 9, 3).table).all()
    assert (fitted(vectors, 9, 3).table != fitted(vectors, 9, 4).table).any()


@pytest.mark.parametrize("dim", [1, 3, 63, 130])
def test_products_with_centroids_are_close_to_float(dim: int) -> None:
    rng = np.random.default_rng(dim)
    partition = fitted(rng.normal(size=(200, dim)).astype(np.float32), 33)
    queries = rng.normal(size=(7, dim)).astype(np.float32)
    exact = queries @ partition.centroids(np.arange(33, dtype=np.int32)).T
    step = np.abs(queries).max(axis=1, keepdims=True) / 127
    bound = 0.5 * step * np.abs(partition.centroids(np.arange(33, dtype=np.int32))).sum(axis=1)
    assert (np.abs(partition.products(queries) - exact) <= bound + 1e-4).all()


def test_vectors_that_are_all_the_same_lie_together() -> None:
    vectors = np.ones((300, 8), np.float32)
    partition = fitted(vectors, 10)
    assert len(np.unique(partition.assign(vectors))) == 1
    assert not fitted(np.zeros((300, 8), np.float32), 10).table.any()


def test_one_list_lies_at_the_origin_and_costs_nothing() -> None:
    partition = Partition.single(5)
    assert partition.assign(np.ones((3, 5), np.float32)).tolist() == [0, 0, 0]
    assert not partition.products(np.ones((2, 5), np.float32)).any()
    assert list_count(100) == 1 and list_count(1_000_000) == 4000
