"""A query made more of, by a callable of the user's: hypothetical answers, or other wordings.

    HyDE         the query's vector becomes the mean of itself and the vectors of N answers that
                 somebody makes up, q' = (q + sum a_i) / (N + 1)   (Gao et al., ACL 2023)
    MultiQuery   other wordings are asked besides, and the lists joined by reciprocal ranks,
                 score(d) = sum over lists 1 / (60 + rank(d))      (Cormack et al., SIGIR 2009)

Both take plain text. With no answers and no wordings the search is as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from bigrain.errors import ConfigError, InvalidQueryError, shown
from bigrain.families.dense import DenseFamily
from bigrain.search.pipeline import Answer, Answers, side_by_side
from bigrain.search.plan import Plan

__all__ = ["Expansion", "HyDE", "MultiQuery", "checked_expansion", "joined", "with_answers"]

RANK_CONSTANT = 60
LARGEST_MOST = 64


def _check(callable_: object, name: str, most: object) -> None:
    if not callable(callable_):
        raise ConfigError(f"{name}={shown(callable_)} must be a function from a text to texts")
    if type(most) is not int or not 1 <= most <= LARGEST_MOST:
        raise ConfigError(f"most={shown(most)} must be a whole number from 1 to {LARGEST_MOST}")


@dataclass(frozen=True)
class HyDE:
    """Hypothetical answers to a query, averaged with it in every dense field that reads text.

    `generate(query)` gives one text or several, such as a language model's; the first `most` count.
    They are encoded as documents, at unit length under cosine. Words are asked as they were. Raises
    ConfigError.
    """

    generate: Callable[[str], str | Sequence[str]]
    most: int = 8

    def __post_init__(self) -> None:
        _check(self.generate, "generate", self.most)


@dataclass(frozen=True)
class MultiQuery:
    """Other wordings of a query, each asked like the query itself, joined by reciprocal ranks.

    `rewrite(query)` gives one text or several; the first `most` count, and those that are the query
    itself are left out. `depth` is how many documents of each list have a say. Raises ConfigError.
    """

    rewrite: Callable[[str], str | Sequence[str]]
    most: int = 4
    depth: int = 100

    def __post_init__(self) -> None:
        _check(self.rewrite, "rewrite", self.most)
        if type(self.depth) is not int or not 1 <= self.depth <= 10_000:
            raise ConfigError(f"depth={shown(self.depth)} must be a whole number from 1 to 10,000")

    def wordings(self, queries: Sequence[Any]) -> list[list[str]]:
        """Of each query itself and then the others."""
        found = []
        for query in queries:
            others = _given(self.rewrite, query, "MultiQuery", self.most)
            found.append([query, *dict.fromkeys(o for o in others if o != query)])
        return found


Expansion: TypeAlias = HyDE | MultiQuery


def checked_expansion(expand: object) -> Expansion | None:
    """What `search` was given, or `InvalidQueryError`."""
    if expand is None or isinstance(expand, HyDE | MultiQuery):
        return expand
    raise InvalidQueryError(
        f"expand={shown(expand)}: use bigrain.HyDE(generate), bigrain.MultiQuery(rewrite), or None"
    )


def _given(made_by: Callable[[str], Any], query: Any, name: str, most: int) -> list[str]:
    """The texts that the user's function gives; blank ones say nothing and are left out."""
    if not isinstance(query, str):
        raise InvalidQueryError(f"{name} takes plain text, got a {type(query).__name__}")
    try:
        given = made_by(query)
    except Exception as error:
        raise InvalidQueryError(
            f"{name}: the function raised {type(error).__name__}: {error} (query {shown(query)})"
        ) from error
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, Sequence) or isinstance(texts, bytes):
        raise InvalidQueryError(
            f"{name}: the function gave {shown(given)} for query {shown(query)}; it should give a "
            "text or a list of texts, [] for none"
        )
    for text in texts:
        if not isinstance(text, str):
            raise InvalidQueryError(
                f"{name}: the function gave {shown(text)} among its texts for query "
                f"{shown(query)}; each should be a str"
            )
    return [text for text in texts if text.strip()][:most]


