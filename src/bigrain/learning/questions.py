"""What is learned from: questions and judgments as they are given, checked and split.

Questions of the same words go to the same side. So do, unless told otherwise, questions with a
document in common: what is held out then is about documents that nothing was learned about. What
is held out loses questions that nearly repeat one that is learned from.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bigrain.errors import InvalidInputError, counted, shown
from bigrain.evaluation.formats import load_judgments, load_queries
from bigrain.types import Document

__all__ = [
    "LEAST_QUESTIONS",
    "Asker",
    "Questions",
    "given_questions",
    "require_enough",
    "split",
    "without_copies",
]

LEAST_QUESTIONS = 80
MOST_QUESTIONS = 20_000
HELD_OUT, MOST_HELD_OUT, LEAST_HELD_OUT = 0.25, 1000, 20
LARGEST_GROUP = 0.5
NEARLY_THE_SAME = 0.98  # cosine of vectors less their mean
COMPARED = 256  # questions at once
ADVICE = "or leave queries and judgments out to learn codes from the documents alone"
Asker = Callable[[list[Document]], Sequence[str | None]]


@dataclass(frozen=True)
class Questions:
    """Queries with the ids of what answers them and its weight; no judgments: `judged` is None."""

    ids: tuple[str, ...]
    queries: tuple[Any, ...]
    judged: tuple[Mapping[str, float], ...] | None
    told: str
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.queries)


def given_questions(queries: Any, judgments: Any, seed: int) -> Questions:
    """Queries and judgments as `learn` takes them. `InvalidInputError` says what is wrong."""
    if isinstance(queries, str | os.PathLike):
        queries = load_queries(Path(queries))
    if judgments is None:
        return _unjudged(queries, seed)
    if isinstance(judgments, str | os.PathLike):
        judgments = load_judgments(Path(judgments))
    if not isinstance(judgments, Mapping) or not all(
        isinstance(grades, Mapping) for grades in judgments.values()
    ):
        raise InvalidInputError(
            f"judgments={shown(judgments)} must map ids of queries to documents and their grades, "
            "{'q1': {'d7': 1}}, or be a file (BEIR or TREC)"
        )
    if not isinstance(queries, Mapping):
        raise InvalidInputError(
            f"queries={shown(queries)}: with judgments, queries map the ids that these use to "
            "texts or vectors, {'q1': 'how do plants store energy?'}, or are a file"
        )
    ids, asked, judged = [], [], []
    without = 0
    for name, grades in judgments.items():
        right = {}
        for document, grade in grades.items():
            if isinstance(grade, bool) or not isinstance(grade, int | float) or grade != grade:
                raise InvalidInputError(
                    f"judgments of {name!r}: the grade of {document!r} is {shown(grade)}; a "
                    "number, above 0 for what is right"
                )
            if grade > 0:
                right[document] = float(grade)
        if not right:
            continue
        if name not in queries:
            without += 1
            continue
        if isinstance(queries[name], str) and not queries[name].strip():
            continue
        ids.append(str(name))
        asked.append(queries[name])
        judged.append(right)
    if without and not ids:
        raise InvalidInputError(
            "none of the judged queries is among the queries; both need the same ids"
        )
    if judgments and not any(grade > 0 for told in judgments.values() for grade in told.values()):
        raise InvalidInputError("no grade is above 0: nothing is judged right, or was clicked")
    notes = (f"{counted(without, 'judged query', 'judged queries')} without a text",)
    found = Questions(tuple(ids), tuple(asked), tuple(judged), "", notes if without else ())
    require_enough(len(found), "judged queries")
    found = _some(found, seed)
    n = len({document for right in found.judged or () for document in right})
    told = f"{len(found):,} judged queries with {n:,} right documents"
    return Questions(found.ids, found.queries, found.judged, told, found.notes)


def _unjudged(queries: Any, seed: int) -> Questions:
    if isinstance(queries, Mapping):
        queries = list(queries.values())
    if isinstance(queries, bytes) or not isinstance(queries, Iterable):
        raise InvalidInputError(
            f"queries={shown(queries)} must be a list of texts or vectors, a mapping from ids to "
            "them, a file, or a function from documents to questions"
        )
    listed = [q for q in queries if not (isinstance(q, str) and not q.strip())]
    require_enough(len(listed), "queries")
    found = Questions(tuple(map(str, range(len(listed)))), tuple(listed), None, "")
    found = _some(found, seed)
    return Questions(found.ids, found.queries, None, f"{len(found):,} queries without judgments")


def require_enough(n: int, what: str) -> None:
    """InvalidInputError with advice if there are fewer than LEAST_QUESTIONS."""
    if n < LEAST_QUESTIONS:
        raise InvalidInputError(
            f"{n} {what} are too few to learn from some and be judged by others; give at least "
            f"{LEAST_QUESTIONS}, better thousands, {ADVICE}"
        )


def _some(questions: Questions, seed: int) -> Questions:
    """At most MOST_QUESTIONS of them, drawn at random."""
    if len(questions) <= MOST_QUESTIONS:
        return questions
    rng = np.random.default_rng(seed)
    return _take(questions, np.sort(rng.choice(len(questions), MOST_QUESTIONS, replace=False)))


def _take(questions: Questions, some: npt.NDArray[np.int64]) -> Questions:
    at = some.tolist()
    judged = questions.judged
    return Questions(
        tuple(questions.ids[i] for i in at),
        tuple(questions.queries[i] for i in at),
        None if judged is None else tuple(judged[i] for i in at),
        questions.told,
        questions.notes,
    )


def split(
    texts: Sequence[Any], right: Sequence[Iterable[Any]], seed: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64], tuple[str, ...]]:
    """(to learn from, held out, groups (n,), notes): whole groups of questions to one side.

    `texts`: what must be equal for questions to be the same; `right`: documents that keep them
    together. Where these tie most of them together, texts alone decide, and a note says so.
    """
    notes: tuple[str, ...] = ()
    groups = _groups(texts, right)
    if np.bincount(groups).max() > LARGEST_GROUP * len(groups):
        groups = _groups(texts, [()] * len(texts))
        notes = (
            "most questions share right documents with others, so some that were held out have "
            "documents that were learned from: the gain is for questions of this kind",
        )
    wanted = max(LEAST_HELD_OUT, min(MOST_HELD_OUT, int(HELD_OUT * len(groups))))
    order = np.random.default_rng(seed).permutation(int(groups.max()) + 1)
    sizes = np.bincount(groups)[order]
    chosen = order[: int(np.searchsorted(np.cumsum(sizes), wanted)) + 1]
    out = np.isin(groups, chosen)
    if out.all() or (~out).sum() < LEAST_HELD_OUT:
        raise InvalidInputError(
            f"{len(groups)} queries, of which so many are the same that some cannot be held out "
            f"from the others; give more different ones, {ADVICE}"
        )
    return np.flatnonzero(~out), np.flatnonzero(out), groups, notes


def without_copies(
    vectors: npt.NDArray[np.float32], learned: npt.NDArray[np.int64], held: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], tuple[str, ...]]:
    """(held, notes) less the questions that nearly repeat a learned one, by their vectors (n, d).

    Raises InvalidInputError where too few are left to judge by.
    """
    centred = vectors - vectors[learned].mean(axis=0)
    centred /= np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-12)
    kept = [
        part[(centred[part] @ centred[learned].T).max(axis=1) < NEARLY_THE_SAME]
        for part in np.array_split(held, -(-len(held) // COMPARED))
    ]
    left = np.concatenate(kept)
    if len(left) == len(held):
        return held, ()
    told = f"{len(held) - len(left):,} of {len(held):,} questions held out nearly repeat one that "
    if len(left) < LEAST_HELD_OUT:
        raise InvalidInputError(
            f"{told}is learned from, so that there is nothing to judge by; give more different "
            f"ones, {ADVICE}"
        )
    return left, (told + "was learned from: left out",)


def _groups(texts: Sequence[Any], right: Sequence[Iterable[Any]]) -> npt.NDArray[np.int64]:
    """The group of every question: connected by a text or by a document (union-find)."""
    parent = list(range(len(texts)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    first: dict[Any, int] = {}
    for i, (text, documents) in enumerate(zip(texts, right, strict=True)):
        for key in (("text", text), *(("document", d) for d in documents)):
            other = first.setdefault(key, i)
            a, b = root(i), root(other)
            parent[max(a, b)] = min(a, b)
    roots = [root(i) for i in range(len(texts))]
    return np.unique(roots, return_inverse=True)[1].astype(np.int64)
