"""How sure a measured share is."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

__all__ = ["mean_share_interval"]

Z = 1.959964  # 95 %


def mean_share_interval(shares: npt.ArrayLike, n_each: float = 1.0) -> tuple[float, float, float]:
    """(mean, low, high): the mean of queries' shares in 0 to 1, with its 95 % interval.

    Wilson's score interval (Wilson, JASA 22, 1927) for as many trials as give the same standard
    error as the queries do, which differ from one another (the effective sample size of Korn and
    Graubard, Survey Methodology 24, 1998). There are at least as many trials as queries, and at
    most `n_each` for each. No shares give (nan, 0, 1).

    >>> mean_share_interval([1.0] * 100)
    (1.0, 0.963, 1.0)
    >>> mean_share_interval([1.0, 0.5] * 50)
    (0.75, 0.656..., 0.824...)
    """
    given = np.asarray(shares, np.float64)
    n = len(given)
    if not n:
        return math.nan, 0.0, 1.0
    p = float(given.mean())
    variance = float(given.var(ddof=1)) / n if n > 1 else 0.0
    trials = p * (1 - p) / variance if variance > 0 else float(n)
    trials = min(max(trials, n), n * max(n_each, 1.0))
    middle = (p + Z * Z / (2 * trials)) / (1 + Z * Z / trials)
    half = Z / (1 + Z * Z / trials) * math.sqrt(p * (1 - p) / trials + (Z / (2 * trials)) ** 2)
    return p, max(0.0, middle - half), min(1.0, middle + half)
