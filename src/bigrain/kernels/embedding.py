"""Texts to pieces, pieces to vectors, and rows of compressed tables."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from bigrain.kernels.levels import chosen
from bigrain.kernels.reference import F32, I8, I32, I64, U8, U32

__all__ = ["code_rows", "listed_rows", "mapped_rows", "narrow_rows", "pool_tokens", "WordPiece"]


class WordPiece:
    """Greedy longest-match-first word pieces, as in BERT, for text that is already normalised.

    The caller has lower-cased, stripped accents, and put blanks around CJK characters and
    non-ASCII punctuation. Words end at ASCII white space; an ASCII punctuation character is a word
    of its own; everything else belongs to words. `vocabulary`: a token's id is its position.
    A word that cannot be built, or is longer than `max_chars_per_word` characters, becomes `unk`.

    >>> WordPiece(["[UNK]", "play", "##ing"]).encode(["playing chess"])
    (array([1, 2, 0], dtype=int32), array([0, 3]))
    """

    def __init__(
        self,
        vocabulary: list[str],
        *,
        unk: str = "[UNK]",
        prefix: str = "##",
        max_chars_per_word: int = 100,
    ) -> None:
        self._impl = chosen().WordPiece(vocabulary, unk, prefix, max_chars_per_word)

    def encode(self, texts: list[str]) -> tuple[I32, I64]:
        """Return ids (T,) int32 of all texts and offsets (n + 1,) int64 of their starts.

        A text with a lone surrogate is refused with its number.
        """
        ids, offsets = self._impl.encode(texts)
        return ids, offsets


def pool_tokens(
    ids: I32, offsets: I64, table: I8, scales: F32, power: float = 1.0, normalise: bool = True
) -> F32:
    """Sum the embeddings of each text's tokens: (n, D) float32.

    Text i has ids[offsets[i]:offsets[i+1]]; a token t that occurs c times adds
    c**power * scales[t] * table[t], with `table` (V, D) int8 and `scales` (V,) float32. With
    `normalise` every row has length 1, or stays zero.
    """
    return chosen().pool_tokens(ids, offsets, table, scales, power, normalise)


def mapped_rows(values: npt.NDArray[Any], bits: U8, counts: U32, ids: I64, dim: int) -> F32:
    """Read rows (m, dim) float32 of which some numbers are kept and the others are zero.

    Bit c of `bits` (a multiple of 32 bytes; bit c % 8 of byte c // 8) tells whether number
    c % dim of row c // dim is kept; `counts` (uint32) how many are before each 256 bits. Kept
    numbers stand in `values` in order (finite float32, float16 or int8); `ids` (m,) int64 are rows.
    """
    return chosen().mapped_rows(values, bits, counts, ids, dim)


def listed_rows(
    values: npt.NDArray[Any], places: npt.NDArray[Any], first: I64, step: int, ids: I64, dim: int
) -> F32:
    """Read rows as `mapped_rows`, whose kept numbers are those at rising `places` (uint32, uint64).

    `first` (ceil(rows / step) + 1,) int64 are the first places of row 0, step, 2 step, ..., then
    their number.
    """
    return chosen().listed_rows(values, places, first, step, ids, dim)


def code_rows(books: F32, packed: list[U8], bits: I64, starts: I64, ids: I64) -> F32:
    """Read rows (m, parts * size) float32 of product codes.

    `books` (parts, words, size) float32 has the codewords. The ids of a band begin at its entry of
    `starts` (int64, from 0 rising); their codes, `bits` (int64, 1 to 8) a part, lie in its array of
    `packed` one after the other, the lowest bit first, and a byte follows the last.
    """
    return chosen().code_rows(books, packed, bits, starts, ids)


def narrow_rows(
    cells: npt.NDArray[Any],
    scales: F32,
    starts: I64,
    sizes: I64,
    widths: I64,
    projections: F32 | None,
    kept: U8 | None,
    counts: U32 | None,
    places: I64,
    dim: int,
) -> F32:
    """Read rows (m, dim) float32 of groups with rows of different widths.

    The places of a group begin at its entry of `starts` (int64, from 0 rising); `cells` (finite
    float32, float16 or int8) has its `sizes` rows of `widths` numbers, group after group, to be
    multiplied with its entry of `scales`. Where `projections` (lines, dim) float32 are given, a
    group narrower than `dim` has the next `widths` lines of them; else zeros follow its numbers.
    Where a bitmap `kept` is given, with `counts` as in `mapped_rows`, only rows of places with
    their bit set are there, and the others are zero.
    """
    return chosen().narrow_rows(
        cells, scales, starts, sizes, widths, projections, kept, counts, places, dim
    )
