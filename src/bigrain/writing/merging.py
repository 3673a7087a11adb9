"""Merging segments: which ones, and into what."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from bigrain.families import Family
from bigrain.index.base import UnitMap, View
from bigrain.storage.folder import Folder
from bigrain.storage.segment import SegmentFile
from bigrain.writing.session import Sealed

__all__ = ["merge_views", "segments_to_merge"]

FAN_IN = 8


def segments_to_merge(views: Sequence[View[Any]]) -> list[View[Any]]:
    """Eight segments of about the same size, if there are; the smallest such group first.

    Merging them keeps the number of segments logarithmic in the number of rows, and rewrites every
    row a logarithmic number of times.
    """
    tiers: dict[int, list[View[Any]]] = {}
    for view in views:
        tiers.setdefault(int(math.log(max(view.n_live, 1), FAN_IN)), []).append(view)
    for tier in sorted(tiers):
        if len(tiers[tier]) >= FAN_IN:
            return tiers[tier]
    return []


def merge_views(
    folder: Folder, family: Family, views: Sequence[View[Any]], memory_bytes: int
) -> Sealed | None:
    """One unpublished segment out of the live rows of several; None if nothing lives."""
    path = folder.new_segment(family.name)
    if not views or not family.merge(folder.files, path, views, memory_bytes):
        return None
    file = SegmentFile(folder.files, path)
    return Sealed(family.name, file, UnitMap.read(file))
