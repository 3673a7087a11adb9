"""Filters of every selectivity: reached recall, and cost beside a search without a filter.

    python benchmarks/dense/filters.py --vectors X.npy --queries Q.npy [--n 100000]

`X.npy` and `Q.npy` are float32 arrays; cosine. Every document has a random number `r` in its
metadata, so a filter `r < m` selects m of them at random; and `p`, its rank along the first
principal direction of the vectors, so that `p < m` selects a subject: it is asked for with the 40 %
of the queries that lie farthest from it along that direction ("far"), and with the nearest 40 %
("near"). Truth: `recall=1` under the same filter.
One thread; processor time of `search_many` (batch: all queries in one call, best of three; single:
one query a call, median), the filter's own evaluation included.
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
from common import save

import bigrain

SEED = 11
K = 10
ASKED = (0.95, 0.99)
SELECTIVITY = (1.0, 0.5, 0.1, 0.01, 0.001)
SUBJECTS = (0.1, 0.01)
SIDE = 0.4  # of the queries
SAMPLE = 20_000  # vectors that the direction is fitted to
SINGLE = 100
Array = np.ndarray[Any, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vectors", type=Path, required=True)
    parser.add_argument("--queries", type=Path, required=True)
    parser.add_argument("--n", type=int, default=100_000)
    parser.add_argument("--n-queries", type=int, default=1_000)
    here = Path(__file__).parent / "results" / "filters.json"
    parser.add_argument("--out", type=Path, default=here)
    options = parser.parse_args()
    vectors = np.load(options.vectors, mmap_mode="r")[: options.n]
    asked_with = np.load(options.queries)[: options.n_queries]
    direction = principal(vectors)
    by_place = list(asked_with[np.argsort(asked_with @ direction, kind="stable")])
    queries, side = list(asked_with), round(SIDE * len(asked_with))
    result: dict[str, Any] = {"seed": SEED, "vectors": list(vectors.shape), "k": K}
    result["queries"] = len(queries)
    with tempfile.TemporaryDirectory(prefix="bigrain-filters-") as folder:
        with build(Path(folder) / "docs.grain", vectors, direction) as col:
            plain: dict[float, dict[str, float]] = {}
            for share in SELECTIVITY:
                n = round(share * len(vectors))
                filter = None if share == 1 else f"r < {n}"
                truth, _ = col.search_many(queries, k=K, recall=1, filter=filter, arrays=True)
                for asked in ASKED:
                    found = ask(col, queries, truth, asked, filter)
                    plain.setdefault(asked, found)
                    for way in ("batch", "single"):
                        key = f"{way} cpu us a query"
                        found[f"{way}, times unfiltered"] = round(found[key] / plain[asked][key], 2)
                    name = f"{share:.1%} selected, asked {asked}"
                    result[name] = found
                    print(name, found, flush=True)
            for share in SUBJECTS:
                filter = f"p < {round(share * len(vectors))}"
                for name, some in (("far", by_place[-side:]), ("near", by_place[:side])):
                    truth, _ = col.search_many(some, k=K, recall=1, filter=filter, arrays=True)
                    for asked in ASKED:
                        found = ask(col, some, truth, asked, filter)
                        told = f"{share:.1%} selected by subject, {name}, asked {asked}"
                        result[told] = found
                        print(told, found, flush=True)
    save(options.out, result)


def principal(vectors: Array) -> Array:
    """The direction along which a sample of the vectors differs most."""
    some = np.asarray(vectors[:: max(1, len(vectors) // SAMPLE)], np.float32)
    some = some - some.mean(axis=0)
    return np.asarray(np.linalg.eigh(some.T @ some)[1][:, -1])


def build(path: Path, vectors: Array, direction: Array) -> bigrain.Collection:
    """With `r` and `p` of every document."""
    numbers = np.random.default_rng(SEED).permutation(len(vectors)).tolist()
    along = np.concatenate(
        [vectors[start : start + 20_000] @ direction for start in range(0, len(vectors), 20_000)]
    )
    places = np.argsort(np.argsort(along, kind="stable")).tolist()
    col = bigrain.create(path, {"vec": bigrain.DenseField(dim=vectors.shape[1])})
    col.add(
        {"id": str(i), "text": "", "metadata": {"r": r, "p": p}}
        for i, (r, p) in enumerate(zip(numbers, places, strict=True))
    )
    for start in range(0, len(vectors), 20_000):
        part = np.asarray(vectors[start : start + 20_000], np.float32)
        col.add_vectors("vec", [str(i) for i in range(start, start + len(part))], part)
    col.commit()
    return col


def ask(
    col: bigrain.Collection, queries: list[Any], truth: Array, asked: float, filter: str | None
) -> dict[str, float]:
    options: dict[str, Any] = {"k": K, "recall": asked, "filter": filter, "arrays": True}
    batch = []
    for _ in range(3):
        began = time.process_time()
        found, _ = col.search_many(queries, **options)
        batch.append(time.process_time() - began)
    single = []
    for query in queries[:SINGLE]:
        began = time.process_time()
        col.search_many([query], **options)
        single.append(time.process_time() - began)
    hits = sum(len(set(a) & set(b)) for a, b in zip(found.tolist(), truth.tolist(), strict=True))
    return {
        "recall@10": round(hits / truth.size, 4),
        "batch cpu us a query": round(min(batch) / len(queries) * 1e6),
        "single cpu us a query": round(float(np.median(single)) * 1e6),
    }


if __name__ == "__main__":
    main()
