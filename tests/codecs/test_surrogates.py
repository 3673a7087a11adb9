"""One vector a document for many: identities, estimates on anisotropic tokens, storage."""

import numpy as np
import pytest

from bigrain.codecs.surrogates import SURROGATES, read_surrogate, surrogate_shapes
from bigrain.codecs.surrogates.balanced import balanced
from bigrain.errors import InvalidVectorsError

DIM = 24


def unit(values):
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)


def ragged(rng, n, longest, shortest=1):
    """Documents about one of 40 subjects each, in tokens that all lean one way."""
    counts = rng.integers(shortest, longest + 1, n)
    offsets = np.concatenate([[0], np.cumsum(counts)])
    spread = 1 / np.sqrt(np.arange(1, DIM + 1))
    subjects = np.random.default_rng(9).standard_normal((40, DIM)) * spread
    lean = np.random.default_rng(8).standard_normal(DIM) * 0.5
    subject = np.repeat(subjects[rng.integers(0, 40, n)], counts, axis=0)
    noise = rng.standard_normal((offsets[-1], DIM)) * spread
    return unit(lean + subject + noise), offsets


def maxsim(queries, query_offsets, values, offsets):
    best = np.maximum.reduceat(queries @ values.T, offsets[:-1], axis=1)
    return np.add.reduceat(best, query_offsets[:-1], axis=0)


@pytest.fixture(scope="module")
def texts():
    rng = np.random.default_rng(0)
    return ragged(rng, 250, 12), ragged(rng, 60, 8, 4)


@pytest.fixture(scope="module", params=sorted(SURROGATES))
def fitted(request, texts):
    return SURROGATES[request.param].fit(*texts[0], seed=3)


def correlation(surrogate, documents, queries):
    """Mean over queries of the correlation of estimates and true MaxSim."""
    true = maxsim(*queries, *documents)
    guessed = surrogate.queries(*queries) @ surrogate.documents(*documents).T
    return np.mean([np.corrcoef(a, b)[0, 1] for a, b in zip(true, guessed, strict=True)])


def test_estimates_follow_maxsim(fitted, texts):
    unseen = ragged(np.random.default_rng(5), 400, 12)
    least = {"mean": 0.75, "fde": 0.8, "regression": 0.95}[fitted.name]
    assert correlation(fitted, unseen, texts[1]) > least


def test_regression_is_better_than_the_mean(texts):
    unseen = ragged(np.random.default_rng(5), 400, 12)
    learned = SURROGATES["regression"].fit(*texts[0])
    mean = SURROGATES["mean"].fit(*texts[0])
    left = 1 - correlation(learned, unseen, texts[1])
    assert left < 0.5 * (1 - correlation(mean, unseen, texts[1]))


def test_a_sample_of_queries_helps_queries_from_elsewhere(texts):
    rng = np.random.default_rng(6)
    far = np.diag(np.linspace(0.2, 3, DIM))
    sample, asked = (ragged(rng, n, 8, 4) for n in (300, 60))
    queries = unit(asked[0] @ far), asked[1]
    plain = SURROGATES["regression"].fit(*texts[0])
    aware = SURROGATES["regression"].fit(*texts[0], queries=unit(sample[0] @ far))
    assert correlation(aware, texts[0], queries) > correlation(plain, texts[0], queries)
    assert aware.fitted_on == len(texts[0][0]) + len(sample[0])


def test_documents_of_one_token_are_learned_exactly(texts):
    rng = np.random.default_rng(1)
    documents = ragged(rng, 800, 1)
    true = maxsim(*texts[1], *documents)
    surrogate = SURROGATES["regression"].fit(*documents)
    guessed = surrogate.queries(*texts[1]) @ surrogate.documents(*documents).T
    difference = guessed - true
    difference -= difference.mean(axis=1, keepdims=True)  # a constant of the query is free
    assert np.sqrt(np.square(difference).mean()) < 0.02 * true.std(axis=1).mean()


def test_order_of_tokens_and_company_change_nothing(fitted, texts):
    (values, offsets), _ = texts
    order = np.random.default_rng(2).permutation
    shuffled = np.concatenate(
        [a + order(b - a) for a, b in zip(offsets[:-1], offsets[1:], strict=True)]
    )
    whole = fitted.documents(values, offsets)
    size = np.abs(whole).max()
    np.testing.assert_allclose(
        fitted.documents(values[shuffled], offsets), whole, rtol=0, atol=1e-5 * size
    ) if fitted.name != "fde" else None
    some = slice(offsets[70], offsets[90])
    alone = fitted.documents(values[some], offsets[70:91] - offsets[70])
    np.testing.assert_allclose(alone, whole[70:90], rtol=0, atol=1e-5 * size)
    asked = fitted.queries(values, offsets)
    again = fitted.queries(values[shuffled], offsets)
    np.testing.assert_allclose(again, asked, rtol=0, atol=1e-5 * np.abs(asked).max())


def test_queries_are_additive(fitted, texts):
    _, (values, offsets) = texts
    parts = fitted.queries(values, offsets)
    total = fitted.queries(values, np.array([0, len(values)]))
    np.testing.assert_allclose(parts.sum(axis=0), total[0], rtol=1e-3, atol=1e-3)


def test_nothing_gives_zeros(fitted, texts):
    values = texts[0][0]
    documents = fitted.documents(values[:3], np.array([0, 0, 3, 3]))
    queries = fitted.queries(values[:3], np.array([0, 0, 3, 3]))
    for rows in (documents, queries):
        assert rows.shape == (3, fitted.width)
        assert rows.dtype == np.float32
        assert not rows[[0, 2]].any()
        assert rows[1].any()
    assert fitted.documents(values[:0], np.array([0])).shape == (0, fitted.width)


