"""Hashes that NumPy and torch compute alike, the same in every process and on every machine.

The mixer multiplies and shifts 32-bit numbers held in 64-bit integers: no product overflows, so the
same lines serve arrays and tensors. Its multipliers are those of Wellons' "lowbias32" and of the
32-bit integer hash by Mueller, both below 2^31.
"""

from __future__ import annotations

from typing import Any, TypeVar

__all__ = ["bucket", "mix", "uniform"]

Numbers = TypeVar("Numbers")  # int64: an array, a tensor or an int
WORD = 0xFFFFFFFF
FIRST, SECOND, STEP = 0x7FEB352D, 0x045D9F3B, 0x9E3779B1
PRIME = (1 << 31) - 1
BUCKETS = 1_000_000


def mix(numbers: Numbers, seed: int, part: Any = 0) -> Numbers:
    """A 32-bit hash of each number below 2^63, different for each seed and part."""
    x: Any = numbers
    x = (x & WORD) ^ ((x >> 32) * 0x5BD1E995 & WORD)
    x = (x + seed % (1 << 31) * STEP + part * 0x2C1B3C6D) & WORD
    for multiplier in (FIRST, SECOND, FIRST):
        x = ((x ^ (x >> 16)) * multiplier) & WORD
    mixed: Numbers = x ^ (x >> 15)
    return mixed


def bucket(numbers: Numbers, size: int, seed: int, part: Any = 0) -> Numbers:
    """A place from 0 to size - 1 for each number."""
    hashed: Any = mix(numbers, seed, part)
    place: Numbers = hashed % size
    return place


def uniform(numbers: Any, slopes: Any, shifts: Any) -> Any:
    """Universal hashes ((a x + b) mod p) mod 10^6, brought to [-1, 1].

    `slopes` and `shifts` lie below p = 2^31 - 1. Kang et al., "Learning to embed categorical
    features without embedding tables" (KDD 2021).
    """
    places = (slopes * numbers + shifts) % PRIME % BUCKETS
    return places * (2.0 / (BUCKETS - 1)) - 1.0
