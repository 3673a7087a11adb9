"""Long documents: found by their best passage, returned once, with offsets that are right."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bigrain
from bigrain.testing import QuickDisk
from bigrain.text.chunk import split
from tests.collection import making
from tests.search.test_exact import letters, register

CHUNKING = bigrain.Chunking(max_chars=40, overlap_chars=10)


@pytest.fixture(scope="module")
def world(tmp_path_factory: Any) -> Any:
    """Short and long texts in two segments, some replaced by longer or shorter ones."""
    register()
    fields = {"enc": bigrain.DenseField(encoder="letters", light_bytes=1),
              "lex": bigrain.LexicalField()}  # fmt: skip
    path = tmp_path_factory.mktemp("passages") / "docs.grain"
    col = bigrain.create(path, fields, chunking=CHUNKING, files=QuickDisk())
    rng = np.random.default_rng(2)

    def text() -> str:
        n = int(rng.choice([1, 1, 3, 12]))
        return " ".join(making.text(rng).capitalize() + "." for _ in range(n))

    texts = {f"d{i}": text() for i in range(150)}
    items = [{"id": i, "text": t, "metadata": {"n": len(t) % 10}} for i, t in texts.items()]
    col.add(items[:80])
    col.commit()
    col.add(items[80:])
    col.commit()
    for i in range(0, 150, 9):
        texts[f"d{i}"] = text()
    col.add([{"id": f"d{i}", "text": texts[f"d{i}"]} for i in range(0, 150, 9)])
    for i in range(4, 150, 13):
        del texts[f"d{i}"]
        col.delete(f"d{i}")
    col.commit()
    assert sum(len(split(t, CHUNKING)) > 1 for t in texts.values()) > 50
    yield col, texts
    col.close()


def unit(vectors: Any) -> Any:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def best_passages(texts: dict[str, str], query: str) -> dict[str, tuple[float, tuple[int, int]]]:
    (asked,) = unit(letters([query]))
    found = {}
    for identifier, text in texts.items():
        spans = split(text, CHUNKING) if len(text) > CHUNKING.max_chars else [(0, len(text))]
        rows = unit(letters([text[a:b] for a, b in spans])).astype(np.float16).astype(float)
        scores = rows @ asked
        found[identifier] = float(scores.max()), spans[int(scores.argmax())]
    return found


@pytest.mark.parametrize("compacted", [False, True])
def test_the_best_passage_is_found_and_named(world: Any, compacted: bool) -> None:
    col, texts = world
    if compacted:
        col.compact()
    for seed in range(15):
        query = making.text(np.random.default_rng(seed))
        expected = best_passages(texts, query)
        ranked = sorted((score for score, _ in expected.values()), reverse=True)
        for k, options in ((10, {"recall": 1.0}), (300, {"recall": 1.0}), (300, {})):
            hits = col.search(query, k=k, fields="enc", **options)
            assert len(hits) == min(k, len(texts)) == len({h.id for h in hits})
            for hit, score in zip(hits, ranked, strict=False):
                check_passage(hit, texts[hit.id])
                if options:
                    assert hit.score == pytest.approx(score, abs=2e-3)
                    assert hit.score == pytest.approx(expected[hit.id][0], abs=2e-3)
                else:  # two passages of each document are read
                    assert hit.score <= expected[hit.id][0] + 2e-3


def check_passage(hit: bigrain.Hit, text: str) -> None:
    assert hit.text == text
    assert sum(hit.parts.values()) == hit.score
    if len(text) <= CHUNKING.max_chars:
        assert hit.passage is None
        return
    assert hit.passage is not None
    start, end = hit.passage.start, hit.passage.end
    assert hit.passage.text == text[start:end]
    assert (start, end) in split(text, CHUNKING)


def test_filters_and_lexical_scores_look_at_whole_documents(world: Any) -> None:
    col, texts = world
    for n in range(10):
        hits = col.search("grain moon", k=200, filter=f"n = {n}", fields="enc")
        for hit in hits:
            check_passage(hit, texts[hit.id])
            assert hit.metadata == {"n": n}
    for hit in col.search("grain moon", k=200, fields="lex"):
        assert hit.passage is None and hit.text == texts[hit.id]
    for hit in col.search("grain moon", k=50):
        check_passage(hit, texts[hit.id])
    assert col.verify().ok


def test_vectors_of_whole_documents_name_no_passage(tmp_path: Path) -> None:
    col, model = making.make(tmp_path / "docs.grain", chunking=CHUNKING)
    col.add([{"id": "long", "text": "A sentence. " * 30}, {"id": "short", "text": "x"}])
    col.add_vectors("vec", ["short", "long"], np.eye(8)[:2])
    col.commit()
    (hit, _) = col.search(np.eye(8)[1], fields="vec")
    assert hit.id == "long" and hit.passage is None
    col.close()


def test_a_field_without_rows_can_be_asked_beside_long_documents(tmp_path: Path) -> None:
    col, _ = making.make(tmp_path / "docs.grain", chunking=CHUNKING)
    col.add([{"id": "long", "text": "A sentence. " * 30}])
    col.commit()
    for row, name in ((np.ones(8), "vec"), (np.ones((2, 4)), "tok"), ({1: 1.0}, "imp")):
        for options in ({}, {"recall": 1.0}):
            assert col.search(row, fields=name, **options) == []
    col.close()
