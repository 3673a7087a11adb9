"""Lexical fields: words of title and text, one row a document."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bigrain.config import LexicalField
from bigrain.encoders.one_pass import OnePass
from bigrain.errors import InvalidQueryError, InvalidVectorsError
from bigrain.families.base import ALONE, Where, check_text_query, row_number
from bigrain.index.base import View
from bigrain.index.bm25 import Bm25
from bigrain.index.builder import PostingsBuilder, merge_postings
from bigrain.index.inverted import PostingsSegment, light_bytes_of
from bigrain.index.lexical import LexicalIndex
from bigrain.index.postings import ListCache
from bigrain.index.salvage import Salvage
from bigrain.storage.files import Files
from bigrain.storage.segment import SegmentFile
from bigrain.text.analyse import Analyser

__all__ = ["LexicalFamily"]

MAX_QUERY_WORDS = 10_000


class LexicalFamily:
    per_passage = False
    encoder = None

    def __init__(self, name: str, spec: LexicalField) -> None:
        self.name, self.spec = name, spec
        self.bm25 = Bm25(spec.variant, spec.k1, spec.b, spec.delta)
        self.analyser = Analyser(spec.language, spec.stem, spec.stop_words, spec.analysis)

    def fingerprint(self) -> dict[str, Any]:
        return {"name": "analyser", "digest": self.analyser.fingerprint()}

    def notices(self, texts: Sequence[str]) -> tuple[str, ...]:
        return self.analyser.coverage(texts)

    def titled(self, title: str, text: str) -> str:
        return f"{title}\n" * self.spec.title_weight + text

    def encode_documents(
        self, texts: Sequence[str], where: Where = row_number, one_pass: OnePass = ALONE
    ) -> list[list[str]]:
        return self.analyser.analyse_many(texts, index=True)

    def check_vectors(self, ids: Sequence[str], vectors: Any) -> Any:
        raise InvalidVectorsError(
            f"field {self.name!r} is lexical: it takes text through add(), not vectors"
        )

    def accepts(self, query: Any) -> bool:
        return isinstance(query, str)

    def queries(self, queries: Sequence[Any], one_pass: OnePass = ALONE) -> list[dict[str, float]]:
        """Word -> how often the query says it, in order of first mention."""
        return [self.words(check_text_query(self.name, query, self)) for query in queries]

    def words(self, text: str) -> dict[str, float]:
        """Word -> how often a part of a query says it, or `InvalidQueryError`."""
        words = self.analyser.analyse(text)
        if len(words) > MAX_QUERY_WORDS:
            raise InvalidQueryError(
                f"the query has {len(words):,} words; at most {MAX_QUERY_WORDS:,}"
            )
        return dict(Counter(words))

    def builder(
        self, files: Files, folder: Path, memory_bytes: int, segments: Sequence[Any]
    ) -> PostingsBuilder:
        return PostingsBuilder(self.bm25, files, folder, self.name, memory_bytes)

    def open_segment(self, file: SegmentFile) -> PostingsSegment:
        return PostingsSegment(file, self.bm25)

    def light_bytes(self, file: SegmentFile) -> int:
        return light_bytes_of(file)

    def index(self, views: Sequence[View[Any]], cache: ListCache) -> LexicalIndex:
        return LexicalIndex(self.bm25, views, cache)

    def merge(self, files: Files, path: Path, views: Sequence[View[Any]], memory_bytes: int) -> int:
        return merge_postings(self.bm25, files, path, views, memory_bytes)

    def salvage(self, file: SegmentFile, damaged: Collection[str]) -> Salvage | None:
        return None  # everything is made again from the texts

    def explain(self, index: LexicalIndex, query: Mapping[Any, float], unit: int) -> dict[str, Any]:
        """What each word adds to the score."""
        units = np.array([unit], np.int64)
        parts = index.contributions(query, units)[:, 0]
        terms: dict[str, float] = {}
        for term, part in zip(index.terms(query), parts.tolist(), strict=False):
            if part > 0:  # a word may stand for itself, and for others too
                terms[term.word] = terms.get(term.word, 0.0) + part
        return {"terms": terms}
