"""What a collection holds open from one snapshot to the next: fields, segments, shares of memory.

A snapshot lists files. Those that the last one listed too stay open; the rest are opened if their
light grains fit the memory budget, which only their tables are read for.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from bigrain import config
from bigrain.budget import Budget
from bigrain.encoders.base import check_fingerprint
from bigrain.encoders.one_pass import source_of
from bigrain.errors import BudgetError, ConfigError, DamagedError
from bigrain.families import Family, make_family
from bigrain.families.base import CodedFamily
from bigrain.families.learned import Learned
from bigrain.index.base import Segment, open_views
from bigrain.index.postings import ListCache
from bigrain.index.scratch import Scratch
from bigrain.search.fuse import Fusion
from bigrain.search.view import FieldView, SnapshotView
from bigrain.storage.catalogue import CATALOGUE, Catalogue, SegmentRow
from bigrain.storage.folder import Folder, missing_is_damage
from bigrain.storage.segment import SegmentFile
from bigrain.text.chunk import Chunking
from bigrain.writing.session import expand

__all__ = ["Opened", "with_families"]

BYTES_ADDING_UP = 4 + 4  # a row: its score, and its place in the longest list
BYTES_OF_NORM = 4
EXPANDED = 1 << 14  # deleted documents looked at together

Definitions = Mapping[str, tuple[dict[str, Any], dict[str, Any]]]  # name: (spec, fingerprint)


class Opened:
    """Families and segments of the newest snapshot, within the budget.

    `on_change` is told the name of a field that others have given other codes, adapters or another
    encoder. Raises `ConfigError` or `EncoderMismatchError` where an encoder is not what it was.
    """

    def __init__(
        self, folder: Folder, catalogue: Catalogue, budget: Budget, on_change: Callable[[str], None]
    ) -> None:
        self._folder, self._catalogue, self._on_change = folder, catalogue, on_change
        self._segments: dict[str, Segment] = {}
        self.whole_budget = budget
        settings, fields = catalogue.definition()
        chunking = settings["chunking"]
        self.chunking = None if chunking is None else Chunking.from_dict(chunking)
        self.fusion = Fusion(**settings["fusion"])
        self.learned = Learned.of(settings)
        self.learned.check(fields)
        self._specs = {name: spec for name, (spec, _) in fields.items()}
        self.families = {name: self._made(name, *told) for name, told in fields.items()}
        self.budget = with_families(budget, self.families)
        substrings = any(f.spec.family == "substring" for f in self.families.values())
        self.cache = ListCache(
            self.budget.lists // (2 if substrings else 1), Scratch(self.budget.search // 2)
        )

    def _made(self, name: str, spec: dict[str, Any], fingerprint: dict[str, Any]) -> Family:
        try:
            family = make_family(name, config.field_from_dict(spec))
        except ConfigError as error:
            before = self.learned.fields_before.get(name, spec)
            lost = before.get("encoder") != spec.get("encoder")
            raise ConfigError(
                f"{error}. If the encoder was moved, bigrain.rebind({str(self._folder.path)!r}, "
                "encoder) says where it is"
                + "; learn made it, and unlearn needs it too: if it is lost, put a copy of "
                "its folder back, or use a backup of the collection from before" * lost
            ) from error
        check_fingerprint(name, fingerprint, family.fingerprint())
        return self.learned.applied(family)

    @property
    def light_bytes(self) -> int:
        """Memory of the light grains of all open segments."""
        return sum(segment.memory_bytes for segment in self._segments.values())

    def forget(self) -> None:
        """Close segments when the last search that uses them ends; drop what is cached."""
        self._segments.clear()
        self.cache.forget()

    # -- the newest snapshot ----------------------------------------------------------------

    def newest(self, make_room: Callable[[], None]) -> SnapshotView:
        """The newest snapshot; segments that are open already are used again.

        It is pinned until nobody uses it: a collection, or a search that still runs in a thread.
        `make_room` is called, and should let the former view go, if both do not fit together.
        """
        while True:
            number, n_documents, pin = self._folder.pin_newest(self._catalogue.snapshot)
            try:
                definition = self._catalogue.definition()
                if self._catalogue.snapshot()[0] == number:  # else it may be a newer one's
                    self._follow(*definition)
                    view = self._view(number, n_documents, make_room)
                    break
            except BaseException:
                if pin is not None:
                    pin.release()
                raise
            if pin is not None:
                pin.release()
        if pin is not None:
            weakref.finalize(view, pin.release)
        return view

    def _view(self, number: int, n_documents: int, make_room: Callable[[], None]) -> SnapshotView:
        catalogue = self._catalogue
        dead = catalogue.dead_documents(number)
        long = catalogue.long_documents(number)
        replaced = catalogue.superseded(number)
        listed: dict[str, list[SegmentRow]] = {name: [] for name in self.families}
        for row in catalogue.segments(number):
            if row.field not in listed:
                raise DamagedError(CATALOGUE, "segments", "a field that is there", row.field)
            listed[row.field].append(row)
        keep = {row.file for rows in listed.values() for row in rows}
        files = {
            row.file: self._open_file(name, row) for name, rows in listed.items() for row in rows
        }
        lists = long.nbytes + max(0, dead.nbytes - self.budget.build)
        needed = self.require_budget(
            [(name, files[row.file]) for name, rows in listed.items() for row in rows], lists
        )
        retired = {name: s for name, s in self._segments.items() if name not in keep}
        for name in retired:
            del self._segments[name]  # closed when the last search that uses it ends
        if needed + sum(s.memory_bytes for s in retired.values()) > self.budget.light:
            make_room()
            self.cache.forget()
        retired.clear()
        fields = {}
        for name, family in self.families.items():
            segments = [self._open_segment(family, row, files) for row in listed[name]]
            views = open_views(segments, lambda: _units_of(dead), replaced)
            fields[name] = FieldView(family, family.index(views, self.cache))
        spare = max(0, self.budget.light - needed) // 2
        return SnapshotView(
            number, n_documents, catalogue, fields, len(dead), long[:, 0], long[:, 1],
            self.budget.search + spare,
        )  # fmt: skip

    def _follow(self, settings: Mapping[str, Any], fields: Definitions) -> None:
        """See what has been changed since: codes and encoders of fields, and what was learned."""
        self.fusion = Fusion(**settings["fusion"])
        former, learned = self.learned, Learned.of(settings)
        if learned != former:
            learned.check(fields)
        changed: dict[str, Family] = {}
        for name, (spec, fingerprint) in fields.items():
            family = self.families.get(name)
            if isinstance(family, CodedFamily) and self._specs[name] != spec:
                changed[name] = self._redefined(family, spec, fingerprint)
            elif family is None or learned.adapters.get(name) == former.adapters.get(name):
                continue
            changed[name] = learned.applied(changed.get(name, family))
        self.learned = learned
        if not changed:
            return
        self.budget = with_families(self.whole_budget, {**self.families, **changed})
        self.families.update(changed)
        for name in changed:
            self._specs[name] = fields[name][0]
            self._on_change(name)

    def _redefined(
        self, family: CodedFamily, spec: dict[str, Any], fingerprint: dict[str, Any]
    ) -> Family:
        """The field with other codes, or another encoder."""
        field = config.field_from_dict(spec)
        if field.family != family.spec.family:
            raise DamagedError(
                CATALOGUE, "fields", f"{family.name!r} to be a {family.spec.family} field", spec
            )
        if spec.get("encoder") == self._specs[family.name].get("encoder"):
            return family.recoded(field)
        made = make_family(family.name, field)
        check_fingerprint(family.name, fingerprint, made.fingerprint())
        return made

    def _open_file(self, field: str, row: SegmentRow) -> SegmentFile:
        """A segment's file; its table alone is read."""
        if row.file in self._segments:
            return self._segments[row.file].file
        family = self.families[field]
        path = self._folder.segments / row.file
        with missing_is_damage(path):
            file = SegmentFile(self._folder.files, path)
        try:
            if file.meta["family"] != family.spec.family:
                raise ValueError(f"a {file.meta['family']} segment")
            family.light_bytes(file)
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            raise DamagedError(
                row.file, "table", f"a {family.spec.family} segment", repr(error)
            ) from error
        return file

    def _open_segment(
        self, family: Family, row: SegmentRow, files: Mapping[str, SegmentFile]
    ) -> Segment:
        if row.file not in self._segments:
            try:
                segment = family.open_segment(files[row.file])
                if segment.units.n_rows != row.rows:
                    raise ValueError(f"{segment.units.n_rows} rows instead of {row.rows}")
            except (ArithmeticError, LookupError, TypeError, ValueError) as error:
                raise DamagedError(
                    row.file, "table", f"a {family.spec.family} segment", repr(error)
                ) from error
            self._segments[row.file] = segment
        return self._segments[row.file]

    def require_budget(self, files: Sequence[tuple[str, SegmentFile]], lists: int = 0) -> int:
        """What the light grains of segments and `lists` need, or BudgetError; nothing is read.

        Where the other shares are too small for what grows with a segment, the light one helps out:
        a search adds scores up and reads a list, a refresh computes norms anew.
        """
        of = self.families
        light = sum(of[field].light_bytes(file) for field, file in files)
        inverted = [
            (of[field].spec.family, file.number("n_rows"))
            for field, file in files
            if of[field].spec.family in ("lexical", "sparse", "substring")
        ]
        adding = max((BYTES_ADDING_UP * n for _, n in inverted), default=0)
        norms = sum(BYTES_OF_NORM * n for family, n in inverted if family == "lexical")
        budget = self.budget
        needed = light + lists + max(0, adding - budget.search) + max(0, norms - budget.build)
        if needed > budget.light:
            raise BudgetError(
                f"the light grains need {needed:,} bytes, but memory_budget_bytes="
                f"{budget.total:,} leaves {budget.light:,} for them; open with at least "
                f"{budget.total_for_light(needed):,}, or make fields with smaller light_bytes"
            )
        return needed


def _units_of(documents: npt.NDArray[np.int64]) -> Iterator[npt.NDArray[np.int64]]:
    """(n, 2) of (number, passages) as passages, a stretch at a time."""
    for start in range(0, len(documents), EXPANDED):
        yield expand(documents[start : start + EXPANDED])


def with_families(budget: Budget, families: Mapping[str, Family]) -> Budget:
    """The shares that are left beside encoders, and beside codecs while they are fitted.

    An encoder holds what it says; one that says nothing is the user's own.
    """
    sources = [source_of(f.encoder) for f in families.values() if f.encoder is not None]
    encoders = {id(source): source for source in sources}
    held = sum(int(getattr(source, "memory_bytes", 0)) for source in encoders.values())
    return budget.with_fixed(
        encoders=held,
        fitting=max((getattr(f, "fitting_bytes", 0) for f in families.values()), default=0),
    )
