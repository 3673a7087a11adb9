"""Product codes: each part of a row is a codeword; codes are packed to the bit.

Ranks in different bands may have codes of different lengths.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from bigrain import kernels
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
        return kernels.code_rows(self.arrays["books"], *self._bands, self.places(ids))

    @cached_property
    def _bands(self) -> tuple[list[npt.NDArray[np.uint8]], Ids, Ids]:
        """(packed codes, bits, first places) of the bands."""
        bits, starts = (np.array(self.knobs[name], np.int64) for name in ("bits", "starts"))
        return [self.arrays[f"codes{band}"] for band in range(len(bits))], bits, starts
