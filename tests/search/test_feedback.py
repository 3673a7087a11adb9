"""Feedback: the new query is what the formulas say, and nothing else changes."""

import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bigrain
from bigrain import ConfigError, Feedback, InvalidQueryError
from bigrain.text import Analyser

TEXTS = {
    "a": "wheat silo silo grain",
    "b": "wheat harvest grain barley",
    "c": "barley malt beer",
    "d": "moon orbit",
    "e": "silo concrete tower",
    "f": "star light year",
}


@pytest.fixture
def col(tmp_path: Path) -> Any:
    fields = {
        "lex": bigrain.LexicalField(),
        "own": bigrain.DenseField(dim=4, metric="ip", heavy="float32"),
    }
    with bigrain.create(tmp_path / "docs.grain", fields) as col:
        col.add({"id": i, "text": text} for i, text in TEXTS.items())
        col.add_vectors("own", list(TEXTS), np.random.default_rng(3).normal(size=(6, 4)))
        col.commit()
        yield col


def counts(identifier: str) -> Counter[str]:
    return Counter(Analyser().analyse(TEXTS[identifier]))


@pytest.mark.parametrize("method", ["rm3", "rocchio"])
def test_words_follow_the_formula(col: Any, method: str) -> None:
    first = col.search("wheat", k=2, fields="lex")
    found = col.search(
        "wheat", fields="lex", explain=True, feedback=Feedback(method, documents=2, share=0.4)
    )
    total = sum(hit.score for hit in first)
    model: Counter[str] = Counter()
    for hit in first:
        count = counts(hit.id)
        length = math.sqrt(sum(n * n for n in count.values()))
        for word, n in count.items():
            share = hit.score / total / count.total() if method == "rm3" else 0.5 / length
            model[word] += n * share
    query = {word: 0.4 * p / model.total() for word, p in model.items()}
    query["wheat"] += 0.6
    df = Counter(word for i in TEXTS for word in counts(i))
    average = sum(counts(i).total() for i in TEXTS) / len(TEXTS)
    expected = {}
    for i in TEXTS:
        count = counts(i)
        norm = 1.2 * (0.25 + 0.75 * count.total() / average)
        score = sum(
            w * math.log(1 + (6 - df[t] + 0.5) / (df[t] + 0.5)) * count[t] / (count[t] + norm)
            for t, w in query.items()
        )
        if score:
            expected[i] = score
    assert {hit.id for hit in found} == set(expected) == {"a", "b", "c", "e"}
    for hit in found:
        assert hit.score == pytest.approx(expected[hit.id], rel=1e-3)
        assert sum(hit.explanation["lex"]["terms"].values()) == pytest.approx(hit.score, rel=1e-4)


def test_vectors_move_towards_the_mean(col: Any) -> None:
    rows = np.random.default_rng(3).normal(size=(6, 4)).astype(np.float32)
    query = np.array([1, 0.5, -1, 0.2], np.float32)
    best = np.argsort(-rows @ query)[:3]
    moved = 0.7 * query + 0.3 * rows[best].mean(axis=0)
    hits = col.search(query, fields="own", recall=1.0, feedback=Feedback("rocchio", documents=3))
    scores = dict(zip(TEXTS, (rows @ moved).tolist(), strict=True))
    assert [hit.id for hit in hits] == sorted(scores, key=lambda i: -scores[i])
    for hit in hits:
        assert hit.score == pytest.approx(scores[hit.id], rel=1e-4)


def test_a_share_of_nothing_changes_nothing(col: Any) -> None:
    plain = [(hit.id, hit.score) for hit in col.search("wheat silo", fields="lex")]
    same = col.search("wheat silo", fields="lex", feedback=Feedback(share=0))
    assert [(hit.id, hit.score) for hit in same] == plain


def test_batches_filters_and_operators_go_with_it(col: Any) -> None:
    asked = ["wheat", bigrain.Query("wheat -barley"), "nothing like it"]
    found = col.search_many(asked, k=3, fields="lex", feedback="rm3")
    assert [[h.id for h in hits] for hits in found] == [
        [h.id for h in col.search(query, 3, fields="lex", feedback="rm3")] for query in asked
    ]
    assert "b" not in {hit.id for hit in found[1]} and found[2] == []


def test_refusals(col: Any) -> None:
    with pytest.raises(InvalidQueryError, match="rm3"):
        col.search("wheat", feedback="rm4")
    with pytest.raises(InvalidQueryError, match="dense vectors|words"):
        col.search(np.ones(4), fields="own", feedback="rm3")
    with pytest.raises(InvalidQueryError, match="k=0"):
        col.search("wheat", k=0, fields="lex", feedback="rm3")
    for wrong in ({"method": "x"}, {"documents": 0}, {"terms": 1.5}, {"share": 2}, {"share": True}):
        with pytest.raises(ConfigError):
            Feedback(**wrong)  # type: ignore[arg-type]


def test_average_counts_the_query_as_a_document(col: Any) -> None:
    rows = np.random.default_rng(3).normal(size=(6, 4)).astype(np.float32)
    query = np.array([1, 0.5, -1, 0.2], np.float32)
    best = np.argsort(-rows @ query)[:3]
    moved = (query + rows[best].sum(axis=0)) / 4
    found = col.search(query, feedback=Feedback("average", documents=3), recall=1)
    expected = col.search(moved, recall=1)
    assert [h.id for h in found] == [h.id for h in expected]
    np.testing.assert_allclose([h.score for h in found], [h.score for h in expected], rtol=1e-4)


def test_where_fusion_stands(col: Any) -> None:
    """Before: the second search asks vectors alone; after: vectors believe their own best."""
    rows = np.random.default_rng(3).normal(size=(6, 4)).astype(np.float32)
    vector = np.array([1, 0.5, -1, 0.2], np.float32)
    query = {"lex": "moon", "own": vector}

    def feedback(interpolation: str) -> Feedback:
        return Feedback("average", documents=2, interpolation=interpolation)

    ids = list(TEXTS)
    fused = [ids.index(hit.id) for hit in col.search(query, k=2, recall=1)]
    own = np.argsort(-rows @ vector)[:2].tolist()
    assert set(fused) != set(own)
    by_fused = (vector + rows[fused].sum(axis=0)) / 3
    by_own = (vector + rows[own].sum(axis=0)) / 3
    for interpolation, second in (
        ("before", by_fused),
        ("both", {"lex": "moon", "own": by_fused}),
        ("after", {"lex": "moon", "own": by_own}),
    ):
        found = col.search(query, feedback=feedback(interpolation), recall=1)
        expected = col.search(second, recall=1)
        assert [h.id for h in found] == [h.id for h in expected], interpolation
        scores = [h.score for h in found], [h.score for h in expected]
        np.testing.assert_allclose(*scores, rtol=1e-4, atol=1e-6)
    with pytest.raises(ConfigError, match="interpolation='never' is not one of both, before"):
        feedback("never")
    with pytest.raises(InvalidQueryError, match="'average' moves dense vectors"):
        col.search("moon", fields="lex", feedback="average")
