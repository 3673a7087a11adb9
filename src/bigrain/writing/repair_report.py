"""What a repair found, made again, and could not bring back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from bigrain.errors import counted

__all__ = ["LostPostings", "Rebuilt", "RepairReport", "some"]

SHOWN = 5


@dataclass(frozen=True)
class LostPostings:
    """An inverted list that is gone. `ids` are the documents it names as far as it can be read."""

    column: int
    postings: int
    ids: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        return {"column": self.column, "postings": self.postings, "ids": list(self.ids)}


@dataclass
class Rebuilt:
    """What was made again in one field. `encoded` rows came from text, the others were saved."""

    segments: int = 0
    rows: int = 0
    encoded: int = 0


@dataclass
class RepairReport:
    """What `repair` found, made again, and could not bring back.

    `documents_lost`: ids of documents that are gone; `documents_unnamed`: how many more, of which
    not even the id is left. `vectors_lost`: by field, ids of documents that have no vector there
    any more and may have had one; exactly those who had, unless the field is in `vectors_unplaced`,
    which counts rows that no document can be found for. `vectors_doubtful`: by field, up to how
    many documents have an older vector in place of a newer one that is gone; which ones, nobody
    knows. `postings_lost`: by sparse field, the
    columns that are gone for some documents; the rest of those vectors was kept. `settings_lost`:
    settings that are back at their defaults. `quarantined`: set aside files and their bytes, in
    `folder`. `snapshot` is the one that holds the result, -1 for a dry run.
    """

    snapshot: int = -1
    dry_run: bool = False
    problems: list[str] = field(default_factory=list)
    documents: int = 0
    documents_lost: list[str] = field(default_factory=list)
    documents_unnamed: int = 0
    vectors_lost: dict[str, list[str]] = field(default_factory=dict)
    vectors_unplaced: dict[str, int] = field(default_factory=dict)
    vectors_doubtful: dict[str, int] = field(default_factory=dict)
    postings_lost: dict[str, list[LostPostings]] = field(default_factory=dict)
    settings_lost: list[str] = field(default_factory=list)
    rebuilt: dict[str, Rebuilt] = field(default_factory=dict)
    catalogue_rebuilt: bool = False
    quarantined: dict[str, int] = field(default_factory=dict)
    folder: str | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        """Nothing was damaged, and nothing has been changed."""
        return not self.problems

    @property
    def complete(self) -> bool:
        """Nothing is gone."""
        return not (
            self.documents_lost
            or self.documents_unnamed
            or self.vectors_lost
            or self.vectors_unplaced
            or self.vectors_doubtful
            or self.postings_lost
            or self.settings_lost
        )

    def to_dict(self) -> dict[str, Any]:
        return {
            "sound": self.sound,
            "complete": self.complete,
            "dry_run": self.dry_run,
            "snapshot": self.snapshot,
            "documents": self.documents,
            "documents_lost": list(self.documents_lost),
            "documents_unnamed": self.documents_unnamed,
            "vectors_lost": {name: list(ids) for name, ids in self.vectors_lost.items()},
            "vectors_unplaced": dict(self.vectors_unplaced),
            "vectors_doubtful": dict(self.vectors_doubtful),
            "postings_lost": {
                name: [one.to_dict() for one in lists] for name, lists in self.postings_lost.items()
            },
            "settings_lost": list(self.settings_lost),
            "rebuilt": {name: vars(made).copy() for name, made in self.rebuilt.items()},
            "catalogue_rebuilt": self.catalogue_rebuilt,
            "quarantined": dict(self.quarantined),
            "quarantined_bytes": sum(self.quarantined.values()),
            "folder": self.folder,
            "problems": list(self.problems),
            "notes": list(self.notes),
        }

    def summary(self) -> str:
        """For people: what was wrong, what was done, what is gone."""
        if self.sound:
            return f"sound: {counted(self.documents, 'document')}; nothing was changed"
        would = "would be " if self.dry_run else ""
        lines = [f"{counted(len(self.problems), 'problem')} found"]
        lines += [f"  - {problem}" for problem in self.problems]
        if self.catalogue_rebuilt:
            lines.append(f"{would}rebuilt: the catalogue, {counted(self.documents, 'document')}")
        for name, made in self.rebuilt.items():
            lines.append(
                f"{would}rebuilt: field {name!r}, {counted(made.segments, 'segment')}, "
                f"{counted(made.rows, 'row')}"
                + (f", {made.encoded:,} of them from text" if made.encoded else "")
            )
        if self.documents_lost:
            lines.append(f"gone: {some('document', self.documents_lost)}")
        if self.documents_unnamed:
            lines.append(f"gone: {counted(self.documents_unnamed, 'document')} of unknown id")
        for name, ids in self.vectors_lost.items():
            rows = self.vectors_unplaced.get(name)
            if rows is None:
                lines.append(f"gone: in field {name!r} the vectors of {some('document', ids)}")
            else:
                lines.append(
                    f"gone: in field {name!r} up to {counted(rows, 'vector')}; without a "
                    f"vector now: {some('document', ids)}"
                )
        for name, rows in self.vectors_doubtful.items():
            lines.append(
                f"in doubt: in field {name!r} up to {counted(rows, 'document')} may have an older "
                "vector than the last one given; give this field its vectors again to be sure"
            )
        for name, lists in self.postings_lost.items():
            lines.append(
                f"gone: in field {name!r} "
                f"{counted(sum(one.postings for one in lists), 'posting')} of "
                f"{some('column', [str(one.column) for one in lists])}; the rest of those "
                "vectors was kept"
            )
        lines += [f"gone: the setting {name!r}, now the default" for name in self.settings_lost]
        lines += [f"note: {text}" for text in self.notes]
        if self.quarantined:
            lines.append(
                f"set aside: {counted(len(self.quarantined), 'damaged file')}, "
                f"{sum(self.quarantined.values()):,} bytes, in {self.folder}; delete them when you "
                "no longer want them"
            )
        if self.complete:
            lines.append(f"nothing {'would be' if self.dry_run else 'is'} lost")
        return "\n".join(lines)


def some(what: str, names: Sequence[str]) -> str:
    """How many there are, and the first few of them."""
    listed = ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
    return f"{counted(len(names), what)} ({listed})"
