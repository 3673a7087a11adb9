"""Asked recall against reached recall, speed and memory of a dense field, queries of another kind.

    python benchmarks/dense/recall.py [--n 1000000] [--folder FOLDER]

Documents: sentences of `passages`, encoded with the bundled encoder (256 dimensions, unit length).
Queries: 1,000 questions of selqa, medquad and cosqa, so they are not distributed like the
documents. One thread. "all codes" looks into every list. Truth: every vector in float32.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import load_set, machine, passages

import bigrain
from bigrain.budget import process_bytes
from bigrain.encoders.static import StaticEncoder

SEED = 5
ASKED = (0.9, 0.95, 0.98, 0.99, 0.995)
SETS = ("selqa", "medquad", "cosqa")
K = 10


def encoded(n: int) -> np.ndarray[Any, Any]:
    """(n, dim) unit vectors of the first n sentences."""
    encoder = StaticEncoder()
    out = np.empty((n, encoder.dim), np.float32)
    texts: list[str] = []
    at = 0
    for text in passages():
        texts.append(text)
        if len(texts) == 4096 or at + len(texts) == n:
            rows = encoder.encode_documents(texts)
            out[at : at + len(rows)] = rows
            at, texts = at + len(rows), []
        if at == n:
            return out
    return out[:at]


def questions() -> np.ndarray[Any, Any]:
    """(1000, dim) unit vectors of questions, drawn from all sets."""
    texts = [text for name in SETS for text in load_set(name)[1].values()]
    chosen = np.random.default_rng(SEED).choice(len(texts), 1000, replace=False)
    return np.asarray(StaticEncoder().encode_queries([texts[i] for i in chosen]), np.float32)


def neighbours(queries: np.ndarray[Any, Any], vectors: np.ndarray[Any, Any]) -> list[set[str]]:
    """The true K best of every query."""
    best = np.full((len(queries), K), -np.inf, np.float32)
    ids = np.zeros((len(queries), K), np.int64)
    for start in range(0, len(vectors), 50_000):
        scores = queries @ vectors[start : start + 50_000].T
        top = np.argpartition(-scores, K, axis=1)[:, :K]
        best = np.concatenate((best, np.take_along_axis(scores, top, 1)), axis=1)
        ids = np.concatenate((ids, top + start), axis=1)
        order = np.argsort(-best, axis=1)[:, :K]
        best = np.take_along_axis(best, order, 1)
        ids = np.take_along_axis(ids, order, 1)
    return [set(map(str, row)) for row in ids.tolist()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, help="where the collection goes, and stays")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "recall.json")
    options = parser.parse_args()
    vectors, queries = encoded(options.n), questions()
    truth = neighbours(queries, vectors)
    result: dict[str, Any] = {"machine": machine(), "seed": SEED, "vectors": len(vectors)}
    with tempfile.TemporaryDirectory(prefix="bigrain-recall-") as temporary:
        path = (options.folder or Path(temporary)) / "vectors.grain"
        if not path.exists():
            result["build"] = build(path, vectors)
        dim = vectors.shape[1]
        del vectors
        before = process_bytes() or 0
        with bigrain.open(path, read_only=True, memory_budget_bytes=2 << 30) as col:
            grown = (process_bytes() or 0) - before
            light = col.stats()["fields"]["vec"]["light_bytes_in_memory"]
            result |= {
                "dim": dim,
                "light bytes a vector": round(light / options.n, 1),
                "process growth a vector": round(grown / options.n, 1),
                "asked": {str(asked): ask(col, list(queries), truth, asked) for asked in ASKED},
            }
    options.out.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


def build(path: Path, vectors: np.ndarray[Any, Any]) -> dict[str, float]:
    """Seconds to take the vectors in, and to write them with codes, lists and calibration."""
    fields = {"vec": bigrain.DenseField(dim=vectors.shape[1])}
    with bigrain.create(path, fields, memory_budget_bytes=2 << 30) as col:
        began = time.perf_counter()
        for start in range(0, len(vectors), 50_000):
            part = vectors[start : start + 50_000]
            col.add_vectors("vec", [str(i) for i in range(start, start + len(part))], part)
        added = time.perf_counter()
        col.commit()
        return {
            "add s": round(added - began, 1),
            "commit s": round(time.perf_counter() - added, 1),
        }


def ask(
    col: bigrain.Collection, queries: list[Any], truth: list[set[str]], recall: float
) -> dict[str, float]:
    """Reached recall and times at one asked recall; ids and scores, no texts."""
    options: dict[str, Any] = {"k": K, "recall": recall, "arrays": True}
    col.search_many(queries, **options)  # into the page cache
    batch = []
    for _ in range(3):
        began = time.perf_counter()
        found, _ = col.search_many(queries, **options)
        batch.append(time.perf_counter() - began)
    single = []
    for query in queries[:300]:
        began = time.perf_counter()
        col.search_many([query], **options)
        single.append(time.perf_counter() - began)
    hits = sum(len(set(row) & wanted) for row, wanted in zip(found.tolist(), truth, strict=True))
    return {
        "reached": round(hits / (K * len(truth)), 4),
        "batch queries a second": round(len(queries) / min(batch)),
        "single p50 ms": round(float(np.median(single)) * 1000, 3),
        "single p99 ms": round(float(np.quantile(single, 0.99)) * 1000, 3),
    }


if __name__ == "__main__":
    main()
