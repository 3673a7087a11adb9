"""HyDE and other wordings: what they add is what the formulas say, and nonsense is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bigrain
from bigrain import ConfigError, HyDE, InvalidQueryError, MultiQuery

TEXTS = {
    "a": "wheat silo silo grain",
    "b": "wheat harvest grain barley",
    "c": "barley malt beer",
    "d": "moon orbit",
    "e": "silo concrete tower",
}


def letters(texts: list[str]) -> np.ndarray:
    alphabet = "abcdefghijklmnopqrstuvwxyz"
    return np.array([[t.count(c) for c in alphabet] for t in texts], np.float32)


@pytest.fixture(params=["cosine", "ip"])
def col(request: Any, tmp_path: Path) -> Any:
    bigrain.register_encoder("letters", lambda: bigrain.CallableEncoder("letters", letters, 26))
    fields = {
        "lex": bigrain.LexicalField(),
        "dense": bigrain.DenseField(encoder="letters", metric=request.param, heavy="float32"),
    }
    with bigrain.create(tmp_path / "docs.grain", fields) as col:
        col.add({"id": i, "text": text} for i, text in TEXTS.items())
        col.commit()
        yield col


def told(hits: list[Any]) -> list[tuple[str, float]]:
    return [(hit.id, hit.score) for hit in hits]


def test_answers_are_averaged_with_the_query(col: Any) -> None:
    answers = ["malt and beer", "barley beer"]
    seen = []

    def generate(query: str) -> list[str]:
        seen.append(query)
        return [*answers, "   "]

    found = col.search("drink", fields="dense", expand=HyDE(generate), recall=1)
    rows = letters(["drink", *answers])
    if col.fields["dense"].metric == "cosine":
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    expected = col.search(rows.mean(axis=0), fields="dense", recall=1)
    assert seen == ["drink"]
    assert [h.id for h in found] == [h.id for h in expected]
    np.testing.assert_allclose([h.score for h in found], [h.score for h in expected], rtol=1e-5)
    assert told(found) != told(col.search("drink", fields="dense", recall=1))
    first = col.search("drink", fields="dense", expand=HyDE(generate, most=1), recall=1)
    again = col.search("drink", fields="dense", expand=HyDE(lambda q: answers[0]), recall=1)
    assert told(first) == told(again)


def test_no_answers_and_no_wordings_change_nothing(col: Any) -> None:
    plain = told(col.search("barley beer"))
    assert told(col.search("barley beer", expand=HyDE(lambda q: []))) == plain
    assert told(col.search("barley beer", expand=HyDE(lambda q: " "))) == plain
    ids = [hit.id for hit in col.search("barley beer", expand=MultiQuery(lambda q: [q]))]
    assert ids == [i for i, _ in plain]


def test_words_are_asked_as_they_were(col: Any) -> None:
    hits = col.search("moon", expand=HyDE(lambda q: "barley malt beer"), explain=True)
    words = {hit.id for hit in hits if hit.explanation["lex"].get("terms")}
    assert words == {"d"}


def test_wordings_are_joined_by_reciprocal_ranks(col: Any) -> None:
    wordings = {"wheat": ["beer", "wheat", "concrete silo"]}
    found = col.search("wheat", expand=MultiQuery(wordings.__getitem__), fields="lex")
    expected: dict[str, float] = {}
    for text in ("wheat", "beer", "concrete silo"):
        for rank, hit in enumerate(col.search(text, fields="lex")):
            expected[hit.id] = expected.get(hit.id, 0) + 1 / (61 + rank)
    assert {hit.id: pytest.approx(hit.score, rel=1e-6) for hit in found} == expected
    assert [hit.score for hit in found] == sorted(expected.values(), reverse=True)
    for hit in found:
        assert sum(hit.parts.values()) == pytest.approx(hit.score)


def test_many_queries_are_expanded_each_alone(col: Any) -> None:
    others = {"wheat": ["beer"], "moon": [], "silo": ["tower", "grain"]}
    expand = MultiQuery(lambda q: others[q])
    together = col.search_many(list(others), expand=expand, k=3)
    for query, hits in zip(others, together, strict=True):
        alone = col.search(query, k=3, expand=expand)
        assert [h.id for h in hits] == [h.id for h in alone]
        assert [h.score for h in hits] == pytest.approx([h.score for h in alone])
    ids, scores = col.search_many(list(others), expand=expand, k=3, arrays=True)
    assert [[i for i in row if i] for row in ids] == [[h.id for h in hits] for hits in together]
    assert (np.isneginf(scores) == (ids == np.array(None))).all()
    hyde = HyDE(lambda q: others[q])
    found = col.search_many(list(others), expand=hyde, k=3)
    for query, hits in zip(others, found, strict=True):
        assert [h.id for h in hits] == [h.id for h in col.search(query, k=3, expand=hyde)]


def raising(query: str) -> list[str]:
    raise RuntimeError("the model is asleep")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (raising, "raised RuntimeError: the model is asleep"),
        (lambda q: None, r"gave None for query 'wheat'; it should give a text or a list"),
        (lambda q: 3, "gave 3"),
        (lambda q: b"beer", "gave b'beer'"),
        (lambda q: ["beer", 7], "gave 7 among its texts"),
    ],
)
@pytest.mark.parametrize("kind", [HyDE, MultiQuery])
def test_functions_that_fail_are_told(col: Any, kind: Any, given: Any, message: str) -> None:
    with pytest.raises(InvalidQueryError, match=message):
        col.search("wheat", expand=kind(given))


def test_bad_input(col: Any) -> None:
    for odd in (3, "beer", None):
        with pytest.raises(ConfigError, match="must be a function"):
            HyDE(odd)  # type: ignore[arg-type]
    for odd in (0, 65, 1.5, True):
        with pytest.raises(ConfigError, match="most="):
            MultiQuery(letters, most=odd)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="depth="):
        MultiQuery(letters, depth=0)  # type: ignore[arg-type]
    with pytest.raises(InvalidQueryError, match=r"expand='hyde': use bigrain.HyDE"):
        col.search("wheat", expand="hyde")
    with pytest.raises(InvalidQueryError, match="none was asked"):
        col.search("wheat", fields="lex", expand=HyDE(lambda q: "beer"))
    for kind in (HyDE, MultiQuery):
        with pytest.raises(InvalidQueryError, match="takes plain text, got a Query"):
            col.search(bigrain.Query("+wheat"), expand=kind(lambda q: "beer"))


def test_feedback_after_an_expansion(col: Any) -> None:
    expand = HyDE(lambda q: "barley malt beer")
    found = col.search("drink", fields="dense", expand=expand, feedback="rocchio", recall=1)
    assert told(found) != told(col.search("drink", fields="dense", expand=expand, recall=1))
