"""Codes that a field could have, each tried on a segment made of a sample of its rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bigrain.config import DenseField
from bigrain.families.dense import DenseFamily
from bigrain.index.base import Bitmap, Floats, Units, View
from bigrain.index.coded import CHUNK_ROWS, chunk_rows
from bigrain.index.dense import DenseIndex, DenseSegment
from bigrain.storage.files import Files
from bigrain.storage.segment import SegmentFile

__all__ = [
    "Sampled",
    "Trial",
    "fields_to_try",
    "make_trial",
    "read_vectors",
    "sample_rows",
    "without",
    "write_trial",
]

CHUNK = 1 << 16


def fields_to_try(field: DenseField, *, queries: bool = False) -> list[DenseField]:
    """The field as it is, and with other codes; only the codes may differ.

    `queries`: there are some that a reduction can be fitted to.
    """
    assert field.dim is not None
    full = ceil(field.dim / 8)
    sizes = {
        "rabitq": (full, 3 * full // 4, full // 2, full // 4),
        "opq": (full, 2 * full // 3, full // 3),
    }
    reduction = "pca" if field.reduction == "leanvec" else field.reduction
    others = [
        replace(field, code=code, bits=None, light_bytes=n, reduction=reduction)
        for code, of_code in sizes.items()
        for n in of_code
        if n
    ]
    if queries:
        narrow = [f for f in others if f.code == "rabitq" and 8 * (f.light_bytes or 0) < field.dim]
        others += [replace(f, reduction="leanvec") for f in narrow]
    return list(dict.fromkeys([field, *others]))


@dataclass(frozen=True)
class Sampled:
    """Rows of a field drawn at random: those to be searched, and others to ask with."""

    searched: list[View[DenseSegment]]
    n_searched: int
    asked: Floats  # (m, dim)
    asked_units: Units  # (m,)


@dataclass(frozen=True, eq=False)
class Trial:
    """One way to code a field, on a sample of its rows, or as it is on all."""

    field: DenseField
    index: DenseIndex
    file: SegmentFile | None = None


def sample_rows(
    views: Sequence[View[DenseSegment]], n_searched: int, n_asked: int, seed: int
) -> Sampled:
    """About so many live rows of each kind, or all the others where there are fewer."""
    rng = np.random.default_rng(seed)
    n_live = sum(view.n_live for view in views)
    p_asked = min(1.0, n_asked / max(n_live, 1))
    p_searched = min(1.0, n_searched / max(n_live * (1 - p_asked), 1))
    searched, asked, units = [], [], []
    for view in views:
        bits, chosen = _drawn(view, p_asked, p_searched, rng)
        count = int(np.bitwise_count(bits).sum())
        if count:
            searched.append(View(view.segment, bits, count))
        asked.append(read_vectors(view.segment, chosen))
        units.append(view.segment.units.units(chosen))
    vectors = np.concatenate(asked) if asked else np.empty((0, 0), np.float32)
    return Sampled(searched, sum(view.n_live for view in searched), vectors, np.concatenate(units))


def without(index: DenseIndex, units: Units) -> DenseIndex:
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
    return DenseIndex(index.spec, views)


def _drawn(
    view: View[DenseSegment], p_asked: float, p_searched: float, rng: np.random.Generator
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


def read_vectors(segment: DenseSegment, rows: npt.NDArray[np.int64]) -> Floats:
    """(n, d) vectors of rows of a segment, checked, as float32."""
    parts = [np.empty((0, segment.spec.dim), np.float32)]
    step = min(chunk_rows(segment.spec.dim), CHUNK_ROWS)
    for start in range(0, len(rows), step):
        part = rows[start : start + step]
        records = segment.file.gather_rows("rows", part)
        segment.check(records, part)
        parts.append(segment.finite(segment.spec.rows.decode(records)).astype(np.float32))
    return np.concatenate(parts)


def make_trial(
    family: DenseFamily, field: DenseField, sampled: Sampled, files: Files, folder: Path,
    memory_bytes: int, like: Floats | None,
) -> Trial:  # fmt: skip
    """Write and open the segment of one way to code the sampled rows."""
    return write_trial(family.recoded(field, like), sampled.searched, files, folder, memory_bytes)


def write_trial(
    family: DenseFamily, searched: Sequence[View[DenseSegment]], files: Files, folder: Path,
    memory_bytes: int,
) -> Trial:  # fmt: skip
    """Write and open the segment of rows as a family codes them."""
    path = folder / f"{family.name}-trial.seg"
    family.merge(files, path, searched, memory_bytes)
    file = SegmentFile(files, path)
    segment = family.open_segment(file)
    view = View(segment, None, segment.units.n_rows)
    return Trial(family.spec, DenseIndex(segment.spec, [view]), file)
