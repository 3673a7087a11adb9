"""Lexical fields: words of title and text, one row a document."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bigrain.config import LexicalField
from bigrain.errors import InvalidQueryError, InvalidVectorsError
from bigrain.families.base import check_text_query
from bigrain.index.base import Units, View
from bigrain.index.builder import PostingsBuilder, merge_runs
from bigrain.index.lexical import Bm25, LexicalIndex
from bigrain.index.postings import ListCache, PostingsSegment
from bigrain.storage.files import Files
from bigrain.storage.segment import SegmentFile
from bigrain.text.analyse import Analyser

__all__ = ["LexicalFamily"]

MAX_QUERY_WORDS = 10_000


class LexicalFamily:
    per_passage = False

    def __init__(self, name: str, spec: LexicalField) -> None:
        self.name, self.spec = name, spec
        self.analyser = Analyser(language=spec.language, stem=spec.stem, stop_words=spec.stop_words)

    def fingerprint(self) -> dict[str, Any]:
        return {"name": "analyser", "digest": self.analyser.fingerprint()}

    def notices(self, texts: Sequence[str]) -> tuple[str, ...]:
        return self.analyser.coverage(texts)

    def encode_documents(self, texts: Sequence[str]) -> list[list[str]]:
        return self.analyser.analyse_many(texts)

    def check_vectors(self, ids: Sequence[str], vectors: Any) -> Any:
        raise InvalidVectorsError(
            f"field {self.name!r} is lexical: it takes text through add(), not vectors"
        )

    def accepts(self, query: Any) -> bool:
        return isinstance(query, str)

    def queries(self, queries: Sequence[Any]) -> list[list[str]]:
        found = self.analyser.analyse_many(
            [check_text_query(self.name, query, self) for query in queries]
        )
        for words in found:
            if len(words) > MAX_QUERY_WORDS:
                raise InvalidQueryError(
                    f"the query has {len(words):,} words; at most {MAX_QUERY_WORDS:,}"
                )
        return found

    def builder(
        self, files: Files, folder: Path, memory_bytes: int, segments: Sequence[Any]
    ) -> PostingsBuilder:
        return PostingsBuilder("lexical", files, folder, self.name, memory_bytes)

    def open_segment(self, file: SegmentFile) -> PostingsSegment:
        return PostingsSegment(file)

    def index(self, views: Sequence[View[Any]], cache: ListCache) -> LexicalIndex:
        return LexicalIndex(Bm25(self.spec.k1, self.spec.b), views, cache)

    def merge(self, files: Files, path: Path, views: Sequence[View[Any]]) -> Units:
        return merge_postings("lexical", files, path, views)

    def explain(self, index: LexicalIndex, query: list[str], unit: int) -> dict[str, Any]:
        """What each word adds to the score."""
        units = np.array([unit], np.int64)
        parts = index.contributions(query, units)[:, 0]
        return {
            "terms": {
                term.word: float(part)
                for term, part in zip(index.terms(query), parts, strict=False)
                if part > 0
            }
        }


def merge_postings(
    family: str, files: Files, path: Path, views: Sequence[View[PostingsSegment]]
) -> Units:
    """One segment out of the live rows of several."""
    alive = [view.is_live(np.arange(view.segment.units.n_rows)) for view in views]
    return merge_runs(family, [view.segment.run for view in views], alive, path, files)
