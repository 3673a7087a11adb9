"""True neighbours of sample queries, found while a segment is written, and how codes rank them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from bigrain.index.base import Floats, Rows
from bigrain.index.coded import expected_best
from bigrain.index.effort import (
    DEPTHS,
    GRID,
    HUNDREDTH,
    MIXED,
    Calibration,
    dips_of,
    sample_queries,
)

if TYPE_CHECKING:
    from bigrain.index.coded_writing import ListedCodes

__all__ = ["Best", "LEAST_ROWS", "Neighbours", "Second", "calibrated"]

KEPT = int(DEPTHS[-1]) + max(MIXED)  # a mean of stored vectors finds these first
TOGETHER = 64  # queries measured at a time
STEP_BYTES = 1 << 20  # of codes, as float32
LEAST_ROWS = 1_000  # of fewer many are verified anyway (`Effort.apart`)
ROUNDING = 2e-6


class Best:
    """The best rows of m queries, collected from chunks of scores."""

    def __init__(self, m: int) -> None:
        self.scores = np.full((m, KEPT), -np.inf, np.float32)
        self.rows = np.full((m, KEPT), -1, np.int64)

    def look_at(self, start: int, scores: Floats) -> None:
        """Scores (m, n) of the rows start..."""
        better = scores > self.scores[:, -1:]
        for q in np.flatnonzero(better.any(axis=1)):
            found = np.flatnonzero(better[q])
            scored = np.concatenate((self.scores[q], scores[q, found]))
            rows = np.concatenate((self.rows[q], found + start))
            order = np.argsort(-scored, kind="stable")[:KEPT]
            self.scores[q], self.rows[q] = scored[order], rows[order]


class Neighbours:
    """The best rows of sample queries among vectors."""

    def __init__(
        self,
        metric: str,
        sample: Floats,
        n_rows: int,
        asked: Callable[[Floats], Floats] | None = None,
    ) -> None:
        self.metric = metric
        self.queries, self._skip = np.empty((0, sample.shape[1]), np.float32), np.empty(0, np.int64)
        if n_rows >= LEAST_ROWS:
            self.queries, self._skip = sample_queries(sample, n_rows, metric=metric)
            if asked is not None:
                self.queries = asked(self.queries)
        self._best = Best(len(self.queries))

    def look_at(self, start: int, vectors: Floats) -> None:
        """Rows start... of (n, d) vectors."""
        if not len(self.queries):
            return
        scores = self.queries @ vectors.T
        if self.metric == "l2":
            scores = 2 * scores - np.einsum("ij,ij->i", vectors, vectors)
        self._best.look_at(start, scores)

    def calibration(self, codes: ListedCodes) -> Calibration | None:
        return calibrated(codes, self.queries, self._best, self._skip, dips=True)


class Second(Protocol):
    """What looks over the candidates of codes, `broad` times as many as it leaves."""

    @property
    def broad(self) -> int: ...

    def joined(self, queries: slice, rows: Rows, estimates: Floats) -> Floats:
        """Better estimates (Q, n) of `rows` (Q, n) for some of the queries."""
        ...


def calibrated(
    codes: ListedCodes,
    queries: Floats,
    best: Best,
    skip: npt.NDArray[np.int64],
    second: Second | None = None,
    dips: bool = False,
) -> Calibration | None:
    """Gap, rank and, if wanted, dip of the neighbours (see `effort`), by the codes of all rows.

    `queries` (m, d) as the codes are asked; `skip` (m,): how many of the best tell nothing, since
    the query was made of them. A row that is looked over a second time is found by n candidates if
    it is among the first n then, and was among `broad` n before.
    """
    if not len(queries):
        return None
    shown = DEPTHS - 1 + skip[:, None]  # places among the best
    rows = np.take_along_axis(best.rows, shown, axis=1)
    parts = []
    for start in range(0, len(rows), TOGETHER):
        part = slice(start, start + TOGETHER)
        parts.append(_measured(codes, queries[part], rows[part], part, second, dips))
    gaps, ranks, below, probed = (np.concatenate(part) for part in zip(*parts, strict=True))
    known = rows >= 0
    below[:, :-1][~known] = np.inf
    return Calibration(
        np.where(known, gaps, np.inf).astype(np.float32),
        np.where(known, ranks, np.iinfo(np.int32).max).astype(np.int32),
        np.minimum(probed.mean(axis=0), 1).astype(np.float32),
        dips=below if dips else None,
    )


def _measured(
    codes: ListedCodes,
    queries: Floats,
    rows: Rows,
    part: slice,
    second: Second | None,
    dips: bool,
) -> tuple[npt.NDArray[Any], npt.NDArray[Any], Floats, npt.NDArray[Any]]:
    """(gaps, ranks, dips, shares of rows within each margin) for some of the queries."""
    prepared = codes.codec.prepare(queries)
    bases = codes.partition.products(prepared.routed)
    routes = expected_best(prepared, bases, codes.spread, codes.list_offset)
    best = routes.max(axis=1, keepdims=True)
    reach = best - routes.mean(axis=1, keepdims=True)
    apart = (best - routes) / np.where(reach > 0, reach, 1)
    gaps = np.take_along_axis(apart, codes.lists[rows].astype(np.int64), axis=1)
    shares = (codes.sizes / max(1, len(codes.lists))).astype(np.float32)
    probed = np.stack([(apart <= margin) @ shares for margin in GRID], axis=1)
    turned = codes.codec.turned(prepared.routed)
    top = Best(len(queries)) if dips else None
    ranks, estimates = _ranks(codes, bases, turned, rows, top=top)
    below = np.empty((len(queries), len(DEPTHS) + 1), np.float32)
    if top is not None:
        below = dips_of(estimates, top.scores[:, :HUNDREDTH], prepared.length)
    if second is not None:
        later, _ = _ranks(codes, bases, turned, rows, partial(second.joined, part))
        ranks = np.maximum(later, -(-ranks // second.broad))
    return gaps, ranks, below, probed


def _ranks(
    codes: ListedCodes,
    bases: Floats,
    turned: Floats,
    rows: Rows,
    believed: Callable[[Rows, Floats], Floats] | None = None,
    top: Best | None = None,
) -> tuple[npt.NDArray[np.int64], Floats]:
    """(m, depths) the places of `rows` by what is believed of all rows, from 1, and the beliefs.

    Estimates by codes are believed, or what `believed` turns the estimates (m, n) of rows (m, n)
    into. `top` is shown all. Of vectors that are the same any will do, so what is estimated the
    same takes no place.
    """
    own = np.concatenate([codes.estimates(r, turned[[q]], bases[[q]]) for q, r in enumerate(rows)])
    if believed is not None:
        own = believed(rows, own)
    least = own + ROUNDING * np.abs(own).max(axis=1, keepdims=True)
    lowest = least.min(axis=1, keepdims=True)
    counts = np.zeros(rows.shape, np.int64)
    step = max(32, STEP_BYTES // (4 * turned.shape[1]))
    for start in range(0, len(codes.lists), step):
        some = np.arange(start, min(start + step, len(codes.lists)))
        estimates = codes.estimates(some, turned, bases)
        if believed is not None:
            estimates = believed(np.broadcast_to(some, estimates.shape), estimates)
        if top is not None:
            top.look_at(start, estimates)
        good = estimates > lowest
        for q in np.flatnonzero(good.any(axis=1)):
            counts[q] += (estimates[q, good[q]][:, None] > least[q]).sum(axis=0)
    return counts + 1, own
