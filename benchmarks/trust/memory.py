"""Collections ten times larger than their memory, built and searched under a hard limit.

    python benchmarks/trust/memory.py [--only text|vectors] [--scale 1.0] [--keep FOLDER]

Every step runs in a process of its own, with one number as `memory_budget_bytes` and two limits
set by the system: RLIMIT_AS (address space) and RLIMIT_DATA (private writable memory). Both are
what the process has mapped once bigrain is imported (libraries, and the buffers that OpenBLAS
reserves), less what of it is resident, plus the budget: from there on every byte mapped counts as
if it were used, and the system refuses what goes beyond. Peak memory is VmHWM, the most that the
process had resident, interpreter and libraries included; the page cache is not in it.

text     real sentences, default fields with float32 rows: words and vectors from text
vectors  real sentences by their words, and a 768-dimensional vector for each, brought along

Cold: the page cache of every file of the collection is dropped before each query.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import DATA, forget, machine, passages

import bigrain
from bigrain.text import beir_queries

SEED = 11
DIM, CLUSTERS = 768, 300
BATCH = 500
WARM_UP, WARM, COLD = 30, 300, 40
SETS = {
    # name: (documents, budget in MiB, fields, systems)
    "text": (1_070_000, 138, ("lexical", "dense")),
    "vectors": (590_000, 106, ("lexical", "vec")),
}


def fields(name: str) -> dict[str, Any]:
    """What the collections hold."""
    if name == "text":
        dense = bigrain.DenseField(encoder="bigrain/static-v1", heavy="float32")
        return {"lexical": bigrain.LexicalField(), "dense": dense}
    return {"lexical": bigrain.LexicalField(), "vec": bigrain.DenseField(dim=DIM, light_bytes=32)}


def vectors(n: int) -> Iterator[np.ndarray[Any, Any]]:
    """n vectors around random centres, in batches."""
    rng = np.random.default_rng(SEED)
    centres = rng.standard_normal((CLUSTERS, DIM), dtype=np.float32)
    for start in range(0, n, BATCH):
        size = min(BATCH, n - start)
        near = centres[rng.integers(CLUSTERS, size=size)]
        yield near + 0.7 * rng.standard_normal((size, DIM), dtype=np.float32)


def build(name: str, folder: Path, n: int, budget: int) -> dict[str, Any]:
    """Create, add, commit once."""
    began = time.perf_counter()
    with bigrain.create(folder, fields(name), memory_budget_bytes=budget) as col:
        if name == "text":
            col.add(passages(n))
        else:
            texts = passages(n)
            for start, batch in zip(range(0, n, BATCH), vectors(n), strict=True):
                ids = [f"s{i}" for i in range(start, start + len(batch))]
                col.add([{"id": i, "text": t} for i, t in zip(ids, texts, strict=False)])
                col.add_vectors("vec", ids, batch)
        added = time.perf_counter()
        col.commit()
        seconds = time.perf_counter() - began
        return {
            "documents": len(col),
            "seconds": round(seconds, 1),
            "of which commit": round(began + seconds - added, 1),
            "documents per second": round(len(col) / seconds),
            "light MiB": round(col.stats()["memory"]["light_grains"] / 2**20, 1),
        }


def opening(name: str, folder: Path, n: int, budget: int) -> dict[str, Any]:
    """Open for reading."""
    began = time.perf_counter()
    with bigrain.open(folder, read_only=True, memory_budget_bytes=budget):
        return {"seconds": round(time.perf_counter() - began, 2)}


def search(name: str, folder: Path, n: int, budget: int) -> dict[str, Any]:
    """Latencies of each field and of both, warm and cold, one thread."""
    asked = list(beir_queries(DATA / "arxiv").values())[: WARM_UP + WARM]
    vectors_asked = next(vectors(BATCH))[: len(asked)] + np.float32(0.1)
    result: dict[str, Any] = {}
    with bigrain.open(folder, read_only=True, memory_budget_bytes=budget) as col:
        ask: dict[str, Callable[[int], Any]] = {
            "lexical": lambda i: col.search(asked[i], fields="lexical")
        }
        if name == "text":
            ask["dense"] = lambda i: col.search(asked[i], fields="dense")
            ask["fused"] = lambda i: col.search(asked[i])
            ask["recall=0.95"] = lambda i: col.search(asked[i], fields="dense", recall=0.95)
        else:
            ask["dense"] = lambda i: col.search(vectors_asked[i])
            ask["recall=0.95"] = lambda i: col.search(vectors_asked[i], recall=0.95)
        for system, run in ask.items():
            for i in range(WARM_UP):
                run(i)
            warm = [timed(run, i) for i in range(WARM_UP, WARM_UP + WARM)]
            cold = []
            for i in range(COLD):
                drop_cache(folder)
                cold.append(timed(run, i))
            result[system] = {"warm": summary(warm), "cold": summary(cold)}
    return result


def compacting(name: str, folder: Path, n: int, budget: int) -> dict[str, Any]:
    """Delete every twentieth document, commit, rewrite everything without them."""
    with bigrain.open(folder, memory_budget_bytes=budget) as col:
        ids = [str(i) if name == "text" else f"s{i}" for i in range(0, n, 20)]
        began = time.perf_counter()
        for start in range(0, len(ids), 10_000):
            col.delete(ids[start : start + 10_000])
        col.commit()
        deleted = time.perf_counter()
        col.compact()
        return {
            "deleted": len(ids),
            "delete and commit s": round(deleted - began, 1),
            "compact s": round(time.perf_counter() - deleted, 1),
            "documents": len(col),
        }


def verifying(name: str, folder: Path, n: int, budget: int) -> dict[str, Any]:
    """Read everything through."""
    with bigrain.open(folder, read_only=True, memory_budget_bytes=budget) as col:
        began = time.perf_counter()
        report = col.verify()
        if not report.ok:
            raise SystemExit(report.summary())
        return {"seconds": round(time.perf_counter() - began, 1), "bytes": report.n_bytes}


STEPS = {
    "build": build,
    "open": opening,
    "search": search,
    "compact": compacting,
    "search after": search,
    "verify": verifying,
}


def timed(run: Callable[[int], Any], i: int) -> float:
    began = time.perf_counter()
    run(i)
    return time.perf_counter() - began


def summary(seconds: list[float]) -> dict[str, float]:
    return {f"p{p} ms": round(float(np.percentile(seconds, p)) * 1e3, 2) for p in (50, 99)}


def drop_cache(folder: Path) -> None:
    """Let the system forget what it holds of every file."""
    for path in folder.rglob("*"):
        if path.is_file():
            forget(path)


def memory_of_process() -> dict[str, int]:
    """VmSize, VmData, VmRSS, VmHWM in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return {
        line.split(":")[0]: int(line.split()[1]) * 1024
        for line in lines
        if line.startswith(("VmSize", "VmData", "VmRSS", "VmHWM"))
    }


