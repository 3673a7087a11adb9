"""Text on its way in: read, clean, cut, and turn into terms.

    readers     files, folders and BEIR sets -> documents
    vectors     files of vectors; sparse_vectors those of sparse ones
    normalise   the stored and the searched form of a text
    chunk       spans of a long text
    tokenise    words, in every script
    analyse     the terms of a lexical index

Names are loaded when they are first used, and with them the stemmer and the HTML and PDF parsers.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bigrain.text.analyse import Analyser
    from bigrain.text.beir import beir_corpus, beir_judgments, beir_queries
    from bigrain.text.chunk import Chunking, sentences, split
    from bigrain.text.languages import known_languages
    from bigrain.text.normalise import clean_text, fold
    from bigrain.text.readers import read_documents
    from bigrain.text.sparse_vectors import read_sparse_vectors, write_sparse_vectors
    from bigrain.text.tokenise import script_counts, script_of, tokens, words
    from bigrain.text.vectors import read_vectors

__all__ = [
    "Analyser",
    "Chunking",
    "beir_corpus",
    "beir_judgments",
    "beir_queries",
    "clean_text",
    "fold",
    "known_languages",
    "read_documents",
    "read_sparse_vectors",
    "read_vectors",
    "script_counts",
    "script_of",
    "sentences",
    "split",
    "tokens",
    "words",
    "write_sparse_vectors",
]

_HOME = {
    "Analyser": "analyse",
    "beir_corpus": "beir",
    "beir_judgments": "beir",
    "beir_queries": "beir",
    "Chunking": "chunk",
    "sentences": "chunk",
    "split": "chunk",
    "known_languages": "languages",
    "clean_text": "normalise",
    "fold": "normalise",
    "read_documents": "readers",
    "read_sparse_vectors": "sparse_vectors",
    "read_vectors": "vectors",
    "write_sparse_vectors": "sparse_vectors",
    "script_counts": "tokenise",
    "script_of": "tokenise",
    "tokens": "tokenise",
    "words": "tokenise",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"bigrain.text.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
