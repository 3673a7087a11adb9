"""What must hold of a collection at every moment, checked against its model.

    check_invariants   all of the following
    check_contents     counts, every document, scores against brute force
    check_occurrences  strings are counted as by looking at every text
    check_grains       every code in memory is that of its original on disk
    check_encoders     the fingerprints stored are those of the encoders at work
    check_recall       the recall asked for is the recall found
    check_ranking      hits are a best k of exact scores, and the parts of each add up
    check_fused        the same for hits of several fields

All raise AssertionError saying what differs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bigrain.codecs.nibbles import rows_of
from bigrain.codecs.quantiser import unbiased
from bigrain.collection import Collection
from bigrain.config import PER_DOCUMENT, SubstringField
from bigrain.index.coded import CodedSegment
from bigrain.index.coded_index import CodedIndex
from bigrain.index.multivector import MultiVectorSegment
from bigrain.testing.model import Model, occurrences_in
from bigrain.text.verbatim import verbatim
from bigrain.types import Hit

__all__ = [
    "check_contents",
    "check_encoders",
    "check_fused",
    "check_grains",
    "check_invariants",
    "check_occurrences",
    "check_ranking",
    "check_recall",
    "fingerprint",
]

RELATIVE, ABSOLUTE = 1e-4, 1e-5
BEAM_SEARCHED = 0.1  # a tie early in a beam search may end in another code
SEARCHED, RECALLED = 3, 16


def check_invariants(col: Collection, model: Model, *, searches: bool = True) -> None:
    """Everything, for a handle that sees the newest snapshot. `searches=False` leaves those out."""
    check_contents(col, model, searches=searches)
    report = col.verify()
    assert report.ok, report.summary()
    assert report.documents == len(model.documents)
    check_grains(col)
    check_encoders(col)
    if searches:
        for name, field in col._require_open().fields.items():
            if name in model.fields and isinstance(field.index, CodedIndex):
                check_recall(col, name, _queries(model, name, RECALLED), recall=0.9)


def check_contents(col: Collection, model: Model, *, searches: bool = True) -> None:
    """Counts, every document, and exact search; for a handle at any snapshot."""
    documents = model.documents
    assert len(col) == len(documents), f"{len(col)} documents, the model has {len(documents)}"
    found = col.get(list(documents))
    for identifier, document in zip(documents, found, strict=True):
        assert document is not None, f"document {identifier!r} is missing"
        assert document == documents[identifier], f"document {identifier!r} differs: {document}"
    listed = [d.id for d in col.documents()]
    assert sorted(map(str, listed)) == sorted(documents), "documents() lists others"
    for name in model.fields:
        rows, expected = col.stats()["fields"][name]["rows"], model.n_rows(name)
        assert rows == expected, f"field {name!r} has {rows} rows, the model {expected}"
        if searches:
            for query in _queries(model, name):
                k = max(1, len(documents))
                hits = col.search(query, k=k, fields=[name], recall=1.0)
                check_ranking(hits, model.scores(name, query), k)
        if searches and isinstance(model.fields[name], SubstringField):
            for query in _queries(model, name):
                check_occurrences(col, model, name, query[1:12])
                check_occurrences(col, model, name, query[-2:])


def check_occurrences(col: Collection, model: Model, field: str, pattern: str) -> None:
    """A string is counted, and its documents told, as by looking at every text."""
    spec = model.fields[field]
    assert isinstance(spec, SubstringField)
    if not pattern:
        return
    wanted = verbatim(pattern, case_sensitive=spec.case_sensitive)
    counts = {i: occurrences_in(texts, wanted) for i, texts in model.verbatim(spec).items()}
    found = col.occurrences(pattern, limit=len(counts), field=field)
    assert found.pattern == pattern
    assert found.total == sum(counts.values()), f"{pattern!r}: {found.total} occurrences"
    assert found.n_documents == sum(n > 0 for n in counts.values())
    assert {d.id: d.count for d in found.documents} == {i: n for i, n in counts.items() if n}
    for document in found.documents:
        stored = model.documents[document.id]
        for place in document.places:
            text = stored.title if place.in_title else stored.text
            again = verbatim(text[place.start : place.end], case_sensitive=spec.case_sensitive)
            assert wanted in again, f"{pattern!r} is not at {place} of {document.id!r}"


def _queries(model: Model, name: str, n: int = SEARCHED) -> list[Any]:
    """About n queries out of what is stored, the first and the last included."""
    if model.fields[name].reads_text:
        stored: list[Any] = [d.text for d in model.documents.values()] or ["nothing"]
    else:
        stored = list(model.rows(name).values())
    step = max(1, len(stored) // n)
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
            close = _close(hit.score, wanted)
            assert close, f"rank {hit.rank}, {hit.id!r}: score {hit.score}, expected {wanted}"
        assert sum(hit.parts.values()) == hit.score, "the parts do not add up to the score"


def check_fused(hits: list[Hit], model: Model, query: str) -> None:
    """Hits of a text in all fields that read it: parts add up, exact scores are the model's."""
    scores = {n: model.scores(n, query) for n, spec in model.fields.items() if spec.reads_text}
    assert [h.score for h in hits] == sorted((h.score for h in hits), reverse=True), "the order"
    for hit in hits:
        assert math.isclose(sum(hit.parts.values()), hit.score, rel_tol=1e-9, abs_tol=1e-12)
        for name, part in hit.parts.items():
            wanted = scores[name].get(hit.id, 0.0)
            # Of a long document only the passages that look best are read, so it may be less.
            long = len(model.passages(model.documents[hit.id])) > 1
            best_only = long and model.fields[name].family not in PER_DOCUMENT
            less = best_only and part.heavy < wanted
            assert less or _close(part.heavy, wanted), (
                f"{hit.id!r} scores {part.heavy} in {name!r}, expected {wanted}"
            )


