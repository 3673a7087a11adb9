"""Arrays that searches of substring fields count in: 4 bytes a row, bounded over all threads."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt

__all__ = ["Scratch"]

Counts = npt.NDArray[np.uint32]


class Scratch:
    """Lends zeroed arrays. Who finds too much lent out waits, unless nothing is lent."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._lent = 0
        self._idle: list[Counts] = []
        self._returned = threading.Condition()

    @contextmanager
    def zeros(self, n: int) -> Iterator[Counts]:
        """An array of n zeros, for the length of the block. A thread borrows one at a time."""
        with self._returned:
            while self._lent and self._lent + 4 * n > self.max_bytes:
                self._returned.wait()
            held = self._idle.pop() if self._idle else None
            if held is None or len(held) < n:
                self._idle.clear()
                held = None
            size = 4 * n if held is None else held.nbytes
            self._lent += size
        try:
            if held is None:
                held = np.empty(n, np.uint32)
            counts = held[:n]
            counts.fill(0)
            yield counts
        finally:
            with self._returned:
                self._lent -= size
                if held is not None and self._lent + held.nbytes <= self.max_bytes:
                    self._idle = [held]
                self._returned.notify_all()
