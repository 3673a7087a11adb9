"""Verification: read everything through and hold the parts against each other.

Works on the folder, not on an open collection, so it can look at one too damaged to open.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from bigrain import config
from bigrain.errors import BigrainError, DamagedError, StorageError
from bigrain.index.base import UnitMap
from bigrain.progress import Reporter
from bigrain.storage.catalogue import CATALOGUE, Catalogue, SegmentRow
from bigrain.storage.folder import Folder, Pin
from bigrain.storage.segment import SegmentFile
from bigrain.writing.session import expand

__all__ = ["Report", "check_collection"]

Units = npt.NDArray[np.int64]
SHOWN = 5


@dataclass
class Report:
    """What verification found. `problems` is empty for a sound collection."""

    snapshot: int = -1
    documents: int = 0
    segments: int = 0
    sections: int = 0
    n_bytes: int = 0
    problems: list[str] = field(default_factory=list)

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
        }

    def summary(self) -> str:
        what = (
            f"snapshot {self.snapshot}: {self.documents:,} documents, {self.segments} segments, "
            f"{self.sections} sections, {self.n_bytes:,} bytes"
        )
        if self.ok:
            return f"sound: {what}"
        listed = "\n".join(f"  - {problem}" for problem in self.problems)
        return f"{len(self.problems)} problem(s) in {what}\n{listed}"


def check_collection(folder: Folder, reporter: Reporter) -> Report:
    """Checksums of everything; every row has its document, every document its rows."""
    report = Report()
    catalogue = Catalogue(folder.files, folder.path, cache_bytes=1 << 20)
    pin: Pin | None = None
    try:
        catalogue.check_format()
        report.problems += [f"{CATALOGUE}: {text}" for text in catalogue.check()]
        try:
            # Pinned, so that a writer at work does not remove what is being read.
            report.snapshot, counted, pin = folder.pin_newest(catalogue.snapshot)
            live = _check_documents(catalogue, counted, report, reporter)
            _check_segments(folder, catalogue, live, report, reporter)
        except (DamagedError, StorageError) as error:
            report.problems.append(str(error))
    finally:
        catalogue.close()
        if pin is not None:
            pin.release()
    return report


def _check_documents(
    catalogue: Catalogue, counted: int, report: Report, reporter: Reporter
) -> Units:
    """Read every live document; returns (n, 2) of (number, passages)."""
    reporter.stage("documents", counted)
    numbers: list[tuple[int, int]] = []
    for numbers_or_error in catalogue.scan_documents(report.snapshot):
        if isinstance(numbers_or_error, DamagedError):
            report.problems.append(str(numbers_or_error))
        else:
            numbers.append(numbers_or_error)
        reporter.advance()
    report.documents = len(numbers)
    if counted != len(numbers) and report.ok:
        report.problems.append(
            f"{CATALOGUE}: the snapshot counts {counted} documents, {len(numbers)} are there"
        )
    return np.array(numbers, np.int64).reshape(-1, 2)


def _check_segments(
    folder: Folder, catalogue: Catalogue, live: Units, report: Report, reporter: Reporter
) -> None:
    rows = catalogue.segments(report.snapshot)
    dead = catalogue.dead_documents(report.snapshot)
    known = np.unique(np.concatenate((expand(live), expand(dead))))
    replaced = catalogue.superseded(report.snapshot)
    covered: dict[str, list[Units]] = {}
    unread: set[str] = set()
    reporter.stage("segments", sum(row.n_bytes for row in rows), "bytes")
    for row in rows:
        try:
            units = _check_file(folder, row, report, reporter)
        except (BigrainError, OSError) as error:
            report.problems.append(str(error))
            unread.add(row.field)  # which documents it covers is not known
            continue
        strangers = units[~np.isin(units, known)]
        if len(strangers):
            report.problems.append(
                f"{row.file}: {len(strangers)} rows belong to no document "
                f"(passages {strangers[:SHOWN].tolist()})"
            )
        gone = replaced.get(row.file)
        covered.setdefault(row.field, []).append(
            units if gone is None else units[~np.isin(units, gone)]
        )
    for name, (spec, _) in catalogue.definition()[1].items():
        parsed = config.field_from_dict(spec)
        if parsed.reads_text and name not in unread:
            wanted = live[:, 0] if parsed.family == "lexical" else expand(live)
            _check_cover(name, wanted, covered.get(name, []), report)


def _check_file(folder: Folder, row: SegmentRow, report: Report, reporter: Reporter) -> Units:
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
        for name in ("rows", "scale", "lengths", "token_ends", "token_crc"):
            if name in file.sections and file.section(name).shape[0] != units.n_rows:
                raise DamagedError(row.file, name, f"{row.rows} rows", file.section(name).shape[0])
        return units.slice(0, units.n_rows)
    finally:
        file.close()


def _check_cover(name: str, wanted: Units, parts: list[Units], report: Report) -> None:
    """Every document of a field that reads text has its row, and only one."""
    units, counts = np.unique(
        np.concatenate(parts) if parts else np.empty(0, np.int64), return_counts=True
    )
    missing = wanted[~np.isin(wanted, units)]
    if len(missing):
        report.problems.append(
            f"field {name!r}: {len(missing)} documents have no row "
            f"(first: {missing[:SHOWN].tolist()})"
        )
    twice = units[counts > 1]
    if len(twice):
        report.problems.append(
            f"field {name!r}: {len(twice)} passages have more than one row "
            f"(first: {twice[:SHOWN].tolist()})"
        )
