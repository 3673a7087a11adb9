"""Substring fields: the text itself, title and text kept apart, one row a document."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from bigrain.config import SubstringField
from bigrain.encoders.one_pass import OnePass
from bigrain.errors import InvalidQueryError, InvalidVectorsError, shown
from bigrain.families.base import ALONE, Where, check_text_query, row_number
from bigrain.index.base import View
from bigrain.index.fm import SubstringSegment, light_bytes_of
from bigrain.index.fm_writing import SubstringBuilder, merge_substrings
from bigrain.index.postings import ListCache
from bigrain.index.salvage import Salvage
from bigrain.index.substring import NgramQuery, SubstringIndex
from bigrain.storage.files import Files
from bigrain.storage.segment import SegmentFile
from bigrain.text.tokenise import words
from bigrain.text.verbatim import verbatim

__all__ = ["SubstringFamily"]

MAX_QUERY_WORDS = 10_000


class SubstringFamily:
    per_passage = False
    encoder = None

    def __init__(self, name: str, spec: SubstringField) -> None:
        self.name, self.spec = name, spec

    def fingerprint(self) -> dict[str, Any]:
        return {"name": "verbatim", "version": 1}

    def notices(self, texts: Sequence[str]) -> tuple[str, ...]:
        return ()

    def titled(self, title: str, text: str) -> str:
        return f"{title}\0{text}"  # no text and no pattern holds it

    def encode_documents(
        self, texts: Sequence[str], where: Where = row_number, one_pass: OnePass = ALONE
    ) -> list[bytes]:
        sensitive = self.spec.case_sensitive
        return [verbatim(text, case_sensitive=sensitive).encode() for text in texts]

    def check_vectors(self, ids: Sequence[str], vectors: Any) -> Any:
        raise InvalidVectorsError(
            f"field {self.name!r} holds substrings: it takes text through add(), not vectors"
        )

    def accepts(self, query: Any) -> bool:
        return isinstance(query, str)

    def queries(self, queries: Sequence[Any], one_pass: OnePass = ALONE) -> list[NgramQuery]:
        return [self._query(check_text_query(self.name, query, self)) for query in queries]

    def _query(self, query: str) -> NgramQuery:
        text = verbatim(query, case_sensitive=self.spec.case_sensitive)
        found = words(text)
        if len(found) > MAX_QUERY_WORDS:
            raise InvalidQueryError(
                f"the query has {len(found):,} words; at most {MAX_QUERY_WORDS:,}"
            )
        sizes = (len(c.encode("utf-8", "surrogatepass")) for c in text)
        place = list(accumulate(sizes, initial=0))
        return NgramQuery(
            text.encode("utf-8", "surrogatepass"),
            tuple(word for word, _, _ in found),
            tuple(place[start] for _, start, _ in found),
            tuple(place[end] for _, _, end in found),
        )

    def pattern(self, pattern: object) -> str:
        """A string in the form in which texts are searched, or `InvalidQueryError`."""
        if not isinstance(pattern, str) or not pattern:
            raise InvalidQueryError(
                f"the pattern is {shown(pattern)}; give text of at least one character"
            )
        return verbatim(pattern, case_sensitive=self.spec.case_sensitive)

    def builder(
        self, files: Files, folder: Path, memory_bytes: int, segments: Sequence[Any]
    ) -> SubstringBuilder:
        return SubstringBuilder(files, folder / f"{self.name}.texts", memory_bytes)

    def open_segment(self, file: SegmentFile) -> SubstringSegment:
        return SubstringSegment(file)

    def light_bytes(self, file: SegmentFile) -> int:
        return light_bytes_of(file)

    def index(self, views: Sequence[View[Any]], cache: ListCache) -> SubstringIndex:
        shortest, longest = self.spec.shortest, self.spec.longest
        return SubstringIndex(shortest, longest, views, cache.blocks, cache.scratch)

    def merge(self, files: Files, path: Path, views: Sequence[View[Any]], memory_bytes: int) -> int:
        return merge_substrings(files, path, views, memory_bytes)

    def salvage(self, file: SegmentFile, damaged: Collection[str]) -> Salvage | None:
        return None  # everything is made again from the texts

    def explain(self, index: SubstringIndex, query: NgramQuery, unit: int) -> dict[str, Any]:
        """What each n-gram adds to the score, and how often all documents hold it."""
        parts = index.contributions(query, np.array([unit], np.int64))[0]
        return {
            "ngrams": {
                ngram.text.decode(): {
                    "count": ngram.count,
                    "contribution": float(part),
                }
                for ngram, part in zip(index.ngrams(query), parts, strict=True)
                if part > 0
            }
        }
