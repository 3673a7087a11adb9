"""Fixed-dimensional encodings: the definition, and the seven checks of papers/B-3a section 3.4."""

import hashlib
import subprocess
import sys

import numpy as np
import pytest

from bigrain import kernels
from bigrain.codecs import fde
from bigrain.codecs.fde import FixedDimensional
from bigrain.errors import ConfigError, InvalidVectorsError

Ragged = tuple[np.ndarray, np.ndarray]


def ragged(lengths: list[int], dim: int, seed: int = 0) -> Ragged:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(sum(lengths), dim)).astype(np.float32)
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    return values, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def topical(n: int, dim: int, seed: int) -> Ragged:
    """Rows of 40 topics, each with eight words; word vectors have a mean, as those of models do."""
    rng = np.random.default_rng(0)
    words = rng.normal(size=(320, dim)) + rng.normal(size=dim)
    rng = np.random.default_rng(seed)
    lengths = rng.integers(5, 25, n)
    topics = np.repeat(rng.integers(0, 40, n), lengths)
    values = words[topics * 8 + rng.integers(0, 8, len(topics))]
    values += 0.6 * rng.normal(size=values.shape)
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    return values.astype(np.float32), np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def by_definition(encoding: FixedDimensional, tokens: np.ndarray, *, document: bool) -> np.ndarray:
    """One row's encoding, block by block."""
    k, width = encoding.partition_bits, encoding.projection_dim
    out = []
    for r in range(encoding.repetitions):
        bits = (tokens @ encoding._gaussians[:, r * k : (r + 1) * k] > 0).astype(int)
        psi = tokens
        if width < encoding.dim:
            psi = tokens @ encoding._signs[:, r * width : (r + 1) * width]
        for block in range(1 << k):
            away = (bits != (block >> np.arange(k)) % 2).sum(axis=1)
            if (away == 0).any():
                here = psi[away == 0]
                out.append(here.mean(axis=0) if document else here.sum(axis=0))
            elif document and encoding.fill_empty and len(tokens):
                out.append(psi[away.argmin()])
            else:
                out.append(np.zeros(width))
    return np.concatenate(out)


@pytest.mark.parametrize("fill", [True, False])
@pytest.mark.parametrize(("k", "width"), [(0, 5), (1, 12), (3, 4), (5, 12)])
def test_encodings_are_those_of_the_definition(
    k: int, width: int, fill: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fde, "CHUNK_BYTES", 1 << 12)  # several chunks
    values, offsets = ragged([1, 0, 7, 30, 2, 0, 60], 12)
    encoding = FixedDimensional(12, 3, k, width, fill_empty=fill, seed=4)
    for document, found in (
        (True, encoding.documents(values, offsets)),
        (False, encoding.queries(values, offsets)),
    ):
        for i, row in enumerate(found):
            tokens = values[offsets[i] : offsets[i + 1]]
            expected = by_definition(encoding, tokens, document=document)
            np.testing.assert_allclose(row, expected, rtol=1e-4, atol=1e-5)


def test_1_single_tokens_give_their_inner_product() -> None:
    values, offsets = ragged([1, 1], 32)
    encoding = FixedDimensional(32, 1, 0, 32)
    found = encoding.queries(values, offsets)[0] @ encoding.documents(values, offsets)[1]
    assert found == values[0] @ values[1]


def test_2_one_partition_gives_the_sum_against_the_mean() -> None:
    values, offsets = ragged([9, 14], 32)
    encoding = FixedDimensional(32, 1, 0, 32)
    found = encoding.queries(values, offsets)[0] @ encoding.documents(values, offsets)[1]
    assert found == pytest.approx(values[:9].sum(axis=0) @ values[9:].mean(axis=0), rel=1e-5)


@pytest.mark.parametrize(("width", "final"), [(4, None), (32, 16), (8, 4)])
def test_3_projections_are_unbiased_over_seeds(width: int, final: int | None) -> None:
    values, offsets = ragged([1, 1], 32, seed=3)
    found = []
    for seed in range(200):
        encoding = FixedDimensional(32, 1, 0, width, final_dim=final, seed=seed)
        found.append(encoding.queries(values, offsets)[0] @ encoding.documents(values, offsets)[1])
    error = np.std(found) / np.sqrt(len(found))
    assert abs(np.mean(found) - values[0] @ values[1]) < 3 * error


def test_4_another_process_gives_the_same_bits() -> None:
    program = """
import hashlib, numpy as np
from bigrain.codecs.fde import FixedDimensional
values = (np.arange(50 * 16) * 7919 % 1013).reshape(50, 16).astype(np.float32) / 1013 - 0.5
encoding = FixedDimensional(16, 5, 3, 4, final_dim=100, seed=12)
found = encoding.documents(values, np.array([0, 20, 50]))
digest = hashlib.sha256(found.tobytes()).hexdigest()
"""
    here: dict[str, str] = {}
    exec(program, here)
    done = subprocess.run(
        [sys.executable, "-c", program + "print(digest)"], capture_output=True, text=True
    )
    assert done.stdout.strip() == here["digest"], done.stderr


