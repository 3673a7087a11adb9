"""Making the segments of substring fields: texts gather on disk, and are sorted shard by shard.

Sorting takes 8 bytes of memory for each byte of text (the text, its suffixes, what SA-IS adds, and
then the blocks), so a shard is as large as an eighth of the memory, or one row.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bigrain import kernels
from bigrain.errors import DamagedError, StorageError
from bigrain.index.base import Bitmap, Keep, UnitMap, Units, View
from bigrain.index.blocks import sealed
from bigrain.index.fm import END, ROW_RECORD, SubstringSegment
from bigrain.index.numbering import UnitLog, alive_bitmap, number_rows
from bigrain.storage.files import Files
from bigrain.storage.segment import SegmentFile, SegmentWriter
from bigrain.storage.spill import Spill

__all__ = ["SubstringBuilder", "merge_substrings", "texts_in"]

BYTES_PER_BYTE = 8  # of memory, for a byte of a shard's text
SPILL_BUFFER = 1 << 18
CHUNK = 1 << 16  # bytes of text compressed together
ROWS_AT_ONCE = 1024


class SubstringBuilder:
    """Pending rows of one field: UTF-8 texts in the form in which they are searched."""

    def __init__(self, files: Files, spill: Path, memory_bytes: int) -> None:
        self._texts = Spill(files, spill, "|u1", (), buffer_bytes=SPILL_BUFFER)
        self._log = UnitLog()
        self._sizes: list[npt.NDArray[np.int64]] = []
        self._shard_bytes = memory_bytes // BYTES_PER_BYTE

    def append(self, units: Units, values: Sequence[bytes]) -> None:
        """Add the texts of some units."""
        for text in values:
            self._texts.append(np.frombuffer(text, np.uint8))
        self._log.append(units)
        self._sizes.append(np.fromiter(map(len, values), np.int64, len(values)))

    def seal(self, keep: Keep, path: Path, files: Files) -> int:
        """Write the segment; returns its number of rows (0: no file)."""
        units, positions = self._log.unit_map()
        numbering = number_rows([units], [alive_bitmap(units, keep)])
        if not numbering.n_rows:
            return 0
        ends = np.cumsum(np.concatenate(self._sizes))

        def texts() -> Iterator[npt.NDArray[np.uint8]]:
            for _, rows in numbering.places():
                for row in (rows if positions is None else positions[rows]).tolist():
                    yield self._texts.read(int(ends[row - 1]) if row else 0, int(ends[row]))

        writer = SegmentWriter(files, path)
        try:
            lengths, totals, row_ends = [], [], list[int]()
            for shard in _shards(texts(), self._shard_bytes):
                row_ends.append((row_ends[-1] if row_ends else 0) + len(shard.ends))
                lengths.append(shard.lengths())
                totals.append(shard.totals())
                shard.write(writer, len(totals) - 1)
            writer.add("totals", np.stack(totals))
            writer.add("row_ends", np.array(row_ends, np.uint64))
            writer.add("lengths", np.concatenate(lengths))
            told = UnitMap.write(writer, numbering.units)
            writer.finish({"family": "substring", **told})
        except BaseException:
            writer.abandon()
            raise
        return numbering.n_rows

    def discard(self) -> None:
        self._texts.discard()
        self._log = UnitLog()
        self._sizes.clear()


class _ShardText:
    """Whole rows, each with its END."""

    def __init__(self, text: npt.NDArray[np.uint8], ends: Sequence[int]) -> None:
        self.text, self.ends = text, np.array(ends, np.int64)

    def lengths(self) -> npt.NDArray[np.uint32]:
        """Characters of each row."""
        begins = np.concatenate(([0], self.ends[:-1]))
        letters = np.add.reduceat((self.text & 0xC0) != 0x80, begins, dtype=np.uint32)
        return letters - np.uint32(1)

    def totals(self) -> npt.NDArray[np.uint32]:
        """How often each symbol occurs."""
        totals = np.zeros(256, np.uint32)
        for start in range(0, len(self.text), CHUNK):
            part = np.bincount(self.text[start : start + CHUNK], minlength=256)
            totals += part.astype(np.uint32)
        return totals

    def write(self, writer: SegmentWriter, number: int) -> None:
        self._write_text(writer, f"text{number}")
        records, rows = kernels.fm_blocks(self.text, kernels.suffix_array(self.text), self.ends)
        sealed(records)
        writer.add(f"blocks{number}", records)
        del records
        width = max(1, -(-(len(self.ends) - 1).bit_length() // 8))
        with writer.section(f"rows{number}", "|u1", (4 + ROW_RECORD * width,)) as section:
            for start in range(0, len(rows), ROW_RECORD):
                part = rows[start : start + ROW_RECORD].astype("<u4").view(np.uint8).reshape(-1, 4)
                record = np.zeros((1, 4 + ROW_RECORD * width), np.uint8)
                record[0, 4 : 4 + len(part) * width] = part[:, :width].reshape(-1)
                sealed(record, start // ROW_RECORD)
                section.append(record)

    def _write_text(self, writer: SegmentWriter, name: str) -> None:
        """Chunks: length and crc32 (two u32), then the text as zlib compresses it."""
        with writer.section(name, "|u1") as section:
            for start in range(0, len(self.text), CHUNK):
                data = zlib.compress(self.text[start : start + CHUNK].data, 1)
                head = np.array([len(data), zlib.crc32(data)], "<u4").tobytes()
                section.append(np.frombuffer(head + data, np.uint8))


def _shards(texts: Iterator[npt.NDArray[np.uint8]], n_bytes: int) -> Iterator[_ShardText]:
    """Rows together until they exceed `n_bytes`, at least one each."""
    held, ends = bytearray(), list[int]()
    for text in texts:
        if ends and len(held) + len(text) >= n_bytes:
            yield _ShardText(np.frombuffer(held, np.uint8), ends)
            held, ends = bytearray(), []
        held += text.data
        held.append(END)
        ends.append(len(held))
    if ends:
        yield _ShardText(np.frombuffer(held, np.uint8), ends)


def texts_in(segment: SubstringSegment) -> Iterator[bytes]:
    """The texts of all rows in their order, every checksum verified."""
    for number, shard in enumerate(segment.shards):
        held, n_rows = b"", 0
        for chunk in _chunks(segment.file, f"text{number}"):
            *whole, held = (held + chunk).split(bytes([END]))
            n_rows += len(whole)
            yield from whole
        if held or n_rows != shard.n_rows:
            raise DamagedError(segment.file.name, f"text{number}", f"{shard.n_rows} rows", n_rows)


def _chunks(file: SegmentFile, name: str) -> Iterator[bytes]:
    size, at = file.section(name, "|u1", (None,)).shape[0], 0
    while at < size:
        head = file.read_rows(name, at, min(at + 8, size))
        length, crc = head.view("<u4").tolist() if len(head) == 8 else (size, 0)
        at += 8
        if length > size - at:
            raise DamagedError(file.name, name, f"a chunk of at most {size - at} bytes", length)
        data = file.read_rows(name, at, at + length).tobytes()
        if zlib.crc32(data) != crc:
            raise DamagedError(file.name, name, f"crc32 {crc:08x}", f"{zlib.crc32(data):08x}")
        at += length
        try:
            reader = zlib.decompressobj()
            text = reader.decompress(data, CHUNK)
        except zlib.error as error:
            raise DamagedError(file.name, name, "compressed text", str(error)) from error
        if not reader.eof:
            raise DamagedError(file.name, name, f"chunks of at most {CHUNK} bytes", "more")
        yield text


def merge_substrings(
    files: Files, path: Path, views: Sequence[View[SubstringSegment]], memory_bytes: int
) -> int:
    """One segment out of the live rows of several, made anew from their texts; how many rows."""
    builder = SubstringBuilder(files, path.with_name(path.name + ".texts"), memory_bytes)
    try:
        for view in views:
            held: dict[int, bytes] = {}
            n_bytes = 0
            for row, text in enumerate(texts_in(view.segment)):
                if not _lives(view.live, row):
                    continue
                held[row] = text
                n_bytes += len(text)
                if len(held) == ROWS_AT_ONCE or n_bytes > SPILL_BUFFER:
                    _move(held, view, builder)
                    n_bytes = 0
            _move(held, view, builder)
        return builder.seal(lambda units: np.ones(len(units), bool), path, files)
    finally:
        with suppress(StorageError):  # the next writer sweeps what cannot be removed
            builder.discard()


def _lives(live: Bitmap | None, row: int) -> bool:
    return live is None or bool(live[row >> 3] >> (row & 7) & 1)


def _move(held: dict[int, bytes], view: View[SubstringSegment], builder: SubstringBuilder) -> None:
    if held:
        rows = np.fromiter(held, np.int64, len(held))
        builder.append(view.segment.units.units(rows), list(held.values()))
        held.clear()
