"""How bigrain's speed, build and memory grow with the collection.

    python benchmarks/dense/growth.py --vectors X.npy --queries Q.npy [--synthetic 10000000]

Prefixes of the vectors at 10^5, 3 x 10^5 and 10^6; with --synthetic further sizes, whose vectors
beyond the file are mixtures of two random rows of it plus a little noise, scaled to unit length.
They are made in batches, again for every pass, so they are never all in memory. Recall 0.95 is
asked for. The exponents are the slopes of a least-squares line through the logarithms. On a machine
that others use too, CPU times are what counts; `load_before` tells how busy it was.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "2")

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import machine

HERE = Path(__file__).parent
Array = np.ndarray[Any, Any]
SEED, BATCH, K = 11, 50_000, 10
RECALL = 0.95
NOISE = 0.02  # standard deviation a dimension, before scaling
BUDGETS = ((2_000_000, 4 << 30), (1 << 62, 1_500_000_000))  # up to a size, bytes
MEASURES = (
    "batch_wall_us", "batch_cpu_us", "single_wall_us", "single_cpu_us", "build_cpu_s",
    "build_wall_s", "resident_bytes",
)  # fmt: skip


class Rows:
    """Unit vectors 0..n-1: those of a file, then mixtures of them; any batch, always the same."""

    def __init__(self, path: Path, n: int) -> None:
        self.stored, self.n = np.load(path, mmap_mode="r"), n
        self.dim = self.stored.shape[1]

    def batches(self) -> Iterator[tuple[int, Array]]:
        """(first row, (rows, dim) float32) in order."""
        real = min(self.n, len(self.stored))
        for start in range(0, real, BATCH):
            yield start, np.ascontiguousarray(self.stored[start : min(start + BATCH, real)])
        for start in range(real, self.n, BATCH):
            yield start, self._mixed(start, min(BATCH, self.n - start))

    def _mixed(self, start: int, count: int) -> Array:
        rng = np.random.default_rng((SEED, start))
        # the two parents come from a window each: reads in order, not one page for every row
        window = min(200_000, len(self.stored))
        parents = []
        for _ in range(2):
            at = int(rng.integers(len(self.stored) - window + 1))
            chosen = np.asarray(self.stored[at : at + window])[rng.integers(window, size=count)]
            parents.append(chosen)
        share = rng.uniform(size=(count, 1)).astype(np.float32)
        mixed = share * parents[0] + (1 - share) * parents[1]
        mixed += NOISE * rng.standard_normal(mixed.shape, np.float32)
        return mixed / np.linalg.norm(mixed, axis=1, keepdims=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vectors", type=Path, required=True, help="(n, dim) float32, unit length")
    parser.add_argument("--queries", type=Path, required=True, help="(m, dim) float32, unit length")
    parser.add_argument("--sizes", default="100000,300000,1000000")
    parser.add_argument("--synthetic", type=int, action="append", default=[], metavar="N")
    parser.add_argument("--asked", type=int, default=1000, help="queries in a batch")
    parser.add_argument("--judged", type=int, default=200, help="queries whose truth is computed")
    parser.add_argument("--cache", type=Path, help="where collections go, and stay")
    parser.add_argument("--update", action="store_true", help="keep the sizes that --out has")
    parser.add_argument("--task", help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, default=HERE / "results" / "growth.json")
    options = parser.parse_args()
    if options.task:
        print(json.dumps(step(options)))
        return
    stored = len(np.load(options.vectors, mmap_mode="r"))
    sizes = sorted({min(int(s), stored) for s in options.sizes.split(",")} | {*options.synthetic})
    with tempfile.TemporaryDirectory(prefix="bigrain-growth-") as temporary:
        cache = options.cache or Path(temporary)
        cache.mkdir(parents=True, exist_ok=True)
        known = json.loads(options.out.read_text())["points"] if options.update else []
        by_size = {point["n"]: point for point in known}
        for n in sizes:
            point = {"n": n, "load_before": round(os.getloadavg()[0], 1)}
            for part in ("build", "search"):  # a process each, so that memory is its own
                command = [sys.executable, __file__, "--task", f"{part}:{n}", "--cache", str(cache)]
                for name in ("vectors", "queries", "asked", "judged"):
                    command += [f"--{name}", str(getattr(options, name))]
                done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
                point |= json.loads(done.stdout.splitlines()[-1])
            by_size[n] = point
            print(json.dumps(point), flush=True)
            write(options.out, [by_size[size] for size in sorted(by_size)])


def write(target: Path, points: list[dict[str, Any]]) -> None:
    """What is known so far."""
    result = {"machine": machine(), "recall asked": RECALL, "points": points}
    result["exponents"] = exponents(points)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(result, indent=1) + "\n")
    for name, slope in result["exponents"].items():
        print(f"{name} grows as n^{slope}", flush=True)


def exponents(points: list[dict[str, Any]]) -> dict[str, float]:
    """The slope of each measure against n, both in logarithms."""
    if len(points) < 2:
        return {}
    x = np.log([p["n"] for p in points])
    return {
        name: round(float(np.polyfit(x, np.log([max(p[name], 1e-9) for p in points]), 1)[0]), 3)
        for name in MEASURES
    }


def step(options: argparse.Namespace) -> dict[str, Any]:
    """Build or search one size, in this process."""
    part, size = options.task.split(":")
    rows = Rows(options.vectors, int(size))
    path = options.cache / f"growth-{size}.grain"
    if part == "build":
        return build(rows, path)
    queries = np.load(options.queries)[: options.asked].astype(np.float32)
    return search(rows, path, queries, truth(rows, queries[: options.judged], options.cache))


def build(rows: Rows, path: Path) -> dict[str, Any]:
    import shutil

    from worker import Peak

    import bigrain

    shutil.rmtree(path, ignore_errors=True)
    field = bigrain.DenseField(dim=rows.dim, light_bytes=min(48, -(-rows.dim // 8)))
    wall = cpu = 0.0
    made = bigrain.create(path, {"v": field}, memory_budget_bytes=budget(rows.n))
    with Peak() as peak, made as col:
        for start, part in rows.batches():
            began = time.perf_counter(), time.process_time()
            col.add_vectors("v", [str(i) for i in range(start, start + len(part))], part)
            wall += time.perf_counter() - began[0]
            cpu += time.process_time() - began[1]
        began = time.perf_counter(), time.process_time()
        col.commit()
        wall += time.perf_counter() - began[0]
        cpu += time.process_time() - began[1]
    disk = sum(f.stat().st_size for f in path.rglob("*") if f.is_file())
    return {
        "budget_bytes": budget(rows.n), "build_wall_s": round(wall, 1),
        "build_cpu_s": round(cpu, 1), "build_peak_bytes": peak.bytes, "disk_bytes": disk,
    }  # fmt: skip


def budget(n: int) -> int:
    return next(b for limit, b in BUDGETS if n <= limit)


def truth(rows: Rows, queries: Array, cache: Path) -> Array:
    """(queries, K) true neighbours in one pass over the vectors; kept in the cache."""
    target = cache / f"growth-truth-{rows.n}-{len(queries)}.npy"
    if target.exists():
        return np.load(target)
    best = np.empty((len(queries), 0), np.float32)
    ids = np.empty((len(queries), 0), np.int64)
    for start, part in rows.batches():
        scores = queries @ part.T
        top = np.argpartition(-scores, min(K, scores.shape[1] - 1), axis=1)[:, :K]
        best = np.concatenate((best, np.take_along_axis(scores, top, 1)), axis=1)
        ids = np.concatenate((ids, top + start), axis=1)
        order = np.argsort(-best, axis=1)[:, :K]
        best, ids = np.take_along_axis(best, order, 1), np.take_along_axis(ids, order, 1)
    np.save(target, ids)
    return ids


def search(rows: Rows, path: Path, queries: Array, true: Array) -> dict[str, Any]:
    from worker import Clock, recall, resident

    import bigrain

    before = resident()["anonymous"]
    with bigrain.open(path, read_only=True, memory_budget_bytes=budget(rows.n)) as col:

        def ask(some: Array) -> Any:
            return col.search_many(list(some), k=K, recall=RECALL, arrays=True)[0]

        singles = []
        for query in queries[:300]:
            ask(query[None])  # into the page cache
            clock = Clock()
            ask(query[None])
            singles.append(clock.read())
        grown = resident()["anonymous"] - before
        batches = []
        for _ in range(3):
            clock = Clock()
            found = ask(queries)
            batches.append(clock.read())
    ids = np.array([[int(i) for i in row] for row in found[: len(true)]])
    wall, cpu = (float(min(column)) for column in zip(*batches, strict=True))
    return {
        "recall": recall(ids, true),
        "batch_wall_us": round(1e6 * wall / len(queries), 1),
        "batch_cpu_us": round(1e6 * cpu / len(queries), 1),
        "single_wall_us": round(1e6 * float(np.median([s[0] for s in singles])), 1),
        "single_cpu_us": round(1e6 * float(np.median([s[1] for s in singles])), 1),
        "resident_bytes": grown,
        "resident_per_vector": round(grown / rows.n, 1),
    }


if __name__ == "__main__":
    main()
