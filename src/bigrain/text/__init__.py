"""Text on its way in: read, clean, cut, and turn into terms.

    readers     files, folders and BEIR sets -> documents
    normalise   the stored and the searched form of a text
    chunk       spans of a long text
    tokenise    words, in every script
    analyse     the terms of a lexical index

Importing it loads the standard library only; the stemmer and the HTML and PDF parsers come when
they are called for.
"""

from bigrain.text.analyse import Analyser
from bigrain.text.beir import beir_corpus, beir_judgments, beir_queries
from bigrain.text.chunk import Chunking, sentences, split
from bigrain.text.languages import known_languages
from bigrain.text.normalise import clean_text, fold
from bigrain.text.readers import read_documents
from bigrain.text.tokenise import script_counts, script_of, tokens, words

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
    "script_counts",
    "script_of",
    "sentences",
    "split",
    "tokens",
    "words",
]
