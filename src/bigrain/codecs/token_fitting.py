"""Centroids of token directions, and buckets of what they leave (ColBERTv2, papers/B-3a 3.1)."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from bigrain.codecs.codebooks import to_directions
from bigrain.codecs.partition import Partition, quantise
from bigrain.kernels import TokenTables

__all__ = ["fit_tables", "nearest_weights", "sample_size"]

Floats = npt.NDArray[np.float32]

MOST_CENTROIDS = 1 << 14
PER_CENTROID = 8  # tokens of the sample, at least
MOST_PER_CENTROID = 16
HELD_OUT = 50_000
LLOYD_ROUNDS = 20


def centroid_count(n_tokens: int, n_sample: int) -> int:
    """2^floor(log2(16 sqrt(n_tokens))), as far as the sample can tell so many apart."""
    wanted = 16 * math.sqrt(max(n_tokens, 1))
    possible = max(1, n_sample // PER_CENTROID)
    return int(1 << int(math.log2(max(1, min(wanted, possible, MOST_CENTROIDS)))))


def sample_size(n_tokens: int) -> int:
    """How many tokens of `n_tokens` are enough to fit to: at most 278,528."""
    k = centroid_count(n_tokens, n_tokens)
    return min(n_tokens, (MOST_PER_CENTROID + 1) * k)


def fit_tables(sample: Floats, bits: int, n_tokens: int, seed: int) -> TokenTables:
    """Centroids of a sample (T, d) by k-means, weights from the residuals of tokens held out."""
    rng = np.random.default_rng(seed)
    k = centroid_count(n_tokens, len(sample))
    n_held = min(HELD_OUT, -(-len(sample) // 20))
    order = rng.permutation(len(sample))[: n_held + MOST_PER_CENTROID * k]
    held, rest = sample[order[:n_held]], sample[order[n_held:]]
    if not len(rest):
        rest = held
    lists = Partition.fit(*quantise(to_directions(rest)), min(k, len(rest)), seed)
    rows, scale = lists.table, lists.scale
    directions = to_directions(held)
    numbers = lists.assign(directions)
    weights, weight_scale = fit_weights(directions - lists.centroids(numbers), bits)
    return TokenTables(rows, scale, weights, weight_scale)


def fit_weights(residuals: Floats, bits: int) -> tuple[npt.NDArray[np.int8], float]:
    """2^bits values for all dimensions, as whole numbers and a scale."""
    flat = np.sort(residuals.reshape(-1))
    n = 1 << bits
    values = np.quantile(flat, (np.arange(n) + 0.5) / n)
    sums = np.concatenate(([0.0], np.cumsum(flat, dtype=np.float64)))
    for _ in range(LLOYD_ROUNDS):  # Lloyd (1982): the mean of each bucket, and midpoints between
        edges = np.searchsorted(flat, (values[1:] + values[:-1]) / 2)
        edges = np.concatenate(([0], edges, [len(flat)]))
        counts = np.diff(edges)
        means = np.diff(sums[edges]) / np.maximum(counts, 1)
        values = np.where(counts > 0, means, values)
    widest = float(np.abs(values).max())
    scale = float(np.float32(widest / 127))
    if not scale > 0:
        return np.zeros(n, np.int8), 0.0
    return np.clip(np.rint(values / scale), -127, 127).astype(np.int8), scale


def nearest_weights(residuals: Floats, values: Floats) -> npt.NDArray[np.uint8]:
    """The bucket (n, d) of each number: the nearest of rising `values`."""
    edges = (values[1:] + values[:-1]) / 2
    return np.searchsorted(edges, residuals).astype(np.uint8)