def test_random_matrices_are_the_same_on_every_machine() -> None:
    encoding = FixedDimensional(16, 2, 3, 4, final_dim=10, seed=5)
    digest = hashlib.sha256()
    digest.update((encoding._signs > 0).tobytes())
    digest.update(np.round(encoding._gaussians, 3).tobytes())
    digest.update(encoding._sketch[0].astype("<i8").tobytes())
    assert digest.hexdigest()[:16] == "15614b9c5cb8d8f8"


def test_5_recall_rises_with_the_width() -> None:
    values, offsets = topical(400, 32, seed=1)
    queries, ends = topical(40, 32, seed=2)
    recalls = []
    for settings in ((8, 4, 8), (16, 4, 16), (20, 5, 32)):
        encoding = FixedDimensional(32, *settings)
        scores = encoding.queries(queries, ends) @ encoding.documents(values, offsets).T
        hit = 0
        for i, row in enumerate(scores):
            exact = kernels.maxsim(queries[ends[i] : ends[i + 1]], values, offsets)
            wanted = np.argsort(-exact)[:10]
            hit += len(np.intersect1d(wanted, np.argsort(-row)[:20]))
        recalls.append(hit / (10 * len(scores)))
    assert recalls[1] > recalls[0] - 0.02
    assert recalls[2] > recalls[1] - 0.02
    assert recalls[2] > recalls[0] and recalls[2] > 0.8


def test_6_a_query_has_few_numbers_that_are_not_zero() -> None:
    values, offsets = ragged([3, 8], 32)
    encoding = FixedDimensional(32, 6, 5, 4)
    counts = (encoding.queries(values, offsets) != 0).sum(axis=1)
    assert (counts <= np.array([3, 8]) * 4 * 6).all()


def test_7_filled_documents_have_no_empty_block() -> None:
    values, offsets = ragged([1, 2, 40], 32)
    encoding = FixedDimensional(32, 6, 5, 4)
    blocks = encoding.documents(values, offsets).reshape(3, encoding.blocks, 4)
    assert (blocks != 0).any(axis=2).all()
    bare = FixedDimensional(32, 6, 5, 4, fill_empty=False)
    assert (bare.documents(values, offsets)[0] != 0).sum() == 6 * 4  # one token


def test_half_precision_tokens_and_no_rows_are_taken() -> None:
    values, offsets = ragged([4, 5], 16)
    encoding = FixedDimensional(16, 2, 2, 4)
    half = values.astype(np.float16)
    np.testing.assert_array_equal(
        encoding.documents(half, offsets), encoding.documents(half.astype(np.float32), offsets)
    )
    assert encoding.documents(values[:0], np.array([0])).shape == (0, 32)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ((0, 1, 1, 1), "dim=0"),
        ((16, 0, 1, 1), "repetitions=0"),
        ((16, 1, 11, 1), "partition_bits=11"),
        ((16, 1, -1, 1), "partition_bits=-1"),
        ((16, 1, 1, 17), "projection_dim=17"),
        ((16, 1, 1, 2.5), "projection_dim=2.5"),
        ((16, 1, 1, 4, 9), "final_dim=9"),
        ((16, 1, 1, 4, None, True, -1), "seed=-1"),
        (("16", 1, 1, 4), "dim='16'"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: tuple, named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        FixedDimensional(*settings)


@pytest.mark.parametrize(
    ("values", "offsets", "named"),
    [
        (np.zeros((3, 4), np.float32), [0, 3], "4 dimensions; 16"),
        (np.zeros(16, np.float32), [0, 1], "floats"),
        (np.zeros((3, 16), np.int8), [0, 3], "floats"),
        (np.zeros((3, 16), np.float32), [0, 2], "run from 0 to 2"),
        (np.zeros((3, 16), np.float32), [1, 3], "run from 1 to 3"),
        (np.zeros((3, 16), np.float32), [0, 2, 1, 3], "row 1: tokens from 2 to 1"),
        (np.zeros((3, 16), np.float32), [0.0, 3.0], "whole numbers"),
        (np.zeros((0, 16), np.float32), [], "whole numbers"),
    ],
)
def test_ragged_arrays_that_do_not_fit_are_refused(
    values: np.ndarray, offsets: list[float], named: str
) -> None:
    with pytest.raises(InvalidVectorsError, match=named):
        FixedDimensional(16, 1, 1, 4).documents(values, np.array(offsets))
