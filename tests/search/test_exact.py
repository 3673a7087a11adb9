"""Search against looking at everything: every family, metric, filter share and segment layout."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import bigrain
from bigrain.codecs import partition
from bigrain.storage.attributes import normalise_metadata
from bigrain.testing import Model, QuickDisk, check_invariants, check_ranking, strategies
from tests.collection import making

N, DIM = 2000, 24


def dense(
    path: Path, metric: str, light_bytes: int | None, n: int = N, heavy: str = "float16"
) -> Any:
    """Vectors in four segments; the first 100 replaced, every 17th deleted."""
    fields = {
        "vec": bigrain.DenseField(dim=DIM, metric=metric, light_bytes=light_bytes, heavy=heavy)
    }
    col, model = making.make(path, fields)
    rng = np.random.default_rng(3)
    centres = rng.standard_normal((20, DIM)) * 2
    ids = [f"d{i}" for i in range(n)]

    def give(part: list[str]) -> None:
        rows = centres[rng.integers(0, 20, len(part))] + rng.standard_normal((len(part), DIM))
        rows = rows.astype(np.float32)
        col.add_vectors("vec", part, rows)
        model.add_vectors("vec", dict(zip(part, rows, strict=True)))

    documents = [
        bigrain.Document("", i, metadata={"half": k % 2, "ten": k % 10, "cent": k % 100,
                                          "mille": k % 1000}) for k, i in enumerate(ids)
    ]  # fmt: skip
    col.add(documents)
    model.add(documents)
    for start in range(0, n, n // 3 + 1):
        give(ids[start : start + n // 3 + 1])
        making.commit(col, model)
    give(ids[:100])
    col.delete(ids[::17])
    model.delete(ids[::17])
    making.commit(col, model)
    return col, model


@pytest.mark.parametrize("metric", ["cosine", "ip", "l2"])
@pytest.mark.parametrize("light_bytes", [None, 1])
@pytest.mark.parametrize("lists", [False, True])
def test_dense_search_of_everything_equals_brute_force(
    tmp_path: Path,
    metric: str,
    light_bytes: int | None,
    lists: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if lists:
        monkeypatch.setattr(partition, "FLAT_BELOW", 50)
    col, model = dense(tmp_path / "docs.grain", metric, light_bytes)
    filters = [None, "half = 1", "ten = 3", "cent = 7", "mille = 500", "mille = 1 AND half = 0"]
    rng = np.random.default_rng(5)
    assert col.stats()["fields"]["vec"]["segments"] > 2
    for compacted in (False, True):
        for filter in filters:
            query = rng.standard_normal(DIM)
            expected = model.scores("vec", query, filter)
            for options in ({"recall": 1.0}, {"n_candidates": N}, {"recall": 1.0, "k": N + 5}):
                hits = col.search(query, **{"k": 10, **options, "filter": filter})
                check_ranking(hits, expected, options.get("k", 10))
            for recall in (None, 0.9):  # candidates may miss some, never fall short
                hits = col.search(query, k=10, filter=filter, recall=recall)
                assert len(hits) == min(10, len(expected))
                for hit in hits:
                    assert hit.score == pytest.approx(expected[hit.id], rel=1e-4, abs=1e-5)
        if not compacted:
            col.compact()
    col.close()


def test_float32_rows_are_exact(tmp_path: Path) -> None:
    col, model = dense(tmp_path / "docs.grain", "ip", None, n=300, heavy="float32")
    query = np.random.default_rng(0).standard_normal(DIM)
    hits = col.search(query, k=5, recall=1.0)
    expected = model.scores("vec", query)
    for hit in hits:
        assert hit.score == pytest.approx(expected[hit.id], rel=1e-5)


@pytest.mark.parametrize("metric", ["cosine", "ip", "l2"])
@pytest.mark.parametrize("heavy", ["float16", "float32", "bfloat16", "int8"])
def test_the_best_by_stored_rows_is_found_and_a_merge_changes_no_row(
    tmp_path: Path, heavy: str, metric: str
) -> None:
    col, model = dense(tmp_path / "docs.grain", metric, None, n=600, heavy=heavy)
    queries = list(np.random.default_rng(1).standard_normal((5, DIM)))
    before = stored(col)
    for query in queries:
        expected = model.scores("vec", query)
        check_ranking(col.search(query, k=20, recall=1.0), expected, 20)
        check_ranking(col.search(query, k=20, n_candidates=600), expected, 20)
    assert len(before) == 600 - len(range(0, 600, 17))
    col.compact()
    assert stored(col) == before
    check_invariants(col, model)
    col.close()


def stored(col: Any) -> dict[int, bytes]:
    """The record of every live unit."""
    records = {}
    for view in col._view.fields["vec"].index.views:
        rows = view.live_rows()
        found = view.segment.file.gather_rows("rows", rows)
        units = view.segment.units.units(rows)
        records |= dict(zip(units.tolist(), map(bytes, found), strict=True))
    return records


@pytest.mark.parametrize("heavy", ["float16", "float32", "bfloat16", "int8"])
def test_numbers_beyond_the_type_are_refused_at_the_door(tmp_path: Path, heavy: str) -> None:
    fields = {"vec": bigrain.DenseField(dim=3, metric="ip", heavy=heavy)}
    with bigrain.create(tmp_path / "docs.grain", fields, files=QuickDisk()) as col:
        rows = np.array([[1, 2, 3], [4, 5, 1e14], [0, 0, 0]], np.float32)
        if heavy == "float16":
            with pytest.raises(bigrain.InvalidVectorsError, match="row 1.*float16.*'bfloat16'"):
                col.add_vectors("vec", ["a", "b", "c"], rows)
            assert col.add_vectors("vec", ["a"], rows[:1]).added == 1
            return
        col.add_vectors("vec", ["a", "b", "c"], rows)
        col.commit()
        hits = col.search(np.array([0, 0, 1.0]), k=3)
        assert [h.id for h in hits] == ["b", "a", "c"]
        assert hits[0].score == pytest.approx(1e14, rel=2**-8) and hits[2].score == 0
        for number in (2e15, 1e38):
            with pytest.raises(bigrain.InvalidVectorsError, match="row 0.*1e.15"):
                col.add_vectors("vec", ["d"], np.array([[0, number, 0]]))


def test_queries_of_any_length_have_the_same_cosine(tmp_path: Path) -> None:
    col, _ = dense(tmp_path / "docs.grain", "cosine", None, n=300)
    query = np.random.default_rng(0).standard_normal(DIM)
    hits = col.search(query)
    for factor in (1e-30, 1e-3, 1e30):
        again = col.search(query * factor)
        assert [h.id for h in again] == [h.id for h in hits]
        assert again[0].score == pytest.approx(hits[0].score, abs=1e-4)


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: Any) -> Any:
    """All families, several segments, replacements and deletions."""
    col, model = making.make(tmp_path_factory.mktemp("mixed") / "docs.grain")
    ids = [f"d{i}" for i in range(120)]
    for start in range(0, 120, 30):
        making.fill(col, model, ids[start : start + 30], seed=start)
        making.commit(col, model)
    making.fill(col, model, ids[5:25:2], seed=99)
    col.delete(ids[::7])
    model.delete(ids[::7])
    making.commit(col, model)
    return col, model


def queries_of(name: str, seed: int) -> Any:
    rng = np.random.default_rng(seed)
    return making.text(rng) if name in ("lex", "sub") else making.rows_for(name, rng, 1)[0]


@pytest.mark.parametrize("name", list(making.FIELDS))
def test_every_family_equals_brute_force(mixed: Any, name: str) -> None:
    col, model = mixed
    for seed in range(20):
        query = queries_of(name, seed)
        for k, filter in ((1, None), (10, None), (500, None), (7, "year >= 2015")):
            hits = col.search(query, k=k, fields=name, filter=filter, recall=1.0)
            check_ranking(hits, model.scores(name, query, filter), k)


def test_search_many_equals_search_in_every_form(mixed: Any) -> None:
    col, _ = mixed
    for name in making.FIELDS:
        queries = [queries_of(name, seed) for seed in range(70)]
        alone = [col.search(q, k=9, fields=name) for q in queries]
        for threads in (1, 2):
            assert col.search_many(queries, k=9, fields=name, threads=threads) == alone
            ids, scores = col.search_many(queries, k=9, fields=name, threads=threads, arrays=True)
            assert ids.shape == scores.shape == (70, 9)
            assert ids.dtype == object and scores.dtype == np.float32
            for row, hits in enumerate(alone):
                n = len(hits)
                assert ids[row, :n].tolist() == [h.id for h in hits]
                assert scores[row, :n] == pytest.approx([h.score for h in hits])
                assert (ids[row, n:] == None).all() and (scores[row, n:] == -np.inf).all()  # noqa: E711


@pytest.mark.parametrize("method", ["minmax", "rrf"])
def test_parts_add_up_and_name_every_field(tmp_path: Path, method: str) -> None:
    fields = {"lex": bigrain.LexicalField(), "enc": bigrain.DenseField(encoder="letters"),
              "raw": bigrain.LexicalField(language=None)}  # fmt: skip
    register()
    with bigrain.create(tmp_path / "docs.grain", fields, files=QuickDisk()) as col:
        rng = np.random.default_rng(1)
        col.add([making.document(rng, f"d{i}") for i in range(80)])
        col.commit()
        for seed in range(10):
            query = making.text(np.random.default_rng(seed))
            for weights in (None, ["enc", "lex"], {"lex": 2.0, "enc": 0.5, "raw": 0}):
                fusion = bigrain.Fusion(method=method)
                hits = col.search(query, k=20, fields=weights, fusion=fusion, explain=True)
                assert len(hits) == 20
                assert [h.score for h in hits] == sorted((h.score for h in hits), reverse=True)
                for hit in hits:
                    assert sum(hit.parts.values()) == hit.score
                    assert set(hit.parts) == set(weights or fields)
                    assert hit.explanation and set(hit.explanation) == set(hit.parts)
                    alone = col.search(query, k=80, fields="lex")
                    heavy = {h.id: h.score for h in alone}.get(hit.id, 0.0)
                    assert hit.parts["lex"].heavy == pytest.approx(heavy, abs=1e-5)


@pytest.mark.parametrize("method", ["minmax", "rrf"])
def test_fused_answers_side_by_side_are_those_of_one_query_at_a_time(
    tmp_path: Path, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also of unequal length, and where memory leaves one query at a time."""
    fields = {"lex": bigrain.LexicalField(), "enc": bigrain.DenseField(encoder="letters"),
              "raw": bigrain.LexicalField(language=None)}  # fmt: skip
    register()
    with bigrain.create(tmp_path / "docs.grain", fields, files=QuickDisk()) as col:
        rng = np.random.default_rng(2)
        col.add([making.document(rng, f"d{i}") for i in range(60)])
        col.commit()
        queries = ["nowhere", "wheat", *(making.text(rng) for _ in range(10))]
        for chosen in (["lex", "raw"], ["lex", "enc"], ["lex"], None):
            some = {"k": 45, "fields": chosen, "fusion": bigrain.Fusion(method=method)}
            alone = [col.search(query, **some) for query in queries]
            lengths = {len(hits) for hits in alone}
            assert (len(lengths) > 1) == (chosen in (["lex"], ["lex", "raw"]))
            for bytes_of_one in (160, 1 << 60):
                monkeypatch.setattr("bigrain.search.pipeline.BYTES_PER_CANDIDATE", bytes_of_one)
                assert col.search_many(queries, **some) == alone
                ids, _ = col.search_many(queries, **some, arrays=True, threads=2)
                for row, hits in zip(ids.tolist(), alone, strict=True):
                    assert row == [hit.id for hit in hits] + [None] * (45 - len(hits))


