"""A byte for every passage number: what verification knows of each, in little memory."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

__all__ = ["CHUNK", "DEAD", "DEAD_DOCUMENT", "DOCUMENT", "PASSAGE", "Flags"]

# Of a number: a live document begins here, a live one owns it; a deleted one owns it, begins here.
DOCUMENT, PASSAGE, DEAD, DEAD_DOCUMENT = 1, 2, 4, 8
CHUNK = 1 << 16

Numbers = npt.NDArray[np.int64]


class Flags:
    """Flags by number; numbers never marked have none."""

    def __init__(self) -> None:
        self._flags = np.zeros(0, np.uint8)

    def __len__(self) -> int:
        return len(self._flags)

    def mark(self, numbers: Numbers, flag: int) -> None:
        """Set a flag of numbers from 0."""
        if len(numbers):
            stop = int(numbers.max()) + 1
            if stop > len(self._flags):
                self._flags.resize(max(stop, len(self._flags) * 5 // 4), refcheck=False)
            self._flags[numbers] |= flag

    def have(self, numbers: Numbers, flags: int) -> npt.NDArray[np.bool_]:
        """Which of the numbers have one of the flags."""
        found = np.zeros(len(numbers), bool)
        inside = (numbers >= 0) & (numbers < len(self._flags))
        found[inside] = self._flags[numbers[inside]] & flags != 0
        return found

    def chunks(self, flag: int) -> Iterator[Numbers]:
        """The numbers that have a flag, ascending."""
        for start in range(0, len(self._flags), CHUNK):
            yield start + np.flatnonzero(self._flags[start : start + CHUNK] & flag)
