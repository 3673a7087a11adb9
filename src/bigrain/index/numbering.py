"""Where rows go when runs or segments become one: new rows in ascending order of unit.

Memory is some bits a row in the usual case, in which the units of one run lie wholly before those
of the next; 4 bytes a row and a sort where they interleave.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Protocol

import numpy as np
import numpy.typing as npt

from bigrain.index.base import Bitmap, Keep, Rows, UnitMap, Units

__all__ = ["Numbering", "UnitLog", "alive_bitmap", "last_of_each", "living_rows", "number_rows"]

CHUNK = 1 << 16
ONES = np.array([bin(byte).count("1") for byte in range(256)], np.uint8)
BELOW = np.array([(1 << bit) - 1 for bit in range(8)], np.uint8)  # the bits before a bit


class Numbering(Protocol):
    """The new row of every living row of some runs."""

    n_rows: int

    def rows(self, run: int, rows: npt.NDArray[np.uint32]) -> npt.NDArray[np.int64]:
        """New rows of rows of a run, -1 for those that are dropped."""
        ...

    def units(self) -> Iterator[Units]:
        """The units of the new rows, ascending, in chunks."""
        ...

    def places(self) -> Iterator[tuple[int, Rows]]:
        """(run, rows) in the order of the new rows, in chunks."""
        ...


def number_rows(maps: Sequence[UnitMap], alive: Sequence[Bitmap | None]) -> Numbering:
    """Number the living rows; `alive` are packed bitmaps, None where every row lives.

    Of a unit in several runs the row of the last one counts.
    """
    order = sorted(
        (i for i in range(len(maps)) if maps[i].n_rows), key=lambda i: (maps[i].first, i)
    )
    if all(maps[a].last < maps[b].first for a, b in pairwise(order)):
        return _Ordered(maps, alive, order)
    return _Interleaved(maps, alive)


class _Ordered:
    """Runs one after another: a new row is a run's first one and the living rows before."""

    def __init__(
        self, maps: Sequence[UnitMap], alive: Sequence[Bitmap | None], order: Sequence[int]
    ) -> None:
        self._maps, self._alive, self._order = maps, alive, order
        self._first = [0] * len(maps)
        self._before: list[npt.NDArray[np.uint32] | None] = [None] * len(maps)
        self.n_rows = 0
        for i in order:
            self._first[i] = self.n_rows
            bits = alive[i]
            if bits is None:
                self.n_rows += maps[i].n_rows
                continue
            before = np.zeros(len(bits) + 1, np.uint32)
            np.cumsum(ONES[bits], out=before[1:], dtype=np.uint32)
            self._before[i] = before
            self.n_rows += int(before[-1])

    def rows(self, run: int, rows: npt.NDArray[np.uint32]) -> npt.NDArray[np.int64]:
        bits, before = self._alive[run], self._before[run]
        if bits is None or before is None:
            return rows.astype(np.int64) + self._first[run]
        byte, bit = rows >> 3, rows & 7
        held = bits[byte]
        new = before[byte].astype(np.int64) + ONES[held & BELOW[bit]] + self._first[run]
        new[(held >> bit.astype(np.uint8)) & 1 == 0] = -1
        found: npt.NDArray[np.int64] = new
        return found

    def units(self) -> Iterator[Units]:
        for run, rows in self.places():
            yield self._maps[run].units(rows)

    def places(self) -> Iterator[tuple[int, Rows]]:
        for i in self._order:
            for rows in living_rows(self._maps[i].n_rows, self._alive[i]):
                yield i, rows


