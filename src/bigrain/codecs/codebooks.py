"""Codebooks: sections of the dimensions, each the sum of one of 16 vectors from each of its stages.

One stage a section is a product quantiser, more are an additive one. Sections hold consecutive
dimensions, as evenly many as can be; the shorter ones are padded with zeros.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from bigrain.codecs.nibbles import unpack_nibbles
from bigrain.codecs.quantiser import Quantiser, Tables, luts_of

__all__ = ["ENTRIES", "Codebooks", "nearest_entries", "section_edges", "to_directions"]

Floats = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]
ENTRIES = 16


def section_edges(width: int, sections: int) -> list[int]:
    """Where each section begins, and the end of the last: lengths differ by one at most."""
    return [width * i // sections for i in range(sections + 1)]


def to_directions(vectors: Floats) -> Floats:
    """Vectors with unit length; zero stays zero. Codebooks hold directions, factors lengths."""
    length = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))[:, None]
    return np.asarray(vectors / np.where(length > 0, length, 1), np.float32)


def nearest_entries(vectors: Floats, entries: Floats) -> npt.NDArray[np.intp]:
    """(n,) the nearest of `entries` (16, size) to each of `vectors` (n, size)."""
    scores = vectors @ entries.T
    scores -= 0.5 * np.einsum("ij,ij->i", entries, entries)
    return np.asarray(scores.argmax(axis=1))


@dataclass(frozen=True)
class Codebooks:
    width: int
    books: Floats  # (sections, stages, 16, longest section)

    @property
    def bits(self) -> int:
        return 4

    @property
    def sections(self) -> int:
        return int(self.books.shape[0])

    @property
    def stages(self) -> int:
        return int(self.books.shape[1])

    @property
    def groups(self) -> int:
        return self.sections * self.stages

    @cached_property
    def parts(self) -> list[slice]:
        """The dimensions of each section."""
        edges = section_edges(self.width, self.sections)
        return [slice(a, b) for a, b in zip(edges[:-1], edges[1:], strict=True)]

    def book(self, section: int) -> Floats:
        """(stages, 16, dimensions of the section)"""
        part = self.parts[section]
        return self.books[section, :, :, : part.stop - part.start]

    def decode(self, packed: Bytes) -> Floats:
        return self.decoded(unpack_nibbles(packed, self.groups))

    def decoded(self, symbols: Bytes) -> Floats:
        """(n, width) of symbols (n, G)."""
        out = np.empty((len(symbols), self.width), np.float32)
        for section, part in enumerate(self.parts):
            book, first = self.book(section), section * self.stages
            out[:, part] = book[0][symbols[:, first]]
            for stage in range(1, self.stages):
                out[:, part] += book[stage][symbols[:, first + stage]]
        return out

    @cached_property
    def _columns(self) -> npt.NDArray[np.intp]:
        """(sections, longest) the dimensions of each section, `width` where it is shorter."""
        edges = np.array(section_edges(self.width, self.sections))
        columns = edges[:-1, None] + np.arange(self.books.shape[3])
        return np.where(columns < edges[1:, None], columns, self.width)

    def tables(self, queries: Floats) -> Floats:
        padded = np.pad(queries, ((0, 0), (0, 1)))[:, self._columns]  # (Q, sections, longest)
        entries = self.books.reshape(self.sections, -1, self.books.shape[3])
        products = padded.transpose(1, 0, 2) @ entries.transpose(0, 2, 1)
        return np.ascontiguousarray(products.transpose(1, 0, 2)).reshape(
            len(queries), self.groups, ENTRIES
        )

    def luts(self: Any, queries: Floats) -> Tables:
        quantiser: Quantiser = self
        return luts_of(quantiser, queries)

    def arrays(self) -> dict[str, Floats]:
        return {"books": self.books}

    def numbers(self) -> dict[str, Any]:
        return {"sections": self.sections, "stages": self.stages}
