"""An opened segment of inverted lists, of either format."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from bigrain.errors import DamagedError
from bigrain.index.base import UnitMap
from bigrain.index.bm25 import Saturation
from bigrain.index.impacts import Counts, Impacts
from bigrain.index.postings import FileRun, Run
from bigrain.index.raw_lists import RawRun
from bigrain.storage.segment import SegmentFile

__all__ = ["PostingsSegment", "light_bytes_of"]

LENGTH_TYPES = ("|u1", "<u2", "<u4")
KEY_BYTES = 8 + 4 + 4  # key, length and place of its list
UNIT_BYTES = 4


class PostingsSegment:
    """An inverted segment: its dictionary and, of lexical fields, the words per row."""

    def __init__(self, file: SegmentFile, impacts: Impacts) -> None:
        self.file = file
        packed = "list_ends" in file.sections
        self.lengths: npt.NDArray[Any] = np.empty(0, np.uint8)
        self.saturation = Saturation(0.0, 0.0)  # by which impacts were made
        if impacts.lexical:
            n_rows = file.number("n_rows")
            if file.section("lengths").dtype.str not in LENGTH_TYPES:
                raise DamagedError(file.name, "lengths", "whole numbers", file.section("lengths"))
            self.lengths = file.read("lengths", None, (n_rows,))
        if packed and impacts.lexical:
            self.saturation = _saturation(file)
        elif isinstance(impacts, Counts):
            impacts.measure(self.lengths)
            self.saturation = impacts.saturation
        self.longest = int(self.lengths.max(initial=1))
        self.run: Run = FileRun(file) if packed else RawRun(file, impacts)
        self.units = self.run.unit_map

    @property
    def memory_bytes(self) -> int:
        return light_bytes_of(self.file)


def _saturation(file: SegmentFile) -> Saturation:
    told = file.meta.get("impacts")
    numbers: list[Any] = [told.get(x) for x in ("flat", "slope")] if isinstance(told, dict) else []
    good = [float(x) for x in numbers if type(x) in (int, float) and 0 <= x < 1e18]
    if len(good) != 2:
        raise DamagedError(file.name, "table", "impacts.flat and impacts.slope from 0", told)
    return Saturation(*good)


def light_bytes_of(file: SegmentFile) -> int:
    """The dictionary, and in lexical fields the words per row."""
    lengths = file.section("lengths").n_bytes if "lengths" in file.sections else 0
    wide = 4 if file.section("lists").n_bytes >= 2**32 else 0
    each = KEY_BYTES + wide + (UNIT_BYTES if "list_unit" in file.sections else 0)
    return each * file.section("keys").shape[0] + UnitMap.bytes_in(file) + lengths
