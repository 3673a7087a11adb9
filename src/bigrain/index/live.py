"""How far a search would have had to look for the true neighbours of queries that were asked.

The same three numbers as `neighbours` takes of sample queries while a segment is written (see
`effort`), here taken of an index as it is searched, over all its segments.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from bigrain.index.base import Floats, Ranked, Selection, Units
from bigrain.index.coded import CodedSegment
from bigrain.index.coded_index import CodedIndex
from bigrain.index.effort import DEPTHS, GRID, HUNDREDTH, NEVER, Effort, LiveQueries, dips_of

__all__ = ["NEIGHBOURS", "in_figures", "joined", "measured"]

NEIGHBOURS = int(DEPTHS[-1])  # of each query
DEEPEST = 1 << 15  # candidates looked through for a neighbour
TOGETHER = 8  # queries ranked at a time
CHUNK = 1 << 16


def measured(
    index: CodedIndex[Any],
    queries: Sequence[Any],
    truths: Sequence[Ranked],
    selection: Selection | None = None,
) -> LiveQueries:
    """Gaps, ranks and dips for queries whose true best units are known, best first."""
    gaps = np.full((len(queries), len(DEPTHS)), np.inf, np.float32)
    ranks = np.full((len(queries), len(DEPTHS)), NEVER, np.int64)
    estimated = np.full((len(queries), len(DEPTHS)), -np.inf, np.float32)
    best = np.full((len(queries), HUNDREDTH), -np.inf, np.float32)
    wanted = [truth.units[DEPTHS[len(truth.units) >= DEPTHS] - 1] for truth in truths]
    for at, units in enumerate(wanted):
        gaps[at, : len(units)] = _gaps(index, queries[at], units)
    for start in range(0, len(queries), TOGETHER):
        part = slice(start, start + TOGETHER)
        before = 0
        for n in _depths(index.n_rows):
            ranked = index.candidates(list(queries[part]), Effort(n), selection)
            missed = False
            for at, found in enumerate(ranked, start):
                units = wanted[at]
                places = _places(found.units, units)
                known = np.flatnonzero(places < NEVER)
                estimated[at, known] = found.scores[places[known] - 1]
                best[at, : len(found.scores)] = found.scores[:HUNDREDTH]
                places = _as_sampled(np.maximum(places, before + 1), index.depth_of(queries[at]))
                ranks[at, : len(units)] = np.minimum(ranks[at, : len(units)], places)
                missed |= bool((ranks[at, : len(units)] == NEVER).any())
            before = n
            if not missed:
                break
    dips = None
    if index.views and index.errs_by_length:
        length = index.prepare(index.views[0].segment, queries).length
        dips = dips_of(estimated, best, length)
    return LiveQueries(gaps, ranks, dips)


def _depths(n_rows: int) -> list[int]:
    """Numbers of candidates to ask for, until all is found.

    What more candidates find in a better place, fewer may not find at all: sketches look over a
    multiple of what is asked for.
    """
    deepest = max(1, min(DEEPEST, n_rows))
    return [n for n in (128, 1024, 8192) if n < deepest] + [deepest]


def joined(parts: Sequence[LiveQueries]) -> LiveQueries:
    """Several measurements as one."""
    dips = [part.dips for part in parts if part.dips is not None]
    return LiveQueries(
        np.concatenate([p.gaps for p in parts]),
        np.concatenate([p.ranks for p in parts]),
        np.concatenate(dips) if len(dips) == len(parts) else None,
    )


def _places(ranked: Units, units: Units) -> npt.NDArray[np.int64]:
    """From 1, where in `ranked` each unit is; NEVER if it is not there."""
    order = np.argsort(ranked)
    at = order[np.minimum(np.searchsorted(ranked, units, sorter=order), len(ranked) - 1)]
    return np.where(ranked[at] == units, at + 1, NEVER)


def _as_sampled(places: npt.NDArray[np.int64], depth: float) -> npt.NDArray[np.int64]:
    """The places that neighbours of a sample query would have."""
    if depth == 1:
        return places
    return np.where(places < NEVER, np.ceil(places / depth).astype(np.int64), NEVER)


def _gaps(index: CodedIndex[Any], query: Any, units: Units) -> Floats:
    gaps = np.full(len(units), np.inf, np.float32)
    for view in index.views:
        at, rows = view.locate(units)
        if len(at):
            gaps[at] = _gaps_of(index, view.segment, query, rows)
    return gaps


def _gaps_of(index: CodedIndex[Any], segment: CodedSegment, query: Any, rows: Units) -> Floats:
    """How far the list of each row lies below the best one, in units of (best - mean)."""
    if segment.partition.n_lists == 1:
        return np.zeros(len(rows), np.float32)
    routes = segment.bases(index.prepare(segment, [query]))[1][0]
    best = routes.max()
    reach = best - routes.mean()
    lists = segment.lists(_code_places(segment, rows))
    return np.asarray((best - routes[lists]) / (reach if reach > 0 else 1), np.float32)


def _code_places(segment: CodedSegment, rows: Units) -> npt.NDArray[np.int64]:
    """Where the codes of a few rows lie, without a map of all."""
    if segment.order is None:
        return rows
    order = np.argsort(rows)
    places = np.empty(len(rows), np.int64)
    for start in range(0, len(segment.order), CHUNK):
        part = segment.order[start : start + CHUNK]
        at = np.flatnonzero(np.isin(part, rows))
        places[order[np.searchsorted(rows, part[at], sorter=order)]] = at + start
    return places


def in_figures(index: CodedIndex[Any], effort: Effort, k: int) -> dict[str, Any]:
    """The most candidates for the best k, about how many are verified, reach (None: all), margin
    (None: all lists), and the share of codes looked at."""
    seen, verified, n_rows = 0.0, 0.0, 0
    for view in index.views:
        n, known = view.segment.units.n_rows, view.segment.calibration
        own, share, few = effort.of(view.segment.file.name), 1.0, float(effort.n)
        if known is not None:
            few = known.verified(own, k)
            if own.margin < GRID[-1]:
                share = float(np.interp(own.margin, GRID, known.probed))
        seen, verified, n_rows = seen + share * n, verified + few * n, n_rows + n
    return {
        "candidates": effort.n,
        "verified": verified / max(n_rows, 1),
        "reach": effort.reach if effort.reach < np.inf else None,
        "margin": effort.margin if effort.margin < np.inf else None,
        "share_of_codes": seen / max(n_rows, 1),
    }
