"""An inference form: named arrays, a few whole numbers, and how ids become rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from bigrain.errors import ConfigError, DamagedError, InvalidInputError, shown
from bigrain.tables.spec import order_dtype

__all__ = ["Floats", "Form", "Ids", "Layout", "aligned_sections"]

Floats = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int64]
Layout = dict[str, tuple[str, tuple[int, ...]]]  # name: dtype, shape
AT_ONCE = 1 << 15


class Form:
    """A table ready for inference. `knobs` and `arrays` are all there is of it.

    `layout` says from the knobs which arrays there must be. It serves three times: to find the
    size of a table before it is made, to check what is read, and as the description of the file.
    """

    kind: ClassVar[str]

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        knobs: Mapping[str, Any],
        arrays: Mapping[str, npt.NDArray[Any]],
    ) -> None:
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.knobs, self.arrays = dict(knobs), dict(arrays)
        layout = self.layout(num_embeddings, embedding_dim, **self.knobs)
        for name, (dtype, shape) in layout.items():
            found = self.arrays.get(name)
            if found is None or found.shape != shape or found.dtype != np.dtype(dtype):
                was = "nothing" if found is None else f"{found.dtype.str} {found.shape}"
                raise ConfigError(f"{self.kind}: {name} must be {dtype} {shape}, not {was}")

    @staticmethod
    def layout(num_embeddings: int, embedding_dim: int, **knobs: Any) -> Layout:
        """The arrays of a form with these knobs."""
        raise NotImplementedError

    def rows(self, ids: Ids) -> Floats:
        """(m, dim) of ids (m,) that are known to be in range."""
        raise NotImplementedError

    def lookup(self, ids: npt.ArrayLike) -> Floats:
        """Rows (..., dim) float32 of whole numbers of any shape, from 0 to num_embeddings - 1."""
        try:
            given = np.asarray(ids)
        except ValueError:
            raise InvalidInputError("ids must be whole numbers in rows of equal length") from None
        if given.dtype.kind not in "iu":
            if given.size:
                raise InvalidInputError(f"ids must be whole numbers, not {given.dtype}")
            given = given.astype(np.int64)
        flat = given.reshape(-1)
        if flat.size and not (int(flat.min()) >= 0 and int(flat.max()) < self.num_embeddings):
            raise InvalidInputError(
                f"ids must be from 0 to {self.num_embeddings - 1:,}; given were "
                f"{shown(int(flat.min()))} to {shown(int(flat.max()))}"
            )
        if not flat.size:
            return np.empty((*given.shape, self.embedding_dim), np.float32)
        flat = flat.astype(np.int64, copy=False)
        try:
            if len(flat) <= AT_ONCE:
                out = self.rows(flat)
            else:
                out = np.empty((len(flat), self.embedding_dim), np.float32)
                for start in range(0, len(flat), AT_ONCE):
                    out[start : start + AT_ONCE] = self.rows(flat[start : start + AT_ONCE])
        except (IndexError, ValueError) as error:
            raise DamagedError("table", self.kind, "places inside the arrays", error) from None
        return out.reshape(*given.shape, self.embedding_dim)

    def places(self, ids: Ids) -> Ids:
        """The rank by frequency of each id, where the form keeps one; else the id."""
        order = self.arrays.get("order")
        return ids if order is None else order.take(ids).astype(np.int64)


def order_layout(num_embeddings: int, ordered: bool) -> Layout:
    """The array that maps ids to ranks, where ids are not numbered by falling frequency."""
    return {"order": (order_dtype(num_embeddings), (num_embeddings,))} if ordered else {}


def aligned_sections(layout: Layout, alignment: int) -> int:
    """The bytes of all arrays, each rounded up to the alignment."""
    total = 0
    for dtype, shape in layout.values():
        size = np.dtype(dtype).itemsize
        for length in shape:
            size *= length
        total += size + -size % alignment
    return total
