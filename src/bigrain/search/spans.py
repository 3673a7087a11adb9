"""The best sentences of a document, or any spans of it, by the token vectors of the whole.

The score of a span is MaxSim over only its tokens, for the same query (Reddy et al., AGRaME:
Any-Granularity Ranking with Multi-Vector Embeddings, 2024; papers/B-3b). Of a document of several
passages, each of which has its own vectors, it is the best that one passage gives. A token is in
the sentence that holds its last character, or ends before it; a title's are in none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bigrain.codecs.token_scores import best_tokens, placed_scores
from bigrain.errors import InvalidQueryError, InvalidVectorsError, shown
from bigrain.families.multivector import MultiVectorFamily
from bigrain.families.reading import texts_of
from bigrain.search.tokens import Asked, Floats, ask, scores_of_unit
from bigrain.search.view import FieldView, SnapshotView
from bigrain.storage.rows import StoredDocument
from bigrain.text.chunk import paragraphs, sentences
from bigrain.types import Span

__all__ = ["best_spans", "labels", "n_tokens", "readings", "words_and_span"]

Places = npt.NDArray[np.int64]
CUTS: dict[str, Callable[[str], list[tuple[int, int]]]] = {
    "sentence": sentences,
    "paragraph": paragraphs,
}


@dataclass(frozen=True)
class Reading:
    """A passage as a field reads it: `text`, which is document[start:stop] behind a title."""

    unit: int
    text: str
    start: int
    stop: int

    def in_document(self, places: Places) -> Places:
        """Places in `text` as places in the document; those of the title are empty."""
        moved = places.copy()
        moved[:, 1:] += self.start - (len(self.text) - (self.stop - self.start))
        moved[moved[:, 2] <= self.start, 1:] = 0
        return moved


def readings(family: MultiVectorFamily, document: StoredDocument) -> list[Reading]:
    """The passages of a document, or all of it."""
    units, texts = texts_of([document], family)
    passages = document.passages
    edges = [(0, len(document.text))] if passages is None else passages.tolist()
    told = zip(units.tolist(), texts, edges, strict=True)
    return [Reading(unit, text, start, stop) for unit, text, (start, stop) in told]


def best_spans(
    view: SnapshotView,
    query: Any,
    identifier: str,
    k: int,
    by: str,
    spans: Iterable[Sequence[int]] | None,
    field: str | None,
) -> list[Span]:
    """The k best, best first; those without a token are left out."""
    if isinstance(k, bool) or not isinstance(k, int | np.integer) or k < 1:
        raise InvalidQueryError(f"k={shown(k)} must be a whole number from 1; 3 is usual")
    if not isinstance(by, str) or by not in CUTS:
        raise InvalidQueryError(
            f"by={shown(by)} is not one of {', '.join(map(repr, CUTS))}; name other stretches with "
            "spans=[(start, end), ...]"
        )
    asked = ask(view, query, identifier, field)
    text = asked.document.text
    if spans is None:
        wanted, within = _cut(text, 0, len(text), by)
    else:
        wanted = within = _checked(spans, text)
    family = asked.field.family
    assert isinstance(family, MultiVectorFamily)
    found: dict[tuple[int, int], float] = {}
    for reading in readings(family, asked.document):
        scores = asked.scores(reading.unit)
        places = _fitting(asked, family, reading, len(scores))
        scored = placed_scores(scores, reading.in_document(places), within)
        for span, score in zip(map(tuple, wanted.tolist()), scored.tolist(), strict=True):
            found[span] = max(score, found.get(span, -np.inf))
    ranked = sorted(found.items(), key=lambda item: (-item[1], item[0]))
    kept = [(a, b, score) for (a, b), score in ranked if score > -np.inf]
    return [Span(a, b, text[a:b], score) for a, b, score in kept[:k]]


def words_and_span(
    field: FieldView, query: Floats, said: Any, document: StoredDocument, unit: int
) -> dict[str, Any]:
    """What an explanation tells where the encoder says where tokens stand, and they are these.

    `best_span`: the best sentence of the passage. `words`, if the query is a text whose tokens
    were asked: [(word of the query, word of the document, what it adds)], the largest first.
    """
    family = field.family
    assert isinstance(family, MultiVectorFamily)
    reading = readings(family, document)[unit - document.docno]
    scores = scores_of_unit(field, query, unit)
    try:
        told = family.places([reading.text])
        asked = family.places([said], query=True) if isinstance(said, str) else None
    except InvalidVectorsError:
        return {}
    if scores is None or told is None or n_tokens(told[0]) != len(scores):
        return {}
    out: dict[str, Any] = {}
    if asked is not None and n_tokens(asked[0]) == len(query):
        best, added = best_tokens(scores)
        stored = labels(reading.text, told[0])
        pairs = zip(labels(said, asked[0]), best.tolist(), added.tolist(), strict=True)
        words = [(mine, stored[at], score) for mine, at, score in pairs]
        out["words"] = sorted(words, key=lambda word: -word[2])
    wanted, within = _cut(document.text, reading.start, reading.stop, "sentence")
    scored = placed_scores(scores, reading.in_document(told[0]), within)
    if len(scored) and (score := float(scored.max())) > -np.inf:
        start, end = wanted[scored.argmax()].tolist()
        text = document.text[start:end]
        out["best_span"] = {"start": start, "end": end, "text": text, "score": score}
    return out


def labels(text: str, places: Places) -> list[str]:
    """For each token the characters of its first place; "" where it stands nowhere."""
    out = [""] * n_tokens(places)
    for token, start, end in places[np.argsort(-places[:, 1])].tolist():
        if start < end:
            out[token] = text[start:end].strip()
    return out


def _cut(text: str, start: int, stop: int, by: str) -> tuple[Places, Places]:
    """(sentences or paragraphs (s, 2) of a stretch of the text, and the same with no gaps)."""
    spans = np.array(CUTS[by](text[start:stop]), np.int64).reshape(-1, 2) + start
    edges = np.concatenate([[start], spans[1:, 0], [stop]])[-len(spans) - 1 :]
    return spans, np.stack([edges[:-1], edges[1:]], axis=1)


def _fitting(asked: Asked, family: MultiVectorFamily, reading: Reading, n_stored: int) -> Places:
    """Where the stored tokens of a passage stand, or an error that tells why nobody knows."""
    told = family.places([reading.text])
    if told is None:
        why = "does not tell" if family.encoder is not None else "is none: its vectors were brought"
        raise InvalidQueryError(
            f"field {asked.name!r} knows no places of its tokens in texts, as its encoder {why}; "
            "span_scores takes ranges of tokens"
        )
    if n_tokens(told[0]) != n_stored:
        raise InvalidQueryError(
            f"field {asked.name!r}: {n_stored} token vectors are stored of document "
            f"{shown(asked.document.id)}, and its encoder makes {n_tokens(told[0])} of the text; "
            "where vectors stand for several tokens (pooling) no span can be told"
        )
    return told[0]


def n_tokens(places: Places) -> int:
    """How many tokens stand at these places, or nowhere."""
    return int(places[:, 0].max()) + 1


def _checked(spans: Iterable[Sequence[int]], text: str) -> Places:
    try:
        pairs = np.asarray(list(spans))
    except (TypeError, ValueError):
        pairs = np.empty(0)
    if pairs.ndim != 2 or pairs.shape[1] != 2 or pairs.dtype.kind not in "iu":
        raise InvalidQueryError(
            "spans are pairs (start, end) of whole numbers, characters of the document's text, "
            "such as [(0, 80)]"
        )
    start, end = pairs.T
    wrong = np.flatnonzero((start < 0) | (start > end) | (end > len(text)))
    if len(wrong):
        raise InvalidQueryError(
            f"span {wrong[0]} is {tuple(pairs[wrong[0]].tolist())}; spans rise, within 0 to "
            f"{len(text)}, the characters of the document's text"
        )
    return pairs.astype(np.int64)
