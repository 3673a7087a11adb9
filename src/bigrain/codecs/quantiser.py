"""What every quantiser of dense vectors offers: one protocol, one kernel.

A quantiser turns a vector y into a row of 4-bit symbols j_1 ... j_G and a factor s, such that for
every z

    <y, z>  ~  s * <decode(j), z>  =  s * sum_g tables(z)[g, j_g]

All of them decode linearly, so a table of 16 numbers a symbol is all that a scan needs of the
query, and one matrix product with decoded codes is all that measuring them needs. The factor is s =
|y|^2 / <y, decode(j)> (RaBitQ, SIGMOD 2024): the estimate of <y, y> is then exact, and nothing that
quantising took away from the vector's length is missing.
"""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from bigrain import kernels

__all__ = ["Fitted", "Quantiser", "Tables", "luts_of", "unbiased"]

Floats = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]
Tables = tuple[Bytes, Floats, Floats]  # luts (Q, G, 16), scale (Q,), bias (Q,)
TABLE_BYTES = 1 << 20  # of tables that stand in memory as floats
NEARLY_NOTHING = 1e-6  # of |y| |decode|: a code that tells nothing of y


class Quantiser(Protocol):
    """A fitted quantiser of vectors (n, width)."""

    code: ClassVar[str]  # the name in `DenseField`
    learned: ClassVar[bool]  # fitted to a sample, not only to the number of dimensions
    rotated: ClassVar[bool]  # takes vectors in a random rotation
    scaled: ClassVar[bool]  # holds for vectors of other lengths than the sample's

    @staticmethod
    def kept(dim: int, light_bytes: int, bits: int) -> int:
        """The width of codes of so many bytes."""
        ...

    @classmethod
    def symbols_of(cls, dim: int, light_bytes: int, bits: int) -> int:
        """How many symbols such codes have."""
        ...

    @classmethod
    def fit(cls, sample: Floats, width: int, light_bytes: int, bits: int, seed: int) -> Fitted:
        """Fit to a sample (n, width); what is not `learned` takes an empty one."""
        ...

    @property
    def width(self) -> int: ...

    @property
    def bits(self) -> int: ...

    @property
    def groups(self) -> int:
        """Symbols of a code."""
        ...

    def encode(self, vectors: Floats) -> tuple[Bytes, Floats]:
        """(packed codes (n, ceil(G / 2)), factors (n,)) of vectors (n, width)."""
        ...

    def decode(self, packed: Bytes) -> Floats:
        """(n, width): what the symbols stand for, before the factor."""
        ...

    def tables(self, queries: Floats) -> Floats:
        """(Q, G, 16): the share of every symbol in inner products with queries (Q, width)."""
        ...

    def luts(self, queries: Floats) -> Tables:
        """The tables as `kernels.scan_lists` takes them."""
        ...

    def arrays(self) -> dict[str, Floats]:
        """What was learned, by name."""
        ...

    def numbers(self) -> dict[str, Any]:
        """Settings beside `width` and `bits` that tell the shapes of the arrays."""
        ...


class Fitted(NamedTuple):
    """A quantiser and, where it was learned with one, the rotation (width, width) before it."""

    quantiser: Quantiser
    rotation: Floats | None = None


def luts_of(quantiser: Quantiser, queries: Floats) -> Tables:
    """Tables of all queries, rounded to bytes some queries at a time."""
    together = max(1, TABLE_BYTES // (64 * quantiser.groups))
    parts = [
        kernels.quantise_tables(quantiser.tables(queries[start : start + together]))
        for start in range(0, max(len(queries), 1), together)
    ]
    luts, scale, bias = (np.concatenate(part) for part in zip(*parts, strict=True))
    return luts, scale, bias


def unbiased(vectors: Floats, decoded: Floats) -> Floats:
    """|y|^2 / <y, decoded> of every row; 0 where the code tells nothing of the vector."""
    squared = np.einsum("ij,ij->i", vectors, vectors)
    product = np.einsum("ij,ij->i", vectors, decoded)
    size = np.sqrt(squared * np.einsum("ij,ij->i", decoded, decoded))
    told = product > NEARLY_NOTHING * size
    out: Floats = np.divide(squared, product, out=np.zeros_like(squared), where=told)
    return out
