"""A few values of each row; where they stand is told by a bitmap or by a sorted list of places.

The bitmap takes n d / 8 bytes whatever is kept, a place 4 (8 above 2^32 cells) bytes each. Values
have 32, 16 or 8 bits.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from bigrain import kernels
from bigrain.tables.forms.base import Floats, Form, Ids, Layout
from bigrain.tables.forms.numbers import number_dtype, stored
from bigrain.tables.ranks import bitmap, bitmap_layout

__all__ = ["Sparse", "sparse_arrays"]

MOST = 1 << 20  # ids of which one place is known


class Sparse(Form):
    kind: ClassVar[str] = "sparse"

    @staticmethod
    def layout(  # type: ignore[override]
        num_embeddings: int, embedding_dim: int, *, values: int, mapped: bool, bits: int = 32
    ) -> Layout:
        cells = num_embeddings * embedding_dim
        kept: Layout = {"values": (number_dtype(bits), (values,))}
        if bits == 8:
            kept["scale"] = ("<f4", (1,))
        if mapped:
            n_bytes, counts = bitmap_layout(cells)
            return {**kept, "bits": ("|u1", (n_bytes,)), "counts": ("<u4", (counts,))}
        return {**kept, "places": (_place_dtype(cells), (values,))}

    def rows(self, ids: Ids) -> Floats:
        values, dim = self.arrays["values"], self.embedding_dim
        if self.knobs["mapped"]:
            bits, counts = self.arrays["bits"], self.arrays["counts"]
            rows = kernels.mapped_rows(values, bits, counts, ids, dim)
        else:
            first, step = self._first
            rows = kernels.listed_rows(values, self.arrays["places"], first, step, ids, dim)
        if "scale" in self.arrays:
            rows *= self.arrays["scale"]
        return rows

    @cached_property
    def _first(self) -> tuple[Ids, int]:
        """The first place of every so many ids; a place in memory for four in the file."""
        places = self.arrays["places"]
        step = min(MOST, max(1, 8 * self.num_embeddings // max(1, len(places))))
        n_steps = -(-self.num_embeddings // step)
        edges = np.arange(n_steps, dtype=np.int64) * (step * self.embedding_dim)
        first = np.searchsorted(places, edges.astype(places.dtype))
        return np.append(first, len(places)).astype(np.int64), step


def sparse_arrays(
    places: Ids, values: Floats, cells: int, mapped: bool, bits: int = 32
) -> dict[str, npt.NDArray[Any]]:
    """The arrays of a form that keeps `values` at ascending `places` of `cells`."""
    numbers, scale = stored(values, bits)
    kept: dict[str, npt.NDArray[Any]] = {"values": numbers}
    if bits == 8:
        kept["scale"] = scale.reshape(1)
    if mapped:
        kept["bits"], kept["counts"] = bitmap(places, cells)
    else:
        kept["places"] = places.astype(_place_dtype(cells))
    return kept


def _place_dtype(cells: int) -> str:
    return "<u4" if cells <= 1 << 32 else "<u8"
