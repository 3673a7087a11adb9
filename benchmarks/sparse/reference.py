"""Exhaustive scoring in NumPy, float64: what every ranking is held against.

BM25 is Lucene's formula, as in `bigrain.index.lexical`, over the terms of bigrain's analyser:

    score(q, d) = sum_t idf_t tf / (tf + k1 (1 - b + b |d| / avgdl))
    idf_t = ln(1 + (N - df_t + 0.5) / (df_t + 0.5))
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
CHUNK = 20_000
EQUAL = 1e-6  # scores this much apart, as a share, count as tied


class Postings:
    """Rows and values of every column; a query is columns and weights."""

    def __init__(self, columns: Array, rows: Array, values: Array, n: int, width: int) -> None:
        order = np.argsort(columns, kind="stable")
        self.rows, self.values, self.n = rows[order], values[order], n
        self.ends = np.concatenate(([0], np.cumsum(np.bincount(columns, minlength=width))))

    def scores(self, columns: Sequence[int], weights: Sequence[float]) -> Array:
        """(n,) float64 inner products."""
        out = np.zeros(self.n)
        for column, weight in zip(columns, weights, strict=True):
            part = slice(self.ends[column], self.ends[column + 1])
            out[self.rows[part]] += weight * self.values[part].astype(np.float64)
        return out


class Bm25:
    """All texts, analysed and scored term by term."""

    def __init__(
        self, texts: Iterable[str], language: str | None, k1: float = 1.2, b: float = 0.75
    ):
        from bigrain.text import Analyser

        self.analyser = Analyser(language)
        self.numbers: dict[str, int] = {}
        lengths, parts, texts = [], [], iter(texts)
        start = 0
        while chunk := list(islice(texts, CHUNK)):
            found = self.analyser.analyse_many(chunk)
            counts = np.array([len(words) for words in found], np.int64)
            lengths.append(counts)
            terms = (self.numbers.setdefault(w, len(self.numbers)) for ws in found for w in ws)
            ids = np.fromiter(terms, np.int64, int(counts.sum()))
            rows = np.repeat(np.arange(start, start + len(chunk)), counts)
            pairs, tf = np.unique(ids << 32 | rows, return_counts=True)
            parts.append((pairs >> 32, pairs & 0xFFFFFFFF, tf))
            start += len(chunk)
        columns, rows, tf = (np.concatenate(part) for part in zip(*parts, strict=True))
        length = np.concatenate(lengths)
        norm = k1 * (1 - b + b * length / max(length.mean(), 1e-9))
        self.postings = Postings(
            columns.astype(np.int32),
            rows.astype(np.int32),
            tf / (tf + norm[rows]),
            start,
            len(self.numbers),
        )
        df = np.diff(self.postings.ends)
        self.idf = np.log1p((start - df + 0.5) / (df + 0.5))

    def scores(self, query: str) -> Array:
        """(n,) float64 scores of all texts."""
        said = Counter(self.analyser.analyse(query))
        known = {self.numbers[word]: n for word, n in said.items() if word in self.numbers}
        return self.postings.scores([*known], [n * self.idf[t] for t, n in known.items()])


def best(scores: Array, k: int) -> tuple[Array, int, int]:
    """(rows that may stand among the k best, best first; how many of them must; how many do).

    Those beyond the ones that must are tied with the last.
    """
    matching = int((scores > 0).sum())
    wanted = min(k, matching)
    if not wanted:
        return np.empty(0, np.int64), 0, 0
    least = np.partition(scores, -wanted)[-wanted]
    rows = np.flatnonzero((scores >= least * (1 - EQUAL)) & (scores > 0))
    rows = rows[np.argsort(-scores[rows], kind="stable")]
    return rows, int((scores[rows] > least * (1 + EQUAL)).sum()), wanted


def save_truth(path: Path, scores_of: Iterable[Array], ks: Sequence[int]) -> None:
    """What `best` gives of every query and k: arrays `K_rows`, `K_ends`, `K_must`, `K_do`."""
    found: dict[int, list[tuple[Array, int, int]]] = {k: [] for k in ks}
    for scores in scores_of:
        for k in ks:
            found[k].append(best(scores, k))
    arrays = {}
    for k, each in found.items():
        rows, must, do = zip(*each, strict=True)
        arrays[f"{k}_rows"] = np.concatenate(rows)
        arrays[f"{k}_ends"] = np.cumsum([0, *map(len, rows)])
        arrays[f"{k}_must"], arrays[f"{k}_do"] = np.array(must), np.array(do)
    np.savez(path, **arrays)


def agreement(found: Sequence[Sequence[int]], truth: Any, k: int) -> float:
    """The mean share of the k best that was found; any that is tied with the last will do."""
    rows, ends, must, do = (truth[f"{k}_{part}"] for part in ("rows", "ends", "must", "do"))
    shares = []
    for i, ids in enumerate(found):
        if not do[i]:
            continue
        own, ours = rows[ends[i] : ends[i + 1]].tolist(), set(ids[:k])
        certain = len(ours.intersection(own[: must[i]]))
        tied = len(ours.intersection(own[must[i] :]))
        shares.append((certain + min(tied, do[i] - must[i])) / do[i])
    return float(np.mean(shares)) if shares else 1.0
