"""The types of heavy rows: bytes on disk, what they lose of the true neighbours, time of a row.

    python benchmarks/dense/rows.py --vectors X.npy --queries Q.npy [--n 100000]

`X.npy` and `Q.npy` are float32 arrays; cosine. One thread. Truth: float32. "recall@10 exact" is the
share of the true ten best among the ten best by stored rows (`recall=1`), so it is what the type
alone costs. Rows verified are those that a search at recall 0.95 verifies; warm: all in the page
cache, cold: the system was asked to forget the file before each query. Processor time is that of
the process, beside the time that passed.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import forget, save

import bigrain
from bigrain import kernels
from bigrain.codecs.rows import RowCodec
from bigrain.config import HEAVY_DTYPES
from bigrain.kernels.levels import kernels as kernels_of

K = 10
COLD_QUERIES = 200
ROUNDS = 4  # the best counts: the machine has other work
TOGETHER = 100
KERNEL_ROWS = 64  # so few that they stay in the processor's cache
Array = np.ndarray[Any, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vectors", type=Path, required=True)
    parser.add_argument("--queries", type=Path, required=True)
    parser.add_argument("--n", type=int, default=100_000)
    parser.add_argument("--n-queries", type=int, default=1_000)
    here = Path(__file__).parent / "results" / "rows.json"
    parser.add_argument("--out", type=Path, default=here)
    options = parser.parse_args()
    vectors = np.load(options.vectors, mmap_mode="r")[: options.n]
    queries = np.asarray(np.load(options.queries)[: options.n_queries], np.float32)
    queries = queries / np.linalg.norm(queries, axis=1, keepdims=True)
    result: dict[str, Any] = {"vectors": list(vectors.shape), "queries": len(queries), "k": K}
    truth = neighbours(queries, vectors)
    for heavy in sorted(HEAVY_DTYPES):
        with tempfile.TemporaryDirectory(prefix="bigrain-rows-") as folder:
            result[heavy] = measured(Path(folder) / "docs.grain", heavy, vectors, queries, truth)
        print(heavy, result[heavy], flush=True)
    save(options.out, result)


def neighbours(queries: Array, vectors: Array) -> Array:
    """The true K best of every query, by cosine."""
    scores = np.empty((len(queries), len(vectors)), np.float32)
    for start in range(0, len(vectors), 20_000):
        part = np.asarray(vectors[start : start + 20_000], np.float32)
        part = part / np.linalg.norm(part, axis=1, keepdims=True)
        scores[:, start : start + len(part)] = queries @ part.T
    return np.argpartition(-scores, K, axis=1)[:, :K]


def measured(
    path: Path, heavy: str, vectors: Array, queries: Array, truth: Array
) -> dict[str, Any]:
    dim = vectors.shape[1]
    fields = {"vec": bigrain.DenseField(dim=dim, heavy=heavy)}
    with bigrain.create(path, fields) as col:
        for start in range(0, len(vectors), 20_000):
            part = np.asarray(vectors[start : start + 20_000], np.float32)
            col.add_vectors("vec", [str(i) for i in range(start, start + len(part))], part)
        col.commit()
        found, _ = col.search_many(list(queries), k=K, recall=1, arrays=True)
        index = col._view.fields["vec"].index
        (segment,) = (view.segment for view in index.views)
        effort = index.effort(0.95, K)
        asked = index.candidates(queries, effort, None).units

        def score(some: slice) -> object:
            query_of = np.repeat(np.arange(len(asked[some]), dtype=np.int32), asked.shape[1])
            return index.score_pairs(queries[some], asked[some].ravel(), query_of)

        batches = range(0, len(queries), TOGETHER)
        warm = [
            min(timed(lambda s=s: score(slice(s, s + TOGETHER))) for _ in range(ROUNDS))
            for s in batches
        ]
        single = [
            min(timed(lambda q=q: score(slice(q, q + 1))) for _ in range(ROUNDS))
            for q in range(COLD_QUERIES)
        ]
        rounds = []
        for _ in range(ROUNDS):
            cold = []
            for q in range(COLD_QUERIES):
                forget(path / "segments" / segment.file.name)
                cold.append(timed(lambda q=q: score(slice(q, q + 1))))
            rounds.append(cold)
        cold = min(rounds, key=lambda times: sum(passed for _, passed in times))
        rows = asked.size
        few = asked[:COLD_QUERIES].size
        codec = RowCodec(dim, heavy)
        part = np.asarray(vectors[:10_000], np.float32)
        encode = min(timed(lambda: codec.encode(part))[0] for _ in range(3))
        return {
            "bytes of a record": codec.record_bytes,
            "recall@10 exact": agreement(found, truth),
            "rows verified a query at .95": round(few / COLD_QUERIES, 1),
            "verify warm, 100 queries, cpu ns a row": round(sum(w[0] for w in warm) / rows * 1e9),
            "verify warm, one query, cpu ns a row": round(sum(w[0] for w in single) / few * 1e9),
            "verify cold, one query, cpu ns a row": round(sum(w[0] for w in cold) / few * 1e9),
            "verify cold, one query, passed ns a row": round(sum(w[1] for w in cold) / few * 1e9),
            "encode cpu ns a row": round(encode / len(part) * 1e9),
            "kernel alone, cached, ns a row": {
                level: kernel_ns(level, codec.encode(part[:KERNEL_ROWS]), queries[0], heavy)
                for level in kernels.available_levels()[1:]
            },
        }


def agreement(found: Array, truth: Array) -> float:
    """The mean share of the true best that was found."""
    both = (
        len(set(map(str, wanted)) & set(row))
        for row, wanted in zip(found.tolist(), truth.tolist(), strict=True)
    )
    return round(sum(both) / truth.size, 5)


def timed(call: Any) -> tuple[float, float]:
    """(processor seconds, seconds passed)."""
    cpu, passed = time.process_time(), time.perf_counter()
    call()
    return time.process_time() - cpu, time.perf_counter() - passed


def kernel_ns(level: str, records: Array, query: Array, heavy: str) -> float:
    score = kernels_of(level).score_rows
    best = np.inf
    for _ in range(20):
        cpu = time.process_time()
        for _ in range(200):
            score(records, len(query), heavy, query, "ip")
        best = min(best, time.process_time() - cpu)
    return round(best / 200 / len(records) * 1e9, 1)


if __name__ == "__main__":
    main()
