"""Hypothesis strategies for what goes into a collection. `hypothesis` is imported when called."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bigrain.types import Document

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

__all__ = [
    "documents",
    "filters",
    "ids",
    "long_texts",
    "metadata",
    "sparse_rows",
    "texts",
    "token_rows",
    "vectors",
]

WORDS = (
    "grain wheat silo moon orbit river stone light heavy paper ink letter Straße naïve "
    "42 3.14 日本語 данные שלום e\u0301te\u0301 the of"
).split()
KEYS = ("year", "lang", "tags", "score", "when", "deep.key")


def texts(max_words: int = 12) -> SearchStrategy[str]:
    """Short texts out of few words, so that documents share some."""
    from hypothesis import strategies as st

    return st.lists(st.sampled_from(WORDS), min_size=1, max_size=max_words).map(" ".join)


def long_texts(max_sentences: int = 12) -> SearchStrategy[str]:
    """Several sentences, to be cut into passages."""
    from hypothesis import strategies as st

    sentence = texts(8).map(lambda text: text.capitalize() + ".")
    return st.lists(sentence, min_size=2, max_size=max_sentences).map(" ".join)


def ids(n: int = 12) -> SearchStrategy[str]:
    """One of n ids, some of them awkward."""
    from hypothesis import strategies as st

    odd = ["0", "a/b", "é", "%", "'; --", "x" * 512]
    return st.sampled_from([*odd, *(f"d{i}" for i in range(n))][:n])


def values() -> SearchStrategy[Any]:
    """Single metadata values: numbers, texts, days, moments, booleans."""
    from hypothesis import strategies as st

    return st.one_of(
        st.integers(-3, 3),
        st.sampled_from([0.5, -1.5, 1.0, 2**53, 2**53 + 1, 1e300]),
        st.sampled_from(["", "a", "b", "B", "é", "1", "it's", "2020-01-02", "2020-01-02T10:00:00"]),
        st.booleans(),
    )


def metadata() -> SearchStrategy[dict[str, Any]]:
    """Small mappings over few keys, lists and one nested mapping included."""
    from hypothesis import strategies as st

    value = st.one_of(values(), st.none(), st.lists(values(), max_size=3))
    flat = st.dictionaries(st.sampled_from(KEYS[:5]), value, max_size=4)
    nested = st.dictionaries(st.just("deep"), st.dictionaries(st.just("key"), value), max_size=1)
    return st.tuples(flat, nested).map(lambda pair: {**pair[0], **pair[1]})


def documents(n_ids: int = 12) -> SearchStrategy[Document]:
    """Documents with an id, some with title and metadata, some long."""
    from hypothesis import strategies as st

    titles = st.one_of(st.just(""), texts(3))
    either = st.one_of(texts(), texts(), long_texts())
    return st.builds(Document, text=either, id=ids(n_ids), title=titles, metadata=metadata())


def filters(depth: int = 2) -> SearchStrategy[dict[str, Any]]:
    """Filters in their dictionary form, over the keys of `metadata`."""
    from hypothesis import strategies as st

    keys = st.sampled_from(KEYS)
    compare = st.sampled_from(["$eq", "$ne", "$gt", "$gte", "$lt", "$lte"])
    leaf = st.one_of(
        st.builds(lambda k, v: {k: v}, keys, values()),
        st.builds(lambda k, op, v: {k: {op: v}}, keys, compare, values()),
        st.builds(
            lambda k, op, v: {k: {op: v}},
            keys,
            st.sampled_from(["$in", "$nin"]),
            st.lists(values(), max_size=3),
        ),
        st.builds(lambda k, v: {k: {"$exists": v}}, keys, st.booleans()),
    )
    node = leaf
    for _ in range(depth):
        inner = node
        node = st.one_of(
            leaf,
            st.builds(
                lambda op, parts: {op: parts},
                st.sampled_from(["$and", "$or"]),
                st.lists(inner, min_size=1, max_size=3),
            ),
            st.builds(lambda part: {"$not": part}, inner),
        )
    return node


def vectors(dim: int) -> SearchStrategy[Any]:
    """A (dim,) float32 array that is not zero."""
    return _arrays((dim,))


def token_rows(dim: int, max_tokens: int = 4) -> SearchStrategy[Any]:
    """A (m, dim) float32 array of token vectors, m >= 1."""
    from hypothesis import strategies as st

    return st.integers(1, max_tokens).flatmap(lambda m: _arrays((m, dim)))


def sparse_rows(columns: int = 10) -> SearchStrategy[dict[int, float]]:
    """A mapping column -> weight above 0; now and then the last column possible."""
    from hypothesis import strategies as st

    column = st.one_of(st.integers(0, columns - 1), st.just(2**32 - 1))
    return st.dictionaries(column, st.sampled_from([0.25, 0.5, 1.0, 3.0, 1e-3]), max_size=5)


def _arrays(shape: tuple[int, ...]) -> SearchStrategy[Any]:
    from hypothesis import strategies as st

    def make(seed: int) -> Any:
        return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)

    return st.integers(0, 2**16).map(make)
