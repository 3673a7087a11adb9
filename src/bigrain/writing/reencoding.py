"""Encoding a field's texts anew, for a field whose encoder has changed."""

from __future__ import annotations

from contextlib import suppress

import numpy as np

from bigrain.errors import StorageError
from bigrain.families import Family
from bigrain.families.reading import texts_of
from bigrain.index.base import UnitMap
from bigrain.progress import Reporter
from bigrain.storage.catalogue import Catalogue
from bigrain.storage.folder import Folder
from bigrain.storage.segment import SegmentFile
from bigrain.writing.session import Sealed

__all__ = ["encode_anew"]

DOCUMENTS = 1024  # at once


def encode_anew(
    folder: Folder, catalogue: Catalogue, family: Family, snapshot: int, memory_bytes: int,
    reporter: Reporter,
) -> Sealed | None:  # fmt: skip
    """One unpublished segment of all that lives in a snapshot; None if nothing does."""
    numbers = catalogue.live_docnos(snapshot)
    reporter.stage(f"encoding {family.name}", len(numbers))
    path = folder.new_segment(family.name)
    builder = family.builder(folder.files, folder.staging, memory_bytes, [])
    try:
        for start in range(0, len(numbers), DOCUMENTS):
            found = catalogue.documents(numbers[start : start + DOCUMENTS].tolist())
            some = [found[number] for number in sorted(found)]
            units, texts = texts_of(some, family)
            builder.append(units, family.encode_documents(texts))
            reporter.advance(len(some))
        written = builder.seal(lambda units: np.ones(len(units), bool), path, folder.files)
    finally:
        with suppress(StorageError):
            builder.discard()
    if not written:
        return None
    file = SegmentFile(folder.files, path)
    return Sealed(family.name, file, UnitMap.read(file))
