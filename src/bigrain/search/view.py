"""What one snapshot of a collection looks like to a search."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from bigrain.families import Family
from bigrain.index.base import Bitmap, FieldIndex, Selection
from bigrain.search import filter as filters
from bigrain.storage.catalogue import Catalogue

__all__ = ["FieldView", "SnapshotView"]

Numbers = npt.NDArray[np.int64]
KEPT_SELECTIONS = 16
CHUNK = 1 << 12  # long documents expanded at a time


@dataclass(frozen=True)
class FieldView:
    """A field and its index in one snapshot."""

    family: Family
    index: FieldIndex


@dataclass
class SnapshotView:
    """An immutable snapshot: its fields, and which passages belong to which document."""

    number: int
    n_documents: int
    catalogue: Catalogue
    fields: Mapping[str, FieldView]
    n_dead: int  # deleted documents that are kept for older snapshots
    long_starts: Numbers  # documents of several passages, ascending
    long_counts: Numbers
    search_bytes: int  # what searches may use while they run
    _selections: OrderedDict[filters.Filter, Selection] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def documents_of(self, units: Numbers) -> Numbers:
        """The document of each passage."""
        if not len(self.long_starts) or not len(units):
            return units
        at = np.searchsorted(self.long_starts, units, side="right") - 1
        start = self.long_starts[np.maximum(at, 0)]
        inside = (at >= 0) & (units < start + self.long_counts[np.maximum(at, 0)])
        return np.where(inside, start, units)

    def passages_of(self, documents: Numbers) -> tuple[Numbers, Numbers]:
        """(units, position in `documents` of each): every passage of every document."""
        counts = np.ones(len(documents), np.int64)
        if len(self.long_starts):
            at = np.minimum(np.searchsorted(self.long_starts, documents), len(self.long_starts) - 1)
            counts = np.where(self.long_starts[at] == documents, self.long_counts[at], 1)
        owner = np.repeat(np.arange(len(documents)), counts)
        first = np.repeat(np.cumsum(counts) - counts, counts)
        return documents[owner] + (np.arange(len(owner)) - first), owner

    @property
    def n_units(self) -> int:
        """One more than the highest passage number that a segment holds."""
        views = [v for f in self.fields.values() for v in f.index.views]
        return max((v.segment.units.last + 1 for v in views), default=0)

    def select(self, source: object) -> Selection:
        """The live units that a filter lets through; recent filters are remembered."""
        parsed = filters.parse(source)
        with self._lock:
            if parsed in self._selections:
                self._selections.move_to_end(parsed)
                return self._selections[parsed]
        size = self.n_units
        bits = filters.resolve(
            parsed, self.catalogue.metadata_keys(), self.catalogue.mark_docnos, size
        )
        selection = Selection(self.with_passages(bits, size))
        with self._lock:
            self._selections[parsed] = selection
            kept = sum(s.n_bytes for s in self._selections.values())
            while len(self._selections) > 1 and (
                len(self._selections) > KEPT_SELECTIONS or kept > self.search_bytes // 4
            ):
                kept -= self._selections.popitem(last=False)[1].n_bytes
        return selection

    def with_passages(self, bits: Bitmap, size: int) -> Bitmap:
        """Every passage goes with its document."""
        inside = self.long_starts < size
        if not inside.any():
            return bits
        flags = np.unpackbits(bits, count=size, bitorder="little")
        for start in range(0, len(inside), CHUNK):
            part = slice(start, start + CHUNK)
            starts, counts = (
                self.long_starts[part][inside[part]],
                self.long_counts[part][inside[part]],
            )
            owner = np.repeat(np.arange(len(starts)), counts)
            first = np.repeat(np.cumsum(counts) - counts, counts)
            units = starts[owner] + (np.arange(len(owner)) - first)
            seen = units < size
            flags[units[seen]] = flags[starts[owner[seen]]]
        return np.packbits(flags, bitorder="little")
