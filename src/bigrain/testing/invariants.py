"""What must hold of a collection at every moment, checked against its model."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from bigrain.collection import Collection
from bigrain.config import LexicalField
from bigrain.testing.model import Model
from bigrain.types import Hit

__all__ = ["check_invariants", "check_ranking", "fingerprint"]

RELATIVE, ABSOLUTE = 1e-4, 1e-5
SEARCHED = 3


def check_invariants(col: Collection, model: Model, *, searches: bool = True) -> None:
    """Counts, every document, verification, and exact search against brute force.

    Raises AssertionError saying what differs. `searches=False` leaves the last out.
    """
    documents = model.documents
    assert len(col) == len(documents), f"{len(col)} documents, the model has {len(documents)}"
    found = col.get(list(documents))
    for identifier, document in zip(documents, found, strict=True):
        assert document is not None, f"document {identifier!r} is missing"
        assert document == documents[identifier], f"document {identifier!r} differs: {document}"
    listed = [d.id for d in col.documents()]
    assert sorted(map(str, listed)) == sorted(documents), "documents() lists others"
    report = col.verify()
    assert report.ok, report.summary()
    assert report.documents == len(documents)
    for name, spec in model.fields.items():
        rows = col.stats()["fields"][name]["rows"]
        expected = len(documents) if spec.reads_text else len(model._shown.vectors.get(name, {}))
        assert rows == expected, f"field {name!r} has {rows} rows, the model {expected}"
        if searches:
            for query in _queries(model, name):
                k = max(1, len(documents))
                hits = col.search(query, k=k, fields=[name], recall=1.0)
                check_ranking(hits, model.scores(name, query), k)


def _queries(model: Model, name: str) -> Iterable[Any]:
    """A few queries out of what is stored, the first and the last included."""
    if isinstance(model.fields[name], LexicalField):
        stored: list[Any] = [d.text for d in model.documents.values()] or ["nothing"]
    else:
        stored = list(model._shown.vectors.get(name, {}).values())
    step = max(1, len(stored) // SEARCHED)
    return [*stored[::step], *stored[-1:]]


def check_ranking(hits: list[Hit], expected: Mapping[str, float], k: int) -> None:
    """The hits are a best k of `expected` (id -> score), best first; ties in any order."""
    ids = [hit.id for hit in hits]
    assert len(set(ids)) == len(ids), "a document is there twice"
    assert [hit.rank for hit in hits] == list(range(1, len(hits) + 1))
    assert len(hits) == min(k, len(expected)), f"{len(hits)} hits of {min(k, len(expected))}"
    best = sorted(expected.values(), reverse=True)[:k]
    for hit, score in zip(hits, best, strict=True):
        assert hit.id in expected, f"{hit.id!r} does not belong here"
        for wanted in (score, expected[hit.id]):
            close = math.isclose(hit.score, wanted, rel_tol=RELATIVE, abs_tol=ABSOLUTE)
            assert close, f"rank {hit.rank}, {hit.id!r}: score {hit.score}, expected {wanted}"
        assert sum(hit.parts.values()) == hit.score, "the parts do not add up to the score"


def fingerprint(col: Collection) -> dict[str, tuple[str, str, str]]:
    """Everything a collection says about its documents, for comparing before and after."""
    return {str(d.id): (d.title, d.text, repr(sorted(d.metadata.items()))) for d in col.documents()}
