"""Pseudo-relevance feedback: the best documents of a first search say what else to look for.

Words, with `share` as w, of the documents D that came first:

    rm3      q' = (1 - w) q + w p,   p(t) ~ sum_d s(d) tf(t, d) / |d|    (Lavrenko and Croft 2001,
             in the form of Abdul-Jaleel et al. 2004; s(d): the score, scaled to a sum of 1)
    rocchio  q' = (1 - w) q + w p,   p = mean of tf(., d) at unit length (Rocchio 1971)

p keeps the `terms` heaviest words, without those that more than a tenth of all documents hold.
Rocchio moves vectors too, towards the mean of the documents' own: q' = (1 - w) q + w mean(d) (Li et
al. 2021, papers/B-4 section 4.2). RM3 is about words and leaves vectors alone. `average` is about
vectors alone: q' = (q + sum of the documents' own) / (1 + how many).

Where several fields are asked, the first search may believe what all of them together say best, or
each field what it says itself (Li et al., SIGIR 2022; papers/B-4 section 4.3): `interpolation`.

Recall grows where many documents are relevant; with one right answer it often loses: opt-in.
Measured in benchmarks/sparse/feedback.json.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from bigrain.errors import ConfigError, InvalidQueryError, shown
from bigrain.families.lexical import LexicalFamily
from bigrain.index.dense import DenseIndex
from bigrain.index.lexical import LexicalIndex
from bigrain.search.pipeline import Answer, Answers, answer
from bigrain.search.plan import FieldPlan, Plan
from bigrain.search.view import SnapshotView

__all__ = ["Feedback", "checked", "with_feedback"]

METHODS = ("rm3", "rocchio", "average")
INTERPOLATIONS = ("both", "before", "after")
COMMON = 0.1  # share of all documents beyond which a word tells nothing
FEW = 10  # documents that may always hold a word
LARGEST_DOCUMENTS, LARGEST_TERMS = 100, 1000


@dataclass(frozen=True)
class Feedback:
    """How the best documents of a first search change the query.

    `method`: "rm3" changes the words of lexical fields, "rocchio" those and dense vectors,
    "average" dense vectors. `documents`: how many are believed. `terms`: the most words that are
    taken from them. `share` of the new query that is theirs, from 0 to 1; "average" counts the
    query as one of the documents instead.

    `interpolation` matters where several fields are asked: "both" searches are fused; "before":
    the second asks only fields that feedback changes; "after": each of these believes its own best
    documents, and the second search is fused. Raises ConfigError.
    """

    method: str = "rm3"
    documents: int = 10
    terms: int = 20
    share: float = 0.3
    interpolation: str = "both"

    def __post_init__(self) -> None:
        for name, known in (("method", METHODS), ("interpolation", INTERPOLATIONS)):
            value = getattr(self, name)
            if not isinstance(value, str) or value not in known:
                raise ConfigError(f"{name}={shown(value)} is not one of {', '.join(known)}")
        for name, most in (("documents", LARGEST_DOCUMENTS), ("terms", LARGEST_TERMS)):
            value = getattr(self, name)
            if type(value) is not int or not 1 <= value <= most:
                raise ConfigError(f"{name}={shown(value)} must be a whole number from 1 to {most}")
        share = self.share
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
            raise ConfigError(f"share={shown(share)} must be a number from 0 to 1; 0.3 is usual")


def checked(feedback: object) -> Feedback | None:
    """What `search` was given: a `Feedback`, the name of a method, or None."""
    if isinstance(feedback, str) and feedback in METHODS:
        return Feedback(feedback)
    if feedback is None or isinstance(feedback, Feedback):
        return feedback
    raise InvalidQueryError(
        f"feedback={shown(feedback)}: use bigrain.Feedback(), 'rm3', 'rocchio', 'average', or None"
    )


def with_feedback(view: SnapshotView, plan: Plan, feedback: Feedback, k: int) -> Plan:
    """The plan for the best k with what the answers to `plan` say added to its queries."""
    if not any(_changes(field, feedback) for field in plan.fields):
        raise InvalidQueryError(_NOTHING_TO_CHANGE[feedback.method])
    together = None if feedback.interpolation == "after" else answer(view, plan)
    fields = []
    for column, field in enumerate(plan.fields):
        if not _changes(field, feedback):
            if feedback.interpolation != "before":
                fields.append(field)
        elif together is None:
            own = answer(view, replace(plan, fields=(field,)))
            fields.append(_changed(view, field, own, 0, feedback))
        else:
            fields.append(_changed(view, field, together, column, feedback))
    return replace(plan, k=k, fields=tuple(fields))


_NOTHING_TO_CHANGE = {
    "rm3": "feedback 'rm3' changes the words of lexical fields, and none was asked; 'rocchio' "
    "moves dense vectors",
    "rocchio": "feedback 'rocchio' changes the words of lexical fields and moves dense vectors, "
    "and neither was asked",
    "average": "feedback 'average' moves dense vectors, and none was asked; 'rm3' changes words",
}


def _changed(
    view: SnapshotView, field: FieldPlan, answers: Answers, column: int, feedback: Feedback
) -> FieldPlan:
    """The field with what the answers, in which it is the column, say added to its queries."""
    index = field.field.index
    if isinstance(index, LexicalIndex):
        best = [one.documents[: feedback.documents].tolist() for one in answers]
        numbers = sorted({number for found in best for number in found})
        texts = {
            number: f"{document.title}\n{document.text}"
            for number, document in view.catalogue.documents(numbers).items()
        }
        counts = _counts(field, texts)
        words = [
            _expanded(query, [counts[n] for n in found], _shares(one, feedback), index, feedback)
            for query, found, one in zip(field.queries, best, answers, strict=True)
        ]
        return replace(field, queries=words)
    assert isinstance(index, DenseIndex)
    cosine = getattr(field.field.family.spec, "metric", "") == "cosine"
    moved: Any = [
        _moved(query, index.vectors(one.units[: feedback.documents, column]), feedback, cosine)
        for query, one in zip(field.queries, answers, strict=True)
    ]
    moved = np.array(moved, np.float32).reshape(len(answers), -1)
    return replace(field, queries=moved)


def _changes(field: FieldPlan, feedback: Feedback) -> bool:
    if isinstance(field.field.index, LexicalIndex):
        return feedback.method != "average"
    return feedback.method != "rm3" and isinstance(field.field.index, DenseIndex)


def _shares(answer: Answer, feedback: Feedback) -> npt.NDArray[np.float64]:
    """How far each of the best documents is believed; sums to 1."""
    scores = np.maximum(answer.scores[: feedback.documents], 0)
    total = scores.sum()
    return scores / total if total > 0 else np.full(len(scores), 1 / max(len(scores), 1))


def _counts(field: FieldPlan, texts: Mapping[int, str]) -> dict[int, Counter[str]]:
    family = field.field.family
    assert isinstance(family, LexicalFamily)
    words = family.analyser.analyse_many(texts.values())
    return {number: Counter(found) for number, found in zip(texts, words, strict=True)}


def _expanded(
    query: Mapping[Any, float],
    documents: list[Counter[str]],
    shares: npt.NDArray[np.float64],
    index: LexicalIndex,
    feedback: Feedback,
) -> dict[Any, float]:
    """The query's words and the documents', weighing together what the query's weighed alone."""
    model: dict[str, float] = {}
    for count, share in zip(documents, shares.tolist(), strict=True):
        if feedback.method == "rm3":
            scale = share / max(sum(count.values()), 1)
        else:
            length = np.sqrt(sum(n * n for n in count.values()))
            scale = 1 / (max(length, 1) * len(documents))
        for word, n in count.items():
            model[word] = model.get(word, 0.0) + n * scale
    limit = max(COMMON * index.n_rows, FEW)
    heaviest = sorted(model.items(), key=lambda item: (-item[1], item[0]))
    kept: dict[str, float] = {}
    for word, weight in heaviest:
        if 0 < index.n_with(word) <= limit:
            kept[word] = weight
            if len(kept) == feedback.terms:
                break
    mass, whole = sum(query.values()), sum(kept.values())
    if not kept or mass <= 0:
        return dict(query)
    found = {word: (1 - feedback.share) * weight for word, weight in query.items()}
    for word, weight in kept.items():
        found[word] = found.get(word, 0.0) + feedback.share * mass * weight / whole
    return {word: weight for word, weight in found.items() if weight > 0}


def _moved(
    query: npt.NDArray[np.float32],
    vectors: npt.NDArray[np.float32],
    feedback: Feedback,
    cosine: bool,
) -> npt.NDArray[np.float32]:
    if not len(vectors):
        return query
    if feedback.method == "average":
        moved = (query + vectors.sum(axis=0)) / (1 + len(vectors))
    else:
        mean = vectors.mean(axis=0)
        size = np.linalg.norm(mean) if cosine else 1.0
        mean = mean / size if size > 0 else mean
        moved = (1 - feedback.share) * query + feedback.share * mean
    if not cosine:
        return np.asarray(moved, np.float32)
    size = np.linalg.norm(moved)
    return np.asarray(moved / size if size > 0 else query, np.float32)
