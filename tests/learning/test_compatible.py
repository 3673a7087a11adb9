"""Queries of a new encoder in an old one's space: by regression, then by what old queries find."""

import numpy as np
import pytest

from bigrain.codecs.dense import CodeSettings
from bigrain.errors import InvalidInputError
from bigrain.learning.compatible import learn_compatible, ridge_map
from bigrain.learning.light import fitted_codec
from bigrain.learning.mining import Coded, best_rows, exact_scores

Floats = np.ndarray
OLD, NEW, N = 24, 16, 800


def unit(vectors: Floats) -> Floats:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def two_encoders(n_queries: int = 300) -> tuple[Floats, Floats, Floats, Floats]:
    """Documents and queries as two encoders see one hidden vector, the new one with less noise."""
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=(N, NEW)) / np.sqrt(1 + np.arange(NEW))
    asked = hidden[rng.integers(0, N, n_queries)] + 0.1 * rng.normal(size=(n_queries, NEW))
    old, new = rng.normal(size=(NEW, OLD)), np.linalg.qr(rng.normal(size=(NEW, NEW)))[0]

    def seen(some: Floats, by: Floats, noise: float) -> Floats:
        return unit(some @ by + noise * rng.normal(size=(len(some), by.shape[1])))

    return (seen(hidden, old, 0.3), seen(hidden, new, 0.02),
            seen(asked, old, 0.3), seen(asked, new, 0.02))  # fmt: skip


def test_a_linear_relation_is_found_exactly() -> None:
    rng = np.random.default_rng(0)
    new, relation = rng.normal(size=(200, NEW)), rng.normal(size=(OLD, NEW))
    found = ridge_map(new.astype("f4"), (new @ relation.T).astype("f4"), 1e-9)
    assert found.shape == (OLD, NEW) and found.dtype == np.float32
    np.testing.assert_allclose(found, relation, atol=1e-4)
    assert np.isfinite(ridge_map(np.zeros((5, 3), "f4"), np.zeros((5, 2), "f4"), 1e-3)).all()


def test_new_queries_on_old_codes_find_what_old_ones_did() -> None:
    documents, same, asked, new = two_encoders()
    codec = fitted_codec(CodeSettings(6, "opq", 4), "cosine", documents)
    codes = Coded(codec, documents)
    np.testing.assert_allclose(
        exact_scores(codes.stand_for(), "ip")(asked), codes(asked), atol=1e-4
    )
    matrix, report = learn_compatible(
        new, asked, codes.stand_for(), paired=(same, documents), steps=0
    )
    assert matrix.shape == (OLD, NEW)
    assert report["after"] == report["regression"] and report["paired"]
    assert report["after"]["recall@100"] > 0.9
    nearest = best_rows(exact_scores(documents, "ip"), new @ matrix.T, N, 10)
    truth = best_rows(exact_scores(documents, "ip"), asked, N, 10)
    shared = np.mean([len(np.intersect1d(a, b)) for a, b in zip(nearest, truth, strict=True)])
    assert shared > 3


def test_training_helps_the_regression_and_the_seed_decides() -> None:
    pytest.importorskip("torch")
    documents, _, asked, new = two_encoders()
    truth = best_rows(exact_scores(documents, "ip"), asked, N, 1)
    positives = list(truth)
    matrix, report = learn_compatible(new, asked, documents, positives=positives, steps=60)
    assert report["after"]["gain"] >= report["regression"]["gain"]
    again, _ = learn_compatible(new, asked, documents, positives=positives, steps=60)
    np.testing.assert_array_equal(matrix, again)
    distances, _ = learn_compatible(new, asked, documents, metric="l2", steps=20)
    assert np.isfinite(distances).all()


def test_texts_that_do_not_belong_together_are_refused() -> None:
    documents, _, asked, new = two_encoders()
    with pytest.raises(InvalidInputError, match="give the same texts to both"):
        learn_compatible(new[:-1], asked, documents)
    with pytest.raises(InvalidInputError, match="12 texts are too few"):
        learn_compatible(new[:12], asked[:12], documents)
    with pytest.raises(InvalidInputError, match=r"queries have shape"):
        learn_compatible(new, new, documents)
    with pytest.raises(InvalidInputError, match="paired"):
        learn_compatible(new, asked, documents, paired=(new, documents))
