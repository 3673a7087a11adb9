"""How many candidates a recall needs, measured on the collection's own vectors.

A code's error bound alone is no guarantee (papers/A-5: RaBitQ's covers about 94 % of vectors), so
stored vectors are used as queries, their true nearest neighbours are found by looking at
everything, and the places of those neighbours in the codes' ranking say how deep to verify.
"""

from __future__ import annotations

import math
import threading
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from bigrain.index.base import View
from bigrain.index.dense import DenseIndex, DenseSegment
from bigrain.index.numbering import living_rows
from bigrain.search.view import FieldView

__all__ = ["candidates_for"]

SAMPLE_QUERIES = 64
NEIGHBOURS = 10
DEEPEST = 2000

_ranks: WeakKeyDictionary[DenseIndex, npt.NDArray[np.int64]] = WeakKeyDictionary()
_lock = threading.Lock()


def candidates_for(field: FieldView, k: int, recall: float) -> int:
    """How many candidates hold `recall` of the true top k, on average over queries.

    Measured once a snapshot and field, at the first call (about a second a million rows). Fields
    whose candidates are exact need k.
    """
    index = field.index
    if not isinstance(index, DenseIndex) or index.n_rows == 0:
        return k
    with _lock:
        if index not in _ranks:
            _ranks[index] = _measure(index)
    ranks = _ranks[index]
    # The lower end of a 95 % interval around the share found must reach the recall asked for.
    n = ranks.size
    for depth in sorted({*np.unique(ranks).tolist(), DEEPEST}):
        share = float((ranks <= depth).mean())
        margin = 1.64 * math.sqrt(max(share * (1 - share), 0.25 / n) / n)
        if share - margin >= recall or depth >= DEEPEST:
            break
    return int(min(index.n_rows, math.ceil(depth * max(1.0, k / NEIGHBOURS))))


def _some_rows(view: View[DenseSegment], n: int) -> npt.NDArray[np.int64]:
    """n live rows of a segment, drawn at random."""
    places = np.sort(np.random.default_rng(0).choice(view.n_live, n, replace=False))
    found = []
    before = 0
    for rows in living_rows(view.segment.units.n_rows, view.live):
        here = places[np.searchsorted(places, before) : np.searchsorted(places, before + len(rows))]
        found.append(rows[here - before])
        before += len(rows)
    return np.concatenate(found) if found else np.empty(0, np.int64)


def _measure(index: DenseIndex) -> npt.NDArray[np.int64]:
    """Ranks (from 1) in the codes' order of the true neighbours of sampled rows."""
    total = sum(view.segment.units.n_rows for view in index.views)
    samples = []
    for view in index.views:
        share = max(1, round(SAMPLE_QUERIES * view.n_live / total))
        rows = _some_rows(view, min(share, view.n_live))
        records = view.segment.file.gather_rows("rows", rows)
        samples.append(index.spec.rows.decode(records))
    queries = list(np.concatenate(samples)[: 2 * SAMPLE_QUERIES])
    exact = index.exact(queries, NEIGHBOURS + 1, None)
    deep = index.candidates(queries, min(DEEPEST, index.n_rows), None)
    ranks = []
    for truth, found in zip(exact, deep, strict=True):
        place = {unit: rank for rank, unit in enumerate(found.units.tolist())}
        for unit in truth.units[1:].tolist():  # the first is the sampled row itself
            ranks.append(place.get(unit, DEEPEST * 2))
    return np.array(ranks or [1], np.int64)