def test_halves_and_strides_are_taken(fitted, texts):
    (values, offsets), _ = texts
    halves = values[: offsets[50]].astype(np.float16)
    whole = fitted.documents(halves.astype(np.float32), offsets[:51])
    np.testing.assert_allclose(fitted.documents(halves, offsets[:51]), whole, rtol=1e-5, atol=1e-6)
    strided = np.asfortranarray(halves)
    np.testing.assert_allclose(fitted.documents(strided, offsets[:51]), whole, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "offsets",
    [[0, 2], [1, 3], [0, 3, 2, 3], [[0, 3]], []],
    ids=["short", "late", "falls", "2d", "none"],
)
def test_offsets_that_do_not_fit_are_refused(fitted, texts, offsets):
    with pytest.raises(InvalidVectorsError):
        fitted.documents(texts[0][0][:3], np.array(offsets, np.int64))
    with pytest.raises(InvalidVectorsError):
        fitted.queries(texts[0][0][:3, :5], np.array([0, 3]))


def test_queries_of_another_width_are_refused(texts):
    with pytest.raises(InvalidVectorsError, match="24 are expected"):
        SURROGATES["regression"].fit(*texts[0], queries=np.ones((5, DIM + 1), np.float32))


def test_reading_back(fitted, texts):
    numbers, arrays = fitted.numbers(), fitted.arrays()
    assert surrogate_shapes(numbers) == {name: a.shape for name, a in arrays.items()}
    again = read_surrogate(numbers, arrays)
    assert (again.name, again.dim, again.width) == (fitted.name, fitted.dim, fitted.width)
    assert again.fitted_on == fitted.fitted_on
    for one, other in zip(texts, texts, strict=True):
        np.testing.assert_array_equal(again.documents(*one), fitted.documents(*other))
        np.testing.assert_array_equal(again.queries(*one), fitted.queries(*other))


@pytest.mark.parametrize("value", [None, True, -1, 0, 1 << 40, 2.0, "8"])
def test_numbers_that_no_surrogate_has_are_refused(fitted, value):
    for name in ("name", "dim"):
        with pytest.raises(ValueError, match="due|known"):
            surrogate_shapes(fitted.numbers() | {name: value})


def test_arrays_that_do_not_fit_are_refused(texts):
    learned = SURROGATES["regression"].fit(*texts[1])
    numbers, arrays = learned.numbers(), learned.arrays()
    for changed, told in (
        ({"points": arrays["points"][1:]}, "points"),
        ({"query_map": arrays["query_map"].astype(np.float64)}, "query_map"),
        ({"document_map": np.full_like(arrays["document_map"], np.nan)}, "not finite"),
        ({"more": arrays["points"]}, "are due"),
    ):
        with pytest.raises(ValueError, match=told):
            read_surrogate(numbers, arrays | changed)
    with pytest.raises(ValueError, match="at most"):
        surrogate_shapes(numbers | {"n_points": 1 << 16, "dim": 1 << 16})


def test_equal_samples_give_equal_surrogates(texts):
    few = texts[1]
    one, other = (SURROGATES["regression"].fit(*few, seed=4) for _ in range(2))
    for name, array in one.arrays().items():
        np.testing.assert_array_equal(array, other.arrays()[name])


@pytest.mark.parametrize("n", [0, 1, 3])
def test_few_tokens_are_pooled_instead(n):
    values, offsets = (
        ragged(np.random.default_rng(0), n, 4)
        if n
        else (np.zeros((0, DIM), np.float32), np.array([0]))
    )
    found = SURROGATES["regression"].fit(values, offsets)
    assert (found.name, found.fitted_on, found.width) == ("mean", 0, DIM)


@pytest.mark.parametrize("tokens", [50, 90, 600])
def test_fewer_tokens_than_features_give_fewer_features(tokens):
    values, _ = ragged(np.random.default_rng(0), tokens, 1)
    offsets = np.arange(0, tokens + 1, 2)
    found = SURROGATES["regression"].fit(values, offsets)
    assert found.name == "regression"
    assert found.numbers()["n_anchors"] == min(tokens // 2 - DIM - 1, len(offsets) - 1)
    assert np.isfinite(found.documents(values, offsets)).all()


def test_equal_tokens_are_no_trouble():
    values = np.tile(np.eye(DIM, dtype=np.float32)[0], (400, 1))
    found = SURROGATES["regression"].fit(values, np.arange(0, 401, 4))
    assert np.isfinite(found.documents(values, np.arange(0, 401, 4))).all()
    assert np.isfinite(found.queries(values, np.arange(0, 401, 4))).all()


def test_balanced_coordinates_keep_products_and_spread_alike():
    rng = np.random.default_rng(0)
    left, right = rng.standard_normal((2, 6, 6))
    documents, queries = left @ left.T, right @ right.T
    a, b = balanced(documents, queries, 6)
    np.testing.assert_allclose(a.T @ b, np.eye(6), atol=1e-8)
    spread = a @ documents @ a.T
    np.testing.assert_allclose(spread, np.diag(np.diag(spread)), atol=1e-8 * spread[0, 0])
    np.testing.assert_allclose(b @ queries @ b.T, spread, rtol=1e-2, atol=1e-3 * spread[0, 0])
    assert (np.diff(np.diag(spread)) <= 0).all()
    narrow, _ = balanced(documents, queries, 2)
    np.testing.assert_allclose(narrow, a[:2], atol=1e-8)
