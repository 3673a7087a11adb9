"""Repair: what damage has left is kept, what can be made again is made again, the rest is named.

Light grains come from the heavy ones beside them, the rows of fields that read text from the texts,
the catalogue from those of its pages that can still be read. The result is published as any commit
is, in one transaction of the catalogue, so that until then nothing has changed and afterwards
everything has. Damaged files are set aside in `damaged/`, never deleted.

`repair_contents` reads, `repair_plan` decides, `repair_report` tells; here it is done.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bigrain import config
from bigrain.budget import Budget
from bigrain.errors import BigrainError, DamagedError, NotACollectionError, StorageError
from bigrain.families.dense import DenseFamily
from bigrain.families.reading import texts_of
from bigrain.progress import Reporter
from bigrain.storage.catalogue import CATALOGUE, Catalogue, SegmentRow, Stored
from bigrain.storage.files import Lock, open_kept
from bigrain.storage.folder import Folder
from bigrain.storage.header import header_problems
from bigrain.storage.salvage import SalvagedCatalogue, copy_file, put_in_place, salvage
from bigrain.storage.segment import SegmentFile
from bigrain.writing.flags import CHUNK, PASSAGE, Flags
from bigrain.writing.repair_contents import (
    BATCH_DOCUMENTS,
    Contents,
    Definition,
    read_contents,
    salvaged_contents,
)
from bigrain.writing.repair_plan import (
    FieldPlan,
    account,
    define,
    examine,
    plan_field,
    strangers,
)
from bigrain.writing.repair_report import RepairReport, some
from bigrain.writing.session import expand

__all__ = ["RepairReport", "repair_collection"]

Units = npt.NDArray[np.int64]
EMPTY = np.empty(0, np.int64)
DAMAGED = "damaged"
SCRATCH_CACHE = 1 << 20


def repair_collection(
    folder: Folder,
    budget: Budget,
    reporter: Reporter,
    *,
    default_settings: Mapping[str, Any],
    dry_run: bool = False,
    fields: Mapping[str, config.Field] | None = None,
    lock: Lock | None = None,
) -> RepairReport:
    """Repair the collection in `folder`; `lock` is the writer's lock if the caller holds it.

    `fields` stands in for a definition of the fields that is damaged. Raises `LockedError`,
    `FormatError`, `DamagedError` where nothing is left to work with, `ConfigError` or
    `EncoderMismatchError` where rows must be made from text and the encoder is not at hand. If it
    raises, nothing has been changed.
    """
    catalogue_is_there = (folder.path / CATALOGUE).is_file()
    if not catalogue_is_there and not folder.segments.is_dir():
        folder.require()
    if not catalogue_is_there:
        raise DamagedError(
            CATALOGUE, "the whole file", "documents, their ids and the settings, which lie only in "
            "it", "no such file; what is in segments/ is of no use without it: bring it back from "
            "a copy, or index the originals again",
        )  # fmt: skip
    held = folder.lock_for_writing() if lock is None else None
    try:
        for path in (folder.segments, folder.staging, folder.readers):
            if not path.is_dir():
                folder.files.make_folder(path)
        return _Repair(folder, budget, reporter, default_settings, dry_run, fields).run()
    finally:
        if held is not None:
            held.release()


class _Repair:
    def __init__(
        self,
        folder: Folder,
        budget: Budget,
        reporter: Reporter,
        default_settings: Mapping[str, Any],
        dry_run: bool,
        given: Mapping[str, config.Field] | None,
    ) -> None:
        self.folder, self.files, self.budget, self.reporter = folder, folder.files, budget, reporter
        self.default_settings, self.given = default_settings, given
        self.report = RepairReport(dry_run=dry_run)
        self.made: list[Path] = []  # to be removed again unless they are published
        self.published = False

    # -- the whole of it --------------------------------------------------------------------

    def run(self) -> RepairReport:
        catalogue = Catalogue(self.files, self.folder.path, cache_bytes=self.budget.catalogue)
        try:
            contents = self._read(catalogue)
            if contents is not None:
                self._repair(contents, catalogue, None)
                return self.report
        finally:
            catalogue.close()
        self._clear_staging()
        try:
            with salvage(self.files, self.folder.path, self.folder.staging) as found:
                self._repair(salvaged_contents(found), None, found)
        finally:
            with suppress(StorageError):
                self._clear_staging()
        return self.report

    def _read(self, catalogue: Catalogue) -> Contents | None:
        """What the catalogue says, or None if it is damaged, its problems in the report."""
        wrong = header_problems(self.files, self.folder.path / CATALOGUE)
        problems: list[str] = []
        for attempt in (0, 1):  # only an error that stays is damage
            try:
                contents, problems = read_contents(catalogue, self.reporter)
                if contents is not None and not wrong:
                    return contents
            except (DamagedError, NotACollectionError) as error:
                problems = [str(error)]
            except StorageError as error:
                if "disk I/O error" not in str(error) and not wrong:
                    raise
                problems = [str(error)]
                if not attempt:
                    continue
            except (ArithmeticError, LookupError, TypeError, ValueError) as error:
                problems = [f"{CATALOGUE}: not readable: {error!r}"]
            break
        self.report.problems += wrong + problems
        return None

    def _repair(
        self, contents: Contents, catalogue: Catalogue | None, found: SalvagedCatalogue | None
    ) -> None:
        report = self.report
        report.documents = len(contents.live)
        if found is not None:
            report.catalogue_rebuilt = True
            report.documents_lost = [one.id for one in found.lost if one.id is not None]
            nameless = [str(one.docno) for one in found.lost if one.id is None]
            report.documents_unnamed = found.lost_unnamed + len(nameless)
            if nameless:
                report.notes.append(f"known by number only: {some('document', nameless)}")
            if contents.settings is None:
                report.settings_lost = sorted(self.default_settings)
                report.notes.append(
                    "a query adapter, if one was learned, went with the settings; learn again"
                )
        definition, families = define(contents, self.given)
        pieces = examine(self.folder, contents, families, report, self.reporter)
        try:
            plans = [
                plan_field(name, definition, families, contents, pieces, report)
                for name in definition
            ]
            for plan in plans:
                account(plan, contents, report)
            graves = strangers(contents, plans)
            if len(graves) and catalogue is not None:
                report.problems.append(f"{len(graves)} passages with rows belong to no document")
            if report.sound or report.dry_run:
                return
            try:
                if catalogue is not None:
                    self._publish(catalogue, contents, plans, graves)
                else:
                    self._publish_anew(contents, definition, plans, graves)
            except BaseException:
                if not self.published:
                    self._undo()
                raise
            self._set_aside(plans)
        finally:
            for piece in pieces:
                if piece.file is not None:
                    piece.file.close()

    # -- making again -----------------------------------------------------------------------

    def _build(self, plan: FieldPlan, contents: Contents) -> SegmentRow | None:
        """Write one segment with the saved rows of a field and those made from text."""
        if not plan.rows:
            return None
        family = plan.family
        assert family is not None
        path, kept = self.folder.new_segment(plan.name), Flags()
        self.made.append(path)
        self.reporter.stage(f"rebuilding {plan.name}", plan.rows, "rows")
        if isinstance(family, DenseFamily):
            family = self._coding_as_before(family, plan)
        builder = family.builder(self.files, self.folder.staging, self.budget.build, [])
        try:
            for piece, chosen in plan.saved:
                assert piece.salvage is not None
                if chosen.any():
                    piece.salvage.pour(builder, chosen)
                    for rows, units in piece.chunks():
                        kept.mark(units[chosen[rows]], PASSAGE)
                    self.reporter.advance(int(chosen.sum()))
            kept.mark(plan.encode, PASSAGE)
            for stored in self._documents_with(plan.encode, contents):
                units, texts = texts_of(stored, family)
                wanted = np.isin(units, plan.encode)
                chosen_texts = [t for t, w in zip(texts, wanted.tolist(), strict=True) if w]
                builder.append(units[wanted], family.encode_documents(chosen_texts))
                self.reporter.advance(len(chosen_texts))
            builder.seal(lambda units: kept.have(units, PASSAGE), path, self.files)
        finally:
            with suppress(StorageError):
                builder.discard()
        file = SegmentFile(self.files, path)
        try:
            rows_written = file.number("n_rows")
            return SegmentRow(
                path.name, plan.name, rows_written, file.n_bytes, contents.snapshot + 1
            )
        finally:
            file.close()

    def _coding_as_before(self, family: DenseFamily, plan: FieldPlan) -> DenseFamily:
        """The family with the learned codec of the field's segments, where one can be read."""
        with ExitStack() as opened:
            files = [piece.file for piece in plan.pieces if piece.file is not None]
            for piece in plan.kept:
                if piece.file is None:
                    file = SegmentFile(self.files, self.folder.segments / piece.row.file)
                    opened.callback(file.close)
                    files.append(file)
            return family.coding_like(files)

    def _documents_with(self, units: Units, contents: Contents) -> Iterator[list[Stored]]:
        """The documents that own passages, in batches."""
        if len(units):
            documents = (stored for stored, _ in contents.documents(contents.owners(units)))
            while batch := list(islice(documents, BATCH_DOCUMENTS)):
                yield batch

    # -- publishing -------------------------------------------------------------------------

    def _publish(
        self, catalogue: Catalogue, contents: Contents, plans: Sequence[FieldPlan], graves: Units
    ) -> None:
        """The catalogue is sound: a transaction like any other."""
        snapshot = contents.snapshot + 1
        catalogue.begin_writing()
        try:
            self.folder.sweep(catalogue.listed_files(), catalogue.settle)
            built = [row for plan in plans if (row := self._build(plan, contents)) is not None]
            next_docno = max([catalogue.next_docno(), *(graves[-1:] + 1).tolist()])
            self._bury(catalogue, graves, snapshot)
            for plan in plans:
                catalogue.retire_segments([p.row.file for p in plan.retire], died=snapshot)
                for file, units in plan.supersede.items():
                    catalogue.supersede(file, units, since=snapshot)
            for row in built:
                catalogue.add_segment(row)
            self._link_aside(plans)
            self.published = True  # or so it may turn out: the files must stay
            catalogue.commit(snapshot, next_docno=next_docno, documents_delta=0)
        finally:
            catalogue.end_writing()
        self.report.snapshot = snapshot

    def _publish_anew(
        self,
        contents: Contents,
        definition: Definition,
        plans: Sequence[FieldPlan],
        graves: Units,
    ) -> None:
        """The catalogue is damaged: write another, and let the old one become it at once."""
        built = [row for plan in plans if (row := self._build(plan, contents)) is not None]
        self._write_catalogue(contents, definition, plans, built, graves)
        aside = self._aside()
        for name in (CATALOGUE, f"{CATALOGUE}-wal"):
            path = self.folder.path / name
            if path.is_file() and path.stat().st_size:
                self.made.append(aside / name)
                self.report.quarantined[name] = copy_file(
                    self.files, open_kept(self.files, path), aside / name
                )
        self._link_aside(plans)
        self.published = True
        staging = self.folder.staging
        put_in_place(self.files, self.folder.path, staging / CATALOGUE, staging)
        self.report.snapshot = contents.snapshot + 1

    def _write_catalogue(
        self,
        contents: Contents,
        definition: Definition,
        plans: Sequence[FieldPlan],
        built: Sequence[SegmentRow],
        graves: Units,
    ) -> None:
        """A new catalogue in staging/, with all that is left of the old one."""
        snapshot = contents.snapshot + 1
        settings = self.default_settings if contents.settings is None else contents.settings
        catalogue = Catalogue.create(
            self.files,
            self.folder.staging,
            settings=settings,
            fields=definition,
            cache_bytes=SCRATCH_CACHE,
        )
        try:
            catalogue.begin_writing()
            self._bury(catalogue, self._write_dead(catalogue, contents, graves), snapshot)
            self.reporter.stage("catalogue", len(contents.live))
            documents = contents.documents(None)
            while batch := list(islice(documents, BATCH_DOCUMENTS)):
                for born in sorted({born for _, born in batch}):
                    catalogue.insert_documents([d for d, b in batch if b == born], born=born)
                self.reporter.advance(len(batch))
            ends = [contents.next_docno, len(contents.marks), *(graves[-1:] + 1).tolist()]
            for plan in plans:
                for piece in plan.kept:
                    catalogue.add_segment(piece.row)
                    told = contents.superseded.get(piece.row.file, EMPTY)
                    new = plan.supersede.get(piece.row.file, EMPTY)
                    catalogue.supersede(piece.row.file, np.union1d(told, new), since=snapshot)
                for piece in plan.pieces:
                    if piece.units is not None and piece.units.n_rows:
                        last = piece.units.n_rows - 1
                        ends.append(int(piece.units.slice(last, last + 1)[0]) + 1)
            for row in built:
                catalogue.add_segment(row)
            catalogue.commit(snapshot, next_docno=max(ends), documents_delta=len(contents.live))
        finally:
            catalogue.close()

    def _write_dead(self, catalogue: Catalogue, contents: Contents, graves: Units) -> Units:
        """Keep deleted documents that can be read, for older snapshots; what is left to bury."""
        kept = Flags()
        for stored, born, died in contents.dead_documents():
            catalogue.insert_documents([stored], born=born)
            catalogue.kill_documents([stored.docno], died=died)
            kept.mark(stored.docno + np.arange(stored.n_passages), PASSAGE)
        left = [graves]
        for start in range(0, len(contents.dead), CHUNK):
            left.append(expand(contents.dead[start : start + CHUNK]))
        units = np.unique(np.concatenate(left))
        units = units[~kept.have(units, PASSAGE)]
        return units[~contents.marks.have(units, PASSAGE)]

    def _bury(self, catalogue: Catalogue, units: Units, snapshot: int) -> None:
        """Mark passages as those of deleted documents, which the next compaction drops."""
        for start in range(0, len(units), BATCH_DOCUMENTS):
            part = units[start : start + BATCH_DOCUMENTS].tolist()
            graves = [Stored(unit, f"\x00{unit}", "", "", {}, None) for unit in part]
            catalogue.insert_documents(graves, born=snapshot)
            catalogue.kill_documents(part, died=snapshot)

    # -- setting aside ----------------------------------------------------------------------

    def _aside(self) -> Path:
        """The folder for damaged files of this repair, made when first asked for."""
        if self.report.folder is None:
            parent = self.folder.path / DAMAGED
            stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
            path, n = parent / stamp, 1
            while path.exists():
                n += 1
                path = parent / f"{stamp}-{n}"
            for one in (parent, path):
                self.files.make_folder(one)
            self.report.folder = str(path)
        return Path(self.report.folder)

    def _link_aside(self, plans: Sequence[FieldPlan]) -> None:
        """Give damaged segments a second name, so that no crash can make them disappear.

        Where the file system has no links they are moved afterwards.
        """
        aside = self._aside()
        for name in self._to_set_aside(plans):
            try:
                self.files.link(self.folder.segments / name, aside / name)
            except StorageError:
                break
            self.made.append(aside / name)
        self.files.sync_folder(aside)

    def _to_set_aside(self, plans: Sequence[FieldPlan]) -> list[str]:
        damaged = [p.row.file for plan in plans for p in plan.retire if not p.sound]
        return [name for name in damaged if (self.folder.segments / name).is_file()]

    def _undo(self) -> None:
        """Nothing was published: leave nothing behind."""
        for path in self.made:
            with suppress(StorageError):
                self.files.remove(path)
        if self.report.folder is not None:
            for path in (Path(self.report.folder), Path(self.report.folder).parent):
                with suppress(OSError):
                    path.rmdir()  # if it is empty

    def _set_aside(self, plans: Sequence[FieldPlan]) -> None:
        """Take damaged segments out of the way. The repair is done: what fails here is a note."""
        try:
            aside = self._aside()
            for name in self._to_set_aside(plans):
                path = self.folder.segments / name
                self.report.quarantined[name] = path.stat().st_size
                if (aside / name).is_file():
                    self.files.remove(path)
                else:
                    self.files.rename(path, aside / name)
            writer = self.files.create(aside / "report.json")
            try:
                writer.write(json.dumps(self.report.to_dict(), indent=1).encode())
                writer.sync()
            finally:
                writer.close()
            self.files.sync_folder(aside)
        except (BigrainError, OSError) as error:
            self.report.notes.append(f"not everything could be set aside: {error}")

    def _clear_staging(self) -> None:
        for name in self.files.names(self.folder.staging):
            self.files.remove(self.folder.staging / name)
