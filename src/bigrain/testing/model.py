"""A collection in plain Python: dictionaries, and scores by looking at everything.

The slow and obvious twin that the real one is compared with.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bigrain import config
from bigrain.codecs.tokens import TokenCodec
from bigrain.index.substring import MOST, OVERLAP, WORK, weight_of
from bigrain.kernels.numbers import read_numbers, write_numbers
from bigrain.registry import make_encoder
from bigrain.search import filter as filters
from bigrain.search.matching import matches
from bigrain.text.analyse import Analyser
from bigrain.text.chunk import Chunking
from bigrain.text.tokenise import words
from bigrain.text.verbatim import verbatim
from bigrain.types import Document
from bigrain.writing.intake import spans_of

__all__ = ["Model", "bm25_scores", "matches", "ngram_scores", "occurrences_in", "places_in"]


@dataclass
class _State:
    documents: dict[str, Document] = field(default_factory=dict)
    vectors: dict[str, dict[str, Any]] = field(default_factory=dict)


class Model:
    """What a collection with these fields must hold and answer.

    Changes go to a pending state that `commit` shows, as in the real one. Vectors are one row an
    id: (dim,) arrays, {column: weight} mappings, (m, dim) arrays. `chunking` says how long texts
    are cut for dense fields with an encoder, as in `bigrain.create`.
    """

    def __init__(
        self, fields: Mapping[str, config.Field], chunking: Chunking | None = None
    ) -> None:
        self.fields, self.chunking = dict(fields), chunking
        self._encoded: dict[tuple[str, str], Any] = {}
        self._shown, self._pending = _State(), _State()
        self._analysers = {
            name: Analyser(f.language, f.stem, f.stop_words, f.analysis)
            for name, f in self.fields.items()
            if isinstance(f, config.LexicalField)
        }

    @property
    def documents(self) -> dict[str, Document]:
        """The documents of the last commit."""
        return self._shown.documents

    @property
    def pending(self) -> dict[str, Document]:
        """The documents that `commit` would show."""
        return self._pending.documents

    def add(self, documents: Sequence[Document]) -> None:
        for document in documents:
            assert document.id is not None
            self._pending.documents.pop(document.id, None)  # a replaced document goes to the end
            self._pending.documents[document.id] = document
            for rows in self._pending.vectors.values():
                rows.pop(document.id, None)

    def add_vectors(self, name: str, rows: Mapping[str, Any]) -> None:
        for identifier, row in rows.items():
            self._pending.documents.setdefault(identifier, Document("", identifier))
            self._pending.vectors.setdefault(name, {})[identifier] = row

    def delete(self, ids: Sequence[str]) -> None:
        for identifier in ids:
            del self._pending.documents[identifier]
            for rows in self._pending.vectors.values():
                rows.pop(identifier, None)

    def commit(self) -> None:
        self._shown = deepcopy(self._pending)

    def rollback(self) -> None:
        self._pending = deepcopy(self._shown)

    def copy(self) -> Model:
        """An independent model in the same state."""
        twin = Model(self.fields, self.chunking)
        twin._shown, twin._pending = deepcopy(self._shown), deepcopy(self._pending)
        return twin

    def scores(self, name: str, query: Any, filter: object = None) -> dict[str, float]:
        """The exact score of every document that one field can return; text or a representation.

        Of a long document, that of its best passage.
        """
        spec = self.fields[name]
        if isinstance(spec, config.LexicalField):
            found = self._lexical(name, spec, query)
        elif isinstance(spec, config.SubstringField):
            found = ngram_scores(self.verbatim(spec), spec, query)
        elif spec.reads_text:
            found = self._encoder_scores(spec, query)
        else:
            rows = self.rows(name)
            score = _SCORES[spec.family]
            found = {i: score(spec, query, row) for i, row in rows.items()}
            if spec.family == "sparse":
                found = {i: s for i, s in found.items() if s > 0}
        if filter is not None:
            node = filters.parse(filter)
            found = {
                i: s for i, s in found.items() if matches(node, self._shown.documents[i].metadata)
            }
        return found

    def rows(self, name: str) -> dict[str, Any]:
        """Id -> the row given to a field without an encoder, as of the last commit."""
        return self._shown.vectors.get(name, {})

    def passages(self, document: Document) -> list[str]:
        """What a dense encoder is given of a document: its passages, each after the title."""
        spans = spans_of(document.text, self.chunking)
        listed = [(0, len(document.text))] if spans is None else spans.tolist()
        texts = [document.text[start:end] for start, end in listed]
        return [f"{document.title} {text}" if document.title else text for text in texts]

    def n_rows(self, name: str) -> int:
        """How many rows a field must have."""
        spec = self.fields[name]
        if not spec.reads_text:
            return len(self.rows(name))
        if spec.family in config.PER_DOCUMENT:
            return len(self.documents)
        return sum(len(self.passages(document)) for document in self.documents.values())

    def _encoder_scores(self, spec: Any, query: Any) -> dict[str, float]:
        """Scores of a dense field that reads text, by encoding everything."""
        encoder = make_encoder(spec.encoder, spec.family)
        asked = encoder.encode_queries([query])[0] if isinstance(query, str) else query

        def encode(text: str) -> Any:
            key = (spec.encoder, text)
            if key not in self._encoded:
                (self._encoded[key],) = encoder.encode_documents([text])
            return self._encoded[key]

        return {
            i: max(_dense(spec, asked, encode(text)) for text in self.passages(document))
            for i, document in self.documents.items()
        }

    def _lexical(self, name: str, spec: config.LexicalField, query: str) -> dict[str, float]:
        analyser = self._analysers[name]
        ids = list(self._shown.documents)
        titles = spec.title_weight
        texts = [
            f"{d.title}\n" * titles + d.text if d.title else d.text for d in self.documents.values()
        ]
        words, asked = analyser.analyse_many(texts, index=True), analyser.analyse(query)
        scores = bm25_scores(
            words, asked, k1=spec.k1, b=spec.b, variant=spec.variant, delta=spec.delta
        )
        return {i: float(s) for i, s in zip(ids, scores, strict=True) if s > 0}

    def verbatim(self, spec: config.SubstringField) -> dict[str, list[str]]:
        """Id -> title and text in the form in which they are searched."""
        return {
            i: [verbatim(part, case_sensitive=spec.case_sensitive) for part in (d.title, d.text)]
            for i, d in self.documents.items()
        }


def occurrences_in(texts: Sequence[str], pattern: str) -> int:
    """How often a pattern begins anywhere in the texts, overlapping occurrences included."""
    return len(places_in(texts, pattern))


def places_in(texts: Sequence[str], pattern: str) -> list[tuple[int, int]]:
    """(text, position) of every occurrence."""
    found = []
    for number, text in enumerate(texts):
        at = text.find(pattern)
        while at >= 0:
            found.append((number, at))
            at = text.find(pattern, at + 1)
    return found


def ngram_scores(
    documents: Mapping[str, Sequence[str]], spec: config.SubstringField, query: str
) -> dict[str, float]:
    """The score of every document that holds an n-gram of the query (`index.substring`)."""
    query = verbatim(query, case_sensitive=spec.case_sensitive)
    found = words(query)
    times: Counter[str] = Counter()
    of: dict[str, frozenset[str]] = {}
    for n in range(spec.shortest, spec.longest + 1):
        for part in zip(*(found[i:] for i in range(n)), strict=False):
            text = query[part[0][1] : part[-1][2]]
            times[text] += 1
            of[text] = of.get(text, frozenset()).union(word for word, _, _ in part)
    counts = {
        g: {i: n for i, texts in documents.items() if (n := occurrences_in(texts, g))}
        for g in times
    }
    # A seam between title and text counts as a character, as it does in the index.
    size = sum(len(t) + (len(title) + 1 if title else 0) for title, t in documents.values())
    chosen, work = [], 0
    for g in sorted((g for g in counts if counts[g]), key=lambda g: _rarest(counts[g], g))[:MOST]:
        count = sum(counts[g].values())
        work += count
        if work <= WORK:
            chosen.append((weight_of(times[g], len(found), count, size), g))
    scores: dict[str, float] = {}
    covered: dict[str, set[str]] = {}
    for weight, g in sorted(chosen, key=lambda one: (-one[0], -len(one[1].encode()), one[1])):
        for i in counts[g] if weight > 0 else ():
            old = len(of[g] & covered.setdefault(i, set())) / len(of[g])
            scores[i] = scores.get(i, 0.0) + weight * (1 - OVERLAP * old)
            covered[i] |= of[g]
    return scores


def _rarest(counts: Mapping[str, int], ngram: str) -> tuple[int, int, bytes]:
    return sum(counts.values()), -len(ngram.encode()), ngram.encode()


def bm25_scores(
    documents: Sequence[Sequence[str]],
    query: Sequence[str] | Mapping[str, float],
    *,
    k1: float,
    b: float,
    variant: str = "lucene",
    delta: float = 0.5,
) -> np.ndarray[Any, np.dtype[np.float64]]:
    """BM25 of one query for every document (papers/B-2 section 2.6), in float64.

    Without what the variants "bm25l" and "bm25+" give for words that a document does not have.
    """
    scores = np.zeros(len(documents))
    if not documents:
        return scores
    counts = [Counter(words) for words in documents]
    lengths = np.array([len(words) for words in documents], float)
    average = lengths.mean() or 1.0
    norm = 1 - b + b * lengths / average
    weights = query if isinstance(query, Mapping) else Counter(query)
    n = len(documents)
    for word, weight in weights.items():
        tf = np.array([count[word] for count in counts], float)
        df = int((tf > 0).sum())
        if df:
            part = _term_part(variant, tf, norm, k1, delta)
            part -= _term_part(variant, np.zeros(1), np.ones(1), k1, delta)
            scores += np.where(tf > 0, weight * _idf(variant, n, df) * part, 0)
    return scores


def _idf(variant: str, n: int, df: int) -> float:
    return {
        "lucene": math.log(1 + (n - df + 0.5) / (df + 0.5)),
        "robertson": max(0.0, math.log((n - df + 0.5) / (df + 0.5))),
        "atire": math.log(n / df),
        "bm25l": math.log((n + 1) / (df + 0.5)),
        "bm25+": math.log((n + 1) / df),
    }[variant]


def _term_part(variant: str, tf: Any, norm: Any, k1: float, delta: float) -> Any:
    with np.errstate(invalid="ignore"):
        if variant == "bm25l":
            c = tf / np.where(norm > 0, norm, 1)
            return (k1 + 1) * (c + delta) / (k1 + c + delta)
        part = np.nan_to_num(tf / (k1 * norm + tf))  # 0 / 0 where k1 is 0
        if variant in ("lucene", "robertson"):
            return part
        return (k1 + 1) * part + (delta if variant == "bm25+" else 0)


def _dense(spec: config.DenseField, query: Any, row: Any) -> float:
    query, row = np.asarray(query, np.float32), np.asarray(row, np.float32)
    if spec.metric == "cosine":
        query = query / (np.linalg.norm(query.astype(np.float64)) or 1.0)
        row = row / (np.linalg.norm(row.astype(np.float64)) or 1.0)
    kept = read_numbers(write_numbers(row[None], spec.heavy), len(row), spec.heavy)[0]
    kept = kept.astype(np.float64)
    query = query.astype(np.float32).astype(np.float64)
    if spec.metric == "l2":
        return -float(((query - kept) ** 2).sum())
    return float(query @ kept)


def _sparse(
    spec: config.SparseField, query: Mapping[int, float], row: Mapping[int, float]
) -> float:
    return float(
        sum(np.float32(w) * np.float32(row[column]) for column, w in query.items() if column in row)
    )


def _max_sim(spec: config.MultiVectorField, query: Any, row: Any) -> float:
    tokens = np.ascontiguousarray(row, np.float32)
    assert spec.dim is not None
    codec, counts = TokenCodec.fit(spec.heavy, spec.dim), np.array([len(tokens)], np.int64)
    payload, _ = codec.encode(tokens, np.array([0, len(tokens)], np.int64))
    kept = codec.decode(payload, counts).astype(np.float64)
    query = np.asarray(query, np.float32).astype(np.float64)
    return float((query @ kept.T).max(axis=1).sum())


_SCORES: dict[str, Any] = {"dense": _dense, "sparse": _sparse, "multivector": _max_sim}