def letters(texts: list[str]) -> Any:
    """Counts of letters: a dense encoder anybody can check."""
    found = np.array([[t.count(c) for c in "abcdefghijklmnop"] for t in texts], float)
    return found.reshape(-1, 16) + 0.01


def register() -> None:
    encoder = bigrain.CallableEncoder("letters", letters, 16)
    bigrain.register_encoder("letters", lambda: encoder)


def test_ties_come_in_the_order_of_adding(tmp_path: Path) -> None:
    col, model = making.make(tmp_path / "docs.grain")
    rng = np.random.default_rng(0)
    row = {name: making.rows_for(name, rng, 1)[0] for name in ("vec", "imp", "tok")}
    for part in range(3):
        ids = [f"{part}-{i}" for i in range(40)]
        col.add([{"id": i, "text": "same text"} for i in ids])
        for name, value in row.items():
            col.add_vectors(name, ids, making.as_vectors(name, [value] * 40))
        col.commit()
    order = [f"{p}-{i}" for p in range(3) for i in range(40)]
    for compacted in (False, True):
        for name in making.FIELDS:
            query = row.get(name, "same text")
            for k in (1, 5, 50, 120):
                hits = col.search(query, k=k, fields=name, n_candidates=200)
                assert [h.id for h in hits] == order[:k], (name, k, compacted)
                hits = col.search(query, k=k, fields=name, recall=1.0)
                assert [h.id for h in hits] == order[:k], (name, k, compacted)
        col.compact()
    col.close()


