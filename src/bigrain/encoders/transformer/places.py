"""Where in a text the token vectors of the multi-vector head stand.

The windows are laid as for encoding, so that vectors come in the same order; no network runs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from bigrain.encoders.base import PassageText
from bigrain.encoders.transformer.heads.multivector import TokenHead
from bigrain.encoders.transformer.pieces import Pieces
from bigrain.encoders.transformer.windows import Frame, batched, windows_of

__all__ = ["token_places"]

Ids = npt.NDArray[np.int64]


def token_places(
    texts: Sequence[str], pieces: Pieces, frame: Frame, long: str, head: TokenHead, *, query: bool
) -> list[Ids]:
    """For each text rows (token, start, end), one for each vector in their order.

    Marks and tokens of prompts stand nowhere: (0, 0).
    """
    characters = _characters(texts, pieces, frame, long)
    found: list[list[Ids]] = [[] for _ in texts]
    windows = windows_of(texts, pieces, frame, long)
    for some, ids, _ in batched(windows, pieces.padding):
        for window, row in zip(some, ids, strict=True):
            for text, start, stop in window.parts:
                (kept,) = head.kept([row[start:stop]], query=query)
                numbers = np.arange(start, stop)[kept] - len(frame.before) + window.read[0]
                known = (numbers >= window.read[0]) & (numbers < window.read[1])
                places = np.zeros((len(numbers), 2), np.int64)
                places[known] = characters[text][numbers[known]]
                found[text].append(places)
    return [
        np.column_stack([np.arange(len(rows)), rows])
        for rows in (np.concatenate(parts) for parts in found)
    ]


def _characters(texts: Sequence[str], pieces: Pieces, frame: Frame, long: str) -> list[Ids]:
    """(t, 2) for each text: where the tokens of what is read stand in it."""
    read: list[tuple[str, int, int]] = []  # what is read, where the text is in it, and its title
    for text in texts:
        if long == "late" and isinstance(text, PassageText):
            start, stop = text.whole.spans[text.place]
            read.append((text.whole.text, start, len(text) - (stop - start)))
        else:
            read.append((text, 0, 0))
    out = []
    placed = pieces.placed([frame.prompt + whole for whole, _, _ in read])
    for text, (_, start, titled), (_, places) in zip(texts, read, placed, strict=True):
        moved = places - len(frame.prompt) - start + titled
        inside = np.clip(moved, titled, len(text))
        inside[inside[:, 0] >= inside[:, 1]] = 0
        out.append(inside)
    return out
