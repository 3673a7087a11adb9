"""Codes that a field could have, each tried on a segment made of a sample of its rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bigrain.families.base import CodedFamily
from bigrain.index.base import Bitmap, Units, View
from bigrain.index.coded import CodedSegment
from bigrain.index.coded_index import CodedIndex
from bigrain.storage.files import Files
from bigrain.storage.segment import SegmentFile

__all__ = [
    "Sampled",
    "Trial",
    "make_trial",
    "sample_rows",
    "without",
    "write_trial",
]

CHUNK = 1 << 16


@dataclass(frozen=True)
class Sampled:
    """Rows of a field drawn at random: those to be searched, and others to ask with."""

    searched: list[View[CodedSegment]]
    n_searched: int
    asked: Units  # (m,)


@dataclass(frozen=True, eq=False)
class Trial:
    """One way to code a field, on a sample of its rows, or as it is on all."""

    field: Any
    index: CodedIndex[Any]
    file: SegmentFile | None = None


def sample_rows(
    views: Sequence[View[CodedSegment]], n_searched: int, n_asked: int, seed: int
) -> Sampled:
    """About so many live rows of each kind, or all the others where there are fewer."""
    rng = np.random.default_rng(seed)
    n_live = sum(view.n_live for view in views)
    p_asked = min(1.0, n_asked / max(n_live, 1))
    p_searched = min(1.0, n_searched / max(n_live * (1 - p_asked), 1))
    searched, asked = [], []
    for view in views:
        bits, chosen = _drawn(view, p_asked, p_searched, rng)
        count = int(np.bitwise_count(bits).sum())
        if count:
            searched.append(View(view.segment, bits, count))
        asked.append(view.segment.units.units(chosen))
    return Sampled(searched, sum(view.n_live for view in searched), np.concatenate(asked))


def without(index: CodedIndex[Any], units: Units) -> CodedIndex[Any]:
    """The index as if these units were not in it."""
    views = []
    for view in index.views:
        _, rows = view.locate(units)
        if len(rows):
            n = view.segment.units.n_rows
            every = np.packbits(np.ones(n, bool), bitorder="little")
            live = every if view.live is None else view.live.copy()
            np.bitwise_and.at(live, rows >> 3, ~(np.uint8(1) << (rows & 7).astype(np.uint8)))
            view = View(view.segment, live, view.n_live - len(rows))
        views.append(view)
    return index.among(views)


def _drawn(
    view: View[CodedSegment], p_asked: float, p_searched: float, rng: np.random.Generator
) -> tuple[Bitmap, npt.NDArray[np.int64]]:
    """(bitmap of rows to search, rows to ask with) of one segment."""
    n, parts, asked = view.segment.units.n_rows, [], []
    for start in range(0, n, CHUNK):
        rows = np.arange(start, min(start + CHUNK, n))
        live = view.is_live(rows)
        ask = live & (rng.random(len(rows)) < p_asked)
        search = live & ~ask & (rng.random(len(rows)) < p_searched)
        asked.append(rows[ask])
        parts.append(np.packbits(search, bitorder="little"))
    return np.concatenate(parts), np.concatenate(asked)


def make_trial(
    family: CodedFamily, field: Any, index: CodedIndex[Any], sampled: Sampled, files: Files,
    folder: Path, memory_bytes: int, like: Any,
) -> Trial:  # fmt: skip
    """Write and open the segment of one way to code the sampled rows."""
    recoded = family.recoded(field, like)
    return write_trial(recoded, index, sampled.searched, files, folder, memory_bytes)


def write_trial(
    family: CodedFamily, index: CodedIndex[Any], searched: Sequence[View[Any]], files: Files,
    folder: Path, memory_bytes: int,
) -> Trial:  # fmt: skip
    """Write and open the segment of some rows of an index as a family codes them."""
    path = folder / f"{family.name}-trial.seg"
    family.merge(files, path, searched, memory_bytes)
    file = SegmentFile(files, path)
    segment = family.open_segment(file)
    view = View(segment, None, segment.units.n_rows)
    return Trial(family.spec, index.among([view]), file)
