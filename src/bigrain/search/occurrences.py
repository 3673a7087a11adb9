"""Where a string occurs: counted by the index of a substring field, placed by the texts."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from bigrain.errors import DamagedError, InvalidQueryError, UnknownFieldError, shown
from bigrain.families.substring import SubstringFamily
from bigrain.index.substring import SubstringIndex
from bigrain.search.filter import parse
from bigrain.search.matching import matches
from bigrain.search.view import SnapshotView
from bigrain.storage.catalogue import CATALOGUE, StoredDocument
from bigrain.text.verbatim import Places

__all__ = ["DocumentOccurrences", "Occurrences", "Stretch", "find_occurrences"]

MAX_LIMIT = 10_000


@dataclass(frozen=True, slots=True)
class Stretch:
    """One occurrence: `text[start:end]` of a document, in characters, or the same of its title."""

    start: int
    end: int
    in_title: bool = False


@dataclass(frozen=True, slots=True)
class DocumentOccurrences:
    """How often one document holds the pattern, and the first of these places."""

    id: str
    count: int
    places: tuple[Stretch, ...]


@dataclass(frozen=True, slots=True)
class Occurrences:
    """All occurrences of `pattern`, overlapping ones included.

    `total` of them in `n_documents` documents; `documents` are those with the most.
    """

    pattern: str
    total: int
    n_documents: int
    documents: tuple[DocumentOccurrences, ...]

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


def find_occurrences(
    view: SnapshotView,
    pattern: str,
    *,
    limit: int,
    places: int,
    field: str | None,
    filter: object,
) -> Occurrences:
    """`Collection.occurrences` in one snapshot."""
    for name, value in (("limit", limit), ("places", places)):
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_LIMIT:
            raise InvalidQueryError(
                f"{name}={shown(value)} must be a whole number from 0 to {MAX_LIMIT:,}"
            )
    family, index = _substring_field(view, field)
    searched = family.pattern(pattern)
    parsed = None if filter is None else parse(filter)
    selection = None if parsed is None else view.select(parsed)
    tally = index.tally(searched.encode("utf-8", "surrogatepass"), limit, selection)
    stored = view.catalogue.documents(tally.units.tolist())
    listed = []
    for unit, count in zip(tally.units.tolist(), tally.counts.tolist(), strict=True):
        if unit not in stored:
            raise DamagedError(CATALOGUE, "documents", f"document number {unit}", "nothing")
        document = stored[unit]
        if parsed is not None and not matches(parsed, document.metadata):
            raise DamagedError(
                CATALOGUE, "metadata index", "only documents that pass the filter",
                f"document {document.id!r}, which does not",
            )  # fmt: skip
        listed.append(_placed(document, searched, count, places, family.spec.case_sensitive))
    return Occurrences(pattern, tally.total, tally.n_documents, tuple(listed))


def _substring_field(
    view: SnapshotView, name: str | None
) -> tuple[SubstringFamily, SubstringIndex]:
    there = {
        known: (field.family, field.index)
        for known, field in view.fields.items()
        if isinstance(field.family, SubstringFamily) and isinstance(field.index, SubstringIndex)
    }
    if name is None and len(there) == 1:
        return next(iter(there.values()))
    if not isinstance(name, str) or name not in there:
        asked = "a substring field" if name is None else f"a substring field {shown(name)}"
        has = f"it has {', '.join(there)}: name one" if there else (
            'create the collection with one, such as fields={"text": bigrain.SubstringField()}'
        )  # fmt: skip
        raise UnknownFieldError(f"this takes {asked}; {has}")
    return there[name]


def _placed(
    document: StoredDocument, pattern: str, count: int, most: int, case_sensitive: bool
) -> DocumentOccurrences:
    """The places in a document, which must be as many as the index has counted."""
    found: list[Stretch] = []
    n = 0
    for text, in_title in ((document.title, True), (document.text, False)):
        searched = Places(text, case_sensitive=case_sensitive)
        at = searched.find(pattern)
        n += len(at)
        starts, ends = searched.original(at[: max(0, most - len(found))], len(pattern))
        pairs = np.stack((starts, ends), axis=1).tolist()
        found += [Stretch(start, end, in_title) for start, end in pairs]
    if n != count:
        raise DamagedError(
            CATALOGUE, "documents", f"{count} occurrences in document {document.id!r}", n
        )
    return DocumentOccurrences(document.id, count, tuple(found))
