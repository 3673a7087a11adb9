"""1-bit codes relative to centroids: what they estimate, and how well."""

import numpy as np
import pytest

from bigrain import kernels
from bigrain.codecs.partition import Partition, quantise
from bigrain.codecs.rabitq import PackedCodes, RabitqCodec, blocks_of


@pytest.mark.parametrize("width", [1, 4, 7, 8, 30, 64])
@pytest.mark.parametrize("n", [0, 1, 31, 32, 33, 100])
def test_blocks_of_packed_codes_are_those_of_the_kernel(n: int, width: int) -> None:
    rotated = np.random.default_rng(width).normal(size=(n, width)).astype(np.float32)
    bits = np.packbits(rotated > 0, axis=1, bitorder="little")
    np.testing.assert_array_equal(blocks_of(bits, width), kernels.sign_encode(rotated)[0])


def estimates(
    codec: RabitqCodec, codes: PackedCodes, base: np.ndarray, queries: np.ndarray
) -> np.ndarray:
    """(Q, n), by the definition of the estimator in floats."""
    prepared = codec.prepare(queries)
    signs = np.unpackbits(codes.bits, axis=1, count=codec.width, bitorder="little") * 2.0 - 1
    found = codes.scale * (codec.rotated(prepared.routed) @ signs.T) + base
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
    codec = RabitqCodec.fit([vectors], dim, metric=metric, light_bytes=16)
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
