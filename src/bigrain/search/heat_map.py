"""What each token of a document and each of a query have to do with one another, to be drawn."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bigrain.codecs.token_scores import best_tokens
from bigrain.errors import InvalidVectorsError
from bigrain.families.multivector import MultiVectorFamily
from bigrain.search.spans import labels, n_tokens, readings
from bigrain.search.tokens import Floats, ask
from bigrain.search.view import SnapshotView

__all__ = ["HeatMap", "heat_map"]

Order = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class HeatMap:
    """Products of the t tokens of a document, or of its best passage, with the m of a query.

    `scores` (t, m) float32. `words` (t,) and `query_words` (m,): the characters that tokens stand
    for. Where the encoder tells them both are in the order of the texts; else tokens are as stored,
    and words "".
    """

    id: str
    scores: Floats
    words: tuple[str, ...]
    query_words: tuple[str, ...]

    @property
    def best(self) -> npt.NDArray[np.int32]:
        """(m,) the row that each token of the query meets best."""
        return best_tokens(self.scores)[0]

    @property
    def contributions(self) -> Floats:
        """(m,) what each token of the query adds: the largest product of its column."""
        return best_tokens(self.scores)[1]

    @property
    def score(self) -> float:
        """MaxSim, the sum of the contributions."""
        return float(self.contributions.sum())

    def plot(self, path: str | os.PathLike[str]) -> None:
        """Draw it, as PNG or what `path` ends in.

        Lines of tokens of the document as columns, tokens of the query as rows; what each adds on
        the right. Of more than 240 tokens the ones that meet the query best are drawn, of queries
        of more than 40 tokens those that add most; the picture says so. Needs the extra `eval`.
        """
        from bigrain.search.plot import plot

        plot(self, path)


def heat_map(view: SnapshotView, query: Any, identifier: str, field: str | None) -> HeatMap:
    """Of the passage that scores best."""
    asked = ask(view, query, identifier, field)
    document, family = asked.document, asked.field.family
    assert isinstance(family, MultiVectorFamily)
    units = range(document.docno, document.docno + document.n_passages)
    unit = max(units, key=lambda unit: asked.scores(unit).max(axis=0).sum())
    scores = asked.scores(unit)
    text = readings(family, document)[unit - document.docno].text
    rows, words = _in_order(family, text, scores.shape[0], query=False)
    columns, query_words = _in_order(family, query, scores.shape[1], query=True)
    return HeatMap(document.id, scores[rows][:, columns], words, query_words)


def _in_order(
    family: MultiVectorFamily, text: Any, n: int, *, query: bool
) -> tuple[Order, tuple[str, ...]]:
    """(the n tokens of a text in the order of their first places, the words of each)."""
    unknown = np.arange(n), ("",) * n
    if not isinstance(text, str):
        return unknown
    try:
        told = family.places([text], query=query)
    except InvalidVectorsError:
        return unknown
    if told is None or n_tokens(told[0]) != n:
        return unknown
    first = np.full(n, len(text), np.int64)
    np.minimum.at(first, told[0][:, 0], told[0][:, 1])
    order = np.argsort(first, kind="stable")
    words = labels(text, told[0])
    return order, tuple(words[at] for at in order.tolist())
