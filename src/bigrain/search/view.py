"""What one snapshot of a collection looks like to a search."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from bigrain.families import Family
from bigrain.index.base import FieldIndex, Selection
from bigrain.search import filter as filters
from bigrain.storage.catalogue import Catalogue

__all__ = ["FieldView", "SnapshotView"]

Numbers = npt.NDArray[np.int64]
KEPT_SELECTIONS = 16


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
    dead: Numbers  # numbers of deleted documents, ascending
    long_starts: Numbers  # documents of several passages, ascending
    long_counts: Numbers
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

    def select(self, source: object) -> Selection:
        """The live units that a filter lets through; recent filters are remembered."""
        parsed = filters.parse(source)
        with self._lock:
            if parsed in self._selections:
                self._selections.move_to_end(parsed)
                return self._selections[parsed]
        documents = filters.resolve(
            parsed,
            self.catalogue.metadata_keys(),
            self.catalogue.select_docnos,
            self._live_documents,
        )
        documents = np.setdiff1d(documents, self.dead, assume_unique=True)
        selection = Selection(self.passages_of(documents)[0])
        with self._lock:
            self._selections[parsed] = selection
            while len(self._selections) > KEPT_SELECTIONS:
                self._selections.popitem(last=False)
        return selection

    def _live_documents(self) -> Numbers:
        return self.catalogue.select_docnos(
            "SELECT docno FROM documents WHERE born <= ? AND (died IS NULL OR died > ?)"
            " ORDER BY docno",
            (self.number, self.number),
        )
