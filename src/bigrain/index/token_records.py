"""Token vectors on disk: one contiguous record a row, read whole and checked when it is read.

    tokens        bytes      records (`codecs.tokens`), each followed by its own checksum
    token_counts  u4 (n,)    tokens of each row

The codec's arrays are sections `tokens_...`, its numbers meta `tokens`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from bigrain import kernels
from bigrain.codecs.tokens import TokenCodec
from bigrain.errors import DamagedError
from bigrain.index.base import Floats, Rows
from bigrain.storage.segment import SegmentFile, SegmentWriter

__all__ = [
    "CRC_BYTES",
    "TokenRecords",
    "read_token_codec",
    "sealed",
    "unsealed",
    "write_token_codec",
]

CRC_BYTES = 4
LARGEST = 1e18  # of a number in the tables
Bytes = npt.NDArray[np.uint8]
Offsets = npt.NDArray[np.int64]


class TokenRecords:
    """Where the records of rows lie, and what is in them."""

    def __init__(self, file: SegmentFile, dim: int, n_rows: int) -> None:
        self.file = file
        self.codec = read_token_codec(file, dim)
        counts = file.read("token_counts", "<u4", (n_rows,))
        if not counts.all():
            raise DamagedError(file.name, "token_counts", "at least 1 token", "0")
        self._places = np.zeros(n_rows + 1, np.int64)
        lengths = counts * np.int64(self.codec.token_bytes) + CRC_BYTES
        np.cumsum(lengths, out=self._places[1:])
        file.section("tokens", "|u1", (int(self._places[-1]),))

    def lengths(self, rows: Rows) -> Offsets:
        """Bytes of the records."""
        return np.asarray(self._places[rows + 1] - self._places[rows], np.int64)

    def counts(self, rows: Rows) -> npt.NDArray[np.int32]:
        """Tokens of each row."""
        return ((self.lengths(rows) - CRC_BYTES) // self.codec.token_bytes).astype(np.int32)

    def read(self, rows: Rows) -> tuple[Bytes, Offsets]:
        """(records, where each begins, and the last ends) of ascending rows, checked."""
        places = np.zeros(len(rows) + 1, np.int64)
        np.cumsum(self.lengths(rows), out=places[1:])
        if len(rows) and int(rows[-1]) - int(rows[0]) == len(rows) - 1:
            first, last = self._places[rows[0]], self._places[rows[-1] + 1]
            records = self.file.read_rows("tokens", int(first), int(last))
        else:
            records = self.file.gather_stretches("tokens", self._places[rows], np.diff(places))
        wrong = kernels.first_unsound_weights(records, places)
        if wrong >= 0:
            raise DamagedError(
                self.file.name, "tokens", "a matching checksum", f"another in row {rows[wrong]}"
            )
        return records, places

    def payload(self, rows: Rows) -> tuple[Bytes, npt.NDArray[np.int32]]:
        """(records one after another, tokens of each) without the checksums."""
        return unsealed(*self.read(rows)), self.counts(rows)

    def stretches(self, rows: Rows, most_bytes: int) -> Iterator[slice]:
        """Parts of rows whose records take about so many bytes."""
        ends = np.cumsum(self.lengths(rows))
        start = 0
        while start < len(rows):
            seen = int(ends[start - 1]) if start else 0
            stop = max(int(np.searchsorted(ends, seen + most_bytes, side="right")), start + 1)
            yield slice(start, stop)
            start = stop

    def score(
        self,
        rows: Rows,
        queries: Floats,
        offsets: Offsets,
        record_of: npt.NDArray[np.int64],
        query_of: npt.NDArray[np.int32],
    ) -> Floats:
        """MaxSim of pairs of one of ascending rows and a query."""
        records, places = self.read(rows)
        starts, counts = places[:-1][record_of], self.counts(rows)[record_of]
        try:
            scores = self.codec.maxsim(records, starts, counts, query_of, queries, offsets)
        except ValueError as error:
            raise DamagedError(self.file.name, "tokens", "sound records", str(error)) from None
        if not np.isfinite(scores).all():
            raise DamagedError(self.file.name, "tokens", "finite numbers", "others")
        return scores


def sealed(payload: Bytes, counts: npt.NDArray[Any], token_bytes: int) -> Bytes:
    """Records one after another, each followed by its checksum."""
    ends = np.cumsum(counts.astype(np.int64) * token_bytes).tolist()
    parts, start = [], 0
    for end in ends:
        record = payload[start:end]
        parts += [record, kernels.row_checksums(record[None]).astype("<u4").view(np.uint8)]
        start = end
    return np.concatenate(parts) if parts else np.empty(0, np.uint8)


def unsealed(records: Bytes, places: Offsets) -> Bytes:
    """Records without their checksums, given where each begins and the last ends."""
    keep = np.ones(len(records), bool)
    keep[(places[1:, None] - np.arange(1, CRC_BYTES + 1)).ravel()] = False
    return records[keep]


def write_token_codec(writer: SegmentWriter, codec: TokenCodec) -> dict[str, Any]:
    """Write the arrays; returns what belongs into the segment's meta."""
    for name, array in codec.arrays().items():
        writer.add(f"tokens_{name}", array, spare=True)
    return {"tokens": codec.numbers()}


def read_token_codec(file: SegmentFile, dim: int, *, mend: bool = False) -> TokenCodec:
    """The codec of a segment's records; `mend`: also where a stretch of it is damaged."""
    read = file.mended if mend else file.read
    told = file.meta.get("tokens")
    told = told if isinstance(told, dict) else {}
    if told.get("dim") != dim:
        raise DamagedError(file.name, "table", f"tokens of {dim} numbers", told.get("dim"))
    try:
        arrays = {
            name: read(f"tokens_{name}", kind, shape)
            for name, (kind, shape) in TokenCodec.shapes(told).items()
        }
        for name, array in arrays.items():
            if not (np.abs(array.astype(np.float64)) <= LARGEST).all():
                raise DamagedError(
                    file.name, f"tokens_{name}", f"numbers up to {LARGEST:g}", "others"
                )
        return TokenCodec.read(told, arrays)
    except (ValueError, TypeError, LookupError) as error:
        raise DamagedError(file.name, "table", "a codec of tokens", str(error)) from None
