"""The questions of one call of `learn`: given, asked by a function, or made of the documents."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from bigrain.errors import InvalidInputError, counted
from bigrain.families.dense import DenseFamily
from bigrain.index.base import Floats, Units
from bigrain.index.dense import DenseIndex
from bigrain.index.effort import sample_queries
from bigrain.learning.questions import (
    LEAST_QUESTIONS,
    Questions,
    given_questions,
    require_enough,
    split,
    without_copies,
)
from bigrain.learning.rows import units_of, vectors_of
from bigrain.search.asked import fields_of
from bigrain.search.view import SnapshotView
from bigrain.types import Document

__all__ = ["Asked", "questions_for"]

Numbers = npt.NDArray[np.int64]
PSEUDO_QUESTIONS = 2000
CROP_WORDS = 12
LOOKED_AT = 64, 500  # questions and rows, whether scores differ at all


def questions_for(
    view: SnapshotView, family: DenseFamily, index: DenseIndex, queries: Any, judgments: Any,
    seed: int,
) -> Questions:  # fmt: skip
    """What was given; or what documents were asked by a function; or made of the documents."""
    if queries is None and judgments is not None:
        raise InvalidInputError("judgments without queries; give the queries that they judge")
    if callable(queries):
        if judgments is not None:
            raise InvalidInputError(
                "a function as queries brings its own judgments; leave them out"
            )
        documents = _some_documents(view, seed)
        asked = list(queries(documents))
        if len(asked) != len(documents):
            raise InvalidInputError(
                f"the function that asks questions gave {len(asked)} for {len(documents)} "
                "documents; one each, None for documents without"
            )
        about = {
            d.id: q for d, q in zip(documents, asked, strict=True)
            if isinstance(q, str) and q.strip() and d.id is not None
        }  # fmt: skip
        found = given_questions(about, {name: {name: 1} for name in about}, seed)
        return replace(found, told=f"{len(found):,} questions that a function asked of documents")
    if queries is not None:
        return given_questions(queries, judgments, seed)
    if family.spec.reads_text:
        texts = [_pseudo_question(d) for d in _some_documents(view, seed)]
        texts = [text for text in dict.fromkeys(texts) if text]
        told = f"{len(texts):,} titles and beginnings of documents, since no queries were given"
        if len(texts) >= LEAST_QUESTIONS:
            return Questions(tuple(map(str, range(len(texts)))), tuple(texts), None, told)
    vectors = vectors_of(index, _some_units(index, PSEUDO_QUESTIONS, seed))
    made = [
        sample_queries(vectors, index.n_rows, metric=family.spec.metric, seed=seed + turn)[0]
        for turn in range(4)
    ]
    listed = tuple(np.concatenate(made))
    told = f"{len(listed):,} stored vectors and means of two or three, since no queries were given"
    return Questions(tuple(map(str, range(len(listed)))), listed, None, told)


def _some_documents(view: SnapshotView, seed: int) -> list[Document]:
    """At most PSEUDO_QUESTIONS documents, drawn at random."""
    numbers = view.catalogue.live_docnos(view.number)
    rng = np.random.default_rng(seed)
    some = np.sort(rng.permutation(numbers)[:PSEUDO_QUESTIONS])
    stored = view.catalogue.documents(some.tolist())
    return [
        Document(stored[n].text, stored[n].id, stored[n].title, stored[n].metadata)
        for n in some.tolist()
    ]


def _pseudo_question(document: Document) -> str:
    """The title, or the first words."""
    if document.title.strip():
        return document.title.strip()
    return " ".join(islice(document.text.split(), CROP_WORDS))


def _some_units(index: DenseIndex, n: int, seed: int) -> Units:
    units = units_of(index.views)
    return np.sort(np.random.default_rng(seed).permutation(units)[:n])


@dataclass(frozen=True)
class Asked:
    """The questions as vectors, and what answers them by number of document."""

    raw: Sequence[Any]
    plain: Floats  # (n, dim), without an adapter
    grades: Sequence[Mapping[int, float]] | None
    learned: Numbers  # numbers of questions to learn from
    held: Numbers
    groups: Numbers  # (n,): which questions belong together
    told: str
    notes: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, view: SnapshotView, family: DenseFamily, index: DenseIndex, questions: Questions,
        hold_out: str, seed: int,
    ) -> Asked:  # fmt: skip
        notes, raw, told = list(questions.notes), list(questions.queries), questions.told
        grades: list[dict[int, float]] | None = None
        if questions.judged is not None:
            grades, left_out = _by_number(view, index, questions.judged)
            notes += left_out
            usable = [i for i, g in enumerate(grades) if g]
            if len(usable) < LEAST_QUESTIONS:
                raise InvalidInputError(
                    f"{counted(len(usable), 'query', 'queries')} with right documents that this "
                    f"collection has are too few; at least {LEAST_QUESTIONS}"
                )
            raw, grades = [raw[i] for i in usable], [grades[i] for i in usable]
            if left_out:
                n = len({number for right in grades for number in right})
                told = f"{len(usable):,} of {told} ({n:,} of these are here)"
        named = fields_of(raw[0])
        if named and family.name not in named:
            raise InvalidInputError(
                f"the queries name {', '.join(named)}, but not field {family.name!r}"
            )
        own = [query[family.name] for query in raw] if named else raw
        plain = family.plain_queries(own)
        _require_spread(family, index, plain, seed)
        keys: list[Any] = [
            _words(q) if isinstance(q, str) else vector.tobytes()
            for q, vector in zip(own, plain, strict=True)
        ]
        if len(set(keys)) < len(keys):
            require_enough(len(set(keys)), "different queries")
            whole = [(key, *_elsewhere(q, family.name)) for key, q in zip(keys, raw, strict=True)]
            kept = _first_of_each(whole, grades)
            if len(kept) < len(raw):
                told += f", {len(kept):,} of them different"
                raw, keys = [raw[i] for i in kept], [keys[i] for i in kept]
                plain = plain[kept]
                grades = None if grades is None else [grades[i] for i in kept]
        right: Sequence[Iterable[int]] = [()] * len(raw)
        if grades is not None and hold_out == "documents":
            right = grades
        learned, held, groups, told_of_split = split(keys, right, seed)
        notes += told_of_split
        if grades is not None:
            held, told_of_copies = without_copies(plain, learned, held)
            notes += told_of_copies
        return cls(raw, plain, grades, learned, held, groups, told, tuple(notes))


def _words(text: str) -> str:
    return " ".join(text.casefold().split())


def _elsewhere(query: Any, name: str) -> tuple[Any, ...]:
    """What a query asks of other fields than this one, if it names fields: equal if the same."""
    others = [field for field in sorted(fields_of(query)) if field != name]
    return tuple(
        (field, _words(query[field]) if isinstance(query[field], str) else id(query[field]))
        for field in others
    )


def _first_of_each(keys: Sequence[Any], grades: list[dict[int, float]] | None) -> list[int]:
    """Numbers of the questions that repeat none before; these get the others' judgments, too."""
    first: dict[Any, int] = {}
    for i, key in enumerate(keys):
        at = first.setdefault(key, i)
        if grades is not None:
            for document, grade in grades[i].items():
                grades[at][document] = max(grade, grades[at].get(document, grade))
    return list(first.values())


