"""What every family of index shares: rows and units, liveness, ranked lists, the two protocols.

A *unit* is a passage number: a document with n passages owns n consecutive numbers, the first of
which is the document's own. A *row* is a position in one segment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar, overload

import numpy as np
import numpy.typing as npt

from bigrain.errors import DamagedError
from bigrain.index.effort import Effort
from bigrain.storage.files import Files
from bigrain.storage.segment import SegmentFile, SegmentWriter

__all__ = [
    "Builder",
    "FieldIndex",
    "Keep",
    "Ranked",
    "RankedBatch",
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
Array = npt.NDArray[Any]
Keep = Callable[[Units], npt.NDArray[np.bool_]]

EMPTY = np.empty(0, np.int64)
CHUNK = 1 << 16
MAX_ROWS = 2**32 - 2  # in a segment: rows are numbered in 32 bits
S = TypeVar("S", bound="Segment")


@dataclass(frozen=True, slots=True)
class Ranked:
    """Units and their scores, best first."""

    units: Units
    scores: Floats


@dataclass(frozen=True, eq=False)
class RankedBatch(Sequence[Ranked]):
    """The same of several queries, side by side: short rows end in unit -1 and score -inf."""

    units: Units  # (Q, n)
    scores: Floats  # (Q, n)

    @classmethod
    def of(cls, lists: Sequence[Ranked]) -> RankedBatch:
        if isinstance(lists, RankedBatch):
            return lists
        shape = len(lists), max((len(one.units) for one in lists), default=0)
        units, scores = np.full(shape, -1, np.int64), np.full(shape, -np.inf, np.float32)
        for row, one in enumerate(lists):
            units[row, : len(one.units)] = one.units
            scores[row, : len(one.units)] = one.scores
        return cls(units, scores)

    def __len__(self) -> int:
        return len(self.units)

    @overload
    def __getitem__(self, query: int) -> Ranked: ...
    @overload
    def __getitem__(self, query: slice) -> Sequence[Ranked]: ...
    def __getitem__(self, query: int | slice) -> Ranked | Sequence[Ranked]:
        units, scores = self.units[query], self.scores[query]
        if isinstance(query, slice):
            return RankedBatch(units, scores)
        n = int(np.count_nonzero(units >= 0))
        return Ranked(units[:n], scores[:n])

    def within(self, doubt: Floats, rank: int) -> RankedBatch:
        """Without those whose scores lie more than `doubt` (Q,) below the score number `rank`."""
        if self.scores.shape[1] <= rank:
            return self
        kept = self.scores >= (self.scores[:, rank - 1] - doubt)[:, None]
        widest = slice(int(kept.sum(axis=1).max(initial=0)))
        units = np.where(kept[:, widest], self.units[:, widest], -1)
        return RankedBatch(units, np.where(units >= 0, self.scores[:, widest], np.float32(-np.inf)))


class UnitMap:
    """Row -> unit of one segment; rows lie in ascending order of unit.

    A gap-free segment, the usual case, costs nothing in memory; one with some gaps 8 bytes for each
    run without any; one with very many 4 bytes a row.
    """

    def __init__(self, first: int, n_rows: int, units: Units | None = None) -> None:
        self.first, self.n_rows, self.last = first, n_rows, first + n_rows - 1
        # Offsets from `first`: of every row, or of the rows where runs begin.
        self._offsets: Array | None = None
        self._starts: Array | None = None  # the rows where runs begin, where these are listed
        if units is not None and len(units):
            self.last = int(units[-1])
            self._list(lambda: iter([units]))

    @classmethod
    def of(cls, units: Units) -> UnitMap:
        """The map of ascending units."""
        return cls(int(units[0]) if len(units) else 0, len(units), units)

    def _list(self, chunks: Callable[[], Iterator[Units]]) -> None:
        """Take down the units of a segment with gaps; `chunks` is called once or twice."""
        kind = np.uint32 if self.last - self.first < 2**32 and self.n_rows < 2**32 else np.int64
        starts: list[Array] = []
        offsets: list[Array] = []
        row, before, n_runs = 0, self.first - 2, 0
        for units in chunks():
            begins = np.flatnonzero(np.diff(units, prepend=before) != 1)
            n_runs += len(begins)
            if not self._few(n_runs):
                break
            starts.append((begins + row).astype(kind))
            offsets.append((units[begins] - self.first).astype(kind))
            row, before = row + len(units), int(units[-1])
        if n_runs == 1:
            return
        if self._few(n_runs):
            self._starts, self._offsets = np.concatenate(starts), np.concatenate(offsets)
            return
        self._offsets, row = np.empty(self.n_rows, kind), 0
        for units in chunks():
            self._offsets[row : row + len(units)] = units - self.first
            row += len(units)

    def _few(self, n_runs: int) -> bool:
        return 2 * n_runs <= self.n_rows

    @classmethod
    def write(cls, writer: SegmentWriter, chunks: Callable[[], Iterable[Units]]) -> dict[str, Any]:
        """Store ascending units, given in chunks; returns what belongs into the segment's meta.

        `chunks` is called twice.
        """
        n, first, last, runs = 0, 0, -2, 0
        for units in chunks():
            if len(units):
                first = first if n else int(units[0])
                runs += int((np.diff(units, prepend=last) != 1).sum())
                last = int(units[-1])
            n += len(units)
        if runs > 1:
            with writer.section("units", "<i8") as section:
                for units in chunks():
                    section.append(units)
        return {"n_rows": n, "first_unit": first, "unit_runs": runs}

    @classmethod
    def read(cls, file: SegmentFile) -> UnitMap:
        n_rows, first = file.number("n_rows", high=MAX_ROWS), file.number("first_unit")
        found = cls(first, n_rows)
        if "units" not in file.sections:
            return found
        file.section("units", "<i8", (n_rows,))
        for _ in file.check("units"):
            pass

        def chunks() -> Iterator[Units]:
            last = first - 1
            for start in range(0, n_rows, CHUNK):
                units = file.read_rows("units", start, min(start + CHUNK, n_rows))
                units = units.astype(np.int64, copy=False)
                falls = bool((units[1:] <= units[:-1]).any()) or int(units[0]) <= last
                if falls or (start == 0 and int(units[0]) != first):
                    raise DamagedError(file.name, "units", f"numbers rising from {first}", "others")
                last = int(units[-1])
                yield units

        if n_rows:
            found.last = int(file.read_rows("units", n_rows - 1, n_rows)[0])
            found._list(chunks)
        return found

    @staticmethod
    def bytes_in(file: SegmentFile) -> int:
        """What the map of a segment takes in memory, by its table."""
        if "units" not in file.sections:
            return 0
        n_rows, runs = file.section("units").shape[0], file.meta.get("unit_runs")
        return 8 * runs if isinstance(runs, int) and 0 < 2 * runs <= n_rows else 4 * n_rows

    @property
    def n_bytes(self) -> int:
        return sum(a.nbytes for a in (self._offsets, self._starts) if a is not None)

    def units(self, rows: Rows) -> Units:
        if self._offsets is None:
            return rows + self.first
        if self._starts is None:
            return self._offsets[rows].astype(np.int64) + self.first
        # One type on both sides, or NumPy would copy the array that is searched.
        run = np.searchsorted(self._starts, rows.astype(self._starts.dtype), side="right") - 1
        begins = self._offsets[run].astype(np.int64) - self._starts[run]
        return np.asarray(rows + begins + self.first, np.int64)

    def slice(self, start: int, stop: int) -> Units:
        return self.units(np.arange(start, stop, dtype=np.int64))

    def rows(self, units: Units) -> Rows:
        """The row of each unit, -1 where it is not in this segment."""
        inside = (units >= self.first) & (units <= self.last)
        if self._offsets is None or not self.n_rows:
            return np.where(inside, units - self.first, -1)
        wanted = np.where(inside, units - self.first, 0)
        key = wanted.astype(self._offsets.dtype)
        at = np.searchsorted(self._offsets, key, side="right") - 1
        if self._starts is None:
            return np.where(inside & (self._offsets[at] == key), at, -1)
        rows = self._starts[at].astype(np.int64) + (wanted - self._offsets[at].astype(np.int64))
        after = np.minimum(at + 1, len(self._starts) - 1)
        ends = np.where(at + 1 < len(self._starts), self._starts[after], self.n_rows)
        return np.where(inside & (rows < ends), rows, -1)


class Segment(Protocol):
    """One opened segment of a field: both grains of some units."""

    file: SegmentFile
    units: UnitMap

    @property
    def memory_bytes(self) -> int:
        """What the light grain takes; the segment's table foretells it."""
        ...


