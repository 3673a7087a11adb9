"""A query for each field, fused; and fields that hold nothing."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse

import bigrain
from bigrain.errors import InvalidQueryError, UnknownFieldError

TEXTS = {"a": "heavy water boils", "b": "the moon", "c": "water on the moon", "d": "grain"}
IMPACTS = scipy.sparse.csr_matrix(np.array([[0, 1, 2.0], [3, 0, 1], [0, 0, 0.5], [1, 1, 1]]))
VECTORS = np.eye(4, dtype=np.float32)


@pytest.fixture
def col(tmp_path: Path) -> Iterator[bigrain.Collection]:
    fields = {
        "words": bigrain.LexicalField(),
        "impacts": bigrain.SparseField(vocabulary_size=3),
        "vectors": bigrain.DenseField(dim=4, metric="ip"),
    }
    with bigrain.create(tmp_path / "a.grain", fields) as made:
        made.add({"id": i, "text": text} for i, text in TEXTS.items())
        made.add_vectors("impacts", list(TEXTS), IMPACTS)
        made.add_vectors("vectors", list(TEXTS), VECTORS)
        made.commit()
        yield made


def told(hits: list[bigrain.Hit]) -> list[tuple[str, float]]:
    return [(hit.id, hit.score) for hit in hits]


def scaled(scores: dict[str, float]) -> dict[str, float]:
    low, high = min(scores.values()), max(scores.values())
    return {i: (score - low) / (high - low) for i, score in scores.items()}


def test_each_field_scores_its_own_query(col: bigrain.Collection) -> None:
    vector = np.array([0.1, 0.2, 0.3, 0.0], np.float32)
    query: dict[str, Any] = {"words": "water", "impacts": {2: 1.0, 0: 2.0}, "vectors": vector}
    hits = col.search(query, fields={"words": 2, "impacts": 1, "vectors": 1})
    alone = {name: col.search(query[name], fields=name, recall=1) for name in query}
    for hit in hits:
        assert hit.score == pytest.approx(sum(hit.parts.values()))
        for name, part in hit.parts.items():
            own = {h.id: h.score for h in alone[name]}
            assert part.heavy == pytest.approx(own.get(hit.id, 0.0), abs=1e-3)
    parts = {name: scaled({h.id: h.parts[name].heavy for h in hits}) for name in query}
    weights = {"words": 0.5, "impacts": 0.25, "vectors": 0.25}
    for hit in hits:
        assert hit.score == pytest.approx(sum(w * parts[n][hit.id] for n, w in weights.items()))


def test_fields_chooses_among_the_queries(col: bigrain.Collection) -> None:
    query = {"words": "water", "impacts": {2: 1.0}}
    assert told(col.search(query, fields="words")) == told(col.search("water"))
    assert told(col.search({"impacts": {2: 1.0}})) == told(col.search({2: 1.0}))
    assert told(col.search(query)) == told(col.search(query, fields=["words", "impacts"]))
    with pytest.raises(InvalidQueryError, match="nothing for field 'vectors'"):
        col.search(query, fields=["words", "vectors"])
    with pytest.raises(UnknownFieldError, match="no field 'splade'"):
        col.search({"splade": {2: 1.0}})


def test_what_operators_say_goes_for_every_field(col: bigrain.Collection) -> None:
    query = {"words": bigrain.Query("+water -heavy"), "impacts": {2: 1.0}}
    assert [hit.id for hit in col.search(query)] == ["c"]
    beside = {"vectors": VECTORS[0], "impacts": {2: 1.0}, "words": bigrain.Query("moon^2")}
    assert "words" in col.search(beside)[0].parts
    two = {"words": bigrain.Query("+water"), "impacts": bigrain.Query("+moon")}
    with pytest.raises(InvalidQueryError, match="two queries with operators"):
        col.search(two)
    assert col.search_many([query, "moon", query])[0][0].id == "c"


@pytest.mark.parametrize("arrays", [False, True])
def test_many_by_field_are_single_ones(col: bigrain.Collection, arrays: bool) -> None:
    texts = ["water", "moon", "grain"]
    one_by_one = [
        {"words": text, "impacts": IMPACTS[i], "vectors": VECTORS[i]}
        for i, text in enumerate(texts)
    ]
    wanted = [told(col.search(query, recall=1)) for query in one_by_one]
    columns = {"words": texts, "impacts": IMPACTS[:3], "vectors": VECTORS[:3]}
    for queries in (one_by_one, columns):
        got = col.search_many(queries, recall=1, arrays=arrays, threads=2)
        if arrays:
            got = [
                [(i, s) for i, s in zip(ids, scores, strict=True) if i is not None]
                for ids, scores in zip(*got, strict=True)
            ]
            assert [[i for i, _ in some] for some in got] == [[i for i, _ in w] for w in wanted]
        else:
            assert [told(hits) for hits in got] == wanted
    with pytest.raises(InvalidQueryError, match="3 for 'words', 2 for 'vectors'"):
        col.search_many({"words": texts, "vectors": VECTORS[:2]})


def test_queries_of_several_kinds_keep_their_order(col: bigrain.Collection) -> None:
    queries = ["moon", {"words": "water"}, {2: 1.0}, {"impacts": {2: 1.0}, "words": "moon"}, "moon"]
    with_plain = [col.search(query) for query in queries]
    for start in (1, 3):  # text and a mapping of columns go to different fields: not in one batch
        some = queries[start : start + 1]
        assert [told(h) for h in col.search_many(some)] == [told(with_plain[start])]
    mixed = [queries[i] for i in (0, 1, 3, 4)]
    assert [told(hits) for hits in col.search_many(mixed)] == [
        told(with_plain[i]) for i in (0, 1, 3, 4)
    ]


def test_a_field_without_rows_takes_no_weight(tmp_path: Path) -> None:
    fields = {
        "words": bigrain.LexicalField(),
        "one": bigrain.SparseField(),
        "two": bigrain.SparseField(),
        "vectors": bigrain.DenseField(dim=4),
    }
    with bigrain.create(tmp_path / "a.grain", fields) as col:
        col.add({"id": i, "text": text} for i, text in TEXTS.items())
        col.add_vectors("one", list(TEXTS), IMPACTS)
        col.commit()
        alone = told(col.search({2: 1.0}, fields="one"))
        assert told(col.search({2: 1.0})) == alone
        assert told(col.search({2: 1.0}, fields=["one", "two"])) == alone
        both = {"words": "water", "one": {2: 1.0}}
        wanted = told(col.search(both))
        assert told(col.search({**both, "vectors": VECTORS[0]})) == wanted
        assert col.search({2: 1.0}, fields="two") == []
        assert col.search(VECTORS[0]) == []
        with pytest.raises(InvalidQueryError, match="no encoder"):  # also while it is empty
            col.search("water", fields=["words", "vectors"])
        col.add_vectors("two", ["b"], IMPACTS[1:2])
        col.commit()
        assert told(col.search({2: 1.0})) != alone
        hits = {hit.id: hit for hit in col.search({2: 1.0})}
        assert "two" not in hits["a"].parts and hits["b"].parts["two"].weight == 0.5
        col.delete(["b"])
        col.commit()
        assert told(col.search({2: 1.0})) == [pair for pair in alone if pair[0] != "b"]


def test_fields_are_evaluated_with_their_own_queries(col: bigrain.Collection) -> None:
    queries = {
        "q1": {"words": "heavy", "impacts": {2: 1.0}},
        "q2": {"words": "moon", "impacts": {0: 1.0}},
    }
    found = col.evaluate(queries, {"q1": {"a": 1}, "q2": {"b": 1}}, measures=["RR@10"])
    assert list(found.systems) == ["words", "impacts", "fused"]
    assert [s.measures["RR@10"].mean for s in found.systems.values()] == [1.0, 1.0, 1.0]


def test_bare_vectors_are_evaluated_in_the_fields_that_take_them(tmp_path: Path) -> None:
    fields = {"tok": bigrain.MultiVectorField(dim=4), "vec": bigrain.DenseField(dim=3)}
    tokens = {"q1": np.eye(4)[:2], "q2": np.eye(4)[2:]}
    with bigrain.create(tmp_path / "a.grain", fields) as col:
        col.add_vectors("tok", ["a", "b"], np.array(list(tokens.values())))
        col.add_vectors("vec", ["a", "b"], np.eye(3)[:2])
        col.commit()
        judged = {"q1": {"a": 1}, "q2": {"b": 1}}
        found = col.evaluate(tokens, judged, measures=["RR@10"])
        assert {n: s.measures["RR@10"].mean for n, s in found.systems.items()} == {"tok": 1.0}
        with pytest.raises(
            bigrain.InvalidInputError, match=r"takes a query such as .*\(7,\).*wide"
        ):
            col.evaluate({"q1": np.ones(7)}, judged)
        with pytest.raises(bigrain.InvalidInputError, match="text queries cannot be evaluated"):
            col.evaluate({"q1": "text"}, judged)
