"""Multi-vector fields: every kind of code and record, over a life of changes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bigrain
from bigrain.codecs import partition
from bigrain.index.coded import code_bytes_of
from bigrain.index.multivector import light_bytes_of
from bigrain.testing.invariants import check_grains
from bigrain.tuning.queries import audited

DIM = 16
KINDS: list[dict[str, Any]] = [
    {}, {"heavy": "float32"}, {"heavy": "float16", "light_bytes": 3}, {"heavy": "residual4"},
    {"heavy": "residual2", "light_bytes": 64}, {"heavy": "residual1"},
    {"light": "regression", "light_bytes": 16}, {"light": "fde", "light_bytes": 40},
    {"pooling": 2}, {"pooling": 3, "protected_tokens": 1}, {"max_vectors": 4},
    {"sketch": 64}, {"sketch": 3, "light_bytes": 2},
    {"sketch": 20, "heavy": "residual4"},
]  # fmt: skip
# Mean relative errors of scores: few numbers a token make them larger than they are in use.
LOSSY = {"residual1": 0.2, "residual2": 0.1, "residual4": 0.03, "int8": 3e-3, "float16": 3e-4}


def documents(n: int, seed: int = 0, longest: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """Unit tokens of n documents: words of a theme, somewhat changed."""
    words = np.random.default_rng(7).normal(size=(40, 6, DIM))
    rng = np.random.default_rng(seed)
    offsets = np.concatenate(([0], np.cumsum(rng.integers(1, longest, n))))
    theme = np.repeat(rng.integers(0, 40, n), np.diff(offsets))
    tokens = words[theme, rng.integers(0, 6, len(theme))]
    tokens = tokens + 0.6 * rng.normal(size=tokens.shape)
    tokens /= np.linalg.norm(tokens, axis=1, keepdims=True)
    return tokens.astype(np.float32), offsets


def test_a_list_of_arrays_is_one_ragged_array(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = [rng.normal(size=(n, 4)).astype(np.float32) for n in (2, 3, 1)]
    field = {"tok": bigrain.MultiVectorField(dim=4, heavy="float32")}
    with bigrain.create(tmp_path / "a.grain", field) as col:
        for bad, told in (
            ([rows[0], rows[1][:, :3]], r"row 1 \(document 'b'\).*\(tokens, 4\).*\(3, 3\)"),
            ([rows[0], [1.0, 2.0]], r"row 1 \(document 'b'\).*list of shape \(2,\)"),
            ([rows[0], rows[1][:0]], "row 1 .*at least one"),
            ([rows[0], rows[1] * np.nan], "row 1 .*finite"),
            ([rows[0]], "2 ids but 1"),
            (rows, "2 ids but 3"),
        ):
            with pytest.raises(bigrain.InvalidVectorsError, match=told):
                col.add_vectors("tok", ["a", "b"], bad)
        col.add_vectors("tok", ["a", "b", "c"], rows)
        col.commit()
        (best, *_) = col.search(rows[1], k=3)
        assert best.id == "b"
        assert best.score == pytest.approx((rows[1] @ rows[1].T).max(axis=1).sum(), rel=1e-5)


def test_an_array_of_tokens_is_unpadded(tmp_path: Path) -> None:
    padded = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)
    field = {"tok": bigrain.MultiVectorField(dim=4, heavy="float32")}
    with bigrain.create(tmp_path / "a.grain", field) as col:
        for bad, told in (
            ((padded, [1, 4]), r"row 1 \(document 'b'\): 4 tokens of 3; every row needs 1 to 3"),
            ((padded, [0, 1]), "row 0 .*0 tokens of 3"),
            ((padded, [1, 2, 3]), "comes alone, or with 2 whole numbers"),
            ((padded, [1.0, 2.0]), "comes alone, or with 2 whole numbers"),
            ((padded,), "comes alone, or with 2 whole numbers"),
            (padded[:, :, :3], r"expected an array \(tokens, 4\).*\(3, 3\)"),
            (padded[:1], "2 ids but 1"),
            (padded[0], r"or an array \(n, tokens, 4\), got ndarray"),
        ):
            with pytest.raises(bigrain.InvalidVectorsError, match=told):
                col.add_vectors("tok", ["a", "b"], bad)
        col.add_vectors("tok", ["a", "b"], padded)
        col.add_vectors("tok", ["c", "d"], (padded, np.array([3, 2])))
        col.commit()
        scores = {hit.id: hit.score for hit in col.search(padded[1], k=4)}
    assert scores["a"] == scores["c"] and scores["b"] == max(scores.values())
    products = padded[1] @ padded[1, :2].T
    assert scores["d"] == pytest.approx(products.max(axis=1).sum(), rel=1e-5)


def asked(n: int, seed: int = 99) -> list[np.ndarray]:
    tokens, offsets = documents(n, seed, 9)
    return [tokens[a:b] for a, b in zip(offsets, offsets[1:], strict=False)]


def max_sim(query: np.ndarray, tokens: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    products = query.astype(np.float64) @ tokens.T.astype(np.float64)
    return np.maximum.reduceat(products, offsets[:-1], axis=1).sum(axis=0)


def part(ragged: tuple[np.ndarray, np.ndarray], a: int, b: int) -> tuple[np.ndarray, np.ndarray]:
    tokens, offsets = ragged
    return tokens[offsets[a] : offsets[b]], offsets[a : b + 1] - offsets[a]


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_every_kind_finds_what_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: dict[str, Any]
) -> None:
    """In lists and without, across segments, after reopening, deleting and compacting."""
    monkeypatch.setattr(partition, "FLAT_BELOW", 1200)
    field = bigrain.MultiVectorField(dim=DIM, **kind)
    path, ragged, queries = tmp_path / "docs.grain", documents(1900), asked(40)
    with bigrain.create(path, {"tok": field}) as col:
        for a, b in ((0, 1500), (1500, 1900)):
            col.add_vectors("tok", [str(i) for i in range(a, b)], part(ragged, a, b))
            col.commit()
        gone = set(range(0, 1900, 13))
        col.delete([str(i) for i in gone])
        col.commit()
    with bigrain.open(path) as col:
        assert col.fields["tok"] == field
        exact = [max_sim(query, *ragged) for query in queries]
        for compacted in (False, True):
            if compacted:
                col.compact()
            hits = col.search_many(queries, k=10, recall=1)
            assert not {int(hit.id) for found in hits for hit in found} & gone
            if not field.pools:
                pairs = [(h.score, exact[i][int(h.id)]) for i, f in enumerate(hits) for h in f]
                scores, wanted = np.array(pairs).T
                error = np.abs(scores - wanted) / np.maximum(wanted, 1)
                assert error.mean() < LOSSY.get(field.heavy, 1e-6)
            found = col.search_many(queries, k=10, recall=0.9)
            shares = [
                len({h.id for h in a} & {h.id for h in b}) / 10
                for a, b in zip(hits, found, strict=True)
            ]
            assert np.mean(shares) >= 0.9
            check_grains(col)
            assert not col.verify().problems


@pytest.mark.parametrize("heavy", ["int8", "residual2"])
def test_records_outlive_merges_to_the_byte(tmp_path: Path, heavy: str) -> None:
    """Whoever compacts again and again loses nothing."""
    ragged, query = documents(300), asked(1)[0]
    field = bigrain.MultiVectorField(dim=DIM, heavy=heavy)
    with bigrain.create(tmp_path / "docs.grain", {"tok": field}) as col:
        for a, b in ((0, 200), (200, 300)):
            col.add_vectors("tok", [str(i) for i in range(a, b)], part(ragged, a, b))
            col.commit()
        before = {h.id: h.score for h in col.search(query, k=300, recall=1)}
        for gone in ("3", "250"):
            col.delete([gone])
            col.commit()
            col.compact()
            del before[gone]
            assert {h.id: h.score for h in col.search(query, k=300, recall=1)} == before


def test_segments_with_surrogates_of_their_own_are_searched_as_one(tmp_path: Path) -> None:
    """A small first segment makes another surrogate than a large second one."""
    ragged, queries = documents(1800), asked(30)
    field = bigrain.MultiVectorField(dim=DIM, light="regression", light_bytes=32)
    with bigrain.create(tmp_path / "docs.grain", {"tok": field}) as col:
        for a, b in ((0, 300), (300, 1800)):
            col.add_vectors("tok", [str(i) for i in range(a, b)], part(ragged, a, b))
            col.commit()
        views = col._require_open().fields["tok"].index.views
        assert len({v.segment.surrogate_id for v in views}) == 2
        truth, _ = col.search_many(queries, k=10, recall=1, arrays=True)
        found, _ = col.search_many(queries, k=10, recall=0.9, arrays=True)
        shares = [len(set(a) & set(b)) / 10 for a, b in zip(truth, found, strict=True)]
        assert np.mean(shares) >= 0.9


def test_sketches_leave_the_better_candidates(tmp_path: Path) -> None:
    """Of as many documents that are read more are right ones."""
    ragged, queries = documents(1500), asked(40)
    shares = []
    for sketch in (0, 64):
        field = bigrain.MultiVectorField(dim=DIM, light_bytes=2, sketch=sketch)
        with bigrain.create(tmp_path / f"{sketch}.grain", {"tok": field}) as col:
            col.add_vectors("tok", [str(i) for i in range(1500)], ragged)
            col.commit()
            truth, _ = col.search_many(queries, k=10, recall=1, arrays=True)
            found, _ = col.search_many(queries, k=10, n_candidates=30, arrays=True)
            shares.append(
                np.mean([len({*a} & {*b}) / 10 for a, b in zip(truth, found, strict=True)])
            )
    assert shares[1] > shares[0] + 0.1


def test_segments_with_sketches_and_without_are_searched_as_one(tmp_path: Path) -> None:
    """A small first segment has none, a small later one those of the large one before it."""
    ragged, queries = documents(1900), asked(30)
    field = bigrain.MultiVectorField(dim=DIM, sketch=64)
    with bigrain.create(tmp_path / "docs.grain", {"tok": field}) as col:
        for a, b in ((0, 300), (300, 1800), (1800, 1900)):
            col.add_vectors("tok", [str(i) for i in range(a, b)], part(ragged, a, b))
            col.commit()
        first, large, last = (
            view.segment for view in col._require_open().fields["tok"].index.views
        )
        assert first.sketches is None
        assert (last.sketches.sketcher.table == large.sketches.sketcher.table).all()
        assert last.sketches.weights == large.sketches.weights
        truth, _ = col.search_many(queries, k=10, recall=1, arrays=True)
        found, _ = col.search_many(queries, k=10, recall=0.9, arrays=True)
        assert np.mean([len({*a} & {*b}) / 10 for a, b in zip(truth, found, strict=True)]) >= 0.9
        check_grains(col)
        for segment in (first, large, last):
            held = segment.sketches
            arrays = () if held is None else (held.numbers, held.starts, held.sketcher.table)
            beside = light_bytes_of(segment.file) - sum(a.nbytes for a in arrays)
            assert beside == code_bytes_of(segment.file) + 8 * (segment.units.n_rows + 1)


def test_few_that_a_filter_leaves_are_all_found(tmp_path: Path) -> None:
    """Fewer than are wanted, and sketches that look over them."""
    ragged, query = documents(1300), asked(1)[0]
    fields = {"words": bigrain.LexicalField(), "tok": bigrain.MultiVectorField(dim=DIM, sketch=64)}
    with bigrain.create(tmp_path / "docs.grain", fields) as col:
        rare = {"5", "700", "1299"}
        ids = [str(i) for i in range(1300)]
        col.add([{"id": i, "text": "a", "metadata": {"rare": i in rare}} for i in ids])
        col.add_vectors("tok", ids, ragged)
        col.commit()
        assert {h.id for h in col.search(query, k=10, filter="rare = true", recall=0.8)} == rare


def test_what_tokens_add_is_the_score(tmp_path: Path) -> None:
    ragged, query = documents(50), asked(1)[0]
    field = bigrain.MultiVectorField(dim=DIM, heavy="float32")
    with bigrain.create(tmp_path / "docs.grain", {"tok": field}) as col:
        col.add_vectors("tok", [str(i) for i in range(50)], ragged)
        col.commit()
        hit = col.search(query, k=1, explain=True)[0]
        told = (hit.explanation or {})["tok"]
        assert sum(told["token_scores"]) == pytest.approx(hit.score, rel=1e-5)
        heat = col.token_scores(query, hit.id, field="tok")
        mine = part(ragged, int(hit.id), int(hit.id) + 1)[0]
        np.testing.assert_allclose(heat, mine @ query.T, atol=1e-5)
        assert heat.argmax(axis=0).tolist() == told["best_tokens"]
        spans = col.span_scores(query, hit.id, [(0, 1), (0, len(mine)), (1, 1)], field="tok")
        np.testing.assert_allclose(spans[:2], [heat[0].sum(), hit.score], rtol=1e-5)
        assert spans[2] == -np.inf
        for spans_, why in (([(0, 99)], "0 to"), ([(2, 1)], "span 0"), ([1, 2], "pairs")):
            with pytest.raises(bigrain.InvalidQueryError, match=why):
                col.span_scores(query, hit.id, spans_, field="tok")
        with pytest.raises(bigrain.UnknownDocumentError, match="'nobody'"):
            col.token_scores(query, "nobody", field="tok")
        with pytest.raises(bigrain.UnknownFieldError):
            col.token_scores(query, hit.id, field="other")


def test_documents_of_one_and_of_thousands_of_tokens(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    counts = np.array([1, 3000, 1, 7, 2000, 1])
    tokens = rng.normal(size=(counts.sum(), DIM)).astype(np.float32) * 50
    ragged = tokens, np.concatenate(([0], np.cumsum(counts)))
    for heavy in ("int8", "residual4"):
        field = bigrain.MultiVectorField(dim=DIM, heavy=heavy)
        with bigrain.create(tmp_path / f"{heavy}.grain", {"tok": field}) as col:
            col.add_vectors("tok", list("abcdef"), ragged)
            col.commit()
            hits = col.search(tokens[5:9] / 50, k=6)
            exact = max_sim(tokens[5:9] / 50, *ragged)
            assert [h.id for h in hits][0] == "abcdef"[int(exact.argmax())]
            for hit in hits:
                assert hit.score == pytest.approx(exact["abcdef".index(hit.id)], rel=0.1)


def test_settings_are_refused() -> None:
    for bad, told in (
        ({"heavy": "int4"}, "heavy='int4'"),
        ({"light": "median"}, "light='median'"),
        ({"pooling": 0}, "pooling=0"),
        ({"pooling": 2.0}, "pooling=2.0"),
        ({"max_vectors": 0}, "max_vectors=0 must be .* from 1 to 1024"),
        ({"max_vectors": True}, "max_vectors=True"),
        ({"max_vectors": 1 << 40}, "max_vectors"),
        ({"max_vectors": 8, "pooling": 2}, "pooling=2 and max_vectors=8 exclude each other"),
        ({"protected_tokens": -1, "pooling": 2}, "protected_tokens=-1"),
        ({"protected_tokens": 17, "pooling": 2}, "protected_tokens=17 .* from 0 to 16"),
        ({"protected_tokens": 1}, "keeps all tokens; give pooling=2 or max_vectors=32"),
        ({"protected_tokens": 4, "max_vectors": 4}, "leaves none of max_vectors=4"),
    ):
        with pytest.raises(bigrain.ConfigError, match=told):
            bigrain.MultiVectorField(dim=8, **bad)


def test_fields_written_before_there_was_a_limit_have_none() -> None:
    field = bigrain.MultiVectorField(dim=8, pooling=2)
    told = field.to_dict()
    assert "max_vectors" not in told and "protected_tokens" not in told
    assert bigrain.config.field_from_dict(told) == field
    limited = bigrain.MultiVectorField(dim=8, max_vectors=32, protected_tokens=1)
    assert bigrain.config.field_from_dict(limited.to_dict()) == limited


def stored(col: bigrain.Collection, identifier: str) -> np.ndarray:
    """The vectors that a document has."""
    index = col._view.fields["tok"].index
    records, payload = index.tokens(int(identifier))
    count = len(payload) // records.codec.token_bytes
    return records.codec.decode(payload, np.array([count]))


def test_at_most_so_many_vectors_are_kept(tmp_path: Path) -> None:
    """Documents with fewer tokens keep theirs; unit tokens give unit vectors."""
    tokens, offsets = documents(200, longest=40)
    counts = np.diff(offsets)
    field = bigrain.MultiVectorField(dim=DIM, heavy="float32", max_vectors=6, protected_tokens=1)
    with bigrain.create(tmp_path / "a.grain", {"tok": field}) as col:
        col.add_vectors("tok", [str(i) for i in range(200)], (tokens, offsets))
        col.commit()
    with bigrain.open(tmp_path / "a.grain") as col:
        assert col.fields["tok"] == field
        col.add_vectors("tok", ["200"], [tokens[: counts[0]]])  # the same in another segment
        col.commit()
        for _ in range(2):
            kept = [stored(col, str(i)) for i in range(201)]
            assert [len(rows) for rows in kept] == np.minimum([*counts, counts[0]], 6).tolist()
            np.testing.assert_array_equal(kept[200], kept[0])
            np.testing.assert_allclose(np.linalg.norm(np.vstack(kept), axis=1), 1, rtol=1e-5)
            for i, rows in enumerate(kept[:200]):
                own = tokens[offsets[i] : offsets[i + 1]]
                same = len(own) if len(own) <= 6 else 1
                np.testing.assert_allclose(rows[:same], own[:same], atol=1e-6)
            col.compact()
        short = int(np.flatnonzero(counts == 5)[0])
        query = tokens[offsets[short] : offsets[short + 1]]
        hit = col.search(query, k=1)[0]
        assert hit.id == str(short) and hit.score == pytest.approx(5, rel=1e-5)
        assert col.token_scores(query, str(int(counts.argmax()))).shape == (6, 5)


@pytest.mark.parametrize("kind", [{"pooling": 2}, {"max_vectors": 2}], ids=str)
def test_vectors_of_several_places_have_no_spans(tmp_path: Path, kind: dict[str, Any]) -> None:
    field = bigrain.MultiVectorField(dim=DIM, **kind)
    with bigrain.create(tmp_path / "a.grain", {"tok": field}) as col:
        ragged = documents(3, longest=9)
        col.add_vectors("tok", list("abc"), ragged)
        col.commit()
        with pytest.raises(bigrain.InvalidQueryError, match="'tok' pools tokens"):
            col.span_scores(ragged[0][:2], "a", [(0, 1)])


def test_the_audit_watches_what_is_asked(tmp_path: Path) -> None:
    ragged, queries = documents(1500), asked(70)
    field = bigrain.MultiVectorField(dim=DIM, light_bytes=2)
    with bigrain.create(tmp_path / "docs.grain", {"tok": field}) as col:
        col.add_vectors("tok", [str(i) for i in range(1500)], ragged)
        col.commit()
        truth, _ = col.search_many(queries, k=10, recall=1, arrays=True)
        found, _ = col.search_many(queries, k=10, recall=0.9, arrays=True)
        share = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(truth, found, strict=True)])
        report = col.audit()
        (verdict,) = report.fields
        assert (verdict.field, verdict.asked, verdict.queries) == ("tok", 0.9, 70)
        assert verdict.reached == pytest.approx(share, abs=1e-6)
        assert col.stats()["fields"]["tok"]["recall"]["audited"]


def test_questions_that_no_document_says_find_what_is_asked(tmp_path: Path) -> None:
    """Documents repeat stretches of one another; questions say them in other words."""
    rng = np.random.default_rng(3)
    words = rng.normal(size=(2000, DIM))
    words /= np.linalg.norm(words, axis=1, keepdims=True)
    starts, places = rng.integers(0, len(words) - 30, (2, 2500, 1)), np.arange(30)
    weight = rng.uniform(0.6, 1, (2500, 1, 1))
    mixed = weight * words[starts[0] + places] + (1 - weight) * words[starts[1] + places]
    mixed /= np.linalg.norm(mixed, axis=2, keepdims=True)
    queries = []
    for m in rng.integers(3, 25, 60).tolist():
        start = int(rng.integers(0, len(words) - m))
        query = words[start : start + m] + 0.4 * rng.normal(size=(m, DIM))
        query /= np.linalg.norm(query, axis=1, keepdims=True)
        queries.append(query.astype(np.float32))
    with bigrain.create(tmp_path / "a.grain", {"tok": bigrain.MultiVectorField(dim=DIM)}) as col:
        col.add_vectors("tok", [str(i) for i in range(2500)], mixed.astype(np.float32))
        col.commit()
        truth, _ = col.search_many(queries, k=10, recall=1, arrays=True)
        found, _ = col.search_many(queries, k=10, recall=0.9, arrays=True)
        one, _ = col.search_many(queries[7:8], k=10, recall=0.9, arrays=True)
    shares = [len(set(a) & set(b)) / 10 for a, b in zip(truth, found, strict=True)]
    assert np.mean(shares) >= 0.9
    assert one[0].tolist() == found[7].tolist()  # whatever else is asked with it


def test_short_queries_look_deeper(tmp_path: Path) -> None:
    field = bigrain.MultiVectorField(dim=DIM)
    with bigrain.create(tmp_path / "a.grain", {"tok": field}) as col:
        col.add_vectors("tok", [str(i) for i in range(3000)], documents(3000))
        col.commit()
        index = col._view.fields["tok"].index
        effort = index.effort(0.8, 5)
        depths = {m: index.effort_for(np.ones((m, DIM)), effort, 5, 3000).n for m in (1, 6, 12, 99)}
        assert depths[12] == effort.n < depths[6] <= 2 * effort.n < depths[1] <= 12 * effort.n
        assert max(5, effort.n // 2) <= depths[99] < effort.n
        assert index.effort_for(np.ones((1, DIM)), effort, 5, 7).n == max(7, effort.n)


def test_an_audit_of_queries_of_several_lengths_serves_tune(tmp_path: Path) -> None:
    ragged, queries = documents(1500), [q[: 1 + i % 3] for i, q in enumerate(asked(120))]
    field = bigrain.MultiVectorField(dim=DIM, light_bytes=2)
    with bigrain.create(tmp_path / "docs.grain", {"tok": field}) as col:
        col.add_vectors("tok", [str(i) for i in range(1500)], ragged)
        col.commit()
        with col._auditor.sampler.every_query():
            col.search_many(queries, k=10, recall=0.9, arrays=True)
        col.audit()
        known = audited(col._view.fields["tok"].family, col._auditor.queries("tok"), 0)
        assert known is not None and "120 audited queries" in known.told
        assert {len(q) for q in known.fresh} == {1, 2, 3}


def test_function_words_find_nothing_and_words_that_met_are_named(tmp_path: Path) -> None:
    field = {"tok": bigrain.MultiVectorField(encoder="bigrain/static-v1")}
    long = "The harbour was quiet. " * 60 + "A kitten slept on the boat."
    with bigrain.create(tmp_path / "a.grain", field) as col:
        col.add([
            bigrain.Document(id="cat", text="A cat in the house", title="Dogs"),
            bigrain.Document(id="boat", text=long, title="Sea"),
            bigrain.Document(id="none", text="the of and"),
        ])  # fmt: skip
        col.commit()
        assert col.search("the of and") == []
        assert col.search("the of and", recall=1.0) == []
        ids, _ = col.search_many(["kitten", "of the", "dogs"], k=1, arrays=True)
        assert ids[:, 0].tolist() == ["boat", None, "cat"]
        for query, best, met in (
            ("dogs and houses", "cat", {("dogs", "Dogs"), ("houses", "house")}),
            ("boats with kittens", "boat", {("boats", "boat"), ("kitten", "kitten")}),
        ):
            (hit, *_) = col.search(query, k=1, explain=True)
            told = hit.explanation["tok"]
            assert hit.id == best and met <= {(a, b) for a, b, _ in told["words"]}
            assert sum(x for _, _, x in told["words"]) == pytest.approx(hit.score, rel=1e-4)
