"""Ids in groups that are treated alike: the fields of a table, or bands of falling frequency."""

from __future__ import annotations

from bigrain.errors import ConfigError
from bigrain.tables.spec import TableSpec

__all__ = ["frequency_starts", "group_starts"]

BANDS = 6
RATIO = 4


def frequency_starts(n: int) -> list[int]:
    """The first rank of each of at most 6 bands, each about four times as long as the former."""
    starts = {n // RATIO**power for power in range(BANDS - 1, 0, -1)}
    return sorted({0, *starts} - {n})


def group_starts(spec: TableSpec, name: str) -> tuple[list[int], bool]:
    """(first place of each group, places are ranks by frequency and not ids)"""
    if spec.fields is not None:
        starts = [0]
        for rows in spec.fields[:-1]:
            starts.append(starts[-1] + rows)
        return starts, False
    if spec.frequencies is None:
        raise ConfigError(
            f"{name} gives groups of ids different widths: pass fields= (rows of each field) or "
            "frequencies= (one number an id, or 'falling')"
        )
    return frequency_starts(spec.num_embeddings), True
