"""An opened segment of a lexical field, of either format."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from bigrain.errors import DamagedError
from bigrain.index.base import UnitMap
from bigrain.index.bm25 import Bm25, Saturation
from bigrain.index.postings import FileRun, Run
from bigrain.index.raw_lists import RawRun
from bigrain.storage.segment import SegmentFile

__all__ = ["PostingsSegment", "light_bytes_of"]

LENGTH_TYPES = ("|u1", "<u2", "<u4")
KEY_BYTES = 8 + 4 + 4  # key, length and place of its list


class PostingsSegment:
    """An inverted segment: its dictionary and the words per row."""

    def __init__(self, file: SegmentFile, bm25: Bm25) -> None:
        self.file = file
        n_rows = file.number("n_rows")
        if file.section("lengths").dtype.str not in LENGTH_TYPES:
            raise DamagedError(file.name, "lengths", "whole numbers", file.section("lengths"))
        self.lengths: npt.NDArray[Any] = file.read("lengths", None, (n_rows,))
        self.longest = int(self.lengths.max(initial=1))
        self.saturation: Saturation  # by which impacts were made
        self.run: Run
        if "list_ends" in file.sections:
            self.saturation = _saturation(file)
            self.run = FileRun(file)
        else:
            self.saturation = bm25.saturation_among(self.lengths)
            self.run = RawRun(file, self.saturation, self.lengths)
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
    """The dictionary, and the words per row."""
    each = KEY_BYTES + (4 if file.section("lists").n_bytes >= 2**32 else 0)
    dictionary = each * file.section("keys").shape[0]
    return dictionary + UnitMap.bytes_in(file) + file.section("lengths").n_bytes
