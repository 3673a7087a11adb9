"""A few values of each row; where they stand is told by a bitmap or by a sorted list of places.

The bitmap takes n d / 8 bytes whatever is kept, a place 4 (8 above 2^32 cells) bytes each.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from bigrain.tables.forms.base import Floats, Form, Ids, Layout
from bigrain.tables.ranks import bitmap, bitmap_layout, bits_at, counts_before

__all__ = ["Sparse", "sparse_arrays"]


class Sparse(Form):
    kind: ClassVar[str] = "sparse"

    @staticmethod
    def layout(  # type: ignore[override]
        num_embeddings: int, embedding_dim: int, *, values: int, mapped: bool
    ) -> Layout:
        cells = num_embeddings * embedding_dim
        kept: Layout = {"values": ("<f4", (values,))}
        if mapped:
            n_bytes, counts = bitmap_layout(cells)
            return {**kept, "bits": ("|u1", (n_bytes,)), "counts": ("<u4", (counts,))}
        return {**kept, "places": (_place_dtype(cells), (values,))}

    def rows(self, ids: Ids) -> Floats:
        return self._mapped(ids) if self.knobs["mapped"] else self._listed(ids)

    def _mapped(self, ids: Ids) -> Floats:
        first = ids * self.embedding_dim
        set_ = bits_at(self.arrays["bits"], first[:, None] + np.arange(self.embedding_dim))
        before = counts_before(self.arrays["bits"], self.arrays["counts"], first)
        at = before[:, None] + np.cumsum(set_, axis=1) - 1
        out = np.zeros(set_.shape, np.float32)
        out[set_] = self.arrays["values"][at[set_]]
        return out

    def _listed(self, ids: Ids) -> Floats:
        places = self.arrays["places"]
        first = ids * self.embedding_dim
        begin = np.searchsorted(places, first.astype(places.dtype))
        end = np.searchsorted(
            places, (first + self.embedding_dim - 1).astype(places.dtype), "right"
        )
        lengths = end - begin
        row = np.repeat(np.arange(len(ids)), lengths)
        at = np.arange(len(row)) - np.repeat(np.cumsum(lengths) - lengths, lengths) + begin[row]
        out = np.zeros((len(ids), self.embedding_dim), np.float32)
        out[row, places[at].astype(np.int64) - first[row]] = self.arrays["values"][at]
        return out


def sparse_arrays(
    places: Ids, values: Floats, cells: int, mapped: bool
) -> dict[str, np.ndarray[tuple[int, ...], np.dtype[np.generic]]]:
    """The arrays of a form that keeps `values` at ascending `places` of `cells`."""
    if mapped:
        bits, counts = bitmap(places, cells)
        return {"values": values, "bits": bits, "counts": counts}
    return {"values": values, "places": places.astype(_place_dtype(cells))}


def _place_dtype(cells: int) -> str:
    return "<u4" if cells <= 1 << 32 else "<u8"
