"""What a catalogue says: all of it if it is sound, else what can be read of it."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from dataclasses import astuple, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from bigrain.errors import DamagedError
from bigrain.progress import Reporter
from bigrain.storage.catalogue import CATALOGUE, Catalogue, SegmentRow, Stored
from bigrain.storage.salvage import SalvagedCatalogue
from bigrain.writing.checking_metadata import Expected, check_metadata
from bigrain.writing.flags import CHUNK, DEAD, DEAD_DOCUMENT, DOCUMENT, PASSAGE, Flags
from bigrain.writing.session import expand

__all__ = ["BATCH_DOCUMENTS", "Contents", "Definition", "read_contents", "salvaged_contents"]

Units = npt.NDArray[np.int64]
Definition = dict[str, tuple[dict[str, Any], dict[str, Any]]]
BATCH_DOCUMENTS = 256


@dataclass
class Contents:
    """Documents, segments and settings, as far as they are known.

    `documents(numbers)` reads those documents (None: all), ascending, with their births; `marks`
    says of every passage whether it is live or dead. The two `proven` tell whether a list is
    complete; `fields` and `settings` are None where they are not.
    """

    snapshot: int
    next_docno: int
    settings: dict[str, Any] | None
    fields: Definition | None
    live: Units  # (n, 2): number, passages
    dead: Units  # (n, 2)
    segments: list[SegmentRow]
    superseded: dict[str, Units]
    documents: Callable[[Units | None], Iterator[tuple[Stored, int]]]
    dead_documents: Callable[[], Iterator[tuple[Stored, int, int]]]
    segments_proven: bool = True
    superseded_proven: bool = True
    marks: Flags = field(default_factory=Flags)

    def __post_init__(self) -> None:
        self.marks.mark(self.live[:, 0], DOCUMENT)
        self.marks.mark(self.dead[:, 0], DEAD_DOCUMENT)
        for documents, flag in ((self.live, PASSAGE), (self.dead, DEAD)):
            for start in range(0, len(documents), CHUNK):
                self.marks.mark(expand(documents[start : start + CHUNK]), flag)

    def owners(self, units: Units) -> Units:
        """The numbers of the live documents that own these passages."""
        starts = self.live[:, 0]
        at = np.searchsorted(starts, units, side="right") - 1
        return np.unique(starts[at[at >= 0]])

    def ids(self, units: Units) -> list[str]:
        """The ids of the live documents that own these passages."""
        if not len(units):
            return []
        return [stored.id for stored, _ in self.documents(self.owners(units))]


def read_contents(catalogue: Catalogue, reporter: Reporter) -> tuple[Contents | None, list[str]]:
    """(everything, no problems) of a sound catalogue; (None, what is wrong) of another.

    Raises DamagedError too, where nothing else could be told.
    """
    catalogue.check_format()
    problems = [f"{CATALOGUE}: {complaint}" for complaint in catalogue.check()]
    if problems:
        return None, problems
    settings, fields = catalogue.definition()
    snapshot, counted = catalogue.snapshot()
    reporter.stage("documents", counted)
    numbers = array("q")
    expected = Expected(catalogue.metadata_keys(), snapshot)
    for found in catalogue.scan(snapshot):
        if isinstance(found, DamagedError):
            problems.append(str(found))
        else:
            numbers.extend((found.docno, found.n_passages))
            expected.add(found)
        reporter.advance()
    for gone in catalogue.scan_dead(snapshot):
        if isinstance(gone, DamagedError):
            problems.append(f"{gone} (deleted, kept for older snapshots)")
    if problems:
        return None, problems
    live = np.array(numbers, np.int64).reshape(-1, 2)
    catalogue.long_documents(snapshot)

    def documents(wanted: Units | None) -> Iterator[tuple[Stored, int]]:
        chosen = live[:, 0] if wanted is None else wanted
        for start in range(0, len(chosen), BATCH_DOCUMENTS):
            part = chosen[start : start + BATCH_DOCUMENTS].tolist()
            read = catalogue.documents(part)
            for n in part:
                d = read[n]
                yield Stored(n, d.id, d.title, d.text, d.metadata, d.passages), 0

    contents = Contents(
        snapshot, catalogue.listed(snapshot).next_docno, settings, fields, live,
        catalogue.dead_documents(snapshot), catalogue.segments(snapshot),
        catalogue.superseded(snapshot), documents, lambda: iter(()),
    )  # fmt: skip
    problems = check_metadata(catalogue, expected, contents.marks, contents.next_docno, reporter)
    return (None, problems) if problems else (contents, [])


def salvaged_contents(found: SalvagedCatalogue) -> Contents:
    """What is left of a damaged catalogue, in the same form."""

    def documents(wanted: Units | None) -> Iterator[tuple[Stored, int]]:
        chosen = None if wanted is None else set(wanted.tolist())
        for stored, born in found.documents():
            if chosen is None or stored.docno in chosen:
                yield stored, born

    return Contents(
        found.newest, found.next_docno, found.settings, found.fields, found.live, found.dead,
        [SegmentRow(*astuple(line)) for line in found.segments],
        {file: np.array(units, np.int64) for file, units in found.superseded.items()},
        documents, found.dead_documents, found.segments_proven, found.superseded_proven,
    )  # fmt: skip
