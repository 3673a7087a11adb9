"""nDCG@10 of the encoder, BM25, the teacher and their fusions on the retrieval sets.

Exact search. Fusion: the best 1,000 documents of both lists, scores scaled to 0..1 by minimum
and maximum of each list (0 for a document a list lacks), `w * dense + (1 - w) * BM25`; or RRF.
"""

from __future__ import annotations

import argparse
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import Stemmer
import torch
from artefact import StaticEncoder
from data import RetrievalSet, read_set
from scipy.sparse import csr_matrix
from teacher import Teacher

TARGET_SETS = {
    "cranfield": "test",
    "scifact": "test",
    "npl": "test",
    "cisi": "test",
    "cosqa": "dev",
    "medquad": "test",
    "selqa": "test",
}
DEPTH = 1000
STOP_WORDS = frozenset(
    "a an and are as at be but by for if in into is it no not of on or such that the their then "
    "there these they this to was will with".split()
)
WEIGHTS = tuple(round(0.05 * i, 2) for i in range(1, 20))


def limited(target: RetrievalSet, count: int, seed: int = 7) -> RetrievalSet:
    """The judged documents of a split and random others, `count` in all."""
    if len(target.documents) <= count:
        return target
    judged = {document for grades in target.judgments.values() for document in grades}
    order = np.random.default_rng(seed).permutation(len(target.documents))
    first = sorted(order, key=lambda i: target.document_ids[i] not in judged)
    keep = sorted(first[: max(count, len(judged))])
    return replace(
        target,
        document_ids=[target.document_ids[i] for i in keep],
        documents=[target.documents[i] for i in keep],
    )


def ndcg(target: RetrievalSet, ranked: np.ndarray, k: int = 10) -> np.ndarray:
    """nDCG@k of every query with linear gains; `ranked` holds document positions, -1 = none."""
    discounts = 1.0 / np.log2(np.arange(2, k + 2))
    out = np.zeros(len(target.queries))
    for i, key in enumerate(target.query_ids):
        grades = target.judgments[key]
        gains = [grades.get(target.document_ids[j], 0) if j >= 0 else 0 for j in ranked[i, :k]]
        best = sorted(grades.values(), reverse=True)[:k]
        ideal = (np.array(best) * discounts[: len(best)]).sum()
        out[i] = (np.array(gains) * discounts[: len(gains)]).sum() / ideal
    return out


def top(scores: np.ndarray, k: int = DEPTH) -> tuple[np.ndarray, np.ndarray]:
    """Positions and scores of the k best of every row, best first."""
    found = torch.from_numpy(scores).topk(min(k, scores.shape[1]), dim=1)
    return found.indices.numpy(), found.values.numpy()


class BM25:
    """Lucene's BM25 (k1 1.2, b 0.75) over stopped, stemmed English words."""

    def __init__(self, documents: list[str], k1: float = 1.2, b: float = 0.75) -> None:
        self._stemmer = Stemmer.Stemmer("english")
        self._words: dict[str, int] = {}
        rows, columns, counts, lengths = [], [], [], []
        for row, text in enumerate(documents):
            terms = self.terms(text)
            ids = [self._words.setdefault(term, len(self._words)) for term in terms]
            kept, times = np.unique(np.array(ids, np.int64), return_counts=True)
            rows.append(np.full(len(kept), row))
            columns.append(kept)
            counts.append(times)
            lengths.append(len(terms))
        row, column = np.concatenate(rows), np.concatenate(columns).astype(np.int64)
        tf, size = np.concatenate(counts).astype(float), np.array(lengths, float)
        n = len(documents)
        df = np.bincount(column, minlength=len(self._words))
        idf = np.log(1 + (n - df + 0.5) / (df + 0.5))
        score = idf[column] * tf / (tf + k1 * (1 - b + b * size[row] / size.mean()))
        shape = (len(self._words), n)
        self._matrix = csr_matrix((score.astype(np.float32), (column, row)), shape=shape)

    def terms(self, text: str) -> list[str]:
        """Lower-case words of two characters or more, stopped and stemmed."""
        words = re.findall(r"(?u)\b\w\w+\b", text.lower())
        return self._stemmer.stemWords([word for word in words if word not in STOP_WORDS])

    def scores(self, queries: list[str]) -> np.ndarray:
        """Scores (queries, documents)."""
        terms = [[self._words[t] for t in self.terms(q) if t in self._words] for q in queries]
        starts = np.concatenate([[0], np.cumsum([len(t) for t in terms])])
        flat = np.array([t for row in terms for t in row], np.int64)
        shape = (len(queries), len(self._words))
        return (
            csr_matrix((np.ones(len(flat), np.float32), flat, starts), shape=shape) @ self._matrix
        ).toarray()


