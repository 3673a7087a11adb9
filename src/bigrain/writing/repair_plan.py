"""Deciding, field by field: which rows are sound, which can be made again, which are gone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from bigrain import config
from bigrain.encoders.base import check_fingerprint
from bigrain.errors import (
    ConfigError,
    DamagedError,
    EncoderMismatchError,
    StorageError,
)
from bigrain.families import Family, make_family
from bigrain.families.learned import Learned
from bigrain.index.base import UnitMap
from bigrain.index.salvage import Salvage, again, damaged_sections, unreadable
from bigrain.progress import Reporter
from bigrain.storage.catalogue import CATALOGUE, SegmentRow
from bigrain.storage.folder import Folder
from bigrain.storage.segment import SegmentFile
from bigrain.writing.flags import CHUNK, DEAD, DOCUMENT, PASSAGE, Flags
from bigrain.writing.repair_contents import Contents, Definition
from bigrain.writing.repair_given import check_given
from bigrain.writing.repair_report import LostPostings, Rebuilt, RepairReport, some

__all__ = ["FieldPlan", "Piece", "account", "define", "examine", "plan_field", "strangers"]

Units = npt.NDArray[np.int64]
Chosen = npt.NDArray[np.bool_]
Families = Mapping[str, Family | None]
EMPTY = np.empty(0, np.int64)
NOT_FOUND = 2


@dataclass
class Piece:
    """One segment under examination. `units` is None if nobody knows whose the rows are."""

    row: SegmentRow
    file: SegmentFile | None = None
    damaged: dict[str, str] = field(default_factory=dict)
    problem: str | None = None
    units: UnitMap | None = None
    current: Chosen | None = None  # the rows that count: live, and not given again later
    salvage: Salvage | None = None

    @property
    def sound(self) -> bool:
        return self.problem is None

    def chunks(self) -> Iterator[tuple[slice, Units]]:
        """(rows, their units) of the whole segment."""
        if self.units is not None:
            for start in range(0, self.units.n_rows, CHUNK):
                stop = min(start + CHUNK, self.units.n_rows)
                yield slice(start, stop), self.units.slice(start, stop)


@dataclass
class FieldPlan:
    """What is to be done in one field. `have`: passages whose row is or will be there."""

    name: str
    pieces: list[Piece]
    family: Family | None
    have: Flags = field(default_factory=Flags)
    saved: list[tuple[Piece, Chosen]] = field(default_factory=list)  # sound rows of damaged ones
    encode: Units = field(default_factory=lambda: EMPTY)  # to be made again from text
    retire: list[Piece] = field(default_factory=list)
    supersede: dict[str, Units] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """How many rows have to be written."""
        return len(self.encode) + sum(int(chosen.sum()) for _, chosen in self.saved)

    @property
    def kept(self) -> list[Piece]:
        gone = {id(piece) for piece in self.retire}
        return [piece for piece in self.pieces if id(piece) not in gone]


# -- the fields ---------------------------------------------------------------------------------


def define(
    contents: Contents, given: Mapping[str, config.Field] | None
) -> tuple[Definition, dict[str, Family | None]]:
    """The fields, and the family of each; None where its encoder is not at hand.

    `given` by the user counts only where the collection's own definition is damaged.
    """
    if contents.fields is None:
        if given is None:
            raise DamagedError(
                CATALOGUE, "the definition of the fields", "a matching checksum",
                "another; pass fields={...} as they were given to create, and repair again",
            )  # fmt: skip
        made = {name: make_family(name, spec) for name, spec in given.items()}
        unknown = sorted({row.field for row in contents.segments} - {*made})
        if unknown:
            raise ConfigError(
                f"there are segments of a field {unknown[0]!r}, which fields does not name"
            )
        return {n: (f.spec.to_dict(), f.fingerprint()) for n, f in made.items()}, {**made}
    families: dict[str, Family | None] = {}
    for name in contents.fields:
        try:
            families[name] = _family(name, contents.fields, contents)
        except (ConfigError, EncoderMismatchError):
            families[name] = None
    return contents.fields, families


def _family(name: str, definition: Definition, contents: Contents) -> Family:
    """The family of a field with what it has learned, or the error that says what is missing."""
    spec, fingerprint = definition[name]
    family = make_family(name, config.field_from_dict(spec))
    check_fingerprint(name, fingerprint, family.fingerprint())
    return Learned.of(contents.settings or {}).applied(family)


# -- segments -----------------------------------------------------------------------------------


def examine(
    folder: Folder,
    contents: Contents,
    families: Families,
    report: RepairReport,
    reporter: Reporter,
) -> list[Piece]:
    """Read every segment through, oldest first. Those that are damaged stay open.

    Where the fields are as the user gave them: ConfigError if a segment was made otherwise.
    """
    rows, given = list(contents.segments), contents.fields is None
    if not contents.segments_proven:
        rows += _adopt(folder, rows, families, report)
    reporter.stage("segments", sum(row.n_bytes for row in rows), "bytes")
    pieces: list[Piece] = []
    try:
        for row in rows:
            piece = Piece(row)
            pieces.append(piece)
            if row.field not in families:
                piece.problem = f"{row.file}: its field {row.field!r} is not there"
            else:
                family = families[row.field]
                try:
                    _examine_one(folder, piece, family, contents.segments_proven, given, reporter)
                except (DamagedError, StorageError) as error:
                    if not unreadable(error) and getattr(error, "errno", None) != NOT_FOUND:
                        raise
                    piece.problem = str(error)
            if piece.problem is not None:
                report.problems.append(piece.problem)
            elif piece.file is not None:
                piece.file.close()
                piece.file = None
    except BaseException:
        for piece in pieces:
            if piece.file is not None:
                piece.file.close()
        raise
    return pieces


def _adopt(
    folder: Folder, rows: Sequence[SegmentRow], families: Families, report: RepairReport
) -> list[SegmentRow]:
    """Files that the damaged list of segments does not name, in the order they were written."""
    known, adopted = {row.file for row in rows}, []
    last = max([0, *(row.born for row in rows)])
    names = [name for name in folder.files.names(folder.segments) if name.endswith(".seg")]
    for name in sorted(names, key=lambda n: (folder.segments / n).stat().st_mtime_ns):
        field_name = name.rsplit("-", 1)[0]
        if name in known or field_name not in families:
            continue
        n_rows, size = 0, (folder.segments / name).stat().st_size
        with suppress(DamagedError):  # which is told when it is examined
            file, _ = _open(folder, name)
            try:
                n_rows = file.number("n_rows")
            finally:
                file.close()
        adopted.append(SegmentRow(name, field_name, n_rows, size, last))
    if adopted:
        report.notes.append(
            "the list of segments is damaged; taken from the folder, in the order in which they "
            f"were written: {some('file', [row.file for row in adopted])}"
        )
    return adopted


def _open(folder: Folder, name: str) -> tuple[SegmentFile, str | None]:
    """A segment, by the copy of its table if need be, and what is wrong with it outside sections.

    Raises that where the copy is damaged too.
    """
    path = folder.segments / name
    try:
        return again(lambda: SegmentFile(folder.files, path)), None
    except (DamagedError, StorageError) as error:
        if not unreadable(error):
            raise
        with suppress(DamagedError):
            return SegmentFile.salvage(folder.files, path), str(error)
        raise


def _examine_one(
    folder: Folder,
    piece: Piece,
    family: Family | None,
    proven: bool,
    given: bool,
    reporter: Reporter,
) -> None:
    """Fill a piece in, or raise what is wrong with all of it.

    `proven`: its line is right; `given`: the user says what its field is.
    """
    row = piece.row
    file, piece.problem = _open(folder, row.file)
    if file.n_bytes != row.n_bytes:
        if proven and piece.sound:
            size = file.n_bytes
            file.close()
            raise DamagedError(row.file, "size", f"{row.n_bytes} bytes", size)
        row = replace(row, n_bytes=file.n_bytes)
    piece.row, piece.file = row, file
    if given and family is not None:
        check_given(row.field, family.spec, file)
    piece.damaged = damaged_sections(file, reporter.advance)
    if piece.damaged:
        problems = [] if piece.problem is None else [piece.problem]
        problems += piece.damaged.values()
        more = f" (and {len(problems) - 1} more sections)" if len(problems) > 1 else ""
        piece.problem = problems[0] + more
    if "units" not in piece.damaged:
        piece.units = again(lambda: UnitMap.read(file))
        if piece.units.n_rows != row.rows:
            if proven:  # another file under its name
                n_rows, piece.units, piece.file = piece.units.n_rows, None, None
                file.close()
                raise DamagedError(row.file, "units", f"{row.rows} rows", n_rows)
            piece.row = replace(row, rows=piece.units.n_rows)
    if piece.sound and family is not None:
        try:
            again(lambda: family.open_segment(file))
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            raise DamagedError(row.file, "table", "a segment", repr(error)) from error


# -- deciding -----------------------------------------------------------------------------------


def plan_field(
    name: str,
    definition: Definition,
    families: Families,
    contents: Contents,
    pieces: Sequence[Piece],
    report: RepairReport,
) -> FieldPlan:
    """Which rows of a field are sound, which can be made again. The rest is gone."""
    spec = config.field_from_dict(definition[name][0])
    plan = FieldPlan(name, [p for p in pieces if p.row.field == name], families[name])
    flag = DOCUMENT if spec.family in config.PER_DOCUMENT else PASSAGE
    _find_current(plan, contents, flag)
    for piece in plan.pieces:
        if piece.sound:
            assert piece.current is not None
            _mark(plan.have, piece, piece.current)
            if not piece.current.any() and len(piece.current) and not contents.segments_proven:
                plan.retire.append(piece)  # nothing in it lives
            continue
        plan.retire.append(piece)
        plan.supersede.pop(piece.row.file, None)
        if piece.file is None:
            continue
        if plan.family is None:
            plan.family = _family(name, definition, contents)
        piece.salvage = plan.family.salvage(piece.file, piece.damaged)
        if piece.salvage is not None and piece.current is not None:
            chosen = piece.current & piece.salvage.sound
            plan.saved.append((piece, chosen))
            _mark(plan.have, piece, chosen)
    if spec.reads_text:
        lacking = [part[~plan.have.have(part, PASSAGE)] for part in contents.marks.chunks(flag)]
        plan.encode = np.concatenate([EMPTY, *lacking])
        if len(plan.encode):
            if plan.family is None:
                plan.family = _family(name, definition, contents)
            if not plan.retire:
                report.problems.append(f"field {name!r}: {len(plan.encode)} passages have no row")
    return plan


def _find_current(plan: FieldPlan, contents: Contents, flag: int) -> None:
    """Which row of each passage counts: of several the one that was written last."""
    claimed = Flags()
    for piece in reversed(plan.pieces):
        if piece.units is None:
            continue
        piece.current = np.zeros(piece.units.n_rows, bool)
        replaced = contents.superseded.get(piece.row.file, EMPTY)
        older = [EMPTY]
        for rows, units in piece.chunks():
            counts = contents.marks.have(units, flag) & ~np.isin(units, replaced)
            taken = counts & claimed.have(units, PASSAGE)
            older.append(units[taken])
            piece.current[rows] = counts & ~taken
        _mark(claimed, piece, piece.current)
        stale = np.concatenate(older)
        if len(stale):
            plan.supersede[piece.row.file] = stale


def _mark(flags: Flags, piece: Piece, chosen: Chosen) -> None:
    for rows, units in piece.chunks():
        flags.mark(units[chosen[rows]], PASSAGE)


def account(plan: FieldPlan, contents: Contents, report: RepairReport) -> None:
    """Tell the report what a plan makes again and what it cannot bring back."""
    name, damaged = plan.name, [piece for piece in plan.retire if not piece.sound]
    if plan.rows:
        report.rebuilt[name] = Rebuilt(len(damaged), plan.rows, len(plan.encode))
    if plan.family is not None and plan.family.spec.reads_text:
        return
    lost, unplaced = [EMPTY], 0
    for piece in damaged:
        if piece.units is None or piece.current is None:
            known = contents.superseded.get(piece.row.file, EMPTY)
            unplaced += max(0, piece.row.rows - len(known))
        elif piece.salvage is None:
            lost.append(piece.units.units(np.flatnonzero(piece.current)))
        else:
            gone = np.flatnonzero(piece.current & ~piece.salvage.sound)
            lost.append(piece.units.units(gone))
            _account_postings(plan, piece, contents, report)
    unlisted = not contents.segments_proven  # a file may be gone that nobody knows of
    if unplaced and contents.superseded_proven:  # whoever has a row has the last one
        lacking = (part[~plan.have.have(part, PASSAGE)] for part in contents.marks.chunks(PASSAGE))
        unplaced = min(unplaced, sum(map(len, lacking)))
    if unplaced or unlisted:
        lost = [part[~plan.have.have(part, PASSAGE)] for part in contents.marks.chunks(DOCUMENT)]
    ids = contents.ids(np.unique(np.concatenate([EMPTY, *lost])))
    if unlisted:
        unplaced = max(unplaced, len(ids))
    if unplaced:
        report.vectors_unplaced[name] = unplaced
    if ids or unplaced:
        report.vectors_lost[name] = ids
    # Vectors that are there may have been given again in a segment that is gone.
    in_doubt = 0 if contents.superseded_proven else _older_rows(plan, unlisted)
    if in_doubt:
        report.vectors_doubtful[name] = in_doubt if unlisted else min(in_doubt, unplaced)


def _older_rows(plan: FieldPlan, all_of_them: bool) -> int:
    """How many rows count that are older than some whose documents are not known."""
    older = before = 0
    for piece in plan.pieces:
        if piece.units is None:
            before = older
        elif piece.current is not None:
            older += int(piece.current.sum())
    return older if all_of_them else before


def _account_postings(
    plan: FieldPlan, piece: Piece, contents: Contents, report: RepairReport
) -> None:
    assert piece.salvage is not None and piece.units is not None and piece.current is not None
    for one in piece.salvage.lost_lists if piece.current.any() else ():
        rows = piece.units.rows(one.units)
        ids = contents.ids(one.units[piece.current[rows]])
        report.postings_lost.setdefault(plan.name, []).append(
            LostPostings(one.column, one.postings, tuple(ids))
        )


def strangers(contents: Contents, plans: Sequence[FieldPlan]) -> Units:
    """Passages of rows that stay although their document is not there."""
    found = [EMPTY]
    for plan in plans:
        for piece in plan.kept:
            for _, units in piece.chunks():
                found.append(units[~contents.marks.have(units, PASSAGE | DEAD)])
    return np.unique(np.concatenate(found))
