"""Dense search with nothing in the page cache: speed, latency, reads, what the disk could give.

    python benchmarks/dense/cold.py [--collection C.grain --queries Q.npy --truth T.npy | --n N]

`C.grain` has one dense field, and documents whose ids are the row numbers that `T.npy` (queries,
at least 10) names; without them a collection of `--n` synthetic vectors is built. One thread.

Before each measurement the system is asked to forget the rows ("cold"), or the rows and the
catalogue in which the winners' ids are looked up ("cold, ids too"). Batch: all queries in one
call, and the same in calls of 256 with the cache dropped before each. Single: one query a call,
the cache dropped before each. Reads: rows read; rounds: how many times a query waits for reads
that were asked for together.

The bound of the disk is measured in the same run over the same file: random reads of 4 KiB past
the page cache, one and 64 at a time, without bigrain. The file is read through once before, so
caches behind the virtual disk are filled alike for all; reads of blocks that the machine's host
has to fetch from afar can be ten times slower, for everybody.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import forget, save
from disk import reads_per_second

import bigrain
from bigrain.storage.files import DISK

SEED = 23
K, BATCH, ROUNDS, SINGLE = 10, 256, 5, 400
ASKED = (0.6, 0.7, 0.75, 0.8, 0.9, 0.95)
DEPTHS = (1, 64)
Array = np.ndarray[Any, Any]


class Counted:
    """Counts what searches gather, and the time they wait for it."""

    def __init__(self) -> None:
        self.calls = self.rows = 0
        self.seconds = 0.0

    @contextlib.contextmanager
    def counting(self) -> Iterator[None]:
        """While this lasts."""
        reader = type(DISK.open(Path(__file__)))
        gather = reader.gather

        def counted(file: Any, stretches: Array, *others: Any) -> int:
            began = time.perf_counter()
            try:
                return int(gather(file, stretches, *others))
            finally:
                self.seconds += time.perf_counter() - began
                self.calls += 1
                self.rows += len(stretches)

        reader.gather = counted  # type: ignore[method-assign]
        try:
            yield
        finally:
            reader.gather = gather  # type: ignore[method-assign]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--collection", type=Path)
    parser.add_argument("--queries", type=Path)
    parser.add_argument("--truth", type=Path)
    parser.add_argument("--n", type=int, default=100_000, help="vectors, if none are given")
    parser.add_argument("--n-queries", type=int, default=1_000)
    here = Path(__file__).parent / "results" / "cold.json"
    parser.add_argument("--out", type=Path, default=here)
    options = parser.parse_args()
    given = (options.collection, options.queries, options.truth)
    if any(given) and not all(given):
        parser.error("--collection, --queries and --truth belong together")
    with tempfile.TemporaryDirectory(prefix="bigrain-cold-") as temporary:
        if options.collection:
            path = options.collection
            queries, truth = np.load(options.queries), np.load(options.truth)
        else:
            path = Path(temporary) / "c.grain"
            queries, truth = synthetic(path, options.n, options.n_queries)
        queries = np.asarray(queries[: options.n_queries], np.float32)
        save(options.out, measure(path, queries, truth[: options.n_queries, :K]))


def synthetic(path: Path, n: int, n_queries: int) -> tuple[Array, Array]:
    """A collection of vectors around random centres; its queries and their true neighbours."""
    rng = np.random.default_rng(SEED)
    centres = rng.standard_normal((n // 100 + 1, 384), dtype=np.float32)

    def draw(count: int, width: float) -> Array:
        near = centres[rng.integers(len(centres), size=count)]
        near = near + np.float32(width) * rng.standard_normal(near.shape, dtype=np.float32)
        return np.asarray(near / np.linalg.norm(near, axis=1, keepdims=True))

    vectors, queries = draw(n, 0.7), draw(n_queries, 0.9)
    with bigrain.create(path, {"v": bigrain.DenseField(dim=384)}) as col:
        for start in range(0, n, 50_000):
            part = vectors[start : start + 50_000]
            col.add_vectors("v", [str(i) for i in range(start, start + len(part))], part)
        col.commit()
    scores = queries @ vectors.T
    best = np.argpartition(-scores, K, axis=1)[:, :K]
    return queries, best


def measure(path: Path, queries: Array, truth: Array) -> dict[str, Any]:
    """Everything at every asked recall."""
    rows = sorted((path / "segments").glob("*.seg"))
    catalogue = path / "catalogue.sqlite"
    largest = max(rows, key=lambda file: file.stat().st_size)
    for file in rows:
        with file.open("rb") as whole:
            while whole.read(1 << 22):
                pass
    states: dict[str, Sequence[Path]] = {
        "warm": (),
        "cold": rows,
        "cold, ids too": (*rows, catalogue),
    }
    result: dict[str, Any] = {"seed": SEED, "k": K, "queries": len(queries)}
    with bigrain.open(path, read_only=True, memory_budget_bytes=4 << 30) as col:
        result["vectors"] = len(col)
        result["MiB of rows"] = round(sum(file.stat().st_size for file in rows) / 2**20)
        result["disk before"] = bounds(largest)
        for asked in ASKED:
            col.search_many(queries[:BATCH], recall=asked, arrays=True)
            told = {name: state(col, queries, asked, drop) for name, drop in states.items()}
            told["recall@10"] = reached(col, queries, asked, truth)
            result[f"asked {asked}"] = told
            print(asked, told, flush=True)
        result["disk after"] = bounds(largest)
    return result


def state(
    col: bigrain.Collection, queries: Array, asked: float, drop: Sequence[Path]
) -> dict[str, Any]:
    """Batch and single queries after dropping `drop`."""

    def ask(some: Array) -> None:
        col.search_many(some, recall=asked, arrays=True)

    counted = Counted()
    with counted.counting():
        whole = [timed(ask, queries, drop) for _ in range(ROUNDS)]
    parts = [
        sum(timed(ask, queries[at : at + BATCH], drop) for at in range(0, len(queries), BATCH))
        for _ in range(ROUNDS)
    ]
    single = Counted()
    ask(queries[:1])
    with single.counting():
        each = [timed(ask, query[None], drop) for query in queries[:SINGLE]]
    n = ROUNDS * len(queries)
    return {
        "batch QPS": round(len(queries) / float(np.median(whole))),
        "batch QPS, dropped before every 256": round(len(queries) / float(np.median(parts))),
        "batch rows read a query": round(counted.rows / n, 1),
        "batch share of the time in reads": round(counted.seconds / sum(whole), 2),
        "single p50 ms": round(float(np.percentile(each, 50)) * 1e3, 2),
        "single p99 ms": round(float(np.percentile(each, 99)) * 1e3, 2),
        "single QPS": round(len(each) / sum(each)),
        "single reads a query": round(single.rows / len(each), 1),
        "single rounds a query": round(single.calls / len(each), 2),
        "single ms in reads": round(single.seconds / len(each) * 1e3, 2),
    }


def timed(ask: Callable[[Array], None], queries: Array, drop: Sequence[Path]) -> float:
    for path in drop:
        forget(path)
    began = time.perf_counter()
    ask(queries)
    return time.perf_counter() - began


def reached(col: bigrain.Collection, queries: Array, asked: float, truth: Array) -> float:
    """The share of the true ten best that is found."""
    ids = col.search_many(queries, recall=asked, arrays=True)[0]
    hits = [
        len({*map(int, row[:K])} & {*best}) for row, best in zip(ids, truth.tolist(), strict=True)
    ]
    return round(float(np.mean(hits)) / K, 4)


def bounds(path: Path) -> dict[str, float | None]:
    """Reads of 4 KiB a second at every depth."""
    return {f"{depth} at a time": reads_per_second(path, depth, SEED + depth) for depth in DEPTHS}


if __name__ == "__main__":
    main()
