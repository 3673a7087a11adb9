"""bigrain beside other vector indexes: same vectors, same queries, same run.

    python benchmarks/dense/peers.py --n 100000 [--vectors X.npy --queries Q.npy] [--systems a,b]

Every system is built and searched in a process of its own, pinned to as many cores as it may use
threads. Measured at every step of its ladder of settings: recall@10, 10-recall@100, batch and
single-query times in wall and CPU seconds; and build time, process growth, bytes on disk.
Without files: sentences of `passages` and questions of the judged sets, bundled encoder.
Writes `results/peers-N.json`, a picture beside it, and the table in `benchmarks/README.md`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "2")

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
import report
from adapters import SYSTEMS
from common import machine
from measuring import process

HERE = Path(__file__).parent
Array = np.ndarray[Any, Any]
DEEP = 100


def main() -> None:
    options = arguments()
    if not options.systems:
        target = options.out or HERE / "results" / f"peers-{options.n}.json"
        report.everything(json.loads(target.read_text()), target, options.clock, options.readme)
        return
    cache = options.cache or Path(tempfile.mkdtemp(prefix="bigrain-peers-"))
    cache.mkdir(parents=True, exist_ok=True)
    vectors, queries = files(options, cache)
    n = min(options.n, len(np.load(vectors, mmap_mode="r")))
    target = options.out or HERE / "results" / f"peers-{n}.json"
    result = json.loads(target.read_text()) if target.exists() and options.update else {}
    result |= {"machine": machine(), "n": n, "queries": options.asked, "k": 10}
    result["dim"] = int(np.load(vectors, mmap_mode="r").shape[1])
    result["data"] = options.title
    result.setdefault("systems", {})
    truth = options.truth or ground_truth(vectors, queries, n, options.asked, cache)
    for name in options.systems.split(","):
        print(name, flush=True)
        found = one(name, options, cache, vectors, queries, truth, n)
        if found is not None:
            result["systems"][name] = found
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(json.dumps(result, indent=1) + "\n")
    report.everything(result, target, options.clock, options.readme)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vectors", type=Path, help="(n, dim) float32 .npy; unit length")
    parser.add_argument("--queries", type=Path, help="(m, dim) float32 .npy; unit length")
    parser.add_argument("--truth", type=Path, help="(m, >= 10) row numbers .npy, best first")
    parser.add_argument("--title", default="", help="what the vectors are, for the result")
    parser.add_argument("--n", type=int, default=1_000_000, help="the first n vectors")
    parser.add_argument("--asked", type=int, default=1000, help="queries in a batch")
    parser.add_argument("--singles", type=int, default=300, help="queries asked one at a time")
    parser.add_argument("--systems", default=",".join(SYSTEMS), help="by commas; '': report only")
    parser.add_argument("--threads", default="1,2", help="thread counts to search with")
    parser.add_argument("--build-threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=2, help="batches after the first; best kept")
    parser.add_argument("--cold", action="store_true", help="also with an empty page cache")
    parser.add_argument("--cache", type=Path, help="folder of indexes and truths, kept")
    parser.add_argument("--reuse", action="store_true", help="search indexes already in --cache")
    parser.add_argument("--update", action="store_true", help="keep other systems' results")
    parser.add_argument("--limit", type=int, default=7200, help="seconds for one process")
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall", help="of the tables")
    parser.add_argument("--python", action="append", default=[], metavar="SYSTEM=PATH",
                        help="an interpreter of its own for a system")  # fmt: skip
    parser.add_argument("--out", type=Path)
    parser.add_argument("--readme", type=Path, default=HERE.parent / "README.md")
    options = parser.parse_args()
    unknown = set(options.systems.split(",")) - {*SYSTEMS, ""}
    if unknown:
        parser.error(f"no adapter for {', '.join(sorted(unknown))}; there is {', '.join(SYSTEMS)}")
    if bool(options.vectors) != bool(options.queries):
        parser.error("--vectors and --queries go together")
    if options.reuse and not options.cache:
        parser.error("--reuse needs the --cache of the earlier run")
    if not options.title:
        own = "passages and questions, bundled encoder"
        options.title = own if not options.vectors else options.vectors.name
    return options


def files(options: argparse.Namespace, cache: Path) -> tuple[Path, Path]:
    """The vectors and queries to use, unit length; encoded into the cache if none were given."""
    if options.vectors:
        for path in (options.vectors, options.queries):
            lengths = np.linalg.norm(np.load(path, mmap_mode="r")[:1000], axis=1)
            if np.abs(lengths - 1).max() > 1e-3:
                raise SystemExit(f"{path}: rows must have unit length; divide each by its norm")
        return options.vectors, options.queries
    from recall import encoded, questions

    vectors, queries = cache / f"vectors-{options.n}.npy", cache / "queries.npy"
    if not vectors.exists():
        np.save(vectors, encoded(options.n))
    if not queries.exists():
        np.save(queries, questions())
    return vectors, queries


def ground_truth(vectors: Path, queries: Path, n: int, asked: int, cache: Path) -> Path:
    """The DEEP best rows of every query by inner product, kept in the cache."""
    target = cache / f"truth-{n}-{asked}.npy"
    if target.exists():
        return target
    rows, Q = np.load(vectors, mmap_mode="r")[:n], np.load(queries)[:asked]
    best, ids = np.empty((len(Q), 0), np.float32), np.empty((len(Q), 0), np.int64)
    for start in range(0, n, 20_000):
        scores = Q @ np.ascontiguousarray(rows[start : start + 20_000]).T
        top = np.argpartition(-scores, min(DEEP, scores.shape[1] - 1), axis=1)[:, :DEEP]
        best = np.concatenate((best, np.take_along_axis(scores, top, 1)), axis=1)
        ids = np.concatenate((ids, top + start), axis=1)
        order = np.argsort(-best, axis=1)[:, :DEEP]
        best, ids = np.take_along_axis(best, order, 1), np.take_along_axis(ids, order, 1)
    np.save(target, ids)
    return target


def one(
    name: str, options: argparse.Namespace, cache: Path, vectors: Path, queries: Path,
    truth: Path, n: int,
) -> dict[str, Any] | None:  # fmt: skip
    """Everything about one system; None if its package is missing."""
    folder = cache / f"{name}-{n}"
    base = {
        "system": name, "vectors": str(vectors.resolve()), "queries": str(queries.resolve()),
        "truth": str(Path(truth).resolve()), "n": n, "asked": options.asked,
        "folder": str(folder), "singles": options.singles, "repeats": options.repeats,
    }  # fmt: skip
    python = dict(entry.split("=", 1) for entry in options.python).get(name, sys.executable)

    def run(**more: Any) -> dict[str, Any]:
        return process(HERE / "worker.py", python, base | more, options.limit)

    built = folder / "build.json"
    if options.reuse and built.exists():
        build = json.loads(built.read_text())
    else:
        answer = run(phase="build", threads=options.build_threads)
        if "missing" in answer:
            print(f"  skipped: {answer['missing']}")
            return None
        if "failed" in answer:
            print(f"  failed to build: {answer['failed'][-300:]}")
            return answer
        build = {key: v for key, v in answer.items() if key.endswith(("_s", "_bytes", "threads"))}
    print(f"  built in {build['wall_s']} s, {build['cpu_s']} s of CPU", flush=True)
    system: dict[str, Any] = {"build": build, "threads": {}}
    for i, threads in enumerate(int(t) for t in options.threads.split(",")):
        answer = run(phase="search", threads=threads, deep=i == 0)
        if "missing" in answer or "failed" in answer:
            print(f"  search failed: {str(answer)[-300:]}")
            system["failed"] = str(answer)
            continue
        for key in ("version", "describes", "verifies_from_disk"):
            system[key] = answer.pop(key)
        system["threads"][str(threads)] = answer
        if options.cold and i == 0 and system["verifies_from_disk"]:
            chosen = [report.reaching(answer["points"], r) for r in (0.95, 0.99)]
            settings = [p["setting"] for p in chosen if p is not None]
            answer = run(phase="cold", threads=threads, settings=settings, asked=100)
            system["cold"] = answer
    return system


if __name__ == "__main__":
    main()
