"""PQ: product quantisation of a trained table, then training of the codewords alone.

A full table is trained; each part of its rows gets a codebook by k-means (Jégou, Douze, Schmid,
"Product quantization for nearest neighbor search", TPAMI 2011), every row the codes of its nearest
codewords. Then the codes stay and the codewords are trained in the model (as in Stock et al., "And
the bit goes down: revisiting the quantization of neural networks", ICLR 2020).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.functional import embedding

from bigrain.tables.methods.dpq import Dpq
from bigrain.tables.schedule import Phase
from bigrain.tables.spec import TableSpec
from bigrain.tables.table import to_numpy

__all__ = ["Pq"]

SAMPLE = 1 << 16  # rows that codebooks are found with
ROUNDS = 15


class Pq(Dpq):
    """Options:
    parts: into how many a row is cut; must divide the width.
    bits: of each part's code, 1 to 8.
    Parts and bits that are not given are chosen for the longest codes that fit.
    """

    def __init__(
        self, name: str, spec: TableSpec, *, parts: int | None = None, bits: int | None = None
    ) -> None:
        super().__init__(name, spec, parts=parts, bits=bits)
        self.register_buffer("found", None)  # (n, parts) the codes, once they are found

    def phases(self, steps: int, search_steps: int) -> list[Phase]:
        return [Phase("train", steps), Phase("fine-tune", max(1, steps // 2), renewed=True)]

    @torch.no_grad()
    def begin_phase(self, phase: str) -> None:
        if phase == "fine-tune":
            self._find_books()
            self.found = torch.from_numpy(super().codes().astype(np.uint8))
            self.weight = nn.Parameter(torch.zeros(0))

    def _find_books(self) -> None:
        """Lloyd's rounds on some rows; a word without rows goes on from a row at random."""
        some = torch.randperm(self.num_embeddings, generator=self.generator)[:SAMPLE]
        rows = self._cut(some)
        words = self.books.shape[1]
        first = torch.randint(len(some), (words,), generator=self.generator)
        self.books.copy_(rows[first].transpose(0, 1))
        for _ in range(ROUNDS):
            symbols = self._symbols(rows, torch.zeros(len(some), dtype=torch.int64))
            for part, book in enumerate(self.books):
                mine = symbols[:, part]
                counts = torch.bincount(mine, minlength=words)
                sums = torch.zeros_like(book).index_add_(0, mine, rows[:, part])
                again = torch.randint(len(some), (words,), generator=self.generator)
                means = sums / counts.clamp_min(1)[:, None]
                book.copy_(torch.where((counts > 0)[:, None], means, rows[again, part]))

    def rows(self, ids: Tensor) -> Tensor:
        if self.found is None:
            return embedding(ids, self.weight)
        return self._words(self.found[ids].long()).reshape(len(ids), self.embedding_dim)

    def codes(self) -> npt.NDArray[np.int64]:
        """(n, parts) the codewords of all ids, in the order of ids."""
        if self.found is None:
            raise self.unfinished()
        return to_numpy(self.found.long())

    def structure(self) -> dict[str, Any]:
        return {"found": self.found is not None}

    def restructure(self, structure: dict[str, Any]) -> None:
        if structure["found"]:
            self.found = torch.zeros(self.num_embeddings, self.parts, dtype=torch.uint8)
            self.weight = nn.Parameter(torch.zeros(0))
