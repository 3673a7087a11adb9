"""Product codes: each part of a row is a codeword; codes are packed to the bit.

Ranks in different bands may have codes of different lengths.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from bigrain.tables.forms.base import Floats, Form, Ids, Layout, order_layout

__all__ = ["Codes", "pack_bits"]

PADDING = 1  # bytes, so that two can always be read at once


def packed_bytes(rows: int, parts: int, bits: int) -> int:
    return -(-rows * parts * bits // 8) + PADDING


def pack_bits(codes: npt.NDArray[Any], bits: int) -> npt.NDArray[np.uint8]:
    """Codes (rows, parts) below 2^bits, one after the other, low bits first."""
    flat = codes.reshape(-1, 1).astype(np.uint16)
    each = (flat >> np.arange(bits, dtype=np.uint16)) & 1
    packed = np.packbits(each.astype(np.uint8).reshape(-1), bitorder="little")
    return np.concatenate([packed, np.zeros(PADDING, np.uint8)])


def unpack_bits(packed: npt.NDArray[np.uint8], codes: Ids, bits: int) -> Ids:
    """The codes at these places."""
    if bits == 8:
        return packed[codes].astype(np.int64)
    bit = codes * bits
    pairs = np.ndarray((len(packed) - 1,), "<u2", packed, strides=(1,))  # begin at every byte
    return (pairs[bit >> 3].astype(np.int64) >> (bit & 7)) & ((1 << bits) - 1)


class Codes(Form):
    kind: ClassVar[str] = "codes"

    @staticmethod
    def layout(  # type: ignore[override]
        num_embeddings: int,
        embedding_dim: int,
        *,
        parts: int,
        bits: list[int],
        starts: list[int],
        ordered: bool,
    ) -> Layout:
        if not 1 <= min(bits) <= max(bits) <= 8:
            raise ValueError(f"codes of {bits} bits")
        stops = [*starts[1:], num_embeddings]
        packed: Layout = {
            f"codes{band}": ("|u1", (packed_bytes(stop - start, parts, b),))
            for band, (start, stop, b) in enumerate(zip(starts, stops, bits, strict=True))
        }
        books: Layout = {"books": ("<f4", (parts, 1 << max(bits), embedding_dim // parts))}
        return {**books, **packed, **order_layout(num_embeddings, ordered)}

    def rows(self, ids: Ids) -> Floats:
        parts, words, size = self.arrays["books"].shape
        first = np.arange(parts) * words
        flat = self.arrays["books"].reshape(parts * words, size)
        return flat.take(self.symbols(ids) + first, axis=0).reshape(len(ids), parts * size)

    def symbols(self, ids: Ids) -> Ids:
        """(m, parts) the codeword of each part."""
        parts, starts = self.knobs["parts"], self.knobs["starts"]
        places = self.places(ids)
        band = np.searchsorted(starts, places, "right") - 1
        out = np.empty((len(ids), parts), np.int64)
        for b, bits in enumerate(self.knobs["bits"]):
            mine = np.flatnonzero(band == b)
            first = (places[mine] - starts[b])[:, None] * parts + np.arange(parts)
            out[mine] = unpack_bits(self.arrays[f"codes{b}"], first, bits)
        return out