def with_answers(plan: Plan, queries: Sequence[Any], hyde: HyDE) -> Plan:
    """The plan with the answers to each query averaged into its vectors."""
    able = [_encodes(field.field.family) for field in plan.fields]
    if not any(able):
        raise InvalidQueryError(
            "HyDE moves the vectors of dense fields that read text, and none was asked"
        )
    answers = [_given(hyde.generate, query, "HyDE", hyde.most) for query in queries]
    ends = np.cumsum([0, *map(len, answers)]).tolist()
    texts = [text for some in answers for text in some]
    if not texts:
        return plan
    fields = []
    for field, encodes in zip(plan.fields, able, strict=True):
        family = field.field.family
        if encodes and isinstance(family, DenseFamily):
            made = family.encode_documents(texts)
            moved: Any = [
                _mean(query, made[a:b], family.spec.metric == "cosine")
                for query, a, b in zip(field.queries, ends, ends[1:], strict=False)
            ]
            moved = np.array(moved, np.float32).reshape(len(queries), -1)
            field = replace(field, queries=moved)
        fields.append(field)
    return replace(plan, fields=tuple(fields))


def _encodes(family: object) -> bool:
    return isinstance(family, DenseFamily) and family.encoder is not None


def _mean(
    query: npt.NDArray[np.float32], answers: npt.NDArray[np.float32], cosine: bool
) -> npt.NDArray[np.float32]:
    if not len(answers):
        return query
    mean = (query + answers.sum(axis=0)) / (len(answers) + 1)
    if not cosine:
        return np.asarray(mean, np.float32)
    size = np.linalg.norm(mean)
    return np.asarray(mean / size if size > 0 else query, np.float32)


def joined(plan: Plan, answers: Answers, lengths: Sequence[int], k: int) -> tuple[Plan, Answers]:
    """Answers to wordings, `lengths` of them for each query, as one answer for each query; and the
    plan of the first wordings, which are the queries themselves."""
    starts = np.cumsum([0, *lengths])
    own = starts[:-1].tolist()
    fields = tuple(
        replace(field, queries=field.queries[own] if isinstance(field.queries, np.ndarray)
                else [field.queries[i] for i in own])
        for field in plan.fields
    )  # fmt: skip
    first = replace(plan, k=k, n_queries=len(own), fields=fields)
    return first, side_by_side(
        [_joined(answers[a:b], k) for a, b in zip(own, starts[1:].tolist(), strict=True)],
        len(plan.fields),
    )


def _joined(lists: Sequence[Answer], k: int) -> Answer:
    """Several lists as one, by reciprocal ranks; ties go to the older document.

    What a list gives to a document is shared among fields as the list's own parts are. Exact
    scores, estimates and passages are those of the list in which the document stands highest.
    """
    documents = np.concatenate([one.documents for one in lists])
    ranks = np.concatenate([np.arange(len(one.documents)) for one in lists])
    whole = np.nan_to_num(np.abs(np.concatenate([one.parts for one in lists])))
    sums = whole.sum(axis=1, keepdims=True)
    shares = np.where(sums > 0, whole / np.where(sums > 0, sums, 1), 1 / max(whole.shape[1], 1))
    distinct, place = np.unique(documents, return_inverse=True)
    parts = np.zeros((len(distinct), whole.shape[1]))
    np.add.at(parts, place, shares / (RANK_CONSTANT + 1 + ranks)[:, None])
    scores = parts.sum(axis=1)
    highest = np.full(len(distinct), len(documents))
    falling = np.argsort(-ranks, kind="stable")
    highest[place[falling]] = falling  # what is written last stands highest
    best = np.argsort(-scores, kind="stable")[:k]

    def of_lists(name: str) -> npt.NDArray[Any]:
        whole: npt.NDArray[Any] = np.concatenate([getattr(one, name) for one in lists])
        return np.asarray(whole[highest[best]])

    return Answer(
        distinct[best], scores[best], parts[best],
        of_lists("heavy"), of_lists("light"), of_lists("units"),
    )  # fmt: skip
