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
WHOLE = {8: np.uint64, 16: np.complex128}  # types of a codeword's size: taken faster than rows


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
        flat = self.arrays["books"].reshape(parts * words, size)
        whole = WHOLE.get(flat.itemsize * size)
        if whole is not None:
            flat = flat.view(whole)[:, 0]
        at = self.symbols(ids) + np.arange(0, parts * words, words)
        return flat.take(at, axis=0).view(np.float32).reshape(len(ids), parts * size)

    def symbols(self, ids: Ids) -> Ids:
        """(m, parts) the codeword of each part."""
        starts, bits = self.knobs["starts"], self.knobs["bits"]
        places = self.places(ids)
        if len(starts) == 1:
            return self._symbols(0, places)
        out = np.empty((len(ids), self.knobs["parts"]), np.int64)
        band = np.searchsorted(starts, places, "right") - 1
        for b in range(len(bits)):
            mine = np.flatnonzero(band == b)
            out[mine] = self._symbols(b, places[mine] - starts[b])
        return out

    def _symbols(self, band: int, rows: Ids) -> Ids:
        """The symbols of rows, counted from the first of their band."""
        parts, bits = self.knobs["parts"], self.knobs["bits"][band]
        packed = self.arrays[f"codes{band}"]
        width, rest = divmod(parts * bits, 8)
        if rest:
            return unpack_bits(packed, (rows * parts)[:, None] + np.arange(parts), bits)
        mine = packed[:-PADDING].reshape(-1, width).take(rows, axis=0)
        if bits == 8:
            return mine.astype(np.int64)
        bit = np.arange(parts) * bits
        low = mine.take(bit >> 3, axis=1).astype(np.uint16)
        high = mine.take((bit + bits - 1) >> 3, axis=1).astype(np.uint16)
        shift = (bit & 7).astype(np.uint16)
        return (((low | high << 8) >> shift) & ((1 << bits) - 1)).astype(np.int64)
