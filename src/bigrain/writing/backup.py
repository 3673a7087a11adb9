"""Backup: a second collection that holds the newest snapshot, made while others read and write.

The catalogue is copied inside one read transaction of SQLite; the newest snapshot in that copy is
the one the backup holds, and its segment files stay where they are because an older or equal
snapshot is pinned before. All is made in a draft folder and renamed when it is complete and synced.
"""

from __future__ import annotations

import errno
import os
import shutil
import zlib
from collections.abc import Iterator
from pathlib import Path

from bigrain.errors import CollectionExistsError, ConfigError, DamagedError, StorageError
from bigrain.progress import Reporter
from bigrain.storage.catalogue import CATALOGUE, Catalogue, SegmentRow
from bigrain.storage.drafts import drafting
from bigrain.storage.files import Files
from bigrain.storage.folder import Folder, missing_is_damage
from bigrain.storage.segment import SegmentFile
from bigrain.writing.checking import Report, check_rows

__all__ = ["back_up"]

BLOCK_BYTES = 4 << 20
CACHE_BYTES = 4 << 20


def back_up(folder: Folder, target: Path, reporter: Reporter, *, link: bool = False) -> int:
    """Copy the newest snapshot of a collection to `target`; returns its number.

    Every byte is held against its checksum on the way. `link` gives the segment files a second name
    instead of copying (and reading) them.
    """
    _require_free(folder, target)
    source = Catalogue(folder.files, folder.path, cache_bytes=CACHE_BYTES)
    try:
        source.check_format()
        with drafting(folder.files, target) as path:
            draft = Folder(folder.files, path)
            draft.make()
            snapshot = _fill(folder, draft, source, reporter, link=link)
            for made in (draft.segments, draft.path):
                folder.files.sync_folder(made)
            folder.files.rename(draft.path, target)
            try:
                folder.files.sync_folder(target.parent)
            except BaseException:
                shutil.rmtree(target, ignore_errors=True)
                raise
        return snapshot
    finally:
        source.close()


def _fill(
    folder: Folder, draft: Folder, source: Catalogue, reporter: Reporter, *, link: bool
) -> int:
    """Take catalogue and segment files over into `draft`; returns the snapshot's number."""
    _, _, pin = folder.pin_newest(source.snapshot)
    try:
        reporter.stage("catalogue", None)
        source.copy_to(draft.path)
        snapshot, rows = _check_catalogue(draft, reporter)
        reporter.stage("segments", sum(row.n_bytes for row in rows), "bytes")
        for row in rows:
            with missing_is_damage(folder.segments / row.file):
                _take_segment(folder, draft, row, reporter, link=link)
        return snapshot
    finally:
        if pin is not None:
            pin.release()


def _require_free(folder: Folder, target: Path) -> None:
    if os.path.lexists(target):
        raise CollectionExistsError(f"{target} is already there; choose another path")
    if not target.parent.is_dir():
        raise ConfigError(f"{target.parent} is not a folder; make it first")
    if target.parent.resolve().is_relative_to(folder.path.resolve()):
        raise ConfigError(
            f"{target} is inside {folder.path}; a backup needs a place outside the collection"
        )


def _check_catalogue(draft: Folder, reporter: Reporter) -> tuple[int, list[SegmentRow]]:
    """Everything the copied catalogue says is sound: (newest snapshot, its segments)."""
    catalogue = Catalogue(draft.files, draft.path, cache_bytes=CACHE_BYTES)
    try:
        snapshot, n_documents = catalogue.snapshot()
        catalogue.definition()  # these hold what they read against a checksum
        catalogue.superseded(snapshot)
        catalogue.long_documents(snapshot)
        report = Report(snapshot=snapshot, problems=catalogue.complaints())
        check_rows(catalogue, n_documents, report, reporter)
        if report.documents != n_documents:
            report.problems.append(f"{report.documents} documents, {n_documents} are counted")
        for problem in report.problems:
            raise DamagedError(CATALOGUE, "content", "nothing wrong", problem)
        catalogue.begin_writing()
        catalogue.purge(snapshot, documents=False)  # former snapshots stay behind
        return snapshot, catalogue.segments(snapshot)
    finally:
        catalogue.close()


def _take_segment(
    folder: Folder, draft: Folder, row: SegmentRow, reporter: Reporter, *, link: bool
) -> None:
    source, target = folder.segments / row.file, draft.segments / row.file
    if link:
        _link(folder.files, source, target)
        reporter.advance(row.n_bytes)
    else:
        for n_bytes in _copy_segment(folder.files, source, target):
            reporter.advance(n_bytes)
    file = SegmentFile(folder.files, target)  # header, table and trailer
    file.close()
    if file.n_bytes != row.n_bytes:
        raise DamagedError(row.file, "size", f"{row.n_bytes} bytes", file.n_bytes)


def _link(files: Files, source: Path, target: Path) -> None:
    try:
        files.link(source, target)
    except StorageError as error:
        if error.errno != errno.EXDEV:
            raise
        raise StorageError(
            errno.EXDEV,
            "the collection and the backup are on different file systems, and a file has names on "
            "one only; leave out link=True to copy the files",
        ) from error


def _copy_segment(files: Files, source: Path, target: Path) -> Iterator[int]:
    """Copy and sync a file, its sections' checksums verified; yields the bytes of each step."""
    segment = SegmentFile(files, source)
    reader, writer = files.open(source), files.create(target)
    try:
        crc = dict.fromkeys(segment.sections, 0)
        for start in range(0, reader.size, BLOCK_BYTES):
            block = memoryview(reader.read_at(start, min(BLOCK_BYTES, reader.size - start)))
            for name, section in segment.sections.items():
                low = max(section.offset - start, 0)
                high = min(section.offset + section.n_bytes - start, len(block))
                if low < high:
                    crc[name] = zlib.crc32(block[low:high], crc[name])
            writer.write(block)
            yield len(block)
        for name, section in segment.sections.items():
            if crc[name] != section.crc32:
                raise DamagedError(
                    source.name, name, f"crc32 {section.crc32:08x}", f"{crc[name]:08x}"
                )
        writer.sync()
    finally:
        segment.close()
        reader.close()
        writer.close()
