"""Records of segment files, each with its checksum, kept while they are used.

A record begins with the crc32 (u32) of its other bytes, computed from its number on, so that one in
another's place is noticed.
"""

from __future__ import annotations

import threading
import zlib
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np

from bigrain.errors import DamagedError
from bigrain.storage.segment import SegmentFile

__all__ = ["BlockCache", "sealed"]

Key = tuple[Any, ...]
OVERHEAD = 200  # bytes of an entry besides what it holds
LARGEST_SHARE = 4  # what takes more than a fourth is not kept


def sealed(records: np.ndarray[Any, np.dtype[np.uint8]], first: int = 0) -> None:
    """Write the checksums of records (n, bytes) numbered from `first` into their first 4 bytes."""
    for number, record in enumerate(records, first):
        record[:4] = np.array([zlib.crc32(record[4:].data, number)], "<u4").view(np.uint8)


class BlockCache:
    """Least recently used values, bounded in bytes. Safe for many threads."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes, self.n_bytes = max_bytes, 0
        self._held: OrderedDict[Key, tuple[Any, int]] = OrderedDict()
        self._lock = threading.Lock()

    def records(self, file: SegmentFile, section: str, numbers: Sequence[int]) -> list[bytes]:
        """Records of a section by their numbers, every checksum verified; missing ones at once."""
        found: dict[int, bytes] = {}
        with self._lock:
            for number in numbers:
                entry = self._held.get((file.name, section, number))
                if entry is not None:
                    self._held.move_to_end((file.name, section, number))
                    found[number] = entry[0]
        missing = sorted(set(numbers) - found.keys())
        if missing:
            read = file.gather_rows(section, np.array(missing, np.int64))
            for number, record in zip(missing, read, strict=True):
                data = record.tobytes()
                crc = zlib.crc32(memoryview(data)[4:], number)
                if crc != int.from_bytes(data[:4], "little"):
                    raise DamagedError(
                        file.name,
                        f"{section}[{number}]",
                        f"crc32 {int.from_bytes(data[:4], 'little'):08x}",
                        f"{crc:08x}",
                    )
                found[number] = data
                self.keep((file.name, section, number), data, len(data))
        return [found[number] for number in numbers]

    def get(self, key: Key) -> Any:
        """A value that was kept, or None."""
        with self._lock:
            if key not in self._held:
                return None
            self._held.move_to_end(key)
            return self._held[key][0]

    def keep(self, key: Key, value: Any, n_bytes: int) -> None:
        """Remember a value for as long as there is room."""
        n_bytes += OVERHEAD
        if n_bytes > self.max_bytes // LARGEST_SHARE:
            return
        with self._lock:
            if key not in self._held:
                self._held[key] = value, n_bytes
                self.n_bytes += n_bytes
            while self.n_bytes > self.max_bytes:
                self.n_bytes -= self._held.popitem(last=False)[1][1]

    def forget(self) -> None:
        """Drop everything."""
        with self._lock:
            self._held.clear()
            self.n_bytes = 0
