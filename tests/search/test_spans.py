"""Sentences ranked by the vectors of the whole document: best spans, explanations, heat maps."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bigrain
from bigrain.encoders.static import StaticEncoder
from bigrain.search.plot import _fonts
from bigrain.text.chunk import paragraphs, sentences
from tests.collection import making

NAME = "bigrain/static-v1"
TEXTS = {
    "fever": "Paracetamol lowers a fever. Children take half the dose!\n\nWater is in the sea.",
    "wings": "Flaps let a wing fly slowly. Über wings, Dr. Lee wrote of lift. Wings need air.",
    "dust": "Moon dust is fine. It clings.",
}
LONG = " ".join(f"Sentence {n} tells of {w}." for n, w in enumerate(making.WORDS * 3))
QUERY = "what dose of medicine against fever?"


@pytest.fixture(scope="module")
def col(tmp_path_factory: Any) -> Iterator[bigrain.Collection]:
    path = tmp_path_factory.mktemp("spans") / "docs.grain"
    fields = {"lex": bigrain.LexicalField(),
              "tok": bigrain.MultiVectorField(encoder=NAME, heavy="float32")}  # fmt: skip
    with bigrain.create(path, fields, chunking=bigrain.Chunking(max_chars=200)) as made:
        made.add([{"id": i, "text": text} for i, text in TEXTS.items()])
        made.add([{"id": "titled", "title": "Fever in children", "text": TEXTS["fever"]}])
        made.add([{"id": "long", "title": "On words", "text": LONG}])
        made.add([{"id": "empty", "title": "Only a title", "text": ""}])
        made.commit()
        yield made


def by_hand(col: bigrain.Collection, query: str, identifier: str) -> dict[tuple[int, int], float]:
    """MaxSim of each sentence of a document of one passage, token by token."""
    (document,) = col.get([identifier])
    assert document is not None
    before = f"{document.title} " if document.title else ""
    (rows,) = StaticEncoder().token_places([before + document.text])
    scores = col.token_scores(query, identifier)
    found = {}
    for start, end in sentences(document.text):
        inside = {t for t, _, b in rows.tolist() if start < b - len(before) <= end}
        if inside:
            found[start, end] = float(scores[sorted(inside)].max(axis=0).sum())
    return found


@pytest.mark.parametrize("identifier", ["fever", "wings", "dust", "titled"])
def test_sentences_are_ranked_by_their_own_tokens(col: bigrain.Collection, identifier: str) -> None:
    (document,) = col.get([identifier])
    assert document is not None
    expected = by_hand(col, QUERY, identifier)
    found = col.best_spans(QUERY, identifier, k=9)
    assert {(s.start, s.end): pytest.approx(s.score, rel=1e-5) for s in found} == expected
    assert [s.score for s in found] == sorted((s.score for s in found), reverse=True)
    assert all(s.text == document.text[s.start : s.end] for s in found)
    assert col.best_spans(QUERY, identifier, k=1) == found[:1]
    parts = col.best_spans(QUERY, identifier, k=9, by="paragraph")
    assert sorted((s.start, s.end) for s in parts) == paragraphs(document.text)


def test_the_best_sentences_of_each_token_make_the_score_of_the_document(
    col: bigrain.Collection,
) -> None:
    """Nothing is stored for it: sentences partition the tokens that search scores."""
    for query in (QUERY, "how do wings fly in air", "sea of the moon"):
        for identifier in TEXTS:
            scores = col.token_scores(query, identifier)
            rows = StaticEncoder().token_places([TEXTS[identifier]])[0]
            tokens: set[int] = set()
            best = np.full(scores.shape[1], -np.inf)
            for start, end in sentences(TEXTS[identifier]):
                inside = sorted({t for t, _, b in rows.tolist() if start < b <= end})
                tokens.update(inside)
                if inside:
                    best = np.maximum(best, scores[inside].max(axis=0))
            assert tokens == set(range(len(scores)))
            (hit,) = [h for h in col.search(query, k=9, fields="tok") if h.id == identifier]
            assert best.sum() == pytest.approx(hit.score, rel=1e-5)
            whole = col.best_spans(query, identifier, spans=[(0, len(TEXTS[identifier]))])
            assert whole[0].score == pytest.approx(hit.score, rel=1e-5)


def test_asking_for_spans_leaves_the_index_as_it_is(col: bigrain.Collection) -> None:
    def sums() -> dict[str, str]:
        files = (f for f in Path(col.path).rglob("*") if f.suffix in (".seg", ".grain", ".sqlite"))
        return {str(f): hashlib.sha256(f.read_bytes()).hexdigest() for f in files if f.is_file()}

    before, snapshot = sums(), col.snapshot
    col.best_spans(QUERY, "fever")
    col.heat_map(QUERY, "fever")
    assert sums() == before and col.snapshot == snapshot


def test_given_spans_may_overlap_and_come_in_any_order(col: bigrain.Collection) -> None:
    text = TEXTS["fever"]
    given = [(20, 40), (0, 27), (0, len(text)), (4, 4), (27, 28)]
    found = col.best_spans(QUERY, "fever", k=9, spans=iter(given))
    assert {(s.start, s.end) for s in found} == set(given[:3])  # the others hold no token
    assert found[0].end == len(text)
    assert col.best_spans(QUERY, "fever", spans=np.array(given), k=9) == found


def test_titles_are_in_no_sentence(col: bigrain.Collection) -> None:
    (best, *_) = col.best_spans(QUERY, "titled")
    assert TEXTS["fever"][best.start : best.end] == best.text
    assert col.best_spans(QUERY, "empty") == []
    hit = next(h for h in col.search("only a title", fields="tok", explain=True) if h.id == "empty")
    assert hit.explanation is not None
    assert "best_span" not in hit.explanation["tok"] and hit.explanation["tok"]["words"]


def test_each_passage_of_a_long_document_has_its_own_vectors(col: bigrain.Collection) -> None:
    query = "sentence that tells of silos"
    (hit,) = [h for h in col.search(query, k=9, fields="tok", explain=True) if h.id == "long"]
    assert hit.passage is not None and hit.explanation is not None
    told = hit.explanation["tok"]["best_span"]
    found = col.best_spans(query, "long", k=999)
    assert {(s.start, s.end) for s in found} == set(sentences(LONG))
    top = found[0]
    assert told == {"start": top.start, "end": top.end, "text": top.text, "score": top.score}
    assert hit.passage.start <= top.start < top.end <= hit.passage.end
    heat = col.heat_map(query, "long")
    assert heat.score == pytest.approx(hit.score, rel=1e-5)
    assert heat.words[:2] == ("words", "Sentence")


def test_hits_carry_words_and_the_best_sentence(col: bigrain.Collection) -> None:
    (hit,) = col.search(QUERY, k=1, fields="tok", explain=True)
    assert hit.explanation is not None
    told = hit.explanation["tok"]
    (best,) = col.best_spans(QUERY, hit.id, k=1)
    assert told["best_span"]["text"] == best.text
    assert told["best_span"]["score"] == pytest.approx(best.score)
    assert sum(value for _, _, value in told["words"]) == pytest.approx(hit.score, rel=1e-5)
    assert ("fever", "Fever") in [words[:2] for words in told["words"]]
    vector, _ = StaticEncoder().encode_queries([QUERY], ["multivector"])["multivector"]
    (same,) = col.search(vector, k=1, fields="tok", explain=True)
    assert same.explanation is not None
    assert same.explanation["tok"]["best_span"]["text"] == best.text
    assert "words" not in same.explanation["tok"]  # nobody knows the query's


def test_a_heat_map_is_in_the_order_of_the_texts(col: bigrain.Collection) -> None:
    heat = col.heat_map(QUERY, "fever")
    assert heat.query_words == ("dose", "medicine", "fever")
    assert [w for w in heat.words if w in TEXTS["fever"].split()] == [
        "lowers", "Children", "take", "half", "Water",
    ]  # fmt: skip
    assert heat.scores.shape == (len(heat.words), 3)
    assert heat.contributions.sum() == pytest.approx(heat.score)
    assert heat.words[heat.best[2]] == "fever"
    np.testing.assert_array_equal(
        np.sort(heat.scores, axis=None), np.sort(col.token_scores(QUERY, "fever"), axis=None)
    )


@pytest.mark.filterwarnings("error")
def test_heat_maps_are_drawn(col: bigrain.Collection, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    for identifier in ("fever", "long", "empty"):
        picture = tmp_path / f"{identifier}.png"
        col.heat_map("of $ words: " + QUERY, identifier).plot(picture)
        assert picture.read_bytes().startswith(b"\x89PNG")
    rng = np.random.default_rng(0)
    for t, m in ((1, 1), (41, 2), (300, 60)):
        scores = rng.normal(size=(t, m)).astype(np.float32)
        words = tuple(f"$x_{n}$" for n in range(t))
        heat = bigrain.HeatMap("a", scores, words, ("",) * m)
        heat.plot(tmp_path / "many.png")
    with pytest.raises(bigrain.InvalidInputError, match="no picture is written as"):
        heat.plot(tmp_path / "heat.txt")


def test_words_are_drawn_in_the_fonts_that_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    manager = pytest.importorskip("matplotlib.font_manager")
    assert _fonts()[0] == "DejaVu Sans" and set(_fonts()) <= set(manager.get_font_names())
    there = ["Yu Gothic", "Serif of Nobody", "DejaVu Sans", "Noto Sans Thai"]
    monkeypatch.setattr(manager, "get_font_names", lambda: there)
    assert _fonts() == ["DejaVu Sans", "Yu Gothic", "Noto Sans Thai"]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"k": 0}, "k=0 must be a whole number from 1"),
        ({"by": "word"}, "by='word' is not one of 'sentence', 'paragraph'"),
        ({"by": None}, "by=None"),
        ({"spans": [(0, 999)]}, r"span 0 is \(0, 999\); spans rise, within 0 to 78"),
        ({"spans": [(0, 3), (5, 4)]}, "span 1"),
        ({"spans": [0.5]}, "spans are pairs"),
        ({"spans": 7}, "spans are pairs"),
        ({"spans": []}, "spans are pairs"),
    ],
)
def test_what_is_no_span_is_refused(
    col: bigrain.Collection, options: dict[str, Any], named: str
) -> None:
    with pytest.raises(bigrain.InvalidQueryError, match=named):
        col.best_spans(QUERY, "fever", **options)


def test_fields_that_know_no_places_say_so(col: bigrain.Collection, tmp_path: Path) -> None:
    with pytest.raises(bigrain.UnknownDocumentError, match="'nobody'"):
        col.best_spans(QUERY, "nobody")
    with pytest.raises(bigrain.UnknownFieldError, match="it has tok"):
        col.heat_map(QUERY, "fever", field="lex")
    with bigrain.create(tmp_path / "a.grain", {"tok": bigrain.MultiVectorField(dim=4)}) as brought:
        brought.add_vectors("tok", ["a"], [np.eye(4)[:3]])
        brought.commit()
        with pytest.raises(bigrain.InvalidQueryError, match="its vectors were brought"):
            brought.best_spans(np.eye(4), "a")
        heat = brought.heat_map(np.eye(4)[1:], "a")
        assert heat.words == ("",) * 3 and heat.best.tolist() == [1, 2, 0]
        (hit,) = brought.search(np.eye(4), explain=True)
        assert hit.explanation is not None and "best_span" not in hit.explanation["tok"]
    pooled = {"tok": bigrain.MultiVectorField(encoder=NAME, pooling=2)}
    with bigrain.create(tmp_path / "b.grain", pooled) as col_:
        col_.add([{"id": "fever", "text": TEXTS["fever"]}])
        col_.commit()
        with pytest.raises(bigrain.InvalidQueryError, match=r"\(pooling\) no span can be told"):
            col_.best_spans(QUERY, "fever")
        (hit,) = col_.search(QUERY, explain=True)
        assert hit.explanation is not None and "best_span" not in hit.explanation["tok"]
        assert set(col_.heat_map(QUERY, "fever").words) == {""}


@pytest.mark.parametrize(
    ("told", "named"),
    [
        (None, "does not tell"),
        ([[0, 0, 3]], "its encoder makes 1 of the text"),
        ([[0, 0, 3], [1, 4, 99]], "within the text"),
        ([[0, 0, 3], [2, 4, 5]], "every token from 0 on"),
        ([[0, 3]], "places of tokens must be whole numbers"),
        ([], "places of tokens must be whole numbers"),
    ],
)
def test_an_encoder_of_ones_own_may_tell_places(tmp_path: Path, told: Any, named: str) -> None:
    class Letters(bigrain.CallableEncoder):
        wrong: Any = "right"

        def token_places(self, texts: list[str], *, query: bool = False) -> Any:
            if self.wrong is None:
                return None
            if self.wrong != "right":
                return [self.wrong for _ in texts]
            return [[(n, n, n + 1) for n in range(len(text))] for text in texts]

    def encode(texts: list[str]) -> Any:
        return [np.eye(128)[[ord(c) for c in text]] for text in texts]

    encoder = Letters("of-letters", encode, 128, family="multivector")
    bigrain.register_encoder("of-letters", lambda: encoder)
    fields = {"tok": bigrain.MultiVectorField(encoder="of-letters")}
    with bigrain.create(tmp_path / "a.grain", fields) as col:
        col.add([{"id": "a", "text": "Abc. De"}])
        col.commit()
        (hit,) = col.search("bAe", explain=True)
        assert hit.explanation is not None
        assert hit.explanation["tok"]["best_span"] == {
            "start": 0, "end": 4, "text": "Abc.", "score": pytest.approx(2, rel=1e-2),
        }  # fmt: skip
        assert [w[:2] for w in hit.explanation["tok"]["words"]] == [(c, c) for c in "bAe"]
        encoder.wrong = told
        (hit,) = col.search("bAe", explain=True)  # a hit is not lost by it
        assert hit.explanation is not None and "best_span" not in hit.explanation["tok"]
        error = (bigrain.InvalidQueryError, bigrain.InvalidVectorsError)
        with pytest.raises(error, match=named):
            col.best_spans("bAe", "a")


def test_paragraphs_are_whole_whatever_the_passages_are(tmp_path: Path) -> None:
    text = "Silos are tall towers. " * 20 + "\n\n" + "Mills grind wheat into flour. " * 20
    fields = {"tok": bigrain.MultiVectorField(encoder="bigrain/static-v1")}
    chunking = bigrain.Chunking(max_chars=200)
    with bigrain.create(tmp_path / "a.grain", fields, chunking=chunking) as col:
        col.add([{"id": "farm", "text": text}])
        col.commit()
        found = col.best_spans("towers", "farm", k=9, by="paragraph")
        assert [span.text.split()[0] for span in found] == ["Silos", "Mills"]
        given = col.best_spans("towers", "farm", spans=[(s.start, s.end) for s in found])
        assert [(s.start, s.score) for s in given] == [(s.start, s.score) for s in found]


def test_which_field_and_which_query_is_told(tmp_path: Path) -> None:
    fields = {name: bigrain.MultiVectorField(dim=4) for name in ("one", "two")}
    with bigrain.create(tmp_path / "a.grain", fields) as col:
        for name in fields:
            col.add_vectors(name, ["a"], [np.eye(4, dtype=np.float32)])
        col.commit()
        with pytest.raises(bigrain.UnknownFieldError, match="name one of one, two"):
            col.token_scores(np.eye(4)[:1], "a")
        good, empty = np.eye(4)[:2], np.empty((0, 4))
        with pytest.raises(bigrain.InvalidQueryError, match="query 1 has no token vectors"):
            col.search_many([good, empty], fields="one")
        with pytest.raises(bigrain.InvalidQueryError, match=r"\(query 1\)"):
            col.search_many([good, good[:, :2]])


def test_tensors_of_any_kind_are_arrays(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    tokens = torch.eye(4, requires_grad=True)
    with bigrain.create(tmp_path / "a.grain", {"t": bigrain.MultiVectorField(dim=4)}) as col:
        col.add_vectors("t", ["a", "b"], [tokens, tokens.detach().to(torch.bfloat16)[:2]])
        col.commit()
        for query in (tokens[3:], tokens.detach().to(torch.bfloat16)[3:]):
            assert [hit.id for hit in col.search(query)] == ["a", "b"]
