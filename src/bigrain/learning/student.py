"""A codec whose projections and codebooks are parameters of torch.

Codes are chosen by the codec's own quantiser, and gradients pass straight through them: with y the
projected vector, j its symbols and s its factor,

    y^ = s decode(j) + (y - stopgrad(y)),

so the projection learns as if nothing were rounded, and the codebooks as what the symbols stand
for (van den Oord et al., NeurIPS 2017; papers/A-1 section 3). What is trained is what will be
scanned: y^ is bit for bit the decoded code.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bigrain import kernels
from bigrain.codecs.codebooks import ENTRIES, Codebooks, section_edges
from bigrain.codecs.dense import DenseCodec
from bigrain.codecs.nibbles import unpack_nibbles
from bigrain.codecs.quantiser import NEARLY_NOTHING
from bigrain.codecs.rotation import rotation_signs

__all__ = ["Student"]

Floats = npt.NDArray[np.float32]


class Student(torch.nn.Module):
    """Begins as `codec`. Residuals and queries are (n, d) tensors, centred where codes are."""

    def __init__(self, codec: DenseCodec) -> None:
        super().__init__()
        self._codec = codec
        frame, quantiser = codec.frame, codec.quantiser
        whole = np.eye(frame.width, frame.dim, dtype=np.float32)
        rows = whole if frame.projection is None else frame.projection
        columns = rows if frame.query_projection is None else frame.query_projection
        self._turn = _rotation(codec)
        self.rows = torch.nn.Parameter(torch.from_numpy(self._turn @ rows))
        self.columns = torch.nn.Parameter(torch.from_numpy(self._turn @ columns))
        self.books: torch.nn.Parameter | None = None
        if isinstance(quantiser, Codebooks):
            self.books = torch.nn.Parameter(torch.from_numpy(quantiser.books.copy()))
            lengths = np.diff(section_edges(frame.width, quantiser.sections))
            there = np.arange(quantiser.books.shape[3]) < lengths[:, None]
            self._there = torch.from_numpy(np.flatnonzero(there))

    def queries(self, routed: Tensor) -> Tensor:
        """(Q, width): what is multiplied with `documents`."""
        return routed @ self.columns.T

    def documents(self, residuals: Tensor) -> Tensor:
        """(n, width): decoded codes times their factors."""
        projected = residuals @ self.rows.T
        before = projected.detach()
        return self._decoded(before) + (projected - before)

    def _decoded(self, projected: Tensor) -> Tensor:
        quantiser = self._quantiser()
        packed, scale = quantiser.encode(projected.numpy())
        if self.books is None:
            return torch.from_numpy(quantiser.decode(packed) * scale[:, None])
        symbols = torch.from_numpy(unpack_nibbles(packed, quantiser.groups).astype(np.int64))
        entries = self.books.reshape(quantiser.groups, ENTRIES, -1)
        chosen = entries[torch.arange(quantiser.groups), symbols]
        sums = chosen.reshape(len(symbols), *self.books.shape[:2], -1).sum(dim=2)
        decoded = sums.reshape(len(symbols), -1)[:, self._there]
        squared = (projected * projected).sum(dim=1)
        product = (projected * decoded).sum(dim=1)
        told = product > NEARLY_NOTHING * (squared * (decoded * decoded).sum(dim=1)).sqrt()
        factor = torch.where(told, squared / torch.where(told, product, 1.0), 0.0)
        return factor[:, None] * decoded

    def restart_unused(self, residuals: Tensor, rng: np.random.Generator) -> int:
        """Put entries that no residual chooses where one of them is; how many there were."""
        if self.books is None:
            return 0
        with torch.no_grad():
            projected = (residuals @ self.rows.T).numpy()
        quantiser = self._quantiser()
        symbols = unpack_nibbles(quantiser.encode(projected)[0], quantiser.groups)
        used = np.zeros((quantiser.groups, ENTRIES), bool)
        used[np.arange(quantiser.groups), symbols] = True
        dead = np.argwhere(~used)
        edges = section_edges(quantiser.width, quantiser.sections)
        with torch.no_grad():
            for group, entry in dead:
                section, stage = divmod(int(group), quantiser.stages)
                a, b = edges[section], edges[section + 1]
                row = projected[rng.integers(len(projected))]
                length = max(float(np.linalg.norm(row)), 1e-30)
                part = torch.from_numpy(row[a:b] / (length * quantiser.stages))
                self.books[section, stage, entry, : b - a] = part
        return len(dead)

    def _quantiser(self) -> Any:
        """The codec's, with the codebooks as they are now."""
        quantiser: Any = self._codec.quantiser
        if self.books is None:
            return quantiser
        return replace(quantiser, books=self.books.detach().numpy())

    def given(self) -> dict[str, npt.NDArray[Any]]:
        """Copies of the parameters, for `take`."""
        return {name: p.detach().numpy().copy() for name, p in self.named_parameters()}

    def take(self, given: Mapping[str, npt.NDArray[Any]]) -> None:
        """Have the parameters that `given` told."""
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                parameter.copy_(torch.from_numpy(given[name]))

    def codec(self, n_queries: int) -> DenseCodec:
        """As a codec learned from so many queries."""
        rows, columns = (
            np.ascontiguousarray(self._turn.T @ part.detach().numpy(), np.float32)
            for part in (self.rows, self.columns)
        )
        frame = replace(self._codec.frame, projection=rows, query_projection=columns)
        quantiser = self._quantiser()
        if self.books is not None:
            quantiser = replace(quantiser, books=quantiser.books.copy())
        return DenseCodec(frame, quantiser, self._codec.reduction, n_queries)


def _rotation(codec: DenseCodec) -> Floats:
    """(width, width): what the quantiser wants before it; vectors are turned by x -> R x."""
    width = codec.frame.width
    if not codec.quantiser.rotated:
        return np.eye(width, dtype=np.float32)
    signs = rotation_signs(width, codec.frame.seed)
    return np.ascontiguousarray(kernels.rotate(np.eye(width, dtype=np.float32), signs).T)
