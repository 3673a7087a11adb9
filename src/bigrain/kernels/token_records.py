"""How the token vectors of a document are written: one record, every field of constant size.

A record of t tokens of d numbers, all little-endian, has one part after another:

    float32    the vectors (t, d) float32
    float16    the vectors (t, d) float16
    int8       factors (t,) float32, numbers (t, d) int8
    residualB  factors (t,) float16, centroid numbers (t,) uint16 (uint32 if there are more than
               65,536 centroids), bucket numbers (t, ceil(d B / 8)) bytes; B is 4, 2 or 1
    sign       factors (t,) float16, bucket numbers (t, ceil(d / 8)) bytes

Bucket numbers lie one after another with their lowest bit first; what is left of the last byte is
not looked at. A token is its factor times its numbers, or times (centroid + weights of its
buckets): the codec of ColBERTv2 (papers/B-3a 3.1) with a length of its own for every token.
Centroids and weights are whole numbers times a scale, and are *defined* as these: nothing is
lost when a kernel multiplies the whole numbers.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from bigrain.kernels import checks

__all__ = ["CODE_BITS", "KINDS", "MOST_DIM", "Parts", "TokenTables", "check_tables", "read_tokens",
           "token_bytes", "unpack_buckets"]  # fmt: skip

U8 = npt.NDArray[np.uint8]
I8 = npt.NDArray[np.int8]
F32 = npt.NDArray[np.float32]

KINDS = ("float32", "float16", "int8", "residual4", "residual2", "residual1", "sign")
CODE_BITS = {"residual4": 4, "residual2": 2, "residual1": 1, "sign": 1}
SHORT_NUMBERS = 1 << 16  # centroids whose numbers take two bytes
MOST_CENTROIDS = 1 << 24
MOST_DIM = 1 << 16


class TokenTables(NamedTuple):
    """What bucket and centroid numbers stand for; `sign` has no centroids."""

    centroids: I8 | None  # (K, d)
    centroid_scale: F32 | None  # (K,): a centroid is this times its row
    weights: I8  # (2^B,)
    weight_scale: float  # a bucket is this times its weight


class Parts(NamedTuple):
    """Bytes of a token in each part of a record."""

    factor: int
    number: int  # of its centroid
    code: int

    @property
    def total(self) -> int:
        return sum(self)


def parts_of(kind: str, dim: int, n_centroids: int = 0) -> Parts:
    if kind in ("float32", "float16"):
        return Parts(0, 0, dim * (4 if kind == "float32" else 2))
    if kind == "int8":
        return Parts(4, 0, dim)
    number = 0 if kind == "sign" else 2 if n_centroids <= SHORT_NUMBERS else 4
    return Parts(2, number, (dim * CODE_BITS[kind] + 7) // 8)


def token_bytes(kind: str, dim: int, n_centroids: int = 0) -> int:
    """Bytes that a token takes in a record."""
    if kind not in KINDS:
        raise ValueError(f"kind: expected one of {', '.join(KINDS)}, got {kind!r}")
    return parts_of(kind, dim, n_centroids).total


def check_tables(kind: str, dim: int, tables: tuple[object, ...]) -> TokenTables | None:
    """The four tables if they are what `kind` needs."""
    if kind not in KINDS:
        raise ValueError(f"kind: expected one of {', '.join(KINDS)}, got {kind!r}")
    if not 1 <= dim <= MOST_DIM:
        raise ValueError(f"queries: dimension: expected 1 to {MOST_DIM}, got {dim}")
    centroids, centroid_scale, weights, weight_scale = tables
    coded, listed = kind in CODE_BITS, kind.startswith("residual")
    for name, value, needed in (
        ("centroids", centroids, listed),
        ("centroid_scale", centroid_scale, listed),
        ("weights", weights, coded),
    ):
        if (value is not None) != needed:
            raise ValueError(f"{name}: {'needed by' if needed else 'not used by'} {kind}")
    if not coded:
        return None
    known = checks.array("weights", weights, "int8", 1)
    checks.size("weights: length", len(known), 1 << CODE_BITS[kind])
    if not isinstance(weight_scale, (int, float)):
        raise TypeError(f"weight_scale: expected a number, got {type(weight_scale).__name__}")
    if not listed:
        return TokenTables(None, None, known, weight_scale)
    rows = checks.array("centroids", centroids, "int8", 2)
    scale = checks.array("centroid_scale", centroid_scale, "float32", 1)
    if not 1 <= len(rows) <= MOST_CENTROIDS:
        raise ValueError(f"centroids: rows: expected 1 to {MOST_CENTROIDS}, got {len(rows)}")
    checks.size("centroids: columns", rows.shape[1], dim)
    checks.size("centroid_scale: length", len(scale), len(rows))
    return TokenTables(rows, scale, known, weight_scale)


def unpack_buckets(codes: U8, dim: int, bits: int) -> U8:
    """Bucket numbers (t, d) of packed codes (t, ceil(d bits / 8))."""
    each = np.unpackbits(codes, axis=1, bitorder="little", count=dim * bits)
    places = np.left_shift(1, np.arange(bits)).astype(np.uint8)
    return np.asarray(each.reshape(len(codes), dim, bits) @ places, np.uint8)


def pack_buckets(buckets: npt.NDArray[np.generic], bits: int) -> U8:
    """Packed codes (t, ceil(d bits / 8)) of bucket numbers (t, d)."""
    whole = np.asarray(buckets, np.uint8)
    each = whole[:, :, None] >> np.arange(bits, dtype=np.uint8) & 1
    return np.packbits(each.reshape(len(whole), bits * whole.shape[1]), axis=1, bitorder="little")


def read_tokens(record: U8, dim: int, kind: str, tables: TokenTables | None) -> F32:
    """The tokens (t, d) float32 of one record; a centroid number that is too large is refused."""
    n_centroids = 0 if tables is None or tables.centroids is None else len(tables.centroids)
    parts = parts_of(kind, dim, n_centroids)
    t = len(record) // parts.total
    factor_bytes = record[: t * parts.factor]
    number_bytes = record[t * parts.factor : t * (parts.factor + parts.number)]
    codes = record[t * (parts.factor + parts.number) : t * parts.total]
    if kind in ("float32", "float16"):
        width = "<f4" if kind == "float32" else "<f2"
        return _numbers(codes, width).reshape(t, dim).astype(np.float32)
    factors = _numbers(factor_bytes, "<f4" if kind == "int8" else "<f2").astype(np.float32)
    with np.errstate(over="ignore", invalid="ignore"):  # forged factors
        if tables is None:
            return np.asarray(factors[:, None] * codes.view(np.int8).reshape(t, dim), np.float32)
        buckets = unpack_buckets(codes.reshape(t, parts.code), dim, CODE_BITS[kind])
        values = tables.weights[buckets] * np.float32(tables.weight_scale)
        if tables.centroids is not None and tables.centroid_scale is not None:
            numbers = _numbers(number_bytes, "<u2" if parts.number == 2 else "<u4").astype(np.int64)
            if t and numbers.max() >= n_centroids:
                raise ValueError(
                    f"records: centroid number {numbers.max()} is outside [0, {n_centroids})"
                )
            values += tables.centroid_scale[numbers, None] * tables.centroids[numbers]
        return np.asarray(factors[:, None] * values, np.float32)


def _numbers(raw: U8, dtype: str) -> npt.NDArray[np.generic]:
    return np.frombuffer(raw.tobytes(), dtype)
