"""Product quantisation with 16 entries a section (papers/A-5 section 5).

Jegou, Douze, Schmid (PAMI 2011). The direction of a vector is cut into sections, and each section
is coded by the nearest of 16 entries that k-means found for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from bigrain.codecs.codebooks import (
    ENTRIES,
    Codebooks,
    nearest_entries,
    section_edges,
    to_directions,
)
from bigrain.codecs.nibbles import pack_nibbles
from bigrain.codecs.quantiser import Fitted, unbiased

__all__ = ["Product", "entries_of", "first_entries"]

Floats = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]
ROUNDS = 12


@dataclass(frozen=True)
class Product(Codebooks):
    code: ClassVar[str] = "pq"
    learned: ClassVar[bool] = True
    rotated: ClassVar[bool] = False
    scaled: ClassVar[bool] = True

    @staticmethod
    def kept(dim: int, light_bytes: int, bits: int) -> int:
        return dim

    @classmethod
    def symbols_of(cls, dim: int, light_bytes: int, bits: int) -> int:
        return min(2 * light_bytes, dim)

    @classmethod
    def fit(cls, sample: Floats, width: int, light_bytes: int, bits: int, seed: int) -> Fitted:
        sections = cls.symbols_of(width, light_bytes, bits)
        directions = to_directions(sample)
        found = cls(width, first_entries(directions, sections, seed))
        for _ in range(ROUNDS):
            symbols = found.symbols(directions)
            found = cls(width, entries_of(directions, symbols, found.books))
        return Fitted(found)

    def symbols(self, vectors: Floats) -> Bytes:
        """(n, sections): the nearest entries of vectors as they are."""
        out = np.empty((len(vectors), self.sections), np.uint8)
        for section, part in enumerate(self.parts):
            out[:, section] = nearest_entries(vectors[:, part], self.book(section)[0])
        return out

    def encode(self, vectors: Floats) -> tuple[Bytes, Floats]:
        symbols = self.symbols(to_directions(vectors))
        return pack_nibbles(symbols), unbiased(vectors, self.decoded(symbols))


def first_entries(vectors: Floats, sections: int, seed: int) -> Floats:
    """Books (sections, 1, 16, longest) of random rows of the sample, others for every section."""
    rng = np.random.default_rng(seed)
    edges = section_edges(vectors.shape[1], sections)
    longest = max(np.diff(edges))
    books = np.zeros((sections, 1, ENTRIES, longest), np.float32)
    if not len(vectors):
        return books
    for section, (a, b) in enumerate(zip(edges[:-1], edges[1:], strict=True)):
        some = rng.choice(len(vectors), ENTRIES, replace=len(vectors) < ENTRIES)
        books[section, 0, :, : b - a] = vectors[some, a:b]
    return books


def entries_of(vectors: Floats, symbols: Bytes, before: Floats) -> Floats:
    """Books of one stage: the mean of the vectors coded by each entry; unused entries stay."""
    books = before.copy()
    edges = section_edges(vectors.shape[1], len(before))
    chosen = np.arange(ENTRIES, dtype=np.uint8)[:, None]
    for section, (a, b) in enumerate(zip(edges[:-1], edges[1:], strict=True)):
        ones = (symbols[:, section] == chosen).astype(np.float32)
        counts = ones.sum(axis=1)
        used = counts > 0
        sums = ones @ vectors[:, a:b]
        books[section, 0, used, : b - a] = sums[used] / counts[used, None]
    return books