class _Interleaved:
    """Runs whose units mix: the new row of every row, written down."""

    def __init__(self, maps: Sequence[UnitMap], alive: Sequence[Bitmap | None]) -> None:
        starts = np.cumsum([0, *(m.n_rows for m in maps)])
        self._starts = starts.tolist()
        units = np.concatenate([m.slice(0, m.n_rows) for m in maps])
        living = np.concatenate(
            [
                rows + start
                for start, m, bits in zip(self._starts, maps, alive, strict=False)
                for rows in living_rows(m.n_rows, bits)
            ]
            or [np.empty(0, np.int64)]
        )
        self._positions = living[last_of_each(units[living])]
        self._units = units[self._positions]
        self.n_rows = len(self._positions)
        self._new = np.full(len(units), -1, np.int32 if len(units) < 2**31 else np.int64)
        self._new[self._positions] = np.arange(self.n_rows)

    def rows(self, run: int, rows: npt.NDArray[np.uint32]) -> npt.NDArray[np.int64]:
        at = rows.astype(np.int64) + self._starts[run]
        return np.asarray(self._new[at], np.int64)

    def units(self) -> Iterator[Units]:
        for start in range(0, self.n_rows, CHUNK):
            yield self._units[start : start + CHUNK]

    def places(self) -> Iterator[tuple[int, Rows]]:
        for start in range(0, self.n_rows, CHUNK):
            positions = self._positions[start : start + CHUNK]
            runs = np.searchsorted(self._starts, positions, side="right") - 1
            edges = [0, *(np.flatnonzero(np.diff(runs)) + 1).tolist(), len(runs)]
            for a, b in pairwise(edges):
                run = int(runs[a])
                yield run, positions[a:b] - self._starts[run]


class UnitLog:
    """Units in the order they came; nothing but two numbers while they run on without a gap."""

    def __init__(self) -> None:
        self._first = self.n_rows = 0
        self._parts: list[Units] | None = None
        self.rising = True
        self._last = -1

    def append(self, units: Units) -> None:
        if not len(units):
            return
        first, n = int(units[0]), len(units)
        gapless = int(units[-1]) - first + 1 == n and bool((units[1:] > units[:-1]).all())
        if self.rising:
            self.rising = first > self._last and (gapless or bool((np.diff(units) > 0).all()))
        if not self.n_rows:
            self._first = first
        if self._parts is None and not (gapless and first == self._first + self.n_rows):
            self._parts = [self.slice(0, self.n_rows)]
        if self._parts is not None:
            self._parts.append(units)
        self.n_rows += n
        self._last = int(units[-1])

    @property
    def n_bytes(self) -> int:
        return 0 if self._parts is None else 8 * self.n_rows

    def slice(self, start: int, stop: int) -> Units:
        if self._parts is None:
            return np.arange(self._first + start, self._first + stop, dtype=np.int64)
        if len(self._parts) > 1:
            self._parts = [np.concatenate(self._parts)]
        return self._parts[0][start:stop]

    def unit_map(self) -> tuple[UnitMap, Rows | None]:
        """The map of rows in ascending order of unit, the last of each, and where these rows are.

        None stands for all of them as they came.
        """
        if self._parts is None:
            return UnitMap(self._first, self.n_rows, None), None
        units = self.slice(0, self.n_rows)
        if self.rising:
            return UnitMap.of(units), None
        positions = last_of_each(units)
        return UnitMap.of(units[positions]), positions


def living_rows(n_rows: int, alive: Bitmap | None) -> Iterator[Rows]:
    """The rows whose bit is set, in chunks; all of them where there is no bitmap."""
    for start in range(0, n_rows, CHUNK):
        stop = min(start + CHUNK, n_rows)
        if alive is None:
            yield np.arange(start, stop)
            continue
        bits = np.unpackbits(alive[start // 8 : -(-stop // 8)], bitorder="little")
        rows = np.flatnonzero(bits[: stop - start])
        if len(rows):
            yield rows + start


def alive_bitmap(units: UnitMap, keep: Keep) -> Bitmap | None:
    """The rows whose units `keep` lets through, packed; None if it is all of them."""
    parts = []
    everything = True
    for start in range(0, units.n_rows, CHUNK):
        kept = keep(units.slice(start, min(start + CHUNK, units.n_rows)))
        everything = everything and bool(kept.all())
        parts.append(np.packbits(kept, bitorder="little"))
    return None if everything else np.concatenate(parts)


def last_of_each(units: Units) -> npt.NDArray[np.int64]:
    """Positions of the last occurrence of every distinct unit, in ascending order of unit."""
    order = np.argsort(units, kind="stable")
    ordered = units[order]
    last = np.ones(len(units), bool)
    last[:-1] = ordered[1:] != ordered[:-1]
    return order[last]
