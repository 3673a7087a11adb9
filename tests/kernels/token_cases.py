"""Random records of every kind of token, for the tests of what reads them."""

from __future__ import annotations

from typing import Any

import numpy as np

from bigrain.kernels import TokenTables, token_bytes
from bigrain.kernels.token_records import CODE_BITS, parts_of

__all__ = ["random_record", "random_tables"]


def random_tables(rng: np.random.Generator, kind: str, dim: int, k: int = 9) -> TokenTables | None:
    if kind not in CODE_BITS:
        return None
    weights = rng.integers(-128, 128, 1 << CODE_BITS[kind]).astype(np.int8)
    if kind == "sign":
        return TokenTables(None, None, weights, 0.25)
    rows = rng.integers(-128, 128, (k, dim)).astype(np.int8)
    return TokenTables(rows, rng.random(k, dtype=np.float32) / 100, weights, 0.003)


def random_record(
    rng: np.random.Generator, kind: str, dim: int, t: int, tables: TokenTables | None
) -> Any:
    """(bytes of token_bytes * t) of plausible numbers."""
    if kind in ("float32", "float16"):
        width = "<f4" if kind == "float32" else "<f2"
        return rng.normal(size=t * dim).astype(width).view(np.uint8)
    k = 0 if tables is None or tables.centroids is None else len(tables.centroids)
    parts = parts_of(kind, dim, k)
    factors = rng.normal(size=t).astype("<f4" if kind == "int8" else "<f2").view(np.uint8)
    numbers = np.empty(0, np.uint8)
    if k:
        numbers = rng.integers(0, k, t).astype(f"<u{parts.number}").view(np.uint8)
    codes = rng.integers(0, 256, t * parts.code).astype(np.uint8)
    made = np.concatenate((factors, numbers, codes))
    assert len(made) == t * token_bytes(kind, dim, k)
    return made
