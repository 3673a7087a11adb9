"""RaBitQ with one bit a dimension: the light grain of dense vectors (papers/A-5 section 1).

A vector x is centred (x - c), reduced if the code is to be narrower than the vector, and rotated to
y; the code keeps the signs of y. With s = |y|^2 / sum|y_i| the inner product with any z is
estimated without bias over rotations by

    <y, z>  ~  s * <sign(y), z>

so one float32 a vector beside the code is enough for inner product and cosine; Euclidean distance
needs |x - c|^2 as a second one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from bigrain import kernels
from bigrain.codecs.reduction import Moments, principal_components
from bigrain.codecs.rotation import rotation_signs

__all__ = ["LightCodes", "PreparedQueries", "RabitqCodec"]

Floats = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class LightCodes:
    """Codes of n vectors in fast-scan blocks of 32, and their factors."""

    blocks: Bytes  # (ceil(n / 32), ceil(width / 4), 16)
    scale: Floats  # (n,)
    offset: Floats | None  # (n,), only for l2

    @property
    def n_bytes(self) -> int:
        extra = 0 if self.offset is None else self.offset.nbytes
        return self.blocks.nbytes + self.scale.nbytes + extra

    def estimate(self, query: PreparedQueries, rows: npt.NDArray[np.int64]) -> Floats:
        """Scores of single rows for the first of the prepared queries."""
        lane = rows % 32
        nibbles = self.blocks[rows // 32, :, lane % 16] >> np.where(lane < 16, 0, 4)[:, None]
        groups = np.arange(nibbles.shape[1])
        sums = query.luts[0][groups, nibbles & 15].sum(axis=1, dtype=np.int64)
        found = self.scale[rows] * (query.scale[0] * sums + query.bias[0]) + query.constant[0]
        if self.offset is not None:
            found = found + self.offset[rows]
        return np.asarray(found, np.float32)


@dataclass(frozen=True)
class PreparedQueries:
    """Lookup tables of Q queries, and the constant of each that completes the estimates."""

    luts: Bytes  # (Q, ceil(width / 4), 16)
    scale: Floats  # (Q,)
    bias: Floats  # (Q,)
    constant: Floats  # (Q,)


@dataclass(frozen=True)
class RabitqCodec:
    """A fitted codec: rotation seed, centre and, for narrow codes, a projection."""

    metric: str
    width: int  # bits of a code
    seed: int
    centre: Floats  # (d,)
    projection: Floats | None  # (width, d) or None
    fitted_on: int

    @classmethod
    def fit(
        cls, sample: Iterable[Floats], dim: int, *, metric: str, light_bytes: int, seed: int = 0
    ) -> RabitqCodec:
        """Fit to a sample of vectors (n, dim) that comes in parts.

        `light_bytes * 8 < dim` reduces the dimension.
        """
        width = min(light_bytes * 8, dim)
        moments = Moments(dim, covariance=width < dim)
        for part in sample:
            moments.add(part)
        projection = principal_components(moments.covariance(), width) if width < dim else None
        return cls(metric, width, seed, moments.mean.astype(np.float32), projection, moments.n)

    @cached_property
    def id(self) -> str:
        """Equal for codecs whose codes may be scanned with the same prepared query."""
        digest = hashlib.blake2b(f"{self.metric} {self.width} {self.seed}".encode(), digest_size=8)
        digest.update(self.centre.tobytes())
        if self.projection is not None:
            digest.update(self.projection.tobytes())
        return digest.hexdigest()

    def encode(self, vectors: Floats) -> LightCodes:
        """Codes of (n, d) vectors; n should be a multiple of 32 if blocks are to be joined."""
        centred = vectors - self.centre
        rotated = self._rotate(centred)
        blocks, absolute = kernels.sign_encode(rotated)
        squared = np.einsum("ij,ij->i", rotated, rotated)
        scale = np.divide(squared, absolute, out=np.zeros_like(squared), where=absolute > 0)
        offset = -np.einsum("ij,ij->i", centred, centred) if self.metric == "l2" else None
        return LightCodes(blocks, scale, offset)

    def prepare(self, queries: Floats) -> PreparedQueries:
        """Lookup tables for (Q, d) queries."""
        if self.metric == "l2":
            centred = queries - self.centre
            constant = -np.einsum("ij,ij->i", centred, centred)
            rotated = self._rotate(2 * centred)
        else:
            constant = queries @ self.centre
            rotated = self._rotate(queries)
        luts, scale, bias = kernels.build_luts(rotated)
        return PreparedQueries(luts, scale, bias, constant)

    def _rotate(self, vectors: Floats) -> Floats:
        if self.projection is not None:
            vectors = vectors @ self.projection.T
        return kernels.rotate(
            np.ascontiguousarray(vectors, np.float32), rotation_signs(self.width, self.seed)
        )
