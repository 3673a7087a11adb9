"""The light grain of dense vectors: a frame, a quantiser, and what completes their estimates.

A vector x is centred (x' = x - m) and taken relative to the centroid c of its list; the residual is
reduced to a narrow frame where the code asks for it, rotated if the quantiser wants that, and coded
as symbols and a factor s. For inner product and cosine

    <x, q>  =  <m, q> + <c, q> + <x' - c, q>,

so one number a vector beside the code is enough, and Euclidean distance needs |x'|^2 as a second
one. The query's tables serve all lists.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
import numpy.typing as npt

from bigrain import kernels
from bigrain.codecs.additive import Additive
from bigrain.codecs.frame import Frame
from bigrain.codecs.optimised import OptimisedProduct
from bigrain.codecs.partition import quantise
from bigrain.codecs.product import Product
from bigrain.codecs.quantiser import Quantiser
from bigrain.codecs.rabitq import Rabitq
from bigrain.codecs.recurrent import Recurrent
from bigrain.codecs.rotation import rotation_signs
from bigrain.codecs.scalar import Scalar
from bigrain.codecs.signs import Signs

__all__ = ["QUANTISERS", "CodeSettings", "DenseCodec", "PackedCodes", "PreparedQueries"]

Floats = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]

QUANTISERS = {
    kind.code: kind
    for kind in (Rabitq, Signs, Recurrent, Scalar, Product, OptimisedProduct, Additive)
}


@dataclass(frozen=True)
class CodeSettings:
    """Which code: a name in QUANTISERS, bits a dimension (4: a symbol), bytes, a reduction."""

    light_bytes: int
    code: str = "rabitq"
    bits: int = 1
    reduction: str = "pca"

    def width(self, dim: int) -> int:
        """How many of `dim` dimensions are kept."""
        return QUANTISERS[self.code].kept(dim, self.light_bytes, self.bits)

    def groups(self, dim: int) -> int:
        """Symbols of a code."""
        return QUANTISERS[self.code].symbols_of(dim, self.light_bytes, self.bits)

    @property
    def learned(self) -> bool:
        return QUANTISERS[self.code].learned


@dataclass(frozen=True)
class PackedCodes:
    """Codes of n vectors, row by row, and their factors."""

    symbols: Bytes  # (n, ceil(G / 2)), two symbols a byte, the first one low
    scale: Floats  # (n,)
    offset: Floats | None  # (n,), only for l2


@dataclass(frozen=True)
class PreparedQueries:
    """Lookup tables of Q queries, and what completes the estimates."""

    luts: Bytes  # (Q, G, 16)
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
class DenseCodec:
    """A fitted codec, or one learned from `learned_from` queries, which is kept as it is."""

    frame: Frame
    quantiser: Quantiser
    reduction: str = "pca"
    learned_from: int = 0

    @classmethod
    def fit(cls, frame: Frame, settings: CodeSettings, residuals: Floats | None) -> DenseCodec:
        """The codec of a frame; learned codes need a sample (n, width) of reduced residuals."""
        kind = QUANTISERS[settings.code]
        sample = np.empty((0, frame.width), np.float32) if residuals is None else residuals
        quantiser, rotation = kind.fit(
            sample, frame.width, settings.light_bytes, settings.bits, frame.seed
        )
        if rotation is not None:
            frame = frame.turned(rotation)
        return cls(frame, quantiser, settings.reduction)

    @property
    def fitted_on(self) -> int:
        return self.frame.fitted_on

    @property
    def trust(self) -> tuple[bool, bool, int]:
        """The greater, the rather to be kept: learned; its frame saw queries; then by vectors."""
        return self.learned_from > 0, self.frame.n_queries > 0, self.frame.fitted_on

    @property
    def lasts(self) -> bool:
        """Whether it saw queries, so that what comes later is coded with it as well."""
        return self.learned_from > 0 or self.frame.n_queries > 0

    @property
    def centre(self) -> Floats:
        return self.frame.centre

    @property
    def groups(self) -> int:
        return self.quantiser.groups

    @cached_property
    def id(self) -> str:
        """Equal for codecs whose codes may be scanned with the same prepared query."""
        frame, quantiser = self.frame, self.quantiser
        told = (frame.metric, frame.width, frame.seed, quantiser.code, quantiser.bits)
        digest = hashlib.blake2b(repr((told, quantiser.numbers())).encode(), digest_size=8)
        learned = (frame.centre, frame.projection, frame.query_projection)
        for array in (*learned, *quantiser.arrays().values()):
            digest.update(b"-" if array is None else array.tobytes())
        return digest.hexdigest()

    def suits(self, settings: CodeSettings) -> bool:
        """Whether a field of these settings would make such a codec."""
        quantiser, frame = self.quantiser, self.frame
        asked = (settings.code, settings.bits, settings.reduction)
        told = (quantiser.code, quantiser.bits, self.reduction)
        sizes = (settings.width(frame.dim), settings.groups(frame.dim))
        return asked == told and sizes == (frame.width, self.groups)

    def encode(self, centred: Floats, centroids: Floats | None) -> PackedCodes:
        """Codes of centred vectors (n, d), each relative to its row of `centroids` (n, d)."""
        residual = centred if centroids is None else centred - centroids
        symbols, scale = self.quantiser.encode(self.rotated(self.frame.reduced(residual)))
        l2 = self.frame.metric == "l2"
        offset = -np.einsum("ij,ij->i", centred, centred) if l2 else None
        return PackedCodes(symbols, scale, offset)

    def prepare(self, queries: Floats) -> PreparedQueries:
        """Lookup tables for (Q, d) queries."""
        if self.frame.metric == "l2":
            centred = queries - self.centre
            constant = -np.einsum("ij,ij->i", centred, centred)
            routed = 2 * centred
        else:
            constant = queries @ self.centre
            routed = queries
        luts, scale, bias = self.quantiser.luts(self.turned(routed))
        length = np.sqrt(np.einsum("ij,ij->i", routed, routed))
        return PreparedQueries(luts, scale, bias, constant, routed, length)

    def turned(self, routed: Floats) -> Floats:
        """(Q, width): queries as codes see them; with `quantiser.decode` they make estimates."""
        return self.rotated(self.frame.reduced_queries(routed))

    def rotated(self, reduced: Floats) -> Floats:
        """(n, width) in the rotation that the quantiser wants."""
        if not self.quantiser.rotated:
            return np.ascontiguousarray(reduced, np.float32)
        signs = rotation_signs(self.frame.width, self.frame.seed)
        return kernels.rotate(np.ascontiguousarray(reduced, np.float32), signs)