def scaled(scores: np.ndarray, positive: bool) -> np.ndarray:
    """Each row's DEPTH best mapped to 0..1, all others 0; `positive` drops scores of zero."""
    positions, values = top(scores)
    low, high = values[:, -1:], values[:, :1]
    if positive:
        low = np.where(values > 0, values, np.inf).min(axis=1, keepdims=True)
        low = np.where(np.isfinite(low), low, 0.0)
    unit = np.clip((values - low) / np.maximum(high - low, 1e-9), 0.0, 1.0)
    out = np.zeros_like(scores)
    np.put_along_axis(out, positions, unit, axis=1)
    return out


def reciprocal_ranks(scores: np.ndarray, positive: bool, k: int = 60) -> np.ndarray:
    """1 / (k + rank) for the DEPTH best, 0 for the others."""
    positions, values = top(scores)
    parts = np.broadcast_to(1.0 / (k + 1 + np.arange(positions.shape[1])), values.shape)
    parts = np.where(values > 0, parts, 0.0) if positive else parts
    out = np.zeros_like(scores)
    np.put_along_axis(out, positions, parts.astype(np.float32), axis=1)
    return out


def judge(target: RetrievalSet, dense: np.ndarray, words: np.ndarray) -> dict[str, float]:
    """nDCG@10 of a dense score matrix alone and fused with BM25 in every way."""

    def mean(scores: np.ndarray) -> float:
        return float(ndcg(target, top(scores, 10)[0]).mean())

    a, b = scaled(dense, False), scaled(words, True)
    out = {"dense": mean(dense)}
    for weight in WEIGHTS:
        out[f"minmax {weight:.2f}"] = mean(weight * a + (1 - weight) * b)
    out["rrf 60"] = mean(reciprocal_ranks(dense, False) + reciprocal_ranks(words, True))
    return out


def unit(vectors: np.ndarray) -> np.ndarray:
    """Rows of length one."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def average(rows: dict[str, dict[str, float]]) -> dict[str, float]:
    """Mean over the sets of every column."""
    columns = next(iter(rows.values()))
    return {c: float(np.mean([row[c] for row in rows.values()])) for c in columns}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--cache", type=Path, default=Path("build/teacher"))
    parser.add_argument("--teacher", type=Path, default=None, help="model folder")
    parser.add_argument("--model", type=Path, default=Path("src/bigrain/encoders/static_v1"))
    parser.add_argument("--sets", nargs="+", default=list(TARGET_SETS))
    parser.add_argument("--limit", type=int, default=10**9, help="documents per set, all judged")
    parser.add_argument("--no-teacher", action="store_true", help="leave the MiniLM rows out")
    parser.add_argument("--out", type=Path, default=None, help="write the figures as JSON")
    args = parser.parse_args()

    teacher = Teacher(args.teacher, args.cache)
    encoder = StaticEncoder(args.model, teacher.folder, args.cache)
    bm25: dict[str, float] = {}
    rows: dict[str, dict[str, dict[str, float]]] = {"static": {}, "minilm": {}}
    prefixes: dict[str, dict[str, float]] = {}
    for name in args.sets:
        target = limited(read_set(args.data, name, TARGET_SETS[name]), args.limit)
        words = BM25(target.documents).scores(target.queries)
        bm25[name] = float(ndcg(target, top(words, 10)[0]).mean())
        queries = encoder.encode(target.queries, query=True)
        documents = encoder.encode(target.documents)
        rows["static"][name] = judge(target, queries @ documents.T, words)
        for dim in encoder.config["prefixes"]:
            q, d = unit(queries[:, :dim]), unit(documents[:, :dim])
            ranked = top(q @ d.T, 10)[0]
            prefixes.setdefault(str(dim), {})[name] = float(ndcg(target, ranked).mean())
        line = f"{name:10s} bm25 {bm25[name]:.4f} static {rows['static'][name]['dense']:.4f}"
        if not args.no_teacher:
            queries = teacher.encode(target.queries, label=name).astype(np.float32)
            documents = teacher.encode(target.documents, label=name).astype(np.float32)
            rows["minilm"][name] = judge(target, queries @ documents.T, words)
            line += f" minilm {rows['minilm'][name]['dense']:.4f}"
        print(line, flush=True)
    result = {"bm25": bm25 | {"mean": float(np.mean(list(bm25.values())))}, "prefixes": prefixes}
    for model, by_set in rows.items():
        if by_set:
            result[model] = by_set | {"mean": average(by_set)}
            print(model, {c: round(v, 4) for c, v in average(by_set).items()})
    print("bm25", round(result["bm25"]["mean"], 4))
    print(
        "prefix means", {d: round(float(np.mean(list(r.values()))), 4) for d, r in prefixes.items()}
    )
    if args.out:
        args.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
