"""Is a difference more than chance? Tests and intervals over queries, with NumPy alone.

All functions take one value per query. Two systems are compared on the same queries in the same
order: what is tested is the list of differences. A small p-value speaks against "no difference";
to show that a system is *not worse*, look at the lower end of the interval instead.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bigrain.errors import InvalidInputError

__all__ = [
    "bootstrap_interval",
    "bootstrap_means",
    "holm",
    "paired_bootstrap_interval",
    "paired_t_test",
    "randomisation_test",
]

Floats: TypeAlias = NDArray[np.float64]
_CHUNK = 2_000_000  # numbers held at once while resampling


def paired_t_test(a: ArrayLike, b: ArrayLike) -> float:
    """Two-sided p-value of Student's paired t-test (scipy's `ttest_rel`).

    Equal lists give 1; a difference that is the same for every query gives 0; a single query
    proves nothing and gives 1.
    """
    difference = _differences(a, b)
    n = len(difference)
    if n < 2:
        return 1.0
    mean, deviation = float(difference.mean()), float(difference.std(ddof=1))
    if deviation == 0.0:
        return 1.0 if mean == 0.0 else 0.0
    t = mean / (deviation / math.sqrt(n))
    # P(|T| > t) = I_x(df/2, 1/2) at x = df / (df + t^2): Abramowitz & Stegun 26.7.1.
    df = n - 1
    return _incomplete_beta(df / 2, 0.5, df / (df + t * t))


def randomisation_test(
    a: ArrayLike, b: ArrayLike, *, n_permutations: int = 10_000, seed: int = 0
) -> float:
    """Two-sided p-value of Fisher's paired randomisation test.

    If the systems were interchangeable, each query's two values could as well be swapped. The
    p-value is the share of swaps whose mean difference is at least as large as the one observed.
    With few queries all swaps are tried and the value is exact; otherwise `n_permutations` random
    ones are, and the observed one counts as one of them (Phipson & Smyth 2010), so it is never 0.
    """
    if n_permutations < 1:
        raise InvalidInputError(f"n_permutations is {n_permutations}; 10000 is a good number")
    difference = _differences(a, b)
    difference = difference[difference != 0.0]  # swapping equals changes nothing
    n = len(difference)
    total = float(difference.sum())
    enough = abs(total) - 1e-12 * float(np.abs(difference).sum())  # forgive rounding
    if 2**n <= n_permutations:
        swaps = (np.arange(2**n)[:, None] >> np.arange(n)) & 1
        return float(np.mean(np.abs(total - 2.0 * (swaps @ difference)) >= enough))
    rng = np.random.default_rng(seed)
    n_large = 0
    for rows in _chunks(n_permutations, n):
        bits = np.frombuffer(rng.bytes(rows * ((n + 7) // 8)), dtype=np.uint8)
        swapped = np.unpackbits(bits.reshape(rows, -1), axis=1, count=n).astype(np.float64)
        n_large += int(np.count_nonzero(np.abs(total - 2.0 * (swapped @ difference)) >= enough))
    return (n_large + 1) / (n_permutations + 1)


def bootstrap_interval(
    values: ArrayLike, *, confidence: float = 0.95, n_resamples: int = 10_000, seed: int = 0
) -> tuple[float, float]:
    """Between which two numbers the mean over *such* queries lies (percentile bootstrap)."""
    if not 0.0 < confidence < 1.0:
        raise InvalidInputError(f"confidence is {confidence}; give a share such as 0.95")
    array = _finite(values, "values")
    means = bootstrap_means(array[:, None], n_resamples=n_resamples, seed=seed)[:, 0]
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(means, [tail, 1.0 - tail])
    return float(low), float(high)


def paired_bootstrap_interval(
    a: ArrayLike,
    b: ArrayLike,
    *,
    confidence: float = 0.95,
    n_resamples: int = 10_000,
    seed: int = 0,
) -> tuple[float, float]:
    """The interval of the mean difference a - b, both taken on the same queries."""
    return bootstrap_interval(
        _differences(a, b), confidence=confidence, n_resamples=n_resamples, seed=seed
    )


def bootstrap_means(columns: Floats, *, n_resamples: int = 10_000, seed: int = 0) -> Floats:
    """Column means of resampled rows: (n, m) -> (n_resamples, m).

    All columns see the same resamples, so that many measures cost little more than one.
    """
    if n_resamples < 1:
        raise InvalidInputError(f"n_resamples is {n_resamples}; 10000 is a good number")
    n = len(columns)
    rng = np.random.default_rng(seed)
    parts = []
    for rows in _chunks(n_resamples, n):
        drawn = rng.integers(0, n, size=(rows, n)) + n * np.arange(rows)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=rows * n).reshape(rows, n)
        parts.append(counts.astype(np.float64) @ columns / n)
    return np.concatenate(parts)


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values of a family of tests, adjusted so that the family errs as rarely as one test.

    Holm 1979: the i-th smallest of m is multiplied by m - i + 1, and the order is kept.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for done, at in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, p_values[at] * (len(p_values) - done)))
        adjusted[at] = largest
    return adjusted


def _chunks(total: int, width: int) -> list[int]:
    rows = max(1, _CHUNK // max(width, 1))
    return [min(rows, total - start) for start in range(0, total, rows)]


def _finite(values: ArrayLike, what: str) -> Floats:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or len(array) == 0:
        raise InvalidInputError(f"{what}: expected one number per query, got shape {array.shape}")
    if not np.isfinite(array).all():
        at = int(np.flatnonzero(~np.isfinite(array))[0])
        raise InvalidInputError(f"{what}: number {at} is {array[at]}; all must be finite")
    return array


def _differences(a: ArrayLike, b: ArrayLike) -> Floats:
    first, second = _finite(a, "a"), _finite(b, "b")
    if len(first) != len(second):
        raise InvalidInputError(
            f"a has {len(first)} numbers and b {len(second)}; a paired comparison needs "
            "the same queries in the same order"
        )
    return first - second


def _incomplete_beta(a: float, b: float, x: float) -> float:
    """The regularised I_x(a, b), by its continued fraction (Lentz; Numerical Recipes 6.4)."""
    if x <= 0.0 or x >= 1.0:
        return 0.0 if x <= 0.0 else 1.0
    if x > (a + 1.0) / (a + b + 2.0):  # the fraction converges fast on the other side
        return 1.0 - _incomplete_beta(b, a, 1.0 - x)
    front = math.exp(
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
        + a * math.log(x) + b * math.log1p(-x)
    )  # fmt: skip
    tiny = 1e-300
    c, d = 1.0, 1.0 / _away_from_zero(1.0 - (a + b) * x / (a + 1.0), tiny)
    fraction = d
    for m in range(1, 10_000):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for step in (even, odd):
            d = 1.0 / _away_from_zero(1.0 + step * d, tiny)
            c = _away_from_zero(1.0 + step / c, tiny)
            fraction *= c * d
        if abs(c * d - 1.0) < 1e-16:
            break
    return front * fraction / a


def _away_from_zero(value: float, tiny: float) -> float:
    return value if abs(value) > tiny else tiny
