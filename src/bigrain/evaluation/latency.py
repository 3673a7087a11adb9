"""How long answers take: what to say about a list of seconds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bigrain.errors import InvalidInputError

__all__ = ["Latency"]


@dataclass(frozen=True, slots=True)
class Latency:
    """Seconds per call. `p95_s`: 95 of 100 calls took no longer.

    `queries_per_second` is what the caller saw: calls divided by the wall time they took together.
    `seconds` keeps the single calls, in the order made.
    """

    n_calls: int
    mean_s: float
    p50_s: float
    p95_s: float
    p99_s: float
    max_s: float
    queries_per_second: float
    seconds: tuple[float, ...] = ()

    @classmethod
    def of(cls, seconds: Iterable[float], *, wall_s: float | None = None) -> Latency:
        """Summarise calls made one after the other, or in `wall_s` seconds when they overlapped.

        >>> Latency.of([0.1, 0.2, 0.3]).p50_s
        0.2
        """
        calls = np.array(list(seconds), dtype=np.float64)
        if not len(calls) or not np.isfinite(calls).all() or (calls < 0).any():
            raise InvalidInputError(
                f"latency needs at least one call and no negative or infinite seconds; "
                f"got {len(calls)} calls"
            )
        wall = float(calls.sum()) if wall_s is None else wall_s
        p50, p95, p99 = (float(p) for p in np.percentile(calls, [50, 95, 99]))
        return cls(
            n_calls=len(calls),
            mean_s=float(calls.mean()),
            p50_s=p50,
            p95_s=p95,
            p99_s=p99,
            max_s=float(calls.max()),
            queries_per_second=len(calls) / wall if wall > 0 else 0.0,
            seconds=tuple(calls.tolist()),
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON values that `from_dict` turns back into an equal object."""
        return {name: getattr(self, name) for name in self.__slots__} | {
            "seconds": list(self.seconds)
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Latency:
        """What `to_dict` wrote."""
        return cls(**{**data, "seconds": tuple(data.get("seconds", ()))})