def test_vectors_alone_make_their_documents(tmp_path: Path) -> None:
    fields = {"vec": making.FIELDS["vec"], "imp": making.FIELDS["imp"]}
    col, model = making.make(tmp_path / "docs.grain", fields)
    rng = np.random.default_rng(0)
    making.give_vectors(col, model, "vec", ["a", "b", "c"], rng)
    making.commit(col, model)
    making.give_vectors(col, model, "imp", ["c", "d"], rng)  # one is there, one is new
    making.give_vectors(col, model, "vec", ["a", "d"], rng)
    making.commit(col, model)
    check_invariants(col, model)
    col.compact()
    check_invariants(col, model)
    col.close()


def test_an_empty_collection_finds_nothing(tmp_path: Path) -> None:
    col, _ = making.make(tmp_path / "docs.grain")
    for name in making.FIELDS:
        for recall in (None, 0.9, 1.0):
            assert col.search(queries_of(name, 0), fields=name, recall=recall) == []
    ids, scores = col.search_many(["x", "y"], k=4, arrays=True, fields="lex")
    assert ids.shape == (2, 4) and (scores == -np.inf).all()
    col.close()


# -- filters ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def filtered(tmp_path_factory: Any) -> Any:
    """Two hundred documents with drawn metadata; every key and "all" is there."""
    fields = {"lex": bigrain.LexicalField(language=None)}
    col, model = making.make(tmp_path_factory.mktemp("filters") / "docs.grain", fields)
    rng = random.Random(11)
    values = [-3, 0, 1, 2, 0.5, 1.0, 2**53, 2**53 + 1, 1e300, "", "a", "b", "B", "é", "1", "it's",
              "2020-01-02", "2020-01-02T10:00:00", "2020-01-03", True, False]  # fmt: skip
    documents = []
    for i in range(200):
        metadata: dict[str, Any] = {}
        for key in strategies.KEYS:
            kind = rng.random()
            value = rng.choice(values) if kind < 0.6 else [rng.choice(values) for _ in range(2)]
            if kind < 0.8 or i == 0:
                if key == "deep.key":
                    metadata["deep"] = {"key": value}
                else:
                    metadata[key] = value
        documents.append(
            bigrain.Document("all of them", f"d{i}", "", normalise_metadata(metadata, ""))
        )
    col.add(documents[:120])
    col.commit()
    col.add(documents[120:])
    model.add(documents)
    col.delete(["d3", "d150"])
    model.delete(["d3", "d150"])
    making.commit(col, model)
    return col, model


