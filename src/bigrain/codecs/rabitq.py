"""RaBitQ with one bit a dimension: the light grain of dense vectors (papers/A-5 section 1).

A vector x is centred (x' = x - m), taken relative to the centroid c of its list, reduced if the
code is to be narrower than the vector, and rotated to y; the code keeps the signs of y. With
s = |y|^2 / sum|y_i| the inner product with any rotated z is estimated, without bias over rotations,
by

    <y, z>  ~  s * <sign(y), z>

so for inner product and cosine one number a vector beside the code is enough,

    <x, q>  =  <m, q> + <c, q> + <x' - c, q>,

and Euclidean distance needs |x'|^2 as a second one. The query's table serves all lists.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
import numpy.typing as npt

from bigrain import kernels
from bigrain.codecs.partition import quantise
from bigrain.codecs.reduction import Moments, principal_components
from bigrain.codecs.rotation import rotation_signs

__all__ = ["BLOCK", "PackedCodes", "PreparedQueries", "RabitqCodec", "blocks_of"]

Floats = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]
BLOCK = 32


@dataclass(frozen=True)
class PackedCodes:
    """Codes of n vectors, row by row, and their factors."""

    bits: Bytes  # (n, ceil(width / 8)), the first dimension lowest
    scale: Floats  # (n,)
    offset: Floats | None  # (n,), only for l2


@dataclass(frozen=True)
class PreparedQueries:
    """Lookup tables of Q queries, and what completes the estimates."""

    luts: Bytes  # (Q, ceil(width / 4), 16)
    scale: Floats  # (Q,)
    bias: Floats  # (Q,)
    constant: Floats  # (Q,)
    routed: Floats  # (Q, d): their products with centroids belong to the estimates
    length: Floats  # (Q,) of `routed`

    @cached_property
    def rounded(self) -> tuple[npt.NDArray[np.int8], Floats]:
        """`routed` as int8 rows (Q, d) and the scale of each."""
        return quantise(self.routed)

    def take(self, some: npt.NDArray[np.int64]) -> PreparedQueries:
        """Those of the queries."""
        return PreparedQueries(
            **{one.name: getattr(self, one.name)[some] for one in fields(PreparedQueries)}
        )


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

    def encode(self, centred: Floats, centroids: Floats | None) -> PackedCodes:
        """Codes of centred vectors (n, d), each relative to its row of `centroids` (n, d)."""
        residual = centred if centroids is None else centred - centroids
        rotated = self.rotated(residual)
        absolute = np.abs(rotated).sum(axis=1)
        squared = np.einsum("ij,ij->i", rotated, rotated)
        scale = np.divide(squared, absolute, out=np.zeros_like(squared), where=absolute > 0)
        offset = -np.einsum("ij,ij->i", centred, centred) if self.metric == "l2" else None
        return PackedCodes(np.packbits(rotated > 0, axis=1, bitorder="little"), scale, offset)

    def prepare(self, queries: Floats) -> PreparedQueries:
        """Lookup tables for (Q, d) queries."""
        if self.metric == "l2":
            centred = queries - self.centre
            constant = -np.einsum("ij,ij->i", centred, centred)
            routed = 2 * centred
        else:
            constant = queries @ self.centre
            routed = queries
        luts, scale, bias = kernels.build_luts(self.rotated(routed))
        length = np.sqrt(np.einsum("ij,ij->i", routed, routed))
        return PreparedQueries(luts, scale, bias, constant, routed, length)

    def rotated(self, vectors: Floats) -> Floats:
        """(n, width): reduced and rotated, as codes see them."""
        if self.projection is not None:
            vectors = vectors @ self.projection.T
        return kernels.rotate(
            np.ascontiguousarray(vectors, np.float32), rotation_signs(self.width, self.seed)
        )


def blocks_of(bits: Bytes, width: int) -> Bytes:
    """Packed codes (n, bytes) as fast-scan blocks (ceil(n/32), ceil(width/4), 16).

    A block holds 32 rows; in group g (dimensions 4g to 4g + 3) the low nibble of byte j is that of
    row j and the high nibble that of row j + 16. Missing rows are 0.
    """
    n, n_bytes = bits.shape
    padded = np.zeros((-(-n // BLOCK) * BLOCK, n_bytes), np.uint8)
    padded[:n] = bits
    nibbles = np.stack((padded & 15, padded >> 4), axis=2).reshape(-1, BLOCK, 2 * n_bytes)
    nibbles = nibbles[:, :, : -(-width // 4)].transpose(0, 2, 1)
    return np.ascontiguousarray(nibbles[:, :, :16] | nibbles[:, :, 16:] << 4)
