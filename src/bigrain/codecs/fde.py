"""MUVERA: fixed-dimensional encodings, whose inner product approximates MaxSim (papers/B-3a 3.4).

Dhulipala, Hadian, Jayaram, Lee and Mirrokni, MUVERA: Multi-Vector Retrieval via Fixed Dimensional
Encodings, NeurIPS 2024. For each of R repetitions with a Gaussian G (d, k) and a matrix S
(d_proj, d) of random signs:

    partition   phi(x) = the signs of x G, a number below 2^k       (SimHash)
    projection  psi(x) = S x / sqrt(d_proj)                         (x itself if d_proj = d)
    query       block b = the sum of psi(q) over the tokens with phi(q) = b
    document    block b = the mean of psi(p) over the tokens with phi(p) = b; if there are none,
                psi of the token whose phi has the least Hamming distance to b

The encoding is all blocks of all repetitions, without division by R, so its inner products are R
times an estimate of MaxSim. Among tokens at one distance the first fills a block. A final dimension
folds the whole with a count sketch: out[h(i)] += sign(i) x[i].
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from bigrain.codecs.ragged import chunks, require_ragged
from bigrain.errors import ConfigError, shown

__all__ = ["FixedDimensional"]

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
MOST_BITS = 10
CHUNK_BYTES = 1 << 21
DISTANCE = 1 << 32  # one bit of Hamming distance weighs more than any token's place
NOWHERE = 1 << 62


@dataclass(frozen=True)
class FixedDimensional:
    """The encoding of (T, `dim`) token vectors.

    D = repetitions * 2^partition_bits * projection_dim, unless `final_dim` is less.
    The published choices of (repetitions, partition_bits, projection_dim) are (20, 3, 8),
    (20, 4, 8), (20, 5, 8) and (20, 5, 16). The same settings and seed give the same random
    matrices on every machine. ConfigError for settings outside what is accepted.
    """

    dim: int
    repetitions: int
    partition_bits: int
    projection_dim: int
    final_dim: int | None = None
    fill_empty: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        self._require("dim", 1, 1 << 16, 128)
        self._require("repetitions", 1, 1000, 20)
        self._require("partition_bits", 0, MOST_BITS, 4)
        self._require("projection_dim", 1, self.dim, 16)
        self._require("seed", 0, (1 << 63) - 1, 0)
        if self.final_dim is not None:
            self._require("final_dim", 1, self.blocks * self.projection_dim, 1024)

    def _require(self, name: str, low: int, high: int, likely: int) -> None:
        value = getattr(self, name)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ConfigError(
                f"{name}={shown(value)}: accepted are whole numbers from {low} to {high}; "
                f"try {min(likely, high)}"
            )

    @property
    def blocks(self) -> int:
        """Blocks of an encoding: partitions of all repetitions."""
        return self.repetitions << self.partition_bits

    @property
    def width(self) -> int:
        """Dimensions of an encoding."""
        return self.final_dim or self.blocks * self.projection_dim

    def documents(self, values: npt.NDArray[Any], offsets: npt.NDArray[Any]) -> Floats:
        """(n, width) of documents' tokens (T, dim) with offsets (n + 1,); zeros where none are.

        InvalidVectorsError where offsets and values do not fit.
        """
        return self._encode(values, offsets, documents=True)

    def queries(self, values: npt.NDArray[Any], offsets: npt.NDArray[Any]) -> Floats:
        """(Q, width) of queries' tokens (T, dim) with offsets (Q + 1,); zeros where none are.

        InvalidVectorsError where offsets and values do not fit.
        """
        return self._encode(values, offsets, documents=False)

    def _encode(
        self, values: npt.NDArray[Any], offsets: npt.NDArray[Any], *, documents: bool
    ) -> Floats:
        offsets = require_ragged(values, offsets, self.dim)
        out = np.empty((len(offsets) - 1, self.width), np.float32)
        per_token = self.repetitions * (self.projection_dim + self.partition_bits)
        tokens = max(1, CHUNK_BYTES // (4 * per_token))
        rows = max(1, CHUNK_BYTES // (4 * self.blocks * self.projection_dim))
        for start, stop in chunks(offsets, tokens, rows):
            part = np.asarray(values[offsets[start] : offsets[stop]], np.float32)
            blocks = self._blocks(part, offsets[start : stop + 1] - offsets[start], documents)
            out[start:stop] = self._folded(blocks.reshape(stop - start, -1))
        return out

    def _blocks(self, values: Floats, offsets: Ints, documents: bool) -> Floats:
        """(n * blocks, projection_dim) of the rows of one chunk."""
        n, R, width = len(offsets) - 1, self.repetitions, self.projection_dim
        phi, psi = self._partitioned(values), self._projected(values)
        row = np.repeat(np.arange(n), np.diff(offsets))
        block = (row[:, None] * R + np.arange(R)) << self.partition_bits
        block += phi
        out = np.zeros((n * self.blocks, width), np.float32)
        places = block[:, :, None] * width + np.arange(width)
        np.add.at(out.reshape(-1), places.reshape(-1), psi.reshape(-1))
        if documents:
            counts = np.bincount(block.reshape(-1), minlength=len(out))
            out /= np.maximum(counts, 1).astype(np.float32)[:, None]
            if self.fill_empty:
                self._fill(out, block, psi, counts == 0)
        return out

    def _fill(self, out: Floats, block: Ints, psi: Floats, empty: npt.NDArray[np.bool_]) -> None:
        """Put the nearest token's projection into empty blocks.

        Hamming distance is a sum over bits, so the least of (distance, token) over all partitions
        is found one bit at a time.
        """
        nearest = np.full((len(out) >> self.partition_bits, 1 << self.partition_bits), NOWHERE)
        token = np.broadcast_to(np.arange(len(block))[:, None], block.shape)
        np.minimum.at(nearest.reshape(-1), block.reshape(-1), token.reshape(-1))
        partitions = np.arange(nearest.shape[1])
        for bit in range(self.partition_bits):
            across = nearest[:, partitions ^ (1 << bit)]
            across += DISTANCE
            np.minimum(nearest, across, out=nearest)
        filled = np.flatnonzero(empty & (nearest.reshape(-1) < NOWHERE))
        repetition = (filled >> self.partition_bits) % self.repetitions
        out[filled] = psi[nearest.reshape(-1)[filled] % DISTANCE, repetition]

    def _partitioned(self, values: Floats) -> Ints:
        """(T, repetitions) phi: the signs as a number, strictly positive ones set."""
        signs = values @ self._gaussians > 0
        phi = np.zeros((len(values), self.repetitions), np.int64)
        for bit in range(self.partition_bits):
            phi |= signs[:, bit :: self.partition_bits].astype(np.int64) << bit
        return phi

    def _projected(self, values: Floats) -> Floats:
        """(T, repetitions, projection_dim) psi."""
        if self.projection_dim == self.dim:
            shape = (len(values), self.repetitions, self.dim)
            return np.broadcast_to(values[:, None], shape)
        projected = values @ self._signs
        return projected.reshape(len(values), self.repetitions, self.projection_dim)

    def _folded(self, encodings: Floats) -> Floats:
        """The final projection of (n, D)."""
        if self.final_dim is None:
            return encodings
        order, starts, buckets, signs = self._sketch
        out = np.zeros((len(encodings), self.final_dim), np.float32)
        out[:, buckets] = np.add.reduceat(encodings[:, order] * signs, starts, axis=1)
        return out

    # Random numbers: the raw bits of PCG64, which NumPy keeps stable, and plain formulas.

    def _bits(self, use: int, count: int) -> Iterator[npt.NDArray[np.uint64]]:
        """`count` raw numbers for each repetition, of a stream for each use."""
        for repetition in range(self.repetitions):
            yield np.random.PCG64((self.seed, use, repetition)).random_raw(count)

    @cached_property
    def _gaussians(self) -> Floats:
        """(dim, repetitions * partition_bits), by the formula of Box and Muller (1958)."""
        shape = (self.dim, self.partition_bits)
        columns = []
        for raw in self._bits(0, 2 * shape[0] * shape[1]):
            u, v = ((raw >> np.uint64(11)).astype(np.float64) + 0.5).reshape(2, *shape) / 2**53
            columns.append(np.sqrt(-2 * np.log(u)) * np.cos(2 * np.pi * v))
        return np.concatenate(columns, axis=1).astype(np.float32)

    @cached_property
    def _signs(self) -> Floats:
        """(dim, repetitions * projection_dim) +-1 / sqrt(projection_dim)."""
        shape = (self.dim, self.projection_dim)
        columns = [_sign(raw).reshape(shape) for raw in self._bits(1, shape[0] * shape[1])]
        scale = np.float32(1 / np.sqrt(self.projection_dim))
        return np.concatenate(columns, axis=1) * scale

    @cached_property
    def _sketch(self) -> tuple[Ints, Ints, Ints, Floats]:
        """Of the count sketch: inputs by bucket, where each bucket's begin, buckets, signs."""
        assert self.final_dim is not None
        raw = np.concatenate(list(self._bits(2, self.projection_dim << self.partition_bits)))
        bucket = ((raw >> np.uint64(1)) % np.uint64(self.final_dim)).astype(np.int64)
        order = np.argsort(bucket, kind="stable")
        buckets, starts = np.unique(bucket[order], return_index=True)
        return order, starts, buckets, _sign(raw)[order]


def _sign(raw: npt.NDArray[np.uint64]) -> Floats:
    """+-1 by the highest bit of each number."""
    return np.where(raw >> np.uint64(63), np.float32(1), np.float32(-1))
