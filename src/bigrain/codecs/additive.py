"""Additive quantisation: every section is the sum of one of 16 vectors from each of several stages.

The accurate and slow end of the family. Codebooks begin as those of a residual quantiser, stage by
stage (Chen, Guan, Wang 2010), and are then fitted together by least squares to the codes chosen
(Babenko and Lempitsky, CVPR 2014); codes are chosen by beam search. A few long sections instead of
one keep the search short: a product of additive quantisers (papers/A-5 section 5). They stand in a
rotation that gives every section about the same share of the variance. The cross terms between
stages that Euclidean distance needs are in the factor and the offset of a row, not in its code.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from bigrain.codecs.codebooks import ENTRIES, Codebooks, section_edges, to_directions
from bigrain.codecs.nibbles import pack_nibbles
from bigrain.codecs.optimised import WIDEST, balanced_rotation
from bigrain.codecs.product import entries_of, first_entries
from bigrain.codecs.quantiser import Fitted, unbiased

__all__ = ["Additive"]

Floats = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]
STAGES = 8  # at most
ROUNDS_A_STAGE, ROUNDS_TOGETHER = 6, 6
BEAM, BEAM_WHILE_FITTING = 8, 4
RIDGE = 1e-4  # of the mean count: keeps what is never chosen near zero
LARGEST = 100.0  # of unit vectors: far beyond what a sound fit gives
TOGETHER = 256  # rows whose beams stand in memory


@dataclass(frozen=True)
class Additive(Codebooks):
    code: ClassVar[str] = "additive"
    learned: ClassVar[bool] = True
    rotated: ClassVar[bool] = False
    scaled: ClassVar[bool] = True

    @staticmethod
    def kept(dim: int, light_bytes: int, bits: int) -> int:
        return min(dim, max(WIDEST, 2 * light_bytes))

    @classmethod
    def symbols_of(cls, dim: int, light_bytes: int, bits: int) -> int:
        return 2 * light_bytes

    @classmethod
    def fit(cls, sample: Floats, width: int, light_bytes: int, bits: int, seed: int) -> Fitted:
        sections = sections_of(width, 2 * light_bytes)
        stages = 2 * light_bytes // sections
        directions = to_directions(sample)
        rotation = balanced_rotation(directions, sections)
        turned = directions @ rotation.T
        edges = section_edges(width, sections)
        books = np.zeros((sections, stages, ENTRIES, max(np.diff(edges))), np.float32)
        for section, (a, b) in enumerate(zip(edges[:-1], edges[1:], strict=True)):
            part = np.ascontiguousarray(turned[:, a:b])
            books[section, :, :, : b - a] = _fit_section(part, stages, seed + section)
        return Fitted(cls(width, books), rotation)

    def encode(self, vectors: Floats) -> tuple[Bytes, Floats]:
        symbols = np.empty((len(vectors), self.groups), np.uint8)
        directions = to_directions(vectors)
        for section, part in enumerate(self.parts):
            chosen = slice(section * self.stages, (section + 1) * self.stages)
            symbols[:, chosen] = beam_search(directions[:, part], self.book(section), BEAM)
        return pack_nibbles(symbols), unbiased(vectors, self.decoded(symbols))


def sections_of(width: int, groups: int) -> int:
    """The fewest sections of equally many stages, STAGES at most where the width allows it."""
    return next(s for s in range(1, groups + 1) if groups % s == 0
                and (groups // s <= STAGES or 2 * s > width))  # fmt: skip


def _fit_section(vectors: Floats, stages: int, seed: int) -> Floats:
    """Books (stages, 16, size) of one section's sample (n, size)."""
    if not len(vectors):
        return np.zeros((stages, ENTRIES, vectors.shape[1]), np.float32)
    left = vectors.copy()
    books = np.empty((stages, ENTRIES, vectors.shape[1]), np.float32)
    for stage in range(stages):
        book = first_entries(left, 1, seed + stage)
        for _ in range(ROUNDS_A_STAGE):
            symbols = beam_search(left, book[0], 1)
            book = entries_of(left, symbols, book)
        books[stage] = book[0, 0]
        left -= book[0, 0][beam_search(left, book[0], 1)[:, 0]]
    if stages > 1:
        for _ in range(ROUNDS_TOGETHER):
            symbols = beam_search(vectors, books, BEAM_WHILE_FITTING)
            books = _fitted_together(vectors, symbols, stages)
    return books


def _fitted_together(vectors: Floats, symbols: Bytes, stages: int) -> Floats:
    """The books with the least squared error for the given codes."""
    chosen = np.zeros((len(vectors), stages * ENTRIES), np.float32)
    np.put_along_axis(chosen, symbols + ENTRIES * np.arange(stages), 1, axis=1)
    normal = (chosen.T @ chosen).astype(np.float64)
    normal[np.diag_indices_from(normal)] += RIDGE * max(len(vectors) / ENTRIES, 1)
    entries = np.linalg.solve(normal, (chosen.T @ vectors).astype(np.float64))
    entries = np.clip(entries, -LARGEST, LARGEST).reshape(stages, ENTRIES, -1)
    return np.asarray(entries, np.float32)


def beam_search(vectors: Floats, books: Floats, beam: int) -> Bytes:
    """(n, stages): entries of `books` (stages, 16, size) whose sum is near each of (n, size)."""
    out = np.empty((len(vectors), len(books)), np.uint8)
    flat = books.reshape(-1, books.shape[2])
    gram = flat @ flat.T
    half = 0.5 * np.einsum("ij,ij->i", flat, flat)
    for start in range(0, len(vectors), TOGETHER):
        part = slice(start, start + TOGETHER)
        out[part] = _search(vectors[part] @ flat.T - half, gram, len(books), beam)
    return out


def _search(products: Floats, gram: Floats, stages: int, beam: int) -> Bytes:
    """Beam search over <x, entry> - |entry|^2 / 2 (n, 16 stages) and the entries' own products.

    Of a set of entries, the sum of these less their products with each other is larger the nearer
    their sum is to x.
    """
    n = len(products)
    rows = np.arange(n)[:, None]
    gains = products[:, None]  # (n, beam, 16 * stages left): what each entry would add
    best = np.zeros((n, 1), np.float32)
    paths = np.zeros((n, 1, stages), np.uint8)
    for stage in range(stages):
        scores = (best[:, :, None] + gains[:, :, :ENTRIES]).reshape(n, -1)
        wanted = 1 if stage == stages - 1 else min(beam, scores.shape[1])
        if wanted == 1:
            kept = scores.argmax(axis=1)[:, None]
        else:
            kept = np.argpartition(-scores, wanted - 1, axis=1)[:, :wanted]
        came, entry = kept // ENTRIES, kept % ENTRIES
        best = np.take_along_axis(scores, kept, axis=1)
        paths = paths[rows, came]
        paths[:, :, stage] = entry
        if stage < stages - 1:
            gains = gains[rows, came, ENTRIES:]
            gains -= gram[stage * ENTRIES + entry, (stage + 1) * ENTRIES :]
    return paths[:, 0]
