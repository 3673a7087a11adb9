"""bigrain: one lexical field over texts given to add()."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .base import Adapter


class Opened(Adapter):
    """A collection opened for reading, asked for arrays."""

    package, module = "bigrain", "bigrain"

    def once(self) -> None:
        import bigrain

        assert bigrain.create  # the public names are loaded when they are first used

    def open(self, folder: Path) -> None:
        import bigrain

        path = folder / "documents.grain"
        self.col = bigrain.open(path, read_only=True, memory_budget_bytes=self.budget)

    def search(self, queries: Sequence[Any], k: int) -> Any:
        return self.col.search_many(queries, k=k, arrays=True, threads=1, **self.setting)

    def single(self, query: Any, k: int) -> Any:
        return self.col.search(query, k=k, **self.setting)

    def ids(self, found: Any) -> list[list[int]]:
        return [[int(i) for i in row if i is not None] for row in found[0]]

    def index_bytes(self, folder: Path) -> int:
        """The segments: texts and ids are in the catalogue beside them, and peers keep no texts."""
        files = (folder / "documents.grain" / "segments").rglob("*")
        return sum(f.stat().st_size for f in files if f.is_file())

    def close(self) -> None:
        self.col.close()


class Bigrain(Opened):
    describes = "LexicalField('en'); words, stop words, Snowball; keeps the texts as well"

    def build(self, documents: list[str], folder: Path) -> None:
        import bigrain

        fields = {"words": bigrain.LexicalField()}
        path = folder / "documents.grain"
        with bigrain.create(path, fields, memory_budget_bytes=self.budget) as col:
            col.add(bigrain.Document(text, str(row)) for row, text in enumerate(documents))
            col.commit()
