"""What may steer the training: dev queries and agreement with the teacher."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from artefact import pool
from data import read_set
from evaluate import ndcg, top
from wordpiece import WordPiece

DEV_SETS = ("medquad", "arxiv")


class Development:
    """nDCG@10 on the dev splits, and the share of the teacher's 10 neighbours that are kept.

    The neighbours are taken among held-out sentences and glosses that no stage trains on.
    """

    def __init__(
        self, data: Path, wordpiece: WordPiece, texts: list[str], vectors: np.ndarray
    ) -> None:
        self._sets = []
        for name in DEV_SETS:
            dev = read_set(data, name, "dev")
            self._sets.append((dev, wordpiece.bags(dev.queries), wordpiece.bags(dev.documents)))
        half = len(texts) // 2
        self._bags = {
            "sentences": wordpiece.bags(texts[:half]),
            "glosses": wordpiece.bags(texts[half:]),
        }
        vectors = vectors.astype(np.float32)
        self._near = {
            "sentences": self._neighbours(vectors[:half]),
            "glosses": self._neighbours(vectors[half:]),
        }

    @staticmethod
    def _neighbours(vectors: np.ndarray) -> np.ndarray:
        scores = vectors @ vectors.T
        np.fill_diagonal(scores, -1.0)
        return top(scores, 10)[0]

    def measure(
        self, rows: np.ndarray, tf_power: float, query_rows: np.ndarray | None = None
    ) -> dict[str, float]:
        """All measures and their mean."""
        out = {}
        for dev, queries, documents in self._sets:
            a = pool(rows if query_rows is None else query_rows, queries, tf_power)
            scores = a @ pool(rows, documents, tf_power).T
            out[dev.name] = float(ndcg(dev, top(scores, 10)[0]).mean())
        for name, bags in self._bags.items():
            found = self._neighbours(pool(rows, bags, tf_power))
            kept = [len(set(a) & set(b)) for a, b in zip(found, self._near[name], strict=True)]
            out[name] = float(np.mean(kept) / 10)
        out["mean"] = float(np.mean(list(out.values())))
        return {key: round(value, 4) for key, value in out.items()}
