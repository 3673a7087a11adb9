"""Lucene by Pyserini's archive of Anserini; needs Java 21 or later, found by JAVA_HOME."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from .base import Adapter


class Pyserini(Adapter):
    package, module = "pyserini", "pyserini"
    describes = (
        "Lucene, k1 1.2, b 0.75, lengths in a byte; its English analyser: stop words, Porter"
    )

    def once(self) -> None:
        from pyserini.pyclass import autoclass  # starts Java

        self.java = autoclass

    def build(self, documents: list[str], folder: Path) -> None:
        texts = folder / "texts"
        texts.mkdir()
        with (texts / "texts.jsonl").open("w") as lines:
            for row, text in enumerate(documents):
                lines.write(json.dumps({"id": str(row), "contents": text}) + "\n")
        self.java("io.anserini.index.IndexCollection").main(
            ["-collection", "JsonCollection", "-input", str(texts), "-threads", "1", "-optimize",
             "-generator", "DefaultLuceneDocumentGenerator", "-index", str(folder / "index")]
        )  # fmt: skip
        shutil.rmtree(texts)

    def open(self, folder: Path) -> None:
        string = self.java("java.lang.String")
        path = string(str(folder / "index").encode())
        self.searcher = self.java("io.anserini.search.SimpleSearcher")(path)
        self.searcher.set_bm25(1.2, 0.75)

    def single(self, query: str, k: int) -> Any:
        return self.searcher.search(query, k)

    def ids(self, found: Any) -> list[list[int]]:
        return [[int(hit.docid) for hit in hits] for hits in found]

    def close(self) -> None:
        self.searcher.close()
