"""What a field reads of documents: passages, under their titles."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from bigrain.encoders.base import PassageText, Whole
from bigrain.families.base import Family
from bigrain.storage.rows import Stored, StoredDocument

__all__ = ["texts_of"]

Units = npt.NDArray[np.int64]


def texts_of(stored: Sequence[Stored | StoredDocument], family: Family) -> tuple[Units, list[str]]:
    """What a field reads of documents: the units, and the text of each."""
    units: list[int] = []
    texts: list[str] = []
    for s in stored:

        def titled(text: str, title: str = s.title) -> str:
            return family.titled(title, text) if title else text

        if not family.per_passage or s.passages is None:
            units.append(s.docno)
            texts.append(titled(s.text))
            continue
        spans, before = s.passages.tolist(), len(titled(""))
        whole = Whole(titled(s.text), [(a + before, b + before) for a, b in spans])
        for i, (start, end) in enumerate(spans):
            units.append(s.docno + i)
            texts.append(PassageText.of(titled(s.text[start:end]), whole, i))
    return np.array(units, np.int64), texts
