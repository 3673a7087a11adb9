"""Texts as what a network runs over: windows of tokens, and which part of them is whose.

    truncate   a long text is cut to the window
    windows    a long text is read in windows that overlap by one token in `OVERLAP`; what they give
               is joined by the heads
    late       late chunking (Günther et al., 2024): passages of one document are read together, as
               many as a window holds, with up to one token in `CONTEXT` of what stands before them,
               and each is given the vectors of its own tokens

A text that a window holds, and that is nobody's passage, is read alike by all three.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from bigrain.encoders.base import PassageText, Whole
from bigrain.encoders.transformer.pieces import Pieces

__all__ = ["LONG", "Frame", "Part", "Window", "batched", "windows_of"]

LONG = ("truncate", "windows", "late")
OVERLAP = 8
CONTEXT = 4
TOGETHER = 4096  # tokens in one run, padding included
Ids = npt.NDArray[np.int64]


class Part(NamedTuple):
    """Tokens `start` to `stop` of a window are those of a text."""

    text: int
    start: int
    stop: int


@dataclass(frozen=True)
class Window:
    """What is run over. `attended` may be fewer tokens than there are; `prompt`: leading tokens
    that pooling leaves out; `read`: first and last of the tokens of the text, or of the document
    that passages are of, that stand between the marks."""

    ids: list[int]
    attended: int
    prompt: int
    parts: tuple[Part, ...]
    read: tuple[int, int]

    @property
    def whole(self) -> bool:
        """Whether all of it is one text's."""
        return len(self.parts) == 1 and self.parts[0][1:] == (0, len(self.ids))


@dataclass(frozen=True)
class Frame:
    """What stands around each window, and how long it may be.

    `most` tokens in all; `mask` fills queries of late-interaction models up to that, and is
    attended to or not. `pools_prompt`: whether pooling takes the tokens of the prompt too.
    """

    before: list[int]
    behind: list[int]
    most: int
    prompt: str = ""
    pools_prompt: bool = True
    mask: int | None = None
    attends_to_masks: bool = False

    @property
    def room(self) -> int:
        return self.most - len(self.before) - len(self.behind)


def windows_of(texts: Sequence[str], pieces: Pieces, frame: Frame, long: str) -> list[Window]:
    """The windows of all texts; those that are passages go by documents where `long` is late."""
    late = [i for i, text in enumerate(texts) if long == "late" and isinstance(text, PassageText)]
    found = list(_late(texts, late, pieces, frame))
    alone = sorted({*range(len(texts))} - {*late}) if late else range(len(texts))
    n_prompt = 0
    if frame.prompt and not frame.pools_prompt:
        n_prompt = len(frame.before) + len(pieces.ids([frame.prompt])[0])
    given = pieces.ids([frame.prompt + texts[i] for i in alone])
    for text, ids in zip(alone, given, strict=True):
        for start in _starts(len(ids), frame.room, whole=long == "truncate"):
            found.append(_alone(text, ids, start, frame, 0 if start else n_prompt))
    return found


def _starts(n: int, room: int, *, whole: bool) -> Sequence[int]:
    step = room - max(1, room // OVERLAP)
    return [0] if whole or n <= room else range(0, n - (room - step), step)


def _alone(text: int, ids: Sequence[int], start: int, frame: Frame, n_prompt: int) -> Window:
    stop = min(start + frame.room, len(ids))
    whole = [*frame.before, *ids[start:stop], *frame.behind]
    attended = len(whole)
    if frame.mask is not None:
        whole += [frame.mask] * (frame.most - len(whole))
        attended = len(whole) if frame.attends_to_masks else attended
    return Window(whole, attended, n_prompt, (Part(text, 0, len(whole)),), (start, stop))


def _late(
    texts: Sequence[str], late: Sequence[int], pieces: Pieces, frame: Frame
) -> Iterator[Window]:
    """Windows of the documents that these texts are passages of.

    They are laid by all passages of a document, so that one alone is given what it was given among
    the others.
    """
    documents: dict[int, tuple[Whole, dict[int, int]]] = {}
    for i in late:
        passage = texts[i]
        assert isinstance(passage, PassageText)
        _, wanted = documents.setdefault(id(passage.whole), (passage.whole, {}))
        wanted[passage.place] = i
    wholes = [whole for whole, _ in documents.values()]
    placed = pieces.placed([frame.prompt + whole.text for whole in wholes])
    for (whole, wanted), (ids, characters) in zip(documents.values(), placed, strict=True):
        begins = np.maximum.accumulate(characters[:, 0])
        edges = np.searchsorted(begins, np.array(whole.spans) + len(frame.prompt))
        for start, stop, places in _layout(edges.tolist(), frame.room):
            n, row = len(frame.before), [*frame.before, *ids[start:stop], *frame.behind]
            parts = []
            for place in places:
                if place in wanted:
                    a, b = np.clip(edges[place] - start, 0, stop - start).tolist()
                    a = min(a + n, len(row) - 1)  # a passage without tokens gets its neighbour's
                    parts.append(Part(wanted[place], a, max(b + n, a + 1)))
            if parts:
                yield Window(row, len(row), 0, tuple(parts), (start, min(stop, len(ids))))


def _layout(edges: Sequence[Sequence[int]], room: int) -> Iterator[tuple[int, int, list[int]]]:
    """(first token, last, passages) of windows; a passage that none holds gets several."""
    place = 0
    while place < len(edges):
        first, last = edges[place]
        if last - first > room:
            for start in _starts(last - first, room, whole=False):
                yield first + start, min(first + start + room, last), [place]
            place += 1
            continue
        start = max(0, first - room // CONTEXT, last - room)
        places = []
        while place < len(edges) and edges[place][1] - start <= room:
            places.append(place)
            place += 1
        yield start, start + room, places


def batched(windows: Sequence[Window], padding: int) -> Iterator[tuple[list[Window], Ids, Ids]]:
    """Windows of like length together: (windows, ids (B, L), attention mask (B, L))."""
    order = sorted(windows, key=lambda window: -len(window.ids))
    start = 0
    while start < len(order):
        longest = len(order[start].ids)
        some = order[start : start + max(1, TOGETHER // longest)]
        start += len(some)
        ids = np.full((len(some), longest), padding, np.int64)
        mask = np.zeros_like(ids)
        for row, window in enumerate(some):
            ids[row, : len(window.ids)] = window.ids
            mask[row, : window.attended] = 1
        yield some, ids, mask
