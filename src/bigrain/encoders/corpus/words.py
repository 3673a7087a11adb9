"""The words of a corpus: which are known, how often they occur, and texts in their numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from bigrain.errors import InvalidDocumentError
from bigrain.text import Analyser

__all__ = ["Bags", "Words", "read_corpus"]

BATCH = 1024

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]


class Bags(NamedTuple):
    """Texts as sets of words with numbers: text i has `words[offsets[i]:offsets[i + 1]]`."""

    words: npt.NDArray[np.int32]  # ascending within a text
    weights: Floats
    offsets: Ints  # (n + 1,)

    def matrix(self, n_words: int) -> Any:
        """The same as a SciPy CSR matrix (n, n_words)."""
        from bigrain.encoders.corpus.factorise import sparse

        arrays = self.weights, self.words, self.offsets
        return sparse().csr_matrix(arrays, shape=(len(self.offsets) - 1, n_words))

    def part(self, start: int, end: int) -> Bags:
        """The texts from `start` to before `end`."""
        a, b = self.offsets[start], self.offsets[end]
        offsets = self.offsets[start : end + 1] - a
        return Bags(self.words[a:b], self.weights[a:b], offsets)

    def pooled(self, table: Floats) -> Floats:
        """(n, d): the rows of `table` (V, d) of each text's words, summed by weight."""
        out = np.zeros((len(self.offsets) - 1, table.shape[1]), np.float32)
        for i, (a, b) in enumerate(zip(self.offsets[:-1], self.offsets[1:], strict=True)):
            if b > a:
                out[i] = self.weights[a:b] @ table[self.words[a:b]]
        return out


@dataclass(frozen=True)
class Words:
    """The known terms, most frequent first, with the analyser that finds them.

    `documents` (V,) counts the texts that hold a term, `n_documents` all of them.
    """

    analyser: Analyser
    terms: tuple[str, ...]
    documents: Ints
    n_documents: int
    ids: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "ids", {term: i for i, term in enumerate(self.terms)})

    def __len__(self) -> int:
        return len(self.terms)

    @property
    def shares(self) -> Floats:
        """(V,) p(w): the share of a word among all occurrences in different texts; sums to 1."""
        return np.asarray(self.documents / self.documents.sum(), np.float32)

    @property
    def idf(self) -> Floats:
        """(V,) log(1 + n / df)."""
        return np.asarray(np.log1p(self.n_documents / self.documents), np.float32)

    def sequences(self, texts: Iterable[str]) -> Iterator[npt.NDArray[np.int32]]:
        """The known words of each text, in their order."""
        find = self.ids.get
        for some in _batches(texts):
            for terms in self.analyser.analyse_many(some):
                found = [i for i in map(find, terms) if i is not None]
                yield np.array(found, np.int32)

    def bags(self, texts: Iterable[str]) -> Bags:
        """The known words of each text, with how often they occur."""
        return counted(self.sequences(texts))

    def unknown(self, texts: Sequence[str]) -> float:
        """The share of the words of `texts` that are not among the terms."""
        found = [term for terms in self.analyser.analyse_many(texts) for term in terms]
        return sum(term not in self.ids for term in found) / len(found) if found else 0.0


def _batches(texts: Iterable[str]) -> Iterator[list[str]]:
    rest = iter(texts)
    while some := list(islice(rest, BATCH)):
        yield some


def counted(sequences: Iterable[npt.NDArray[np.int32]]) -> Bags:
    """Sequences of words as bags of them."""
    words, counts, lengths = [], [], [0]
    for sequence in sequences:
        distinct, n = np.unique(sequence, return_counts=True)
        words.append(distinct)
        counts.append(n.astype(np.float32))
        lengths.append(len(distinct))
    empty_ids, empty = np.empty(0, np.int32), np.empty(0, np.float32)
    return Bags(
        np.concatenate([empty_ids, *words]), np.concatenate([empty, *counts]), np.cumsum(lengths)
    )


def read_corpus(
    texts: Iterable[str],
    analyser: Analyser,
    *,
    min_documents: int,
    max_words: int,
    advance: Callable[[int], None] = lambda n: None,
) -> tuple[Words, list[npt.NDArray[np.int32]]]:
    """The words of at least `min_documents` texts, `max_words` at most, and the texts in them.

    Raises `InvalidDocumentError` where nothing is left to learn from.
    """
    numbers: dict[str, int] = {}
    documents: Counter[int] = Counter()
    raw = []
    for some in _batches(texts):
        for terms in analyser.analyse_many(some):
            found = np.array([numbers.setdefault(t, len(numbers)) for t in terms], np.int32)
            documents.update(np.unique(found).tolist())
            raw.append(found)
        advance(len(some))
    spelt = list(numbers)
    kept = [i for i, n in documents.items() if n >= min_documents]
    kept = sorted(kept, key=lambda i: (-documents[i], spelt[i]))[:max_words]
    if len(kept) < 2 or len(raw) < 2:
        raise InvalidDocumentError(
            f"nothing to learn from: {len(raw):,} texts have {len(kept)} words that occur in "
            f"{min_documents} of them; give more text, or min_documents=1"
        )
    renumbered = np.full(len(numbers), -1, np.int32)
    renumbered[kept] = np.arange(len(kept), dtype=np.int32)
    told = (renumbered[one] for one in raw)
    counts = np.array([documents[i] for i in kept], np.int64)
    words = Words(analyser, tuple(spelt[i] for i in kept), counts, len(raw))
    return words, [one[one >= 0] for one in told]
