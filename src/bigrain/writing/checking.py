"""Verification: read everything through and hold the parts against each other.

Works on the folder, not on an open collection, so it can look at one too damaged to open.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from bigrain import config
from bigrain.errors import (
    BigrainError,
    DamagedError,
    NotACollectionError,
    StorageError,
    counted,
)
from bigrain.families.learned import Learned
from bigrain.index.base import UnitMap
from bigrain.progress import Reporter
from bigrain.storage.catalogue import CATALOGUE, Catalogue, SegmentRow
from bigrain.storage.folder import Folder, Pin
from bigrain.storage.header import header_problems
from bigrain.storage.segment import SegmentFile
from bigrain.writing.checking_metadata import Expected, check_metadata
from bigrain.writing.flags import CHUNK, DEAD, DEAD_DOCUMENT, DOCUMENT, PASSAGE, Flags
from bigrain.writing.session import expand

__all__ = ["Report", "check_collection", "check_rows"]

Units = npt.NDArray[np.int64]
SHOWN = 5
FORMAT_1 = (
    f"{CATALOGUE} is of format 1: its lists of segments, deletions, passages and replaced rows "
    "have no checksum; the next write adds them"
)


@dataclass
class Report:
    """What verification found. `problems` is empty for a sound collection.

    `notes` say what an older format leaves unchecked.
    """

    snapshot: int = -1
    documents: int = 0
    segments: int = 0
    sections: int = 0
    n_bytes: int = 0
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.problems

    def to_dict(self) -> dict[str, Any]:
        return {
            "ok": self.ok,
            "snapshot": self.snapshot,
            "documents": self.documents,
            "segments": self.segments,
            "sections": self.sections,
            "bytes": self.n_bytes,
            "problems": list(self.problems),
            "notes": list(self.notes),
        }

    def summary(self) -> str:
        what = (
            f"snapshot {self.snapshot}: {counted(self.documents, 'document')}, "
            f"{counted(self.segments, 'segment')}, {counted(self.sections, 'section')}, "
            f"{self.n_bytes:,} bytes"
        )
        told = (
            f"sound: {what}" if self.ok else f"{counted(len(self.problems), 'problem')} in {what}"
        )
        return "\n".join((told, *(f"  - {line}" for line in (*self.problems, *self.notes))))


def check_collection(folder: Folder, reporter: Reporter) -> Report:
    """Checksums of everything; every row has its document, every document its rows."""
    report = Report(problems=header_problems(folder.files, folder.path / CATALOGUE))
    catalogue = Catalogue(folder.files, folder.path, cache_bytes=1 << 20)
    pin: Pin | None = None
    try:
        try:
            catalogue.check_format()
        except (DamagedError, NotACollectionError, StorageError) as error:
            if not report.problems:
                raise
            report.problems.append(str(error))
            return report
        reporter.stage("catalogue", unit="files")
        report.problems += [f"{CATALOGUE}: {text}" for text in catalogue.check()]
        reporter.advance()
        if catalogue.format_version() == 1:
            report.notes.append(FORMAT_1)
        try:
            # Pinned, so that a writer at work does not remove what is being read.
            report.snapshot, counted, pin = folder.pin_newest(catalogue.snapshot)
            settings, fields = catalogue.definition()
            Learned.of(settings).check(fields)
            flags = check_rows(catalogue, counted, report, reporter)
            _check_segments(folder, catalogue, flags, report, reporter)
        except (DamagedError, StorageError) as error:
            report.problems.append(str(error))
    finally:
        catalogue.close()
        if pin is not None:
            pin.release()
    return report


def check_rows(catalogue: Catalogue, counted: int, report: Report, reporter: Reporter) -> Flags:
    """Every row of the catalogue at `report.snapshot`; returns which passages there are."""
    flags, expected = _check_documents(catalogue, counted, report, reporter)
    if expected is not None:
        next_docno = catalogue.listed(report.snapshot).next_docno
        report.problems += check_metadata(catalogue, expected, flags, next_docno, reporter)
    return flags


def _check_documents(
    catalogue: Catalogue, counted: int, report: Report, reporter: Reporter
) -> tuple[Flags, Expected | None]:
    """Read every document: which passages there are, and what filters must see."""
    reporter.stage("documents", counted)
    flags, numbers = Flags(), array("q")
    expected: Expected | None = Expected(catalogue.metadata_keys(), report.snapshot)
    for found in catalogue.scan(report.snapshot):
        if isinstance(found, DamagedError):
            report.problems.append(str(found))
            expected = None  # of a document that cannot be read it is not known
        else:
            numbers.extend((found.docno, found.n_passages))
            report.documents += 1
            if len(numbers) >= CHUNK:
                _mark(flags, numbers)
            if expected is not None:
                expected.add(found)
        reporter.advance()
    for found in catalogue.scan_dead(report.snapshot):
        if isinstance(found, DamagedError):
            report.problems.append(f"{found} (deleted, kept for older snapshots)")
    _mark(flags, numbers)
    dead = catalogue.dead_documents(report.snapshot)
    flags.mark(dead[:, 0], DEAD_DOCUMENT)
    for start in range(0, len(dead), CHUNK):
        flags.mark(expand(dead[start : start + CHUNK]), DEAD)
    return flags, expected


def _mark(flags: Flags, numbers: array[int]) -> None:
    """Note live documents, (number, passages) one after another, and forget the numbers."""
    pairs = np.array(numbers, np.int64).reshape(-1, 2)
    flags.mark(pairs[:, 0], DOCUMENT)
    flags.mark(expand(pairs), PASSAGE)
    del numbers[:]


def _check_segments(
    folder: Folder, catalogue: Catalogue, flags: Flags, report: Report, reporter: Reporter
) -> None:
    rows = catalogue.segments(report.snapshot)
    replaced = catalogue.superseded(report.snapshot)
    reporter.stage("segments", sum(row.n_bytes for row in rows), "bytes")
    definition = catalogue.definition()[1]
    for name in dict.fromkeys([*definition, *(row.field for row in rows)]):
        covered: Flags | None = Flags()
        twice: list[int] = []
        n_twice = 0
        for row in rows:
            if row.field != name:
                continue
            try:
                units = _check_file(folder, row, report, reporter)
            except (BigrainError, OSError) as error:
                report.problems.append(str(error))
                covered = None  # which documents it covers is not known
                continue
            _check_owners(row, units, flags, report)
            for part in _counted(units, replaced.get(row.file)):
                if covered is None:
                    break
                again = part[covered.have(part, PASSAGE)]
                n_twice += len(again)
                twice += again[: SHOWN - len(twice)].tolist()
                covered.mark(part[part < len(flags)], PASSAGE)
        if name not in definition:
            continue
        parsed = config.field_from_dict(definition[name][0])
        if parsed.reads_text and covered is not None:
            wanted = DOCUMENT if parsed.family in config.PER_DOCUMENT else PASSAGE
            _check_cover(name, wanted, flags, covered, report)
            if n_twice:
                report.problems.append(
                    f"field {name!r}: {n_twice} passages have more than one row (first: {twice})"
                )


def _counted(units: UnitMap, gone: Units | None) -> Iterator[Units]:
    """The units of a segment without those that were replaced, in chunks."""
    for start in range(0, units.n_rows, CHUNK):
        part = units.slice(start, min(start + CHUNK, units.n_rows))
        yield part if gone is None else part[~np.isin(part, gone)]


def _check_owners(row: SegmentRow, units: UnitMap, flags: Flags, report: Report) -> None:
    """Every row belongs to a document, be it a deleted one."""
    strangers: list[int] = []
    n = 0
    for part in _counted(units, None):
        odd = part[~flags.have(part, PASSAGE | DEAD)]
        n += len(odd)
        strangers += odd[: SHOWN - len(strangers)].tolist()
    if n:
        report.problems.append(
            f"{row.file}: {counted(n, 'row')} of no document (passages {strangers})"
        )


def _check_file(folder: Folder, row: SegmentRow, report: Report, reporter: Reporter) -> UnitMap:
    """Verify every section; returns the units of the rows."""
    file = SegmentFile(folder.files, folder.segments / row.file)
    try:
        report.segments += 1
        report.n_bytes += file.n_bytes
        if file.n_bytes != row.n_bytes:
            raise DamagedError(row.file, "size", f"{row.n_bytes} bytes", file.n_bytes)
        for name in file.sections:
            report.sections += 1
            before = 0
            for done in file.check(name):
                reporter.advance(done - before)
                before = done
        units = UnitMap.read(file)
        if units.n_rows != row.rows:
            raise DamagedError(row.file, "units", f"{row.rows} rows", units.n_rows)
        for name in ("rows", "scale", "lengths", "counts", "token_ends", "token_crc"):
            if name in file.sections and file.section(name).shape[0] != units.n_rows:
                raise DamagedError(row.file, name, f"{row.rows} rows", file.section(name).shape[0])
        return units
    finally:
        file.close()


def _check_cover(name: str, wanted: int, flags: Flags, covered: Flags, report: Report) -> None:
    """Every document of a field that reads text has its row."""
    missing: list[int] = []
    n = 0
    for part in flags.chunks(wanted):
        lacking = part[~covered.have(part, PASSAGE)]
        n += len(lacking)
        missing += lacking[: SHOWN - len(missing)].tolist()
    if n:
        report.problems.append(
            f"field {name!r}: {counted(n, 'document')} without a row (first: {missing})"
        )