@given(strategies.filters(3))
@settings(deadline=None, max_examples=200, suppress_health_check=list(HealthCheck))
def test_filters_equal_their_evaluation_in_python(filtered: Any, where: dict[str, Any]) -> None:
    col, model = filtered
    hits = col.search("all", k=300, filter=where)
    check_ranking(hits, model.scores("lex", "all", where), 300)


LITERALS = st.one_of(
    st.integers(-3, 3).map(str),
    st.sampled_from(
        ["0.5", "1e300", "-1.5", "true", "FALSE", "9007199254740993", "'it''s'", '"a"']
    ),
    st.sampled_from(["''", "'é'", "'2020-01-02'", "'2020-01-02T10:00:00'", "'1'"]),
)
TEXT_KEYS = st.sampled_from([*strategies.KEYS, "`year`", "`deep.key`"])
LEAVES = st.one_of(
    st.builds("{} {} {}".format, TEXT_KEYS,
              st.sampled_from(["=", "==", "!=", "<>", "<", "<=", ">", ">="]), LITERALS),
    st.builds("{} {} ({}, {})".format,
              TEXT_KEYS, st.sampled_from(["IN", "not in"]), LITERALS, LITERALS),
    st.builds("{} BETWEEN {} AND {}".format, TEXT_KEYS, LITERALS, LITERALS),
    st.builds("{} IS {}".format, TEXT_KEYS, st.sampled_from(["NULL", "not null"])),
)  # fmt: skip
SENTENCES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds("({}) and {}".format, inner, inner),
        st.builds("{} OR {}".format, inner, inner),
        st.builds("NOT ({})".format, inner),
    ),
    max_leaves=5,
)


