"""What every family of index shares: rows and units, liveness, ranked lists, the two protocols.

A *unit* is a passage number: a document with n passages owns n consecutive numbers, the first of
which is the document's own. A *row* is a position in one segment.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from bigrain.errors import DamagedError
from bigrain.storage.files import Files
from bigrain.storage.segment import SegmentFile, SegmentWriter

__all__ = [
    "Builder",
    "FieldIndex",
    "Keep",
    "Ranked",
    "Segment",
    "Selection",
    "UnitMap",
    "View",
    "live_bitmap",
    "merge_ranked",
    "open_views",
]

Units = npt.NDArray[np.int64]
Rows = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
Bitmap = npt.NDArray[np.uint8]
Keep = Callable[[Units], npt.NDArray[np.bool_]]

EMPTY = np.empty(0, np.int64)
S = TypeVar("S", bound="Segment")


@dataclass(frozen=True, slots=True)
class Ranked:
    """Units and their scores, best first."""

    units: Units
    scores: Floats


class UnitMap:
    """Row -> unit of one segment; rows lie in ascending order of unit.

    A gap-free segment, the usual case, costs nothing in memory.
    """

    def __init__(self, first: int, n_rows: int, units: Units | None) -> None:
        self.first, self.n_rows, self._units = first, n_rows, units

    @classmethod
    def write(cls, writer: SegmentWriter, units: Units) -> dict[str, Any]:
        """Store ascending units; returns what belongs into the segment's meta."""
        n, first = len(units), int(units[0]) if len(units) else 0
        if n and int(units[-1]) - first + 1 != n:
            writer.add("units", units.astype("<i8"))
        return {"n_rows": n, "first_unit": first}

    @classmethod
    def read(cls, file: SegmentFile) -> UnitMap:
        units = file.read("units").astype(np.int64) if "units" in file.sections else None
        first, n_rows = int(file.meta["first_unit"]), int(file.meta["n_rows"])
        if n_rows < 0 or (units is not None and units.shape != (n_rows,)):
            raise DamagedError(
                file.name, "units", f"{n_rows} rows", 0 if units is None else len(units)
            )
        return cls(first, n_rows, units)

    @property
    def n_bytes(self) -> int:
        return 0 if self._units is None else self._units.nbytes

    def units(self, rows: Rows) -> Units:
        return rows + self.first if self._units is None else self._units[rows]

    def slice(self, start: int, stop: int) -> Units:
        if self._units is None:
            return np.arange(self.first + start, self.first + stop, dtype=np.int64)
        return self._units[start:stop]

    def rows(self, units: Units) -> Rows:
        """The row of each unit, -1 where it is not in this segment."""
        if self._units is None:
            rows = units - self.first
            return np.where((rows >= 0) & (rows < self.n_rows), rows, -1)
        at = np.minimum(np.searchsorted(self._units, units), max(self.n_rows - 1, 0))
        found = self._units[at] == units if self.n_rows else np.zeros(len(units), bool)
        return np.where(found, at, -1)


class Segment(Protocol):
    """One opened segment of a field: both grains of some units."""

    file: SegmentFile
    units: UnitMap

    @property
    def memory_bytes(self) -> int: ...


class Builder(Protocol):
    """Collects pending representations of one field, spilling to disk, until they are sealed."""

    def append(self, units: Units, values: Any) -> None: ...
    def seal(self, keep: Keep, path: Path, files: Files) -> Units: ...
    def discard(self) -> None: ...


class FieldIndex(Protocol):
    """All segments of one field as one snapshot sees them."""

    @property
    def views(self) -> Sequence[View[Any]]: ...
    @property
    def n_rows(self) -> int: ...
    def candidates(
        self, queries: Sequence[Any], n: int, selection: Selection | None
    ) -> list[Ranked]:
        """Per query, the n units that the light grain puts first (its scores are estimates)."""
        ...

    def score(self, query: Any, units: Units) -> Floats:
        """Exact scores from the heavy grain; NaN where the field holds no such unit."""
        ...

    def exact(self, queries: Sequence[Any], k: int, selection: Selection | None) -> list[Ranked]:
        """Per query, the true best k units, by looking at everything."""
        ...


@dataclass(eq=False)
class Selection:
    """The units a filter lets through, ascending; bitmaps are kept per segment."""

    units: Units
    _bitmaps: dict[str, Bitmap] = field(default_factory=dict)

    def bitmap(self, view: View[Any]) -> Bitmap:
        """Live *and* selected rows of a segment."""
        name = view.segment.file.name
        if name not in self._bitmaps:
            rows = view.segment.units.rows(self.units)
            selected = np.zeros(view.segment.units.n_rows, bool)
            selected[rows[rows >= 0]] = True
            bits = np.packbits(selected, bitorder="little")
            self._bitmaps[name] = bits if view.live is None else bits & view.live
        return self._bitmaps[name]


@dataclass(frozen=True, eq=False)
class View(Generic[S]):
    """A segment as one snapshot sees it: `live` is None when nothing in it has died."""

    segment: S
    live: Bitmap | None
    n_live: int

    def bitmap(self, selection: Selection | None) -> Bitmap | None:
        return self.live if selection is None else selection.bitmap(self)

    def locate(self, units: Units) -> tuple[Rows, Rows]:
        """(positions in `units`, their rows) of the units that are live here."""
        rows = self.segment.units.rows(units)
        at = np.flatnonzero(rows >= 0)
        at = at[self.is_live(rows[at])]
        return at, rows[at]

    def live_rows(self) -> Rows:
        return np.flatnonzero(self.is_live(np.arange(self.segment.units.n_rows)))

    def is_live(self, rows: Rows) -> npt.NDArray[np.bool_]:
        if self.live is None:
            return np.ones(len(rows), bool)
        return np.asarray((self.live[rows >> 3] >> (rows & 7)) & 1, bool)


def live_bitmap(units: UnitMap, dead: Units) -> tuple[Bitmap | None, int]:
    """(packed bitmap or None, number of live rows) given the units that have died."""
    rows = units.rows(dead)
    rows = rows[rows >= 0]
    if not len(rows):
        return None, units.n_rows
    alive = np.ones(units.n_rows, bool)
    alive[rows] = False
    return np.packbits(alive, bitorder="little"), int(alive.sum())


def open_views(segments: Sequence[S], dead: Units, replaced: dict[str, Units]) -> list[View[S]]:
    """The views of segments, given dead units and the rows replaced file by file.

    A segment in which nothing lives stays among them, so that compaction retires it before the
    deletions that hide its rows are forgotten.
    """
    views = []
    for segment in segments:
        gone = np.concatenate((dead, replaced.get(segment.file.name, EMPTY)))
        live, n_live = live_bitmap(segment.units, gone)
        views.append(View(segment, live, n_live))
    return views


def merge_ranked(lists: Sequence[Ranked], k: int) -> Ranked:
    """The best k of several lists; ties go to the smaller unit."""
    if len(lists) == 1:
        only = lists[0]
        return Ranked(only.units[:k], only.scores[:k])
    units = np.concatenate([r.units for r in lists]) if lists else EMPTY
    scores = np.concatenate([r.scores for r in lists]) if lists else np.empty(0, np.float32)
    order = np.lexsort((units, -scores))[:k]
    return Ranked(units[order], scores[order])
