"""What light codes are learned from: judged pairs, bare queries, or the corpus alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from bigrain.errors import InvalidInputError

__all__ = ["Supervision", "sampled_queries"]

Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]
AWAY = 0.5  # of a document's length: how far a query drawn from it is moved


@dataclass(frozen=True)
class Supervision:
    """Queries and, where known, the rows that answer them.

    Without `positives` the exact scores of the queries are the teacher. Without queries, too,
    documents stand in for them. `weights` tell how much each query counts (clicks, say).
    `teacher_scores` replaces exact scores by those of any other ranker: of each query a row number
    and score for every row it has scored.
    """

    queries: Floats  # (q, d), q may be 0
    positives: Sequence[Rows] = ()  # of each query, or nothing at all
    weights: Floats | None = None  # (q,), positive
    teacher_scores: Sequence[tuple[Rows, Floats]] | None = field(default=None)

    @property
    def judged(self) -> bool:
        return len(self.positives) > 0

    def checked(self, n: int, dim: int) -> Supervision:
        """The same, in the types that training takes; InvalidInputError tells what is wrong."""
        queries = np.ascontiguousarray(self.queries, np.float32)
        if queries.ndim != 2 or queries.shape[1] != dim:
            raise InvalidInputError(f"queries have shape {queries.shape}, not (q, {dim})")
        if not np.isfinite(queries).all():
            row = int(np.flatnonzero(~np.isfinite(queries).all(axis=1))[0])
            raise InvalidInputError(f"query {row} holds NaN or infinity")
        positives = [np.unique(np.asarray(rows, np.int64)) for rows in self.positives]
        if positives and len(positives) != len(queries):
            raise InvalidInputError(
                f"positives of {len(positives)} queries for {len(queries)} queries; "
                f"give one list of rows for each, or none at all"
            )
        for query, rows in enumerate(positives):
            if len(rows) and not (rows[0] >= 0 and rows[-1] < n):
                raise InvalidInputError(
                    f"query {query} names row {int(rows[0] if rows[0] < 0 else rows[-1])}; "
                    f"rows are 0 to {n - 1}"
                )
        weights = np.ones(len(queries), np.float32)
        if self.weights is not None:
            weights = np.asarray(self.weights, np.float32)
            if weights.shape != (len(queries),) or not (np.isfinite(weights) & (weights > 0)).all():
                raise InvalidInputError(f"weights must be {len(queries)} positive numbers")
        scored = self.teacher_scores
        if scored is not None:
            if len(scored) != len(queries):
                raise InvalidInputError(
                    f"teacher_scores of {len(scored)} queries for {len(queries)} queries"
                )
            scored = [(np.asarray(r, np.int64), np.asarray(s, np.float32)) for r, s in scored]
            for query, (rows, scores) in enumerate(scored):
                inside = len(rows) == 0 or (rows.min() >= 0 and rows.max() < n)
                if rows.shape != scores.shape or not inside or not np.isfinite(scores).all():
                    raise InvalidInputError(
                        f"the teacher's scores of query {query} must be finite, one for each of "
                        f"its rows, which are 0 to {n - 1}"
                    )
            if len(scored) and all(len(s) == 0 or s.min() == s.max() for _, s in scored):
                raise InvalidInputError(
                    "the teacher scores all rows of each query alike: there is nothing to follow"
                )
        return Supervision(queries, positives, weights, scored)

    def take(self, some: Rows) -> Supervision:
        """Those of the queries."""
        assert self.weights is not None
        scored = self.teacher_scores
        return Supervision(
            self.queries[some],
            [self.positives[i] for i in some] if self.judged else (),
            self.weights[some],
            None if scored is None else [scored[i] for i in some],
        )


def sampled_queries(vectors: Floats, n_queries: int, seed: int, away: float = AWAY) -> Floats:
    """(n_queries, d): documents moved a little, as queries where there are none.

    Each is moved by the difference of two other documents, scaled to `away` times its length, so
    it stays among directions that the corpus has, and is given its length again.
    """
    rng = np.random.default_rng(seed)
    rows, one, other = (rng.integers(0, len(vectors), n_queries) for _ in range(3))
    found = vectors[rows]
    moved = vectors[one] - vectors[other]
    moved *= away * _lengths(found) / np.maximum(_lengths(moved), 1e-30)
    moved += found
    return np.asarray(moved * (_lengths(found) / np.maximum(_lengths(moved), 1e-30)), np.float32)


def _lengths(vectors: Floats) -> Floats:
    return np.asarray(np.sqrt(np.einsum("ij,ij->i", vectors, vectors))[:, None], np.float32)
