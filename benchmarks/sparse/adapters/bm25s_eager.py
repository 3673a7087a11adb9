"""bm25s: scores of all postings computed when indexing, summed by Numba; in memory or mapped."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from measuring import Clock

from .base import STOP_WORDS, Adapter

WORDS = r"(?u)\b\w+(?:'\w+)*\b"


class Bm25s(Adapter):
    package, module = "bm25s", "bm25s"
    describes = (
        "lucene, k1 1.2, b 0.75, Numba; its Tokenizer with bigrain's words, stop words, Snowball"
    )
    mapped = False

    def once(self) -> None:
        texts = ["some words to compile for", "other words", "and more of them"] * 5
        with tempfile.TemporaryDirectory() as folder:
            toy = type(self)(None)
            toy.build(texts, Path(folder))
            toy.open(Path(folder))
            for k in (2, 3):
                toy.search(texts, k)
        self.parts = {}

    def build(self, documents: list[str], folder: Path) -> None:
        import bm25s

        tokenizer = self._tokenizer()
        clock = Clock()
        words = tokenizer.tokenize(documents, return_as="tuple", show_progress=False)
        self.parts["tokenise"] = clock.read()
        engine = bm25s.BM25(method="lucene", k1=1.2, b=0.75, backend="numba")
        engine.index(words, show_progress=False)
        engine.save(str(folder), show_progress=False)
        tokenizer.save_vocab(str(folder))

    def _tokenizer(self) -> Any:
        from bm25s.tokenization import Tokenizer
        from Stemmer import Stemmer

        stem = Stemmer("english").stemWord
        return Tokenizer(splitter=WORDS, stopwords=list(STOP_WORDS), stemmer=stem)

    def open(self, folder: Path) -> None:
        import bm25s

        self.engine = bm25s.BM25.load(str(folder), mmap=self.mapped, show_progress=False)
        self.tokenizer = self._tokenizer()
        self.tokenizer.load_vocab(str(folder))

    def search(self, queries: Sequence[str], k: int) -> Any:
        asked = self.tokenizer.tokenize(
            list(queries), update_vocab=False, return_as="ids", show_progress=False
        )
        return self.engine.retrieve(asked, k=k, show_progress=False, n_threads=0)

    def ids(self, found: Any) -> list[list[int]]:
        rows, scores = found
        return [row[score > 0].tolist() for row, score in zip(rows, scores, strict=True)]


class Bm25sMapped(Bm25s):
    describes = "the same, memory-mapped"
    mapped = True
