"""Vectors of chosen units of a dense field, and a sample of its rows that holds them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bigrain.index.base import Floats, Rows, Units, View
from bigrain.index.coded import chunk_rows
from bigrain.index.dense import DenseIndex, DenseSegment

__all__ = ["sampled_views", "units_of", "vectors_of"]


def vectors_of(index: DenseIndex, units: Units) -> Floats:
    """(n, d) stored vectors of units that are live, in their order."""
    found = np.empty((len(units), index.spec.dim), np.float32)
    for view in index.views:
        at, rows = view.locate(units)
        order = np.argsort(rows, kind="stable")
        found[at[order]] = _read(view.segment, rows[order])
    return found


def _read(segment: DenseSegment, rows: Rows) -> Floats:
    """(n, d) vectors of rows, ascending, checked."""
    parts = [np.empty((0, segment.spec.dim), np.float32)]
    step = chunk_rows(segment.spec.dim)
    for start in range(0, len(rows), step):
        part = rows[start : start + step]
        records = segment.file.gather_rows("rows", part)
        segment.check(records, part)
        parts.append(segment.finite(segment.spec.rows.decode(records)).astype(np.float32))
    return np.concatenate(parts)


def units_of(views: Sequence[View[DenseSegment]]) -> Units:
    """Every live unit of some views, ascending."""
    parts = [view.segment.units.units(view.live_rows()) for view in views]
    return np.sort(np.concatenate([np.empty(0, np.int64), *parts]))


def sampled_views(
    index: DenseIndex, wanted: Units, n_rows: int, seed: int
) -> list[View[DenseSegment]]:
    """About `n_rows` live rows, those of `wanted` units among them; all, where there are so few."""
    if index.n_rows <= n_rows:
        return [view for view in index.views if view.n_live]
    rng = np.random.default_rng(seed)
    share = max(0.0, n_rows - len(wanted)) / index.n_rows
    found = []
    for view in index.views:
        n = view.segment.units.n_rows
        chosen = np.zeros(n, bool)
        rows = view.live_rows()
        chosen[rows[rng.random(len(rows)) < share]] = True
        chosen[view.locate(wanted)[1]] = True
        if chosen.any():
            found.append(
                View(view.segment, np.packbits(chosen, bitorder="little"), int(chosen.sum()))
            )
    return found