@given(SENTENCES)
@settings(deadline=None, max_examples=200, suppress_health_check=list(HealthCheck))
def test_filters_as_text_equal_their_evaluation_in_python(filtered: Any, where: str) -> None:
    col, model = filtered
    hits = col.search("all", k=300, filter=where)
    check_ranking(hits, model.scores("lex", "all", where), 300)


@pytest.mark.parametrize(
    ("text", "mapping"),
    [
        ("year >= 0 AND lang > 'a'", {"year": {"$gte": 0}, "lang": {"$gt": "a"}}),
        ("lang IN ('a', 'b')", {"lang": ["a", "b"]}),
        ("NOT lang = 'a'", {"$not": {"lang": "a"}}),
        ("lang != 'a'", {"lang": {"$ne": "a"}}),
        ("lang IS NULL", {"lang": None}),
        ("lang IS NOT NULL", {"lang": {"$exists": True}}),
        ("year = 1 OR score < 1", {"$or": [{"year": 1}, {"score": {"$lt": 1}}]}),
        ("year BETWEEN 0 AND 2", {"year": {"$gte": 0, "$lte": 2}}),
        ("deep.key = true", {"deep.key": True}),
        ("when = '2020-01-02'", {"when": "2020-01-02"}),
    ],
)
def test_both_forms_of_a_filter_say_the_same(filtered: Any, text: str, mapping: Any) -> None:
    col, _ = filtered
    found = [h.id for h in col.search("all", k=300, filter=text)]
    assert found and found == [h.id for h in col.search("all", k=300, filter=mapping)]


def test_a_day_in_a_list_stands_for_all_of_it_too(tmp_path: Path) -> None:
    with bigrain.create(tmp_path / "docs.grain", {"lex": bigrain.LexicalField()}) as col:
        col.add([{"id": "m", "text": "x", "metadata": {"when": "2020-01-02T10:00:00"}}])
        col.commit()
        for where in ("when = '2020-01-02'", "when IN ('2020-01-02', 'never')"):
            assert [h.id for h in col.search("x", filter=where)] == ["m"]


def test_models_agree_on_nothing() -> None:
    assert Model({"lex": bigrain.LexicalField()}).scores("lex", "x") == {}
