"""Segment files: named arrays, written once, every one with a checksum.

Layout (all numbers little-endian; the full text is docs/format/segment.md):

    header    64 bytes: magic, format version, segment id, checksum of the header
    sections  raw arrays, each beginning at a multiple of 64
    table     JSON: {"meta": {...}, "sections": {name: {dtype, shape, offset, crc32}}}
    trailer   32 bytes: table offset, table length, crc32 of the table, crc32 of the trailer, magic

Table and trailer stand there twice. Readers know the last ones; `SegmentFile.salvage` goes by the
copy before them where those are damaged.

A writer streams sections in any order and renames the finished, synced file into place, so a file
under its final name is complete.
"""

from __future__ import annotations

import errno
import json
import math
import struct
import uuid
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bigrain.errors import DamagedError, FormatError, StorageError
from bigrain.storage import parity
from bigrain.storage.files import Files, Readable, Writable

__all__ = ["FORMAT_VERSION", "Section", "SectionWriter", "SegmentFile", "SegmentWriter"]

MAGIC = b"BIGRAIN\n"
COPY_MAGIC = b"bigrain\n"  # ends the copy, so that a file cut off there is not taken for whole
FORMAT_VERSION = 2
ALIGNMENT = 64
HEADER = struct.Struct("<8sI4x16s28xI")
TRAILER = struct.Struct("<QQII8s")
DTYPES = frozenset({"|i1", "|u1", "<u2", "<u4", "<u8", "<i4", "<i8", "<f2", "<f4", "<f8"})
BUFFER_BYTES = 1 << 20
MAX_TABLE_BYTES = 1 << 24
SEARCHED_BYTES = 1 << 20  # at the end of a damaged file
BLOCK = 512
SPARE, SUMS = ":spare", ":sums"  # of a section, in names
MAX_LENGTH = 1 << 40  # of one axis
MAX_AXES = 8

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Section:
    """Where one array lies in the file."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    offset: int
    crc32: int

    @property
    def n_bytes(self) -> int:
        return self.dtype.itemsize * math.prod(self.shape)

    @property
    def row_bytes(self) -> int:
        return self.dtype.itemsize * math.prod(self.shape[1:])


class SectionWriter:
    """Streams the rows of one section; `with` closes it."""

    def __init__(
        self, segment: SegmentWriter, name: str, dtype: np.dtype[Any], row: tuple[int, ...]
    ) -> None:
        self._segment, self._name, self._dtype, self._row = segment, name, dtype, row
        self._offset = segment.align()
        self._rows, self._crc = 0, 0

    def append(self, rows: Array) -> None:
        """Add rows of shape (n, *row)."""
        rows = np.ascontiguousarray(rows, self._dtype)
        if rows.shape[1:] != self._row:
            raise ValueError(f"section {self._name}: rows of {rows.shape[1:]}, not {self._row}")
        if rows.size:
            data = rows.data.cast("B")
            self._crc = zlib.crc32(data, self._crc)
            self._segment.write(data)
        self._rows += len(rows)

    def __enter__(self) -> SectionWriter:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            shape = (self._rows, *self._row)
            self._segment.sections[self._name] = Section(
                self._name, self._dtype, shape, self._offset, self._crc
            )


class SegmentWriter:
    """Writes one segment file under a temporary name and publishes it with `finish`."""

    def __init__(self, files: Files, path: Path) -> None:
        self._files, self._path = files, path
        self._temporary = path.with_name(path.name + ".part")
        self.sections: dict[str, Section] = {}
        self._position = 0
        self._buffer = bytearray()
        self._file: Writable = files.create(self._temporary)
        header = HEADER.pack(MAGIC, FORMAT_VERSION, uuid.uuid4().bytes, 0)[:-4]
        self.write(memoryview(header + struct.pack("<I", zlib.crc32(header))))

    def write(self, data: memoryview) -> None:
        self._position += len(data)
        if len(data) >= BUFFER_BYTES:
            self._flush()
            self._file.write(data)
            return
        self._buffer += data
        if len(self._buffer) >= BUFFER_BYTES:
            self._flush()

    def _flush(self) -> None:
        if self._buffer:
            self._file.write(bytes(self._buffer))
            self._buffer.clear()

    def align(self) -> int:
        padding = -self._position % ALIGNMENT
        if padding:
            self.write(memoryview(bytes(padding)))
        return self._position

    def section(self, name: str, dtype: npt.DTypeLike, row: tuple[int, ...] = ()) -> SectionWriter:
        """Begin a section of rows of the given shape. One section at a time."""
        kind = np.dtype(dtype).newbyteorder("<")
        if kind.str not in DTYPES or name in self.sections:
            raise ValueError(f"section {name!r}: dtype {kind.str} or name not possible")
        return SectionWriter(self, name, kind, row)

    def add(self, name: str, array: Array, *, spare: bool = False) -> None:
        """Write a whole array as one section; `spare`: with what `SegmentFile.mended` needs."""
        with self.section(name, array.dtype, array.shape[1:]) as section:
            section.append(array)
        if spare:
            kind = self.sections[name].dtype
            data = np.ascontiguousarray(array, kind).reshape(-1).view(np.uint8)
            blocks, sums = parity.spare_of(data)
            self.add(name + SPARE, blocks)
            self.add(name + SUMS, sums)

    def finish(self, meta: dict[str, Any], *, sync: bool = True) -> int:
        """Write table and trailer twice, sync, rename, sync the folder; returns the file's size.

        A file that is not to outlive the process need not be synced.
        """
        sections = {
            s.name: {
                "dtype": s.dtype.str,
                "shape": list(s.shape),
                "offset": s.offset,
                "crc32": s.crc32,
            }
            for s in self.sections.values()
        }
        table = json.dumps({"meta": meta, "sections": sections}, sort_keys=True).encode()
        for magic in (COPY_MAGIC, MAGIC):
            offset = self.align()
            self.write(memoryview(table))
            self.write(memoryview(_trailer(offset, len(table), zlib.crc32(table), magic)))
        self._flush()
        if sync:
            self._file.sync()
        self._file.close()
        self._files.rename(self._temporary, self._path)
        if sync:
            self._files.sync_folder(self._path.parent)
        return self._position

    def abandon(self) -> None:
        """Leave nothing behind."""
        self._file.close()
        self._files.remove(self._temporary)
        self._files.remove(self._path)


def _trailer(offset: int, length: int, crc: int, magic: bytes = MAGIC) -> bytes:
    body = struct.pack("<QQI", offset, length, crc)
    return body + struct.pack("<I", zlib.crc32(body)) + magic


def _on_a_line(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """An empty array that begins a cache line, as kernels read whole lines of codes."""
    n_bytes = dtype.itemsize * math.prod(shape)
    memory = np.empty(n_bytes + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start : start + n_bytes].view(dtype).reshape(shape)


class SegmentFile:
    """A finished segment, read section by section. Safe for many threads."""

    def __init__(self, files: Files, path: Path, *, _salvage: bool = False) -> None:
        self.name = path.name
        self._file: Readable = files.open(path)
        try:
            self.meta, self.sections = self._find_table() if _salvage else self._read_table()
        except BaseException:
            self._file.close()
            raise

    @classmethod
    def salvage(cls, files: Files, path: Path) -> SegmentFile:
        """Open a segment whose header, table or trailer is damaged, by whichever table is whole.

        For repair: the sections are as they were, the file is not. Raises DamagedError where the
        copy of the table is damaged too.
        """
        return cls(files, path, _salvage=True)

    @property
    def n_bytes(self) -> int:
        return self._file.size

    def close(self) -> None:
        self._file.close()

    def _damaged(self, section: str, expected: object, found: object) -> DamagedError:
        return DamagedError(self.name, section, expected, found)

    def _read_table(self) -> tuple[dict[str, Any], dict[str, Section]]:
        size = self._file.size
        if size < HEADER.size + TRAILER.size:
            raise self._damaged("header", f"at least {HEADER.size + TRAILER.size} bytes", size)
        header = self._file.read_at(0, HEADER.size)
        magic, version, _, crc = HEADER.unpack(header)
        if magic != MAGIC:
            raise self._damaged("header", MAGIC, magic)
        if crc != zlib.crc32(header[:-4]):
            raise self._damaged("header", "a matching checksum", "another")
        if version > FORMAT_VERSION:
            raise FormatError(
                f"{self.name} has segment format {version}; this bigrain reads up to "
                f"{FORMAT_VERSION}: upgrade bigrain"
            )
        trailer = self._file.read_at(size - TRAILER.size, TRAILER.size)
        if len(trailer) != TRAILER.size:
            raise self._damaged("trailer", f"{TRAILER.size} bytes", len(trailer))
        offset, length, table_crc, trailer_crc, end = TRAILER.unpack(trailer)
        if end != MAGIC or trailer_crc != zlib.crc32(trailer[:20]):
            raise self._damaged("trailer", "a matching checksum", "another (cut off?)")
        if length > MAX_TABLE_BYTES or offset + length + TRAILER.size != size:
            raise self._damaged("trailer", f"a table ending at {size - TRAILER.size}", offset)
        table = self._file.read_at(offset, length)
        if zlib.crc32(table) != table_crc:
            raise self._damaged("table", f"crc32 {table_crc:08x}", f"{zlib.crc32(table):08x}")
        return self._parse(table, offset)

    def _find_table(self) -> tuple[dict[str, Any], dict[str, Section]]:
        """The last table at the end of the file that matches its trailer, wherever that is."""
        start = max(0, self._file.size - SEARCHED_BYTES)
        tail = self._read_or_blank(start, self._file.size - start)
        at = len(tail)
        while (at := max(tail.rfind(magic, 0, at) for magic in (MAGIC, COPY_MAGIC))) >= 0:
            begin = at + len(MAGIC) - TRAILER.size
            if begin < 0:
                break
            trailer = tail[begin : begin + TRAILER.size]
            offset, length, table_crc, trailer_crc, _ = TRAILER.unpack(trailer)
            if trailer_crc == zlib.crc32(trailer[:20]) and offset + length == start + begin:
                table = self._read_or_blank(offset, min(length, MAX_TABLE_BYTES))
                if zlib.crc32(table) == table_crc:
                    return self._parse(table, offset)
        raise self._damaged("table", "one that matches its trailer", "neither it nor its copy")

    def _read_or_blank(self, start: int, length: int) -> bytes:
        """Bytes of the file; zeros for blocks that the disk does not give."""
        for _ in range(2):
            try:
                return self._file.read_at(start, length)
            except StorageError as error:
                if error.errno != errno.EIO:
                    raise
        if length <= BLOCK:
            return bytes(length)
        stop, edge = start + length, (start // BLOCK + 1) * BLOCK
        starts = [start, *range(edge, stop, BLOCK)]
        ends = [*starts[1:], stop]
        return b"".join(self._read_or_blank(a, b - a) for a, b in zip(starts, ends, strict=True))

    def _parse(self, table: bytes, offset: int) -> tuple[dict[str, Any], dict[str, Section]]:
        """What a table at `offset` says, checked."""
        try:
            parsed = json.loads(table)
            meta = dict(parsed["meta"])
            sections = {
                name: Section(
                    name, np.dtype(s["dtype"]), tuple(s["shape"]), int(s["offset"]), int(s["crc32"])
                )
                for name, s in parsed["sections"].items()
                if s["dtype"] in DTYPES
                and all(type(n) is int and 0 <= n < MAX_LENGTH for n in s["shape"])
            }
            odd = [name for name in parsed["sections"] if name not in sections]
        except (
            ArithmeticError,
            AttributeError,
            LookupError,
            RecursionError,
            TypeError,
            ValueError,
        ) as e:
            raise self._damaged("table", "a section table", repr(e)) from None
        if odd:
            raise self._damaged(str(odd[0]), "a known dtype, a shape of whole numbers", "others")
        for section in sections.values():
            sane = section.offset >= HEADER.size and 1 <= len(section.shape) <= MAX_AXES
            inside = section.offset + section.n_bytes <= offset
            if not sane or not inside:
                raise self._damaged(section.name, f"an array before byte {offset}", section)
        return meta, sections

    def section(
        self,
        name: str,
        dtype: npt.DTypeLike | None = None,
        shape: tuple[int | None, ...] | None = None,
    ) -> Section:
        """Where a section lies; DamagedError if it is not there, or not of `dtype` and `shape`.

        A None in `shape` stands for any length.
        """
        try:
            section = self.sections[name]
        except KeyError:
            raise self._damaged(name, "a section of this name", sorted(self.sections)) from None
        if dtype is not None and section.dtype != np.dtype(dtype):
            raise self._damaged(name, np.dtype(dtype).str, section.dtype.str)
        if shape is not None and (
            len(section.shape) != len(shape)
            or any(want not in (None, n) for n, want in zip(section.shape, shape, strict=True))
        ):
            raise self._damaged(name, f"shape {shape}", section.shape)
        return section

    def number(self, *keys: str, high: int = MAX_LENGTH) -> int:
        """A whole number from 0 to `high` in the segment's meta, under nested keys."""
        value: Any = self.meta
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        if type(value) is not int or not 0 <= value <= high:
            raise self._damaged("table", f"{'.'.join(keys)} from 0 to {high}", value)
        return value

    def read(
        self,
        name: str,
        dtype: npt.DTypeLike | None = None,
        shape: tuple[int | None, ...] | None = None,
    ) -> Array:
        """The whole section, its checksum verified; `dtype` and `shape` as in `section`."""
        section = self.section(name, dtype, shape)
        array = self._fill(_on_a_line(section.shape, section.dtype), section, 0)
        found = zlib.crc32(array.data.cast("B")) if array.size else 0
        if found != section.crc32:
            raise self._damaged(name, f"crc32 {section.crc32:08x}", f"{found:08x}")
        return array

    def mended(
        self,
        name: str,
        dtype: npt.DTypeLike | None = None,
        shape: tuple[int | None, ...] | None = None,
    ) -> Array:
        """`read`, also where a stretch is damaged if the section has spare blocks; for repair."""
        section = self.section(name, dtype, shape)
        try:
            return self.read(name, dtype, shape)
        except (DamagedError, StorageError):
            if name + SPARE not in self.sections:
                raise
        data = np.frombuffer(self._read_or_blank(section.offset, section.n_bytes), np.uint8)
        spare, sums = self.read(name + SPARE, "|u1"), self.read(name + SUMS, "<u4")
        found = parity.mended(data, spare, sums)
        if found is None or zlib.crc32(found.data) != section.crc32:
            raise self._damaged(name, "at most one damaged block in a group", "more")
        return found.view(section.dtype).reshape(section.shape)

    def read_rows(self, name: str, start: int, stop: int) -> Array:
        """Rows start..stop of a section; no checksum covers a part."""
        section = self.section(name)
        if not 0 <= start <= stop <= section.shape[0]:
            raise IndexError(f"{self.name}: rows {start}:{stop} of {section.shape[0]} in {name}")
        array = np.empty((stop - start, *section.shape[1:]), section.dtype)
        return self._fill(array, section, start)

    def _fill(self, array: Array, section: Section, start: int) -> Array:
        if array.size:
            view = array.data.cast("B")
            got = self._file.read_into(section.offset + start * section.row_bytes, view)
            if got != len(view):
                raise self._damaged(section.name, f"{len(view)} bytes", got)
        return array

    def gather_rows(self, name: str, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
        """Single rows as bytes, shape (len(rows), row bytes).

        Neighbours are read together, and all reads are announced before the first one waits.
        """
        section = self.section(name)
        ascending = bool((rows[1:] > rows[:-1]).all())
        order = None if ascending else np.argsort(rows, kind="stable")
        wanted = rows if order is None else rows[order]
        if len(rows) and not (wanted[0] >= 0 and wanted[-1] < section.shape[0]):
            raise IndexError(f"{self.name}: a row outside {section.shape[0]} in {name}")
        stretches = np.empty((len(rows), 2), np.int64)
        np.multiply(wanted, section.row_bytes, out=stretches[:, 0])
        stretches[:, 0] += section.offset
        stretches[:, 1] = section.row_bytes
        records = np.empty((len(rows), section.row_bytes), np.uint8)
        if records.size:
            got = self._file.gather(stretches, records.reshape(-1))
            if got != records.nbytes:
                raise self._damaged(name, f"{records.nbytes} bytes in {len(rows)} rows", got)
        if order is None:
            return records
        out = np.empty_like(records)
        out[order] = records
        return out

    def gather_stretches(
        self, name: str, starts: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.uint8]:
        """Stretches of a section of bytes one after another, read as by `gather_rows`."""
        section = self.section(name, np.uint8, (None,))
        if len(starts) and (starts.min() < 0 or (starts + lengths).max() > section.shape[0]):
            raise IndexError(f"{self.name}: a stretch outside {section.shape[0]} in {name}")
        stretches = np.stack((starts + section.offset, lengths), axis=1).astype(np.int64)
        found = np.empty(int(lengths.sum()), np.uint8)
        if found.size:
            got = self._file.gather(stretches, found)
            if got != found.nbytes:
                raise self._damaged(name, f"{found.nbytes} bytes in {len(starts)} stretches", got)
        return found

    def check(self, name: str) -> Iterator[int]:
        """Read a section through and verify its checksum; yields the bytes read so far."""
        section = self.section(name)
        step = max(1, BUFFER_BYTES // max(section.row_bytes, 1))
        crc, done = 0, 0
        for start in range(0, section.shape[0], step):
            part = self.read_rows(name, start, min(start + step, section.shape[0]))
            if part.size:
                crc = zlib.crc32(part.data.cast("B"), crc)
            done += part.nbytes
            yield done
        if crc != section.crc32:
            raise self._damaged(name, f"crc32 {section.crc32:08x}", f"{crc:08x}")