def _by_number(
    view: SnapshotView, index: DenseIndex, judged: Sequence[Mapping[str, float]]
) -> tuple[list[dict[int, float]], list[str]]:
    """Judgments by number of document, of those that have a row; and what was left out."""
    names = list(dict.fromkeys(name for right in judged for name in right))
    known = {
        name: d.docno for name, d in view.catalogue.documents_by_id(names, view.number).items()
    }
    if not known:
        raise InvalidInputError(
            f"no judged document is in this collection (such as {names[0]!r}); are these "
            "judgments for another one?"
        )
    notes = []
    if missing := len(names) - len(known):
        notes.append(f"{counted(missing, 'judged document')} of {len(names):,} not there: left out")
    numbers = np.array(sorted(known.values()), np.int64)
    units, owner = view.passages_of(numbers)
    there = np.zeros(len(numbers), bool)
    for part in index.views:
        there[owner[part.locate(units)[0]]] = True
    if not there.all():
        notes.append(
            f"{counted(int((~there).sum()), 'judged document')} without a vector: left out"
        )
    usable = set(numbers[there].tolist())
    found = [
        {known[name]: grade for name, grade in right.items() if known.get(name, -1) in usable}
        for right in judged
    ]
    return found, notes


def _require_spread(family: DenseFamily, index: DenseIndex, plain: Floats, seed: int) -> None:
    """Refuse questions for which every document scores the same."""
    vectors = vectors_of(index, _some_units(index, LOOKED_AT[1], seed)).astype(np.float64)
    scores = plain[: LOOKED_AT[0]].astype(np.float64) @ vectors.T
    if family.spec.metric == "l2":
        scores = 2 * scores - np.square(vectors).sum(axis=1)
    if (scores.std(axis=1) <= 1e-6 * np.maximum(np.abs(scores).max(axis=1), 1e-12)).all():
        raise InvalidInputError(
            f"field {family.name!r}: every document scores the same for these queries, so that "
            "there is nothing to learn; are the vectors all equal, or the queries empty?"
        )
