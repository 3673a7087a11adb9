"""Sequential pooling: neighbouring tokens become one vector (papers/B-3b, token pooling).

Clavie, Chaffin and Adams, Reducing the footprint of multi-vector retrieval with minimal performance
impact via token pooling, 2024.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bigrain.codecs.pooling.groups import Pooled, pool, require_whole, rows_of
from bigrain.codecs.ragged import require_ragged

__all__ = ["Windows"]


@dataclass(frozen=True)
class Windows:
    """Means of max(1, n // factor) stretches of a row's n tokens, whose lengths differ by at most
    one; the first `protected` tokens stay as they are and do not count.
    """

    factor: int = 2
    protected: int = 0

    def __post_init__(self) -> None:
        require_whole("factor", self.factor, 1, 2)
        require_whole("protected", self.protected, 0, 1)

    def __call__(self, values: npt.NDArray[Any], offsets: npt.NDArray[Any]) -> Pooled:
        offsets = require_ragged(values, offsets)
        rows = rows_of(offsets)
        at = np.arange(len(values)) - offsets[rows]
        n = np.diff(offsets)[rows] - self.protected
        windows = np.maximum(n // self.factor, 1)
        labels = self.protected + (at - self.protected) * windows // np.maximum(n, 1)
        return pool(values, offsets, np.where(at < self.protected, at, labels), mean=True)
