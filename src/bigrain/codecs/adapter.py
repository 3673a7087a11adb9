"""A learned map of queries: low-rank and residual, so that stored vectors stay as they are.

    q' = q + U V^T q

with V, U of shape (d, r). For products <q', x> = q^T (I + V U^T) x: every bilinear similarity that
differs from the plain one by rank r, so adapters of documents fold into the query as well
(papers/C-3 section 3.1). Under cosine q' is brought back to unit length.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["QueryAdapter", "fingerprint_digest"]

Floats = npt.NDArray[np.float32]
MAX_RANK = 4096
LARGEST = 1e3  # of a number in U and V


@dataclass(frozen=True, eq=False)
class QueryAdapter:
    """V and U (d, r), and the digest of the encoder's fingerprint whose queries it is for."""

    down: Floats  # V
    up: Floats  # U
    fingerprint: str

    @property
    def rank(self) -> int:
        return int(self.down.shape[1])

    @property
    def n_bytes(self) -> int:
        return self.down.nbytes + self.up.nbytes

    def __call__(self, queries: Floats, metric: str) -> Floats:
        """Queries (n, d), of unit length under cosine, as they are to be asked.

        In float64, so that a query does not depend on those that are asked with it.
        """
        wide = queries.astype(np.float64)
        moved = wide + (wide @ self.down.astype(np.float64)) @ self.up.astype(np.float64).T
        changed = (moved != wide).any(axis=1)
        if metric == "cosine":
            length = np.sqrt((moved * moved).sum(axis=1, keepdims=True))
            changed &= length[:, 0] > 0
            moved /= np.where(length > 0, length, 1)
        out = moved.astype(np.float32)
        out[~changed] = queries[~changed]
        return out

    def to_dict(self) -> dict[str, Any]:
        """JSON values that `from_dict` turns back into an equal adapter."""
        return {
            "dim": self.down.shape[0],
            "rank": self.rank,
            "fingerprint": self.fingerprint,
            "down": _text_of(self.down),
            "up": _text_of(self.up),
        }

    @classmethod
    def from_dict(cls, told: Mapping[str, Any], dim: int) -> QueryAdapter:
        """What `to_dict` wrote, for vectors of `dim`; ValueError for anything else."""
        rank, digest = told.get("rank"), told.get("fingerprint")
        if told.get("dim") != dim:
            raise ValueError(f"an adapter of {told.get('dim')!r} dimensions, not {dim}")
        if type(rank) is not int or not 1 <= rank <= MAX_RANK:
            raise ValueError(f"an adapter of rank {rank!r}, not 1 to {MAX_RANK}")
        if not isinstance(digest, str):
            raise ValueError("an adapter without the fingerprint of its encoder")
        return cls(_array_of(told.get("down"), dim, rank), _array_of(told.get("up"), dim, rank),
                   digest)  # fmt: skip


def fingerprint_digest(fingerprint: Mapping[str, Any]) -> str:
    """BLAKE2b-128, in hex, of an encoder's fingerprint as sorted JSON."""
    told = json.dumps(fingerprint, sort_keys=True).encode()
    return hashlib.blake2b(told, digest_size=16).hexdigest()


def _text_of(array: Floats) -> str:
    return base64.b64encode(np.ascontiguousarray(array, "<f4").tobytes()).decode()


def _array_of(text: object, dim: int, rank: int) -> Floats:
    if not isinstance(text, str):
        raise ValueError("an adapter without its numbers")
    try:
        raw = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(f"an adapter whose numbers are not base64: {error}") from None
    if len(raw) != 4 * dim * rank:
        raise ValueError(f"an adapter of {len(raw)} bytes instead of {4 * dim * rank}")
    array = np.frombuffer(raw, "<f4").astype(np.float32).reshape(dim, rank)
    if not (np.abs(array) <= LARGEST).all():
        raise ValueError(f"an adapter with numbers beyond {LARGEST:g}")
    return array
