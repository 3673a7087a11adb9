"""Heavy rows: full vectors on disk, each record ending in a checksum of its own.

A record is the vector's payload (`kernels.numbers` tells the types), padded to whole 32-bit words,
and a 32-bit checksum (`kernels.row_checksums`), so that a single row read at random is checked
before it is believed. What is decoded and encoded again is the same record.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bigrain import kernels
from bigrain.kernels.numbers import bytes_of, read_numbers, write_numbers

__all__ = ["RowCodec"]

Floats = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]
CHECKSUM_BYTES = 4


@dataclass(frozen=True)
class RowCodec:
    """Records of `dim` numbers of type float16, float32, bfloat16 or int8."""

    dim: int
    dtype: str

    @property
    def payload_bytes(self) -> int:
        raw = bytes_of(self.dim, self.dtype)
        return raw + -raw % 4

    @property
    def record_bytes(self) -> int:
        return self.payload_bytes + CHECKSUM_BYTES

    def encode(self, vectors: Floats) -> Bytes:
        """Records (n, record_bytes) of (n, dim) vectors."""
        payload = self.payload(vectors)
        checksums = kernels.row_checksums(payload).astype("<u4")
        return np.concatenate((payload, checksums.view(np.uint8).reshape(-1, CHECKSUM_BYTES)), 1)

    def payload(self, vectors: Floats) -> Bytes:
        """Records without their checksums (n, payload_bytes); `decode` reads them too."""
        raw = write_numbers(vectors, self.dtype)
        return np.pad(raw, ((0, 0), (0, self.payload_bytes - raw.shape[1])))

    def decode(self, records: Bytes) -> Floats:
        """Vectors (n, dim) as float32; checksums are not looked at."""
        return read_numbers(records, self.dim, self.dtype)

    def sound(self, records: Bytes) -> npt.NDArray[np.bool_]:
        """Which records match their checksums."""
        payload = np.ascontiguousarray(records[:, : self.payload_bytes])
        stored = np.ascontiguousarray(records[:, self.payload_bytes :]).view("<u4")[:, 0]
        return np.asarray(kernels.row_checksums(payload) == stored)

    def first_damaged(self, records: Bytes) -> int | None:
        """The first record whose checksum does not match, or None."""
        wrong = kernels.first_damaged(records)
        return wrong if wrong >= 0 else None

    def score(self, records: Bytes, query: Floats, metric: str) -> Floats:
        """Exact scores of records for one query: inner product, or negative squared distance."""
        return kernels.score_rows(records, self.dim, self.dtype, query, metric)

    def score_pairs(
        self,
        records: Bytes,
        queries: Floats,
        record_of: npt.NDArray[np.int32],
        query_of: npt.NDArray[np.int32],
        metric: str,
    ) -> Floats:
        """Exact scores of pairs of a record and one of `queries` (Q, dim)."""
        return kernels.score_pairs(
            records, self.dim, self.dtype, queries, record_of, query_of, metric
        )
