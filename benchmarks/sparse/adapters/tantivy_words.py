"""tantivy: one segment written by one thread; ids read from a fast field outside the clock."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .base import STOP_WORDS, Adapter

HEAP = 1 << 30


class Tantivy(Adapter):
    package, module = "tantivy", "tantivy"
    describes = (
        "BM25 k1 1.2, b 0.75, lengths in a byte, no positions, no stored text; "
        "simple tokeniser, bigrain's stop words, Snowball"
    )

    def build(self, documents: list[str], folder: Path) -> None:
        import tantivy

        schema = tantivy.SchemaBuilder()
        schema.add_text_field("text", stored=False, tokenizer_name="words", index_option="freq")
        schema.add_unsigned_field("row", stored=False, indexed=False, fast=True)
        index = tantivy.Index(schema.build(), path=str(folder))
        index.register_tokenizer("words", self._analyser())
        writer = index.writer(heap_size=HEAP, num_threads=1)
        for row, text in enumerate(documents):
            document = tantivy.Document()
            document.add_text("text", text)
            document.add_unsigned("row", row)
            writer.add_document(document)
        writer.commit()
        writer.wait_merging_threads()

    def _analyser(self) -> Any:
        from tantivy import Filter, TextAnalyzerBuilder, Tokenizer

        builder = TextAnalyzerBuilder(Tokenizer.simple()).filter(Filter.lowercase())
        builder = builder.filter(Filter.custom_stopword(list(STOP_WORDS)))
        return builder.filter(Filter.stemmer("english")).build()

    def open(self, folder: Path) -> None:
        import tantivy

        self.tantivy = tantivy
        self.analyser = self._analyser()
        self.index = tantivy.Index.open(str(folder))
        self.schema, self.searcher = self.index.schema, self.index.searcher()

    def single(self, query: str, k: int) -> Any:
        make, should = self.tantivy.Query, self.tantivy.Occur.Should
        terms = [
            (should, make.term_query(self.schema, "text", word, "freq"))
            for word in self.analyser.analyze(query)
        ]
        # Counting matches would keep it from skipping documents that cannot get in.
        return self.searcher.search(make.boolean_query(terms), k, count=False).hits

    def ids(self, found: Any) -> list[list[int]]:
        read = self.searcher.fast_field_values
        return [read("row", [address for _, address in hits]) for hits in found]
