"""What a fixture of tests/compat holds, and what it must answer for ever."""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse

import bigrain
from bigrain.text.chunk import Chunking

K = 100
DIM, TOKEN_DIM, COLUMNS = 8, 4, 40
SENTENCES = [
    "Grain is stored in silos after the harvest.",
    "The moon orbits the earth once a month.",
    "A river carries sand and stone to the sea.",
    "Ink and paper keep what was said.",
    "Wheat, rye and barley are grains.",
    "Light from a star takes years to reach us.",
    "An archive keeps letters for the reader of tomorrow.",
    "Heavy stones were moved on wooden rollers.",
]
IDS = ["plain", "a/b", "été", "日本", "שלום", "with space", "'quoted'", "%s", "0", "x" * 80]


def fields() -> dict[str, bigrain.config.Field]:
    """Every family; the last three take vectors."""
    return {
        "words": bigrain.LexicalField(),
        "dense": bigrain.DenseField(encoder="bigrain/static-v1"),
        "own": bigrain.DenseField(dim=DIM, light_bytes=1, metric="ip"),
        "impacts": bigrain.SparseField(),
        "tokens": bigrain.MultiVectorField(dim=TOKEN_DIM),
    }


def build(path: Path) -> None:
    """Three commits: documents; replaced and deleted ones; vectors given again."""
    rng = np.random.default_rng(20)
    chunking = Chunking(by="sentence", max_chars=200, overlap_chars=20)
    with bigrain.create(path, fields(), chunking=chunking) as col:
        first = [_document(rng, i, identifier) for i, identifier in enumerate(IDS)]
        first += [_document(rng, i, f"d{i}") for i in range(10, 30)]
        col.add(first)
        ids = [str(d.id) for d in first]
        for name in ("own", "impacts", "tokens"):
            col.add_vectors(name, ids, _vectors(name, rng, len(ids)))
        col.commit()
        replaced = [_document(rng, i + 100, identifier) for i, identifier in enumerate(ids[:12:3])]
        new = [_document(rng, i, f"e{i}") for i in range(30, 36)]
        col.add(replaced + new)
        col.delete(["d12", "d17", "été"])
        ids = [str(d.id) for d in replaced + new] + ["d20", "d21"]
        for name in ("own", "impacts", "tokens"):
            col.add_vectors(name, ids, _vectors(name, rng, len(ids)))
        col.commit()
        for name in ("own", "tokens"):
            col.add_vectors(name, ["d21", "d22"], _vectors(name, rng, 2))
        col.delete("d23")
        col.commit()


def _document(rng: np.random.Generator, i: int, identifier: str) -> bigrain.Document:
    """Every seventh is long; metadata has every type there is."""
    count = 12 if i % 7 == 3 else int(rng.integers(1, 4))
    text = " ".join(rng.choice(SENTENCES, count))
    metadata: dict[str, Any] = {
        "year": 1990 + i,
        "score": i / 8,
        "lang": ["en", "é", "日本"][i % 3],
        "draft": i % 2 == 0,
        "tags": ["a", "b", "c"][: i % 4],
        "when": datetime.date(2020, 1 + i % 12, 1),
        "at": datetime.datetime(2021, 5, 1 + i % 28, 10, 30),
        "source": {"name": f"shelf {i % 5}", "page": i},
    }
    if i % 5 == 0:
        metadata["big"] = 2**53 + i
    if i % 6 == 0:
        metadata["none"] = None
    title = f"Title {i} é" if i % 2 else ""
    return bigrain.Document(f"{text} Number {i}.", identifier, title, metadata)


def _vectors(name: str, rng: np.random.Generator, n: int) -> Any:
    if name == "own":
        return rng.standard_normal((n, DIM)).astype(np.float32)
    if name == "impacts":
        return scipy.sparse.random(
            n, COLUMNS, 0.2, "csr", np.float32, random_state=np.random.RandomState(n)
        )
    sizes = rng.integers(1, 4, n)
    values = rng.standard_normal((int(sizes.sum()), TOKEN_DIM)).astype(np.float32)
    return values, np.cumsum([0, *sizes])


def questions() -> Iterator[dict[str, Any]]:
    """Searches in a form that JSON can keep."""
    for text in ("grain in silos", "moon", "letters of tomorrow", "number 21"):
        yield {"query": text, "fields": ["words"]}
        yield {"query": text, "fields": ["dense"]}
        yield {"query": text, "fields": None}
    rng = np.random.default_rng(21)
    for _ in range(3):
        yield {"query": rng.standard_normal(DIM).round(3).tolist(), "fields": ["own"]}
        columns = rng.choice(COLUMNS, 5, replace=False).tolist()
        yield {"query": [[c, 1.5] for c in columns], "fields": ["impacts"], "sparse": True}
        tokens = rng.standard_normal((3, TOKEN_DIM)).round(3).tolist()
        yield {"query": tokens, "fields": ["tokens"]}
    for condition in (
        "year >= 2010", "score < 2.5", "lang = 'é'", "draft = true", "tags IN ('b', 'c')",
        "when = '2020-04-01'", "at > '2021-05-12'", "source.name = 'shelf 3'", "big IS NOT NULL",
        "NOT tags = 'a'", "NOT (year < 2005 OR draft = false)", "big = 9007199254741002",
    ):  # fmt: skip
        yield {"query": [1.0] * DIM, "fields": ["own"], "filter": condition}
        yield {"query": "grain stone letters", "fields": ["words"], "filter": condition}


def ask(col: Any, question: dict[str, Any]) -> list[bigrain.Hit]:
    query = question["query"]
    if question.get("sparse"):
        query = {int(column): weight for column, weight in query}
    elif isinstance(query, list):
        query = np.array(query, np.float32)
    hits: list[bigrain.Hit] = col.search(
        query, k=K, fields=question["fields"], filter=question.get("filter"), recall=1.0
    )
    return hits


def answers(col: Any) -> dict[str, Any]:
    """Everything a collection says, in a form that JSON can keep."""
    stats = col.stats()
    return {
        "snapshot": col.snapshot,
        "documents": [[d.id, d.title, d.text, d.metadata] for d in col.documents()],
        "rows": {name: told["rows"] for name, told in stats["fields"].items()},
        "segments": {name: told["segments"] for name, told in stats["fields"].items()},
        "searches": [
            {
                **question,
                "hits": {
                    hit.id: [
                        hit.score,
                        None if hit.passage is None else [hit.passage.start, hit.passage.end],
                    ]
                    for hit in ask(col, question)
                },
            }
            for question in questions()
        ],
    }


def same_answers(found: dict[str, Any], expected: dict[str, Any]) -> None:
    """Raise AssertionError unless both say the same; scores may differ by rounding."""
    for part in ("documents", "rows"):
        assert found[part] == expected[part], part
    assert len(found["searches"]) == len(expected["searches"])
    for one, other in zip(found["searches"], expected["searches"], strict=True):
        what = {key: other[key] for key in other if key != "hits"}
        assert one["hits"].keys() == other["hits"].keys(), what
        for identifier, (score, passage) in other["hits"].items():
            told = one["hits"][identifier]
            assert math.isclose(told[0], score, rel_tol=1e-4, abs_tol=1e-5), (what, identifier)
            assert told[1] == passage, (what, identifier)