class Builder(Protocol):
    """Collects pending representations of one field, spilling to disk, until they are sealed."""

    def append(self, units: Units, values: Any) -> None: ...
    def seal(self, keep: Keep, path: Path, files: Files) -> int:
        """Write the rows whose units `keep` lets through as a segment; how many (0: no file)."""
        ...

    def discard(self) -> None: ...


class FieldIndex(Protocol):
    """All segments of one field as one snapshot sees them."""

    @property
    def views(self) -> Sequence[View[Any]]: ...
    @property
    def n_rows(self) -> int: ...
    def effort(self, recall: float | None, k: int) -> Effort:
        """How far to look for this share of the true top k; None: the family's own choice."""
        ...

    def candidates(
        self, queries: Sequence[Any], effort: Effort, selection: Selection | None
    ) -> Sequence[Ranked]:
        """Per query, the units that the light grain puts first (its scores are estimates)."""
        ...

    def score(self, query: Any, units: Units) -> Floats:
        """Exact scores from the heavy grain; NaN where the field holds no such unit."""
        ...

    def exact(self, queries: Sequence[Any], k: int, selection: Selection | None) -> list[Ranked]:
        """Per query, the true best k units, by looking at everything."""
        ...


@dataclass(eq=False)
class Selection:
    """The units a filter lets through, as a packed bitmap; those of segments are kept."""

    bits: Bitmap
    _bitmaps: dict[str, Bitmap] = field(default_factory=dict)

    def bitmap(self, view: View[Any]) -> Bitmap:
        """Live *and* selected rows of a segment."""
        name = view.segment.file.name
        if name not in self._bitmaps:
            units = view.segment.units
            parts = [
                np.packbits(self.has(units.slice(a, b)), bitorder="little")
                for a in range(0, units.n_rows, CHUNK)
                for b in [min(a + CHUNK, units.n_rows)]
            ]
            bits = np.concatenate(parts) if parts else np.empty(0, np.uint8)
            self._bitmaps[name] = bits if view.live is None else bits & view.live
        return self._bitmaps[name]

    def has(self, units: Units) -> npt.NDArray[np.bool_]:
        """Whether each unit is let through."""
        held = self.bits[units >> 3]
        return np.asarray((held >> (units & 7).astype(np.uint8)) & 1, bool)

    @property
    def n_bytes(self) -> int:
        return self.bits.nbytes + sum(bits.nbytes for bits in self._bitmaps.values())


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
        if self.live is not None:
            at = at[self.is_live(rows[at])]
        return at, rows[at]

    def live_rows(self) -> Rows:
        if self.live is None:
            return np.arange(self.segment.units.n_rows)
        bits = np.unpackbits(self.live, count=self.segment.units.n_rows, bitorder="little")
        return np.flatnonzero(bits)

    def is_live(self, rows: Rows) -> npt.NDArray[np.bool_]:
        if self.live is None:
            return np.ones(len(rows), bool)
        return np.asarray((self.live[rows >> 3] >> (rows & 7)) & 1, bool)


def live_bitmap(units: UnitMap, dead: Iterable[Units]) -> tuple[Bitmap | None, int]:
    """(packed bitmap or None, number of live rows) given the units that have died."""
    alive: npt.NDArray[np.bool_] | None = None
    for part in dead:
        rows = units.rows(part)
        rows = rows[rows >= 0]
        if len(rows):
            alive = np.ones(units.n_rows, bool) if alive is None else alive
            alive[rows] = False
    if alive is None:
        return None, units.n_rows
    return np.packbits(alive, bitorder="little"), int(alive.sum())


def open_views(
    segments: Sequence[S], dead: Callable[[], Iterable[Units]], replaced: dict[str, Units]
) -> list[View[S]]:
    """The views of segments, given dead units in stretches and the rows replaced file by file.

    A segment in which nothing lives stays among them, so that compaction retires it before the
    deletions that hide its rows are forgotten.
    """
    views = []
    for segment in segments:
        gone = chain(dead(), (replaced.get(segment.file.name, EMPTY),))
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
