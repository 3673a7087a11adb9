"""What a pooling is, and how tokens in groups become vectors.

A pooling is a frozen dataclass of its settings. Called with ragged tokens (values (T, d), offsets
(n + 1,)) it gives `Pooled`: never more vectors than tokens, and none of a row without tokens. Which
groups a row's tokens fall into depends on that row alone.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from bigrain.codecs.ragged import Offsets
from bigrain.errors import ConfigError, shown

__all__ = ["Pooled", "Pooling", "full_length", "pool", "require_whole", "rows_of"]

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
TOGETHER = 1 << 12  # rows added at a time


class Pooled(NamedTuple):
    """Fewer vectors, ragged as before, and where each token went."""

    values: Floats  # (V, d)
    offsets: Offsets  # (n + 1,)
    vector_of: npt.NDArray[np.int32]  # (T,) which vector of its row, from 0; -1: in none


class Pooling(Protocol):
    """Groups tokens of each row and replaces every group by one vector."""

    def __call__(self, values: npt.NDArray[Any], offsets: npt.NDArray[Any]) -> Pooled: ...


def pool(values: npt.NDArray[Any], offsets: Offsets, labels: Ints) -> Pooled:
    """Replace groups by their means.

    `labels` (T,): tokens of a row with one label form a group, those below 0 are left out. Vectors
    of a row come in the order of their groups' first tokens.
    """
    kept = np.flatnonzero(labels >= 0)
    rows = rows_of(offsets)[kept]
    key = rows * (int(labels.max(initial=0)) + 1) + labels[kept]
    _, first, group = np.unique(key, return_index=True, return_inverse=True)
    by_first = np.argsort(first)  # rows come in order, so groups of a row stay together
    place = np.empty(len(first), np.int64)
    place[by_first] = np.arange(len(first))
    place = place[group.reshape(-1)]
    ends = np.zeros(len(offsets), np.int64)
    np.cumsum(np.bincount(rows[first], minlength=len(offsets) - 1), out=ends[1:])
    vector_of = np.full(len(labels), -1, np.int32)
    vector_of[kept] = place - ends[rows]
    out = _sums(values, kept, place, len(first))
    out /= np.bincount(place, minlength=len(out)).astype(np.float32)[:, None]
    return Pooled(out, ends, vector_of)


def full_length(pooled: Pooled, values: npt.NDArray[Any], offsets: npt.NDArray[Any]) -> Pooled:
    """Means made as long as their tokens (T, d) are on average: unit tokens give unit vectors.

    A mean is shorter than what it stands for, the more so the further its tokens lie apart, and
    MaxSim would pass it over. Zero stays zero.
    """
    place = np.repeat(pooled.offsets[:-1], np.diff(offsets)) + pooled.vector_of
    kept = pooled.vector_of >= 0
    squared = np.einsum("ij,ij->i", values, values, dtype=np.float32)
    n = len(pooled.values)
    total = np.bincount(place[kept], np.sqrt(squared[kept]), n)
    lengths = total / np.maximum(np.bincount(place[kept], minlength=n), 1)
    own = np.sqrt(np.einsum("ij,ij->i", pooled.values, pooled.values))
    scale = np.divide(lengths, own, out=np.zeros(n), where=own > 0).astype(np.float32)
    return pooled._replace(values=pooled.values * scale[:, None])


def _sums(values: npt.NDArray[Any], kept: Ints, place: Ints, n: int) -> Floats:
    """(n, d) sums of values[kept] by place; every place has some."""
    order = kept[np.argsort(place, kind="stable")]
    sizes = np.bincount(place, minlength=n)
    starts = np.cumsum(sizes) - sizes
    out: Floats = values[order[starts]].astype(np.float32, copy=False)
    more, nth = np.flatnonzero(sizes > 1), 1
    while len(more):  # the second tokens of all groups, the third ...
        for start in range(0, len(more), TOGETHER):
            part = more[start : start + TOGETHER]
            out[part] += values[order[starts[part] + nth]]
        nth += 1
        more = more[sizes[more] > nth]
    return out


def rows_of(offsets: Offsets) -> Ints:
    """(T,) the row of each token."""
    return np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))


def require_whole(name: str, value: object, low: int, likely: int) -> None:
    """ConfigError unless `value` is a whole number of at least `low`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < low:
        raise ConfigError(
            f"{name}={shown(value)}: accepted are whole numbers from {low}; try {likely}"
        )
