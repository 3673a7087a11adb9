"""Records of tokens: they give back what was written, as closely as their kind promises."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigrain.codecs.token_fitting import centroid_count, fit_weights, nearest_weights, sample_size
from bigrain.codecs.token_scores import best_tokens, placed_scores, span_scores
from bigrain.codecs.tokens import KINDS, TokenCodec
from bigrain.kernels.token_records import pack_buckets, unpack_buckets

each_kind = pytest.mark.parametrize("kind", KINDS)
DIM = 40


def topical(rng: np.random.Generator, t: int, dim: int = DIM) -> np.ndarray:
    """Unit tokens around a few directions."""
    centres = np.random.default_rng(dim).normal(size=(12, dim))
    tokens = centres[rng.integers(0, 12, t)] + 0.6 * rng.normal(size=(t, dim))
    return np.asarray(tokens / np.linalg.norm(tokens, axis=1, keepdims=True), np.float32)


def fitted(kind: str, dim: int = DIM) -> TokenCodec:
    return TokenCodec.fit(kind, dim, topical(np.random.default_rng(0), 3000, dim))


def ragged(counts: list[int]) -> np.ndarray:
    return np.cumsum([0, *counts], dtype=np.int64)


def maxsim_of(codec: TokenCodec, tokens: np.ndarray, ends: np.ndarray, query: np.ndarray) -> Any:
    payload, at = codec.encode(tokens, ends)
    counts = np.diff(ends).astype(np.int32)
    edges = np.array([0, len(query)], np.int64)
    return codec.maxsim(payload, at[:-1], counts, np.zeros_like(counts), query, edges)


def exact(tokens: np.ndarray, ends: np.ndarray, query: np.ndarray) -> np.ndarray:
    parts = np.split(tokens @ query.T, ends[1:-1])
    return np.array([part.max(axis=0, initial=-np.inf).sum() for part in parts])


@each_kind
@given(counts=st.lists(st.integers(0, 9), max_size=6), seed=st.integers(0, 99))
def test_a_record_stands_by_itself(kind: str, counts: list[int], seed: int) -> None:
    """Documents encoded together have the bytes they have alone, and are decoded alike."""
    codec, ends = CODECS[kind], ragged(counts)
    tokens = topical(np.random.default_rng(seed), int(ends[-1]))
    payload, at = codec.encode(tokens, ends)
    assert payload.dtype == np.uint8 and at.dtype == np.int64
    assert (np.diff(at) == np.array(counts, int) * codec.token_bytes).all()
    together = codec.decode(payload, np.array(counts, np.int64))
    assert together.dtype == np.float32 and together.shape == tokens.shape
    for i, (a, b) in enumerate(zip(ends[:-1], ends[1:], strict=True)):
        alone, _ = codec.encode(tokens[a:b], np.array([0, b - a]))
        assert (alone == payload[at[i] : at[i + 1]]).all()
        decoded = codec.decode(alone, np.array([b - a]))
        np.testing.assert_allclose(decoded, together[a:b], atol=1e-6)


LEAST_COSINE = {"float32": 1, "float16": 0.99999, "int8": 0.9999, "residual4": 0.995,
                "residual2": 0.96, "residual1": 0.9, "sign": 0.75}  # fmt: skip


@each_kind
@pytest.mark.parametrize("length", [1, 300, 0.01])
def test_tokens_come_back_in_their_direction_and_with_their_length(
    kind: str, length: float
) -> None:
    tokens = np.float32(length) * topical(np.random.default_rng(0), 500)
    payload, _ = CODECS[kind].encode(tokens, np.array([0, 500]))
    decoded = CODECS[kind].decode(payload, np.array([500]))
    sizes = np.linalg.norm(decoded, axis=1)
    cosine = (tokens * decoded).sum(axis=1) / sizes / length
    assert cosine.mean() >= LEAST_COSINE[kind] - 1e-6
    if kind == "sign":  # estimates of products are unbiased, so the vector is longer
        assert (tokens * decoded).sum(axis=1) == pytest.approx(length**2, rel=1e-2)
    else:
        assert sizes == pytest.approx(length, rel=5e-3)


@each_kind
def test_maxsim_is_that_of_the_decoded_tokens(kind: str) -> None:
    rng = np.random.default_rng(1)
    ends = ragged([20, 1, 0, 7, 300])
    tokens, query = topical(rng, int(ends[-1]), DIM), topical(rng, 18, DIM)
    codec = CODECS[kind]
    got = maxsim_of(codec, tokens, ends, query)
    payload, _ = codec.encode(tokens, ends)
    decoded = codec.decode(payload, np.diff(ends))
    np.testing.assert_allclose(got, exact(decoded, ends, query), rtol=1e-4)


@pytest.mark.parametrize("dim", [96, 128, 384])
def test_int8_is_within_a_thousandth_of_exact_maxsim(dim: int) -> None:
    rng = np.random.default_rng(dim)
    ends = ragged([15] * 20 + [80] * 10)
    tokens, query = topical(rng, int(ends[-1]), dim), topical(rng, 32, dim)
    got = maxsim_of(TokenCodec.fit("int8", dim), tokens, ends, query)
    np.testing.assert_allclose(got, exact(tokens, ends, query), rtol=1e-3)


def test_more_bits_are_closer_to_exact_maxsim() -> None:
    rng = np.random.default_rng(4)
    ends = ragged([30] * 200)
    tokens, query = topical(rng, int(ends[-1])), topical(rng, 20)
    wanted = exact(tokens, ends, query)
    wrong = [
        float(np.abs(maxsim_of(CODECS[kind], tokens, ends, query) - wanted).mean())
        for kind in ("int8", "residual4", "residual2", "residual1")
    ]
    assert wrong == sorted(wrong)


@each_kind
def test_zero_tokens_and_no_tokens(kind: str) -> None:
    codec = CODECS[kind]
    zero = np.zeros((2, DIM), np.float32)
    payload, at = codec.encode(zero, np.array([0, 0, 2]))
    assert at.tolist() == [0, 0, 2 * codec.token_bytes]
    assert (codec.decode(payload, np.array([0, 2])) == 0).all()
    none, _ = codec.encode(zero[:0], np.array([0, 0]))
    assert none.shape == (0,) and codec.decode(none, np.array([0])).shape == (0, DIM)
    assert codec.encode(zero[:0], np.array([0]))[1].tolist() == [0]


@each_kind
def test_a_codec_is_read_back(kind: str) -> None:
    codec = CODECS[kind]
    numbers, arrays = codec.numbers(), codec.arrays()
    shapes = TokenCodec.shapes(numbers)
    assert {n: (a.dtype.str, a.shape) for n, a in arrays.items()} == shapes
    again = TokenCodec.read(numbers, arrays)
    tokens = topical(np.random.default_rng(3), 50)
    assert (again.encode(tokens, ragged([50]))[0] == codec.encode(tokens, ragged([50]))[0]).all()
    assert codec.memory_bytes == sum(a.nbytes for a in arrays.values())


@each_kind
@pytest.mark.parametrize("value", [None, 0, -1, 2**70, 0.5, "1", True, [], float("nan")])
def test_forged_numbers_are_refused(kind: str, value: Any) -> None:
    numbers = CODECS[kind].numbers()
    for name in numbers:
        if name == "seed" and value == 0 and type(value) is int:
            continue
        if name == "weight_scale" and value == 0.5:
            continue
        with pytest.raises(ValueError, match=name):
            TokenCodec.shapes({**numbers, name: value})


def test_forged_arrays_are_refused() -> None:
    codec = CODECS["residual2"]
    arrays = codec.arrays()
    for name, wrong in (
        ("centroids", arrays["centroids"][:, 1:]),
        ("centroid_scale", arrays["centroid_scale"] * np.float32(np.nan)),
        ("weights", arrays["weights"].astype(np.int16)),
    ):
        with pytest.raises(ValueError, match=name):
            TokenCodec.read(codec.numbers(), {**arrays, name: wrong})


@pytest.mark.parametrize("kind", ["float16", "residual4", "sign"])
def test_a_token_too_long_for_half_precision_is_named(kind: str) -> None:
    tokens = topical(np.random.default_rng(0), 9) * np.float32(10)
    tokens[7] *= 1e6
    with pytest.raises(ValueError, match="token 7"):
        CODECS[kind].encode(tokens, ragged([9]))


def test_decoding_and_encoding_int8_again_gives_the_same_bytes() -> None:
    codec, ends = CODECS["int8"], ragged([3, 4])
    payload, _ = codec.encode(topical(np.random.default_rng(0), 7), ends)
    assert (codec.encode(codec.decode(payload, np.diff(ends)), ends)[0] == payload).all()


def test_a_payload_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="payload"):
        CODECS["int8"].decode(np.zeros(7, np.uint8), np.array([1]))


def test_residuals_need_a_sample() -> None:
    with pytest.raises(ValueError, match="sample"):
        TokenCodec.fit("residual2", 4)
    one = TokenCodec.fit("residual2", 4, np.ones((1, 4), np.float32))
    payload, _ = one.encode(np.ones((2, 4), np.float32), ragged([2]))
    assert one.decode(payload, np.array([2])) == pytest.approx(1, rel=1e-2)


def test_how_many_centroids() -> None:
    assert centroid_count(1_000_000, 10**6) == 8192  # 16 sqrt(T) = 16,000
    assert centroid_count(10**9, 10**6) == 16384  # the most
    assert centroid_count(10**6, 80) == 8  # what the sample can tell apart
    assert centroid_count(1, 1) == 1
    assert sample_size(100) == 100 and sample_size(10**9) == 17 * 16384


def test_a_kind_that_is_not_known() -> None:
    with pytest.raises(ValueError, match="residual3"):
        TokenCodec.fit("residual3", 4)


def test_weights_of_normal_residuals_are_lloyds() -> None:
    """Max (1960): the best four values for a normal distribution are .4528 and 1.510."""
    residuals = np.random.default_rng(0).normal(size=(1000, 200)).astype(np.float32)
    weights, scale = fit_weights(residuals, 2)
    assert weights * scale == pytest.approx([-1.510, -0.4528, 0.4528, 1.510], abs=0.03)
    values = np.array([-1, 0, 0.5, 3], np.float32)
    assert nearest_weights(np.array([[-9, 0.2, 0.3, 2, 1.7]], np.float32), values).tolist() == [
        [0, 1, 2, 3, 2]
    ]


@given(bits=st.sampled_from([1, 2, 4]), dim=st.integers(1, 70), seed=st.integers(0, 99))
def test_buckets_are_packed_lowest_first(bits: int, dim: int, seed: int) -> None:
    buckets = np.random.default_rng(seed).integers(0, 1 << bits, (3, dim)).astype(np.uint8)
    packed = pack_buckets(buckets, bits)
    assert packed.shape == (3, -(-dim * bits // 8))
    assert (unpack_buckets(packed, dim, bits) == buckets).all()
    assert packed[0, 0] & ((1 << bits) - 1) == buckets[0, 0]


def test_best_tokens_add_up_to_maxsim() -> None:
    rng = np.random.default_rng(2)
    codec, tokens, query = CODECS["int8"], topical(rng, 30), topical(rng, 5)
    payload, _ = codec.encode(tokens, ragged([30]))
    scores = codec.token_scores(payload, query)
    best, each = best_tokens(scores)
    assert best.dtype == np.int32
    assert best.tolist() == (tokens @ query.T).argmax(axis=0).tolist()
    assert each.sum() == pytest.approx(maxsim_of(codec, tokens, ragged([30]), query)[0])


@given(spans=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=6))
def test_spans_are_scored_as_documents(spans: list[tuple[int, int]]) -> None:
    scores = np.random.default_rng(1).normal(size=(9, 4)).astype(np.float32)
    ordered = np.array([sorted(span) for span in spans], np.int64).reshape(-1, 2)
    expected = [scores[a:b].max(axis=0).sum() if a < b else -np.inf for a, b in ordered]
    np.testing.assert_allclose(span_scores(scores, ordered), expected, rtol=1e-6)


@given(
    places=st.lists(st.tuples(st.integers(0, 8), st.integers(0, 30), st.integers(0, 9))),
    spans=st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=6),
)
def test_a_span_is_scored_by_the_tokens_that_end_in_it(
    places: list[tuple[int, int, int]], spans: list[tuple[int, int]]
) -> None:
    scores = np.random.default_rng(1).normal(size=(9, 4)).astype(np.float32)
    rows = np.array([(token, at, at + n) for token, at, n in places], np.int64).reshape(-1, 3)
    ordered = np.array([sorted(span) for span in spans], np.int64).reshape(-1, 2)
    found = placed_scores(scores, rows, ordered)
    for score, (start, end) in zip(found, ordered, strict=True):
        inside = {t for t, a, b in rows.tolist() if a < b and start <= b - 1 < end}
        best = scores[sorted(inside)].max(axis=0).sum() if inside else -np.inf
        assert score == pytest.approx(best, rel=1e-6)


CODECS = {kind: fitted(kind) for kind in KINDS}
