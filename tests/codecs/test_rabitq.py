"""RaBitQ codes relative to centroids: what they estimate, and how well."""

import numpy as np
import pytest

from bigrain import kernels
from bigrain.codecs.dense import CodeSettings, DenseCodec, PackedCodes
from bigrain.codecs.frame import Frame
from bigrain.codecs.nibbles import blocks_of
from bigrain.codecs.partition import Partition, quantise
from bigrain.codecs.rabitq import Rabitq

# papers/A-5 section 2: mean cosine between a vector and its code, and sqrt(D) times the deviation
COSINES = {1: 0.796, 2: 0.929, 3: 0.9795, 4: 0.9943, 5: 0.9984, 6: 0.99956, 8: 0.99997}
ERRORS = {1: 0.76, 2: 0.40, 3: 0.21, 4: 0.11, 5: 0.057, 6: 0.030, 8: 0.0077}


@pytest.mark.parametrize("width", [1, 4, 7, 8, 30, 64])
@pytest.mark.parametrize("n", [0, 1, 31, 32, 33, 100])
def test_blocks_of_packed_codes_are_those_of_the_kernel(n: int, width: int) -> None:
    rotated = np.random.default_rng(width).normal(size=(n, width)).astype(np.float32)
    packed, _ = Rabitq(width, 1).encode(rotated)
    blocks = blocks_of(packed, -(-width // 4))
    np.testing.assert_array_equal(blocks, kernels.sign_encode(rotated)[0])


def estimates(
    codec: DenseCodec, codes: PackedCodes, base: np.ndarray, queries: np.ndarray
) -> np.ndarray:
    """(Q, n), by the definition of the estimator in floats."""
    prepared = codec.prepare(queries)
    decoded = codec.quantiser.decode(codes.symbols)
    found = codes.scale * (codec.turned(prepared.routed) @ decoded.T) + base
    found = found + prepared.constant[:, None]
    return found if codes.offset is None else found + codes.offset


@pytest.mark.parametrize("metric", ["ip", "l2"])
@pytest.mark.parametrize("n_lists", [1, 30])
def test_estimates_are_unbiased_and_lists_sharpen_them(metric: str, n_lists: int) -> None:
    rng = np.random.default_rng(0)
    dim, n = 128, 3000
    centres = rng.normal(size=(20, dim))
    vectors = centres[rng.integers(0, 20, n)] + 0.5 * rng.normal(size=(n, dim)) + 1
    vectors = vectors.astype(np.float32)
    queries = rng.normal(size=(40, dim)).astype(np.float32) + 1
    frame = Frame.fit([vectors], dim, dim, metric=metric)
    codec = DenseCodec.fit(frame, CodeSettings(16), None)
    centred = vectors - codec.centre
    partition = Partition.single(dim)
    if n_lists > 1:
        partition = Partition.fit(*quantise(centred), n_lists, 0)
    lists = partition.assign(centred)
    codes = codec.encode(centred, partition.centroids(lists))
    base = partition.products(codec.prepare(queries).routed)[:, lists]
    exact = queries @ vectors.T
    if metric == "l2":
        exact = -np.square(queries[:, None] - vectors).sum(axis=2)
    error = estimates(codec, codes, base, queries) - exact
    assert abs(error.mean()) < 0.1 * error.std()
    # In units of |residual| |query| / sqrt(D) RaBitQ errs by 0.75.
    residual = np.linalg.norm(centred - partition.centroids(lists), axis=1)
    length = np.linalg.norm(codec.prepare(queries).routed, axis=1)
    unit = residual[None] * length[:, None] / np.sqrt(dim)
    assert 0.6 < (error / unit).std() < 0.8
    if n_lists > 1:
        assert residual.mean() < 0.6 * np.linalg.norm(centred, axis=1).mean()


def unit_vectors(n: int, dim: int, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(n, dim))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("bits", COSINES)
def test_every_bit_halves_the_error(bits: int) -> None:
    """Cosines no worse than the published ones by 1 %, errors within a tenth of theirs or less."""
    dim = 768
    vectors, queries = unit_vectors(200, dim), unit_vectors(100, dim, 1)
    quantiser = Rabitq(dim, bits)
    packed, scale = quantiser.encode(vectors)
    decoded = quantiser.decode(packed)
    cosine = (vectors * decoded).sum(axis=1) / np.linalg.norm(decoded, axis=1)
    assert 0.99 * COSINES[bits] < cosine.mean() <= 1
    error = scale * (queries @ decoded.T) - queries @ vectors.T
    assert abs(error.mean()) < 0.1 * error.std()
    assert np.sqrt(dim) * error.std() < 1.1 * ERRORS[bits]
    # The estimate of a vector's own length is exact.
    own = scale * (vectors * decoded).sum(axis=1)
    np.testing.assert_allclose(own, 1, rtol=1e-5)


def test_the_bound_holds_as_often_as_rabitq_promises() -> None:
    """At epsilon 1.9 between 5 and 6.5 % of errors exceed it."""
    dim, epsilon = 256, 1.9
    vectors, queries = unit_vectors(1000, dim), unit_vectors(200, dim, 1)
    quantiser = Rabitq(dim, 1)
    packed, scale = quantiser.encode(vectors)
    decoded = quantiser.decode(packed)
    error = np.abs(scale * (queries @ decoded.T) - queries @ vectors.T)
    told = np.abs(vectors).sum(axis=1) / np.sqrt(dim)
    bound = np.sqrt((1 - told**2) / told**2) * epsilon / np.sqrt(dim - 1)
    assert 0.05 < (error > bound).mean() < 0.065


def nearest_in_angle(vector: np.ndarray, bits: int) -> float:
    """The best cosine on the grid, by sweeping every step at which a coordinate changes."""
    sizes = np.abs(vector).astype(float)
    top = 2 ** (bits - 1) - 1
    changes = np.sort((sizes[:, None] / np.arange(1, top + 1)).ravel())
    best = 0.0
    for step in [*changes, 2 * sizes.max()]:
        points = np.minimum(np.floor(sizes / step * (1 + 1e-12)), top) + 0.5
        best = max(best, float(sizes @ points / np.linalg.norm(points)))
    return best / float(np.linalg.norm(sizes))


@pytest.mark.parametrize("bits", [2, 3, 4])
@pytest.mark.parametrize("tail", [2, 40])
def test_the_search_finds_nearly_the_best_point(bits: int, tail: int) -> None:
    """Tried against all points of the grid, also for vectors with a few large parts."""
    rng = np.random.default_rng(bits)
    vectors = rng.standard_t(tail, size=(15, 48)).astype(np.float32)
    quantiser = Rabitq(48, bits)
    decoded = quantiser.decode(quantiser.encode(vectors)[0])
    cosine = (vectors * decoded).sum(axis=1)
    cosine /= np.linalg.norm(vectors, axis=1) * np.linalg.norm(decoded, axis=1)
    best = np.array([nearest_in_angle(vector, bits) for vector in vectors])
    assert (cosine <= best + 1e-6).all()
    assert (best - cosine).mean() < 2e-3