def limit(budget: int) -> dict[str, int]:
    """Set both limits for the rest of this process; returns them."""
    np.ones((512, 512)) @ np.ones((512, 512))  # maps OpenBLAS's buffer: 32 MiB, little used
    now = memory_of_process()
    found = {}
    for kind, used in (("RLIMIT_AS", "VmSize"), ("RLIMIT_DATA", "VmData")):
        found[kind] = now[used] - now["VmRSS"] + budget
        resource.setrlimit(getattr(resource, kind), (found[kind], found[kind]))
    return found


def child(step: str, name: str, folder: Path, n: int, budget: int, hard: bool) -> None:
    """One step under the limit; prints its result."""
    limits = limit(budget) if hard else {}
    result = STEPS[step](name, folder, n, budget)
    peak = memory_of_process()["VmHWM"]
    told = {key: round(value / 2**20) for key, value in limits.items()}
    print(
        json.dumps(
            {
                "peak MiB": round(peak / 2**20, 1),
                "of the budget": round(peak / budget, 3),
                **{f"{key} MiB": value for key, value in told.items()},
                **result,
            }
        )
    )


def measure(name: str, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Every step of one collection."""
    n, budget_mib, _ = SETS[name]
    n = int(n * options.scale)
    budget_mib = options.budget_mib or budget_mib
    result: dict[str, Any] = {"documents": n, "budget MiB": budget_mib}
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    for step in options.steps or STEPS:
        arguments = [sys.executable, __file__, "--step", step, "--only", name]
        arguments += ["--keep", str(folder), "--documents", str(n)]
        arguments += ["--budget-mib", str(budget_mib)]
        if options.no_limit:
            arguments.append("--no-limit")
        done = subprocess.run(arguments, env=environment, stdout=subprocess.PIPE, text=True)
        if done.returncode:
            raise SystemExit(f"{name}, {step}: the process ended with {done.returncode}")
        result[step] = json.loads(done.stdout)
        if step == "build":
            on_disk = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
            result["MiB on disk"] = round(on_disk / 2**20)
            result["times the budget"] = round(on_disk / 2**20 / budget_mib, 1)
        print(name, step, json.dumps(result[step]), flush=True)
    result["largest peak of the budget"] = max(
        value["of the budget"] for value in result.values() if isinstance(value, dict)
    )
    return result


def main() -> None:
    """Run each step in a process of its own and save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=list(SETS))
    parser.add_argument("--scale", type=float, default=1.0, help="share of the documents")
    parser.add_argument("--budget-mib", type=int, help="instead of the one that makes ten times")
    parser.add_argument("--keep", type=Path, help="where the collections go, and stay")
    parser.add_argument("--no-limit", action="store_true", help="measure without hard limits")
    parser.add_argument("--steps", nargs="*", choices=list(STEPS), help="only these")
    default = Path(__file__).parent / "results" / "memory.json"
    parser.add_argument("--out", type=Path, default=default)
    parser.add_argument("--step", choices=list(STEPS), help=argparse.SUPPRESS)
    parser.add_argument("--documents", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        budget = options.budget_mib << 20
        child(
            options.step, options.only, options.keep, options.documents, budget,
            not options.no_limit,
        )  # fmt: skip
        return
    result: dict[str, Any] = {"machine": machine(), "seed": SEED}
    with tempfile.TemporaryDirectory(prefix="bigrain-memory-") as temporary:
        for name in [options.only] if options.only else SETS:
            folder = (options.keep or Path(temporary)) / f"{name}.grain"
            result[name] = measure(name, folder, options)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=2) + "\n")
    print(f"wrote {options.out}")


if __name__ == "__main__":
    main()
