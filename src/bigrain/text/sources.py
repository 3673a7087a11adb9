"""Bytes of a file as text: unpacked, limited and decoded, with errors that say where.

Accepted encodings are UTF-8 (with or without byte order mark) and UTF-16 with one. What must stand
in memory at once, a whole file or one line, may have `max_bytes` at most. Lines of a `.gz` file may
unpack to that, or to `UNPACKED` times the packed size where that is more, so that a few kilobytes
cannot fill a disk and a large corpus is read. None lifts both limits.
"""

from __future__ import annotations

import codecs
import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from bigrain.errors import InvalidDocumentError, StorageError

__all__ = ["DEFAULT_MAX_BYTES", "decode", "read_bytes", "read_lines", "stream_lines"]

DEFAULT_MAX_BYTES = 1 << 28
UNPACKED = 100  # times the packed size; text packs to a fifth, a bomb to a thousandth

_STEP = 1 << 20


def read_bytes(path: Path, max_bytes: int | None = DEFAULT_MAX_BYTES) -> bytes:
    """All bytes of a file, unpacked if its name ends in `.gz`."""
    parts = []
    total = 0
    with _opened(path) as stream:
        while part := _read(stream, path, _STEP):
            total += len(part)
            _check_size(total, path, max_bytes)
            parts.append(part)
    return b"".join(parts)


def decode(data: bytes, name: str) -> str:
    """`data` as text. InvalidDocumentError names the byte that is neither UTF-8 nor UTF-16."""
    encoding = _encoding(data)
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise _not_text(name, error.start, data[error.start], encoding) from None


def read_lines(path: Path, max_bytes: int | None = DEFAULT_MAX_BYTES) -> Iterator[tuple[int, str]]:
    """(number from 1, line with its end) for each line; only one of them in memory at a time."""
    with _opened(path) as stream:
        unpacked = None
        if path.suffix.lower() == ".gz" and max_bytes is not None:
            unpacked = max(max_bytes, UNPACKED * path.stat().st_size)
        yield from stream_lines(stream, path, max_bytes, unpacked)


def stream_lines(
    stream: BinaryIO, path: Path | str, max_bytes: int | None, unpacked: int | None = None
) -> Iterator[tuple[int, str]]:
    """The same for an open stream; `unpacked` limits the sum of all lines."""
    limit = -1 if max_bytes is None else max_bytes + 1
    offset = number = 0
    while line := _read(stream, path, limit, line=True):
        number += 1
        _check_size(len(line), path, max_bytes, number)
        if unpacked is not None and offset + len(line) > unpacked:
            _check_size(offset + len(line), path, max_bytes, number)
        if number == 1:
            encoding = _encoding(line)
            if encoding == "utf-16":
                yield from _utf16_lines(line, stream, path, max_bytes)
                return
            if encoding == "utf-8-sig":
                line, offset = line[3:], 3
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError as error:
            start = error.start
            where = f"{path}, line {number}"
            raise _not_text(where, offset + start, line[start], "utf-8") from None
        yield number, text
        offset += len(line)


def _utf16_lines(
    first: bytes, stream: BinaryIO, path: Path | str, max_bytes: int | None
) -> Iterator[tuple[int, str]]:
    # Its lines cannot be found before decoding: the file is read whole.
    parts, total = [first], len(first)
    while part := _read(stream, path, _STEP):
        total += len(part)
        _check_size(total, path, max_bytes)
        parts.append(part)
    lines = decode(b"".join(parts), str(path)).split("\n")
    for number, line in enumerate(lines, start=1):
        yield number, line + "\n"


def _opened(path: Path) -> BinaryIO:
    try:
        stream: BinaryIO
        if path.suffix.lower() == ".gz":
            stream = gzip.open(path, "rb")  # type: ignore[assignment]
        else:
            stream = path.open("rb")
        return stream
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {error.strerror or error}") from error


def _read(stream: BinaryIO, path: Path | str, size: int, *, line: bool = False) -> bytes:
    try:
        return stream.readline(size) if line else stream.read(size)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InvalidDocumentError(
            f"{path}: not a whole gzip file ({error}); copy or download it again, or drop the .gz "
            "from its name if it is not compressed"
        ) from None
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {error.strerror or error}") from error


def _check_size(size: int, path: Path | str, max_bytes: int | None, line: int = 0) -> None:
    if max_bytes is not None and size > max_bytes:
        what = f"{path}, line {line}" if line else str(path)
        raise InvalidDocumentError(
            f"{what}: more than max_bytes={max_bytes:,} bytes to hold or unpack; if the file is "
            f"what it should be, raise the limit, for example max_bytes={4 * max_bytes}"
        )


def _encoding(data: bytes) -> str:
    if data.startswith(codecs.BOM_UTF8):
        return "utf-8-sig"
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    return "utf-8"


def _not_text(name: str, offset: int, byte: int, encoding: str) -> InvalidDocumentError:
    tried = "UTF-16" if encoding == "utf-16" else "UTF-8"
    return InvalidDocumentError(
        f"{name}: byte {offset} (0x{byte:02x}) is not valid {tried}; accepted are UTF-8 and UTF-16 "
        "with a byte order mark; convert the file, for example with iconv -f latin1 -t utf-8"
    )
