"""Texts of a few topics, made of words that only the topic knows and words that all use."""

from __future__ import annotations

import numpy as np


def topical(
    n: int = 120, topics: int = 4, seed: int = 0, length: int = 30
) -> tuple[list[str], np.ndarray]:
    """`n` texts and the topic of each; word k of topic t is "t<t>w<k>", common ones "c<k>"."""
    rng = np.random.default_rng(seed)
    of = np.arange(n) % topics
    texts = []
    for topic in of:
        own = rng.zipf(1.5, length) % 40
        common = rng.integers(0, 30, length // 2)
        words = [f"t{topic}w{k}" for k in own] + [f"c{k}" for k in common]
        texts.append(" ".join(rng.permutation(words)))
    return texts, of


def purity(vectors: np.ndarray, of: np.ndarray) -> float:
    """Share of texts whose nearest other text has the same topic."""
    scores = vectors @ vectors.T
    np.fill_diagonal(scores, -np.inf)
    return float((of[scores.argmax(axis=1)] == of).mean())
