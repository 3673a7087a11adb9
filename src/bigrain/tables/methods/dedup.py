"""Dedup: blocks of rows that are alike are kept once.

Train; cut the table into blocks of rows; go through them by ascending 75th percentile; find earlier
blocks by locality-sensitive hashes ceil((a v + b) / r) of whole blocks, in 90 bands; if the share
of entries that differ by at most `tolerance` is at least `similarity`, the earlier block stands for
both. Stop at the budget, then train on with the blocks tied. Zhou et al., "Serving deep learning
models with deduplication from relational databases" (VLDB 2022).

Where that does not reach the budget, the tolerance (and r with it) is doubled twice;
what is then still too much goes to the nearest of the blocks with the largest norms.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.functional import embedding

from bigrain.errors import ConfigError
from bigrain.tables.budget import check_budget, largest
from bigrain.tables.forms.base import Form
from bigrain.tables.forms.blocks import Blocks
from bigrain.tables.schedule import Phase
from bigrain.tables.spec import TableSpec, order_dtype
from bigrain.tables.table import Table, to_numpy

__all__ = ["Dedup", "alike_blocks"]

BANDS, CELL = 90, 9.0  # r is CELL tolerances wide
DOUBLINGS = 2
CANDIDATES, REMEMBERED = 8, 4  # blocks compared with one, and kept in a cell of a band
LARGEST_BLOCK = 8192

Floats = npt.NDArray[np.float32]


class Dedup(Table):
    """Options:
    block_rows: rows of a block. Without it the smallest power of two whose map of blocks takes at
        most an eighth of the budget.
    tolerance, similarity: as above. Default 0.01 and 0.7.
    """

    form_type: ClassVar[type[Form]] = Blocks

    def __init__(
        self,
        name: str,
        spec: TableSpec,
        *,
        block_rows: int | None = None,
        tolerance: float = 0.01,
        similarity: float = 0.7,
    ) -> None:
        super().__init__(name, spec)
        if block_rows is not None and block_rows < 1:
            raise ConfigError(f"{name}: block_rows must be at least 1, not {block_rows}")
        if not (tolerance > 0 and 0 < similarity <= 1):
            raise ConfigError(f"{name}: tolerance must be above 0, similarity from 0 to 1")
        self.tolerance, self.similarity = tolerance, similarity
        self.block_rows = self._block_rows() if block_rows is None else block_rows
        self.n_blocks = -(-self.num_embeddings // self.block_rows)
        self.kept = largest(
            lambda kept: self.bytes_of({"block_rows": self.block_rows, "kept": kept}),
            1, self.n_blocks, self.budget(), name,
        )  # fmt: skip
        self.weight = self.drawn(self.num_embeddings, self.embedding_dim)
        self.register_buffer("block_of", None)  # (blocks,) once they are tied

    def _block_rows(self) -> int:
        powers = [2**k for k in range(LARGEST_BLOCK.bit_length()) if 2**k <= self.num_embeddings]
        sizes = {rows: self.bytes_of({"block_rows": rows, "kept": 1}) for rows in powers}
        check_budget(min(sizes.values()), self.budget(), self.name)
        for rows in powers:
            map_bytes = 4 * -(-self.num_embeddings // rows)
            if map_bytes * 8 <= self.budget() and sizes[rows] <= self.budget():
                return rows
        return min(sizes, key=lambda rows: sizes[rows])

    def phases(self, steps: int, search_steps: int) -> list[Phase]:
        return [Phase("train", steps), Phase("fine-tune", max(1, steps // 2), renewed=True)]

    def begin_phase(self, phase: str) -> None:
        if phase == "fine-tune":
            self._tie()

    @torch.no_grad()
    def _tie(self) -> None:
        rows, d = self.block_rows, self.embedding_dim
        whole = np.zeros((self.n_blocks * rows, d), np.float32)
        whole[: self.num_embeddings] = to_numpy(self.weight)
        blocks = whole.reshape(self.n_blocks, rows * d)
        representative = alike_blocks(
            blocks, self.kept, self.tolerance, self.similarity, self.spec.seed
        )
        kept, block_of = np.unique(representative, return_inverse=True)
        stored = np.zeros((self.kept, rows * d), np.float32)
        stored[: len(kept)] = blocks[kept]
        self.weight = nn.Parameter(torch.from_numpy(stored.reshape(-1, d)))
        self.block_of = torch.from_numpy(block_of.reshape(-1))

    def rows(self, ids: Tensor) -> Tensor:
        if self.block_of is not None:
            ids = self.block_of[ids // self.block_rows] * self.block_rows + ids % self.block_rows
        return embedding(ids, self.weight)

    def knobs(self) -> dict[str, Any]:
        return {"block_rows": self.block_rows, "kept": self.kept}

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        if self.block_of is None:
            raise self.unfinished()
        block_of = to_numpy(self.block_of).astype(order_dtype(self.kept))
        return {"blocks": to_numpy(self.weight), "block_of": block_of}

    def structure(self) -> dict[str, Any]:
        return {"tied": self.block_of is not None}

    def restructure(self, structure: dict[str, Any]) -> None:
        if structure["tied"]:
            shape = (self.kept * self.block_rows, self.embedding_dim)
            self.weight = nn.Parameter(torch.zeros(shape))
            self.block_of = torch.zeros(self.n_blocks, dtype=torch.int64)


def alike_blocks(
    blocks: Floats, target: int, tolerance: float, similarity: float, seed: int
) -> npt.NDArray[np.int64]:
    """(n,) the block that stands for each of `blocks` (n, entries); at most `target` different."""
    of = np.arange(len(blocks))
    for doubling in range(DOUBLINGS + 1):
        if len(kept := np.unique(of)) <= target:
            return of
        within = tolerance * 2**doubling
        merged = _merged(blocks[kept], len(kept) - target, within, similarity, seed + doubling)
        place = np.searchsorted(kept, of)
        of = kept[merged[place]]
    if len(kept := np.unique(of)) > target:
        norms = np.square(blocks[kept]).sum(axis=1)
        stay = kept[np.sort(np.argsort(-norms, kind="stable")[:target])]
        leave = np.setdiff1d(kept, stay)
        near = np.arange(len(blocks))
        centres = np.square(blocks[stay]).sum(axis=1)
        for start in range(0, len(leave), 1024):
            part = leave[start : start + 1024]
            near[part] = stay[(centres - 2 * blocks[part] @ blocks[stay].T).argmin(axis=1)]
        of = near[of]
    return of


def _merged(
    blocks: Floats, surplus: int, tolerance: float, similarity: float, seed: int
) -> npt.NDArray[np.int64]:
    """(n,) the block that each becomes, after at most `surplus` were given up."""
    rng = np.random.default_rng(seed)
    lines = rng.standard_normal((blocks.shape[1], BANDS)).astype(np.float32)
    cell = CELL * tolerance
    hashes = np.ceil((blocks @ lines + rng.uniform(0, cell, BANDS)) / cell).astype(np.int64)
    of = np.arange(len(blocks))
    earlier: list[dict[int, list[int]]] = [{} for _ in range(BANDS)]
    for block in np.argsort(np.quantile(blocks, 0.75, axis=1), kind="stable"):
        if not surplus:
            break
        found = [
            other
            for band, value in zip(earlier, hashes[block].tolist(), strict=True)
            for other in band.get(value, ())
        ]
        others, votes = np.unique(found, return_counts=True)
        best = others[np.argsort(-votes, kind="stable")[:CANDIDATES]].astype(np.int64)
        alike = (np.abs(blocks[best] - blocks[block]) <= tolerance).mean(axis=1)
        if len(best) and alike.max() >= similarity:
            of[block] = best[alike.argmax()]
            surplus -= 1
            continue
        for band, value in zip(earlier, hashes[block].tolist(), strict=True):
            blocks_there = band.setdefault(value, [])
            if len(blocks_there) < REMEMBERED:
                blocks_there.append(int(block))
    return of