def check_recall(
    col: Collection, field: str, queries: Sequence[Any], *, recall: float, k: int = 10
) -> float:
    """On average the queries find `recall` of their true best k; the share found.

    Hits that tie with the k-th count as found. The share may fall short by two standard errors, of
    the average over these queries.
    """
    shares = []
    for query in queries:
        truth = col.search(query, k=k, fields=[field], recall=1.0)
        found = col.search(query, k=k, fields=[field], recall=recall)
        if truth:
            ids, least = {hit.id for hit in truth}, truth[-1].score
            good = sum(h.id in ids or h.score >= least or _close(h.score, least) for h in found)
            shares.append(min(1.0, good / len(truth)))
    share = float(np.mean(shares)) if shares else 1.0
    margin = 2 * float(np.std(shares)) / math.sqrt(len(shares)) if shares else 0.0
    assert share + margin >= recall, (
        f"field {field!r}: recall {share:.3f} where {recall} was asked for"
    )
    return share


def check_grains(col: Collection) -> None:
    """Every live code is what encoding its original on disk gives."""
    for name, field in col._require_open().fields.items():
        if isinstance(field.index, CodedIndex):
            for view in field.index.views:
                _check_codes(name, view.segment, view.live_rows())
                if isinstance(view.segment, MultiVectorSegment):
                    _check_sketches(name, view.segment)


def _check_codes(name: str, segment: CodedSegment, live: Any) -> None:
    codec, n = segment.codec, segment.units.n_rows
    tolerance = BEAM_SEARCHED if codec.quantiser.code == "additive" else ABSOLUTE
    place = np.arange(n)
    if segment.order is not None:
        place[segment.order] = np.arange(n)
    for start, originals in segment.coded_vectors():
        stop = start + len(originals)
        rows = live[(live >= start) & (live < stop)]
        at = place[rows]
        vectors = originals[rows - start]
        centred = vectors - codec.centre
        centroids = segment.partition.centroids(segment.lists(at).astype(np.int32))
        expected = codec.encode(centred, centroids)
        stored = rows_of(segment.blocks, at)
        # A coordinate between two symbols may fall to either, by the order of summation: then the
        # other code is as near to the vector in angle, and its factor is its own.
        seen = codec.rotated(codec.frame.reduced(centred - centroids))
        decoded = codec.quantiser.decode(stored)
        other = (stored != expected.symbols).any(axis=1)
        least = _cosines(seen, codec.quantiser.decode(expected.symbols)) - tolerance
        wrong = other & (_cosines(seen, decoded) < least)
        scale = segment.scale[at].astype(np.float32) * segment.scale_unit
        wanted = np.where(other, unbiased(seen, decoded), expected.scale)
        if codec.quantiser.code == "sign":
            wanted = expected.scale
        wrong |= ~np.isclose(scale, wanted, rtol=2e-3, atol=1e-4 * segment.scale_unit)
        assert not wrong.any(), (
            f"field {name!r}, {segment.file.name}: the codes of rows "
            f"{rows[wrong][:5].tolist()} are not those of their originals"
        )


def _check_sketches(name: str, segment: MultiVectorSegment) -> None:
    sketches, n = segment.sketches, segment.units.n_rows
    if sketches is None:
        return
    ends = sketches.starts.tolist()
    for row in range(n):
        payload, counts = segment.records.payload(np.array([row]))
        tokens = segment.records.codec.decode(payload, counts.astype(np.int64))
        named, _ = sketches.sketcher.documents(tokens, np.array([0, len(tokens)]), 1 << 16)
        kept = sketches.numbers[ends[row] : ends[row + 1]]
        assert len(kept) and set(kept.tolist()) <= set(named.tolist()), (
            f"field {name!r}, {segment.file.name}: the sketch of row {row} is not of its tokens"
        )


def _cosines(vectors: Any, others: Any) -> Any:
    product = np.einsum("ij,ij->i", vectors, others)
    size = np.linalg.norm(vectors, axis=1) * np.linalg.norm(others, axis=1)
    return np.divide(product, size, out=np.zeros_like(product), where=size > 0)


def check_encoders(col: Collection) -> None:
    """The fingerprint stored with each field is that of the encoder in use."""
    _, fields = col._catalogue.definition()
    for name, told in col.stats()["fields"].items():
        stored = fields[name][1]
        assert told["encoder_fingerprint"] == stored, f"field {name!r} was built with {stored}"


def fingerprint(col: Collection) -> dict[str, tuple[str, str, str]]:
    """Everything a collection says about its documents, for comparing before and after."""
    return {str(d.id): (d.title, d.text, repr(sorted(d.metadata.items()))) for d in col.documents()}


def _close(found: float, wanted: float) -> bool:
    return math.isclose(found, wanted, rel_tol=RELATIVE, abs_tol=ABSOLUTE)
