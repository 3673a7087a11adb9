"""Rows set aside on disk while a change is pending: append, read back, throw away."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bigrain.errors import DamagedError
from bigrain.storage.files import Files, Readable, Writable

__all__ = ["Spill"]

BUFFER_BYTES = 1 << 20


class Spill:
    """Rows of one dtype and shape in a temporary file. Nothing in it outlives the process."""

    def __init__(
        self,
        files: Files,
        path: Path,
        dtype: npt.DTypeLike,
        row: tuple[int, ...],
        *,
        buffer_bytes: int | None = None,
    ) -> None:
        self._files, self._path = files, path
        self._buffer_bytes = min(buffer_bytes or BUFFER_BYTES, BUFFER_BYTES)
        self._dtype, self._row = np.dtype(dtype), row
        self._writer: Writable | None = None
        self._reader: Readable | None = None
        self._buffer = bytearray()
        self._n_flushed = 0  # bytes in the file; the buffer follows them
        self.n_rows = 0

    @property
    def _row_bytes(self) -> int:
        return self._dtype.itemsize * int(np.prod(self._row, dtype=np.int64))

    def append(self, rows: npt.NDArray[Any]) -> None:
        rows = np.ascontiguousarray(rows, self._dtype)
        if not rows.size:
            return
        self._buffer += rows.data.cast("B")
        if len(self._buffer) >= self._buffer_bytes:
            self._flush()
        self.n_rows += len(rows)

    def _flush(self) -> None:
        if not self._buffer:
            return
        if self._writer is None:
            self._writer = self._files.create(self._path)
        self._writer.write(bytes(self._buffer))
        self._n_flushed += len(self._buffer)
        self._buffer.clear()

    def read(self, start: int, stop: int) -> npt.NDArray[Any]:
        """Rows start..stop. Writes nothing, so a read that fails may be tried again."""
        out = np.empty((stop - start, *self._row), self._dtype)
        if out.size:
            view = out.data.cast("B")
            begin = start * self._row_bytes
            on_disk = max(0, min(len(view), self._n_flushed - begin))
            if on_disk:
                if self._reader is None:
                    self._reader = self._files.open(self._path)
                got = self._reader.read_into(begin, view[:on_disk])
                if got != on_disk:
                    raise DamagedError(self._path.name, "spilled rows", f"{on_disk} bytes", got)
            if on_disk < len(view):
                first = begin + on_disk - self._n_flushed
                view[on_disk:] = self._buffer[first : first + len(view) - on_disk]
        return out

    def gather(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        """Single rows, in any order."""
        out = np.empty((len(rows), *self._row), self._dtype)
        n_on_disk = self._n_flushed // max(1, self._row_bytes)
        there = np.flatnonzero(rows < n_on_disk)
        if len(there) and out.size:
            if self._reader is None:
                self._reader = self._files.open(self._path)
            there = there[np.argsort(rows[there], kind="stable")]
            width = self._row_bytes
            stretches = np.stack((rows[there] * width, np.full(len(there), width)), axis=1)
            raw = np.empty((len(there), width), np.uint8)
            got = self._reader.gather(stretches, raw.reshape(-1))
            if got != raw.nbytes:
                raise DamagedError(self._path.name, "spilled rows", f"{raw.nbytes} bytes", got)
            out[there] = raw.view(self._dtype).reshape(-1, *self._row)
        for at in np.flatnonzero(rows >= n_on_disk).tolist():
            out[at] = self.read(int(rows[at]), int(rows[at]) + 1)[0]
        return out

    def discard(self) -> None:
        for handle in (self._writer, self._reader):
            if handle is not None:
                handle.close()
        if self._writer is not None:
            self._files.remove(self._path)
        self._writer = self._reader = None
        self._buffer.clear()
        self.n_rows = self._n_flushed = 0
