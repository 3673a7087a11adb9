"""Two hundred thousand documents of 80 token vectors, indexed within a budget of 512 MiB.

    python benchmarks/multivector/scale.py FOLDER/selqa-128.npz [--keep FOLDER] [--n 200000]

Documents are made of real ones: two stretches of 80 consecutive token vectors, mixed at a weight
from 0.6 to 1 and brought back to unit length; queries are those of the file. Every step runs in a
process of its own, pinned to one core. Peak is VmHWM, the most that the process had resident,
interpreter, libraries and the sample of real tokens included; "before" is the same as the step
begins. The truth of recall is MaxSim in float32 over all documents, made again. Writes
`results/scale.json`.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
from measuring import percentiles, pin, process, resident

if len(sys.argv) == 3 and sys.argv[1].endswith("task.json"):  # a step: before NumPy is there
    pin(1)

import maxsim
import numpy as np
from common import save

import bigrain

HERE = Path(__file__).parent
SEED = 5
TOKENS = 80
SAMPLE = 50_000  # real tokens that documents are made of
BATCH = 1_000
K, RECALL = 10, 0.93
MIB = 1 << 20
Array = np.ndarray[Any, Any]


def made(values: Array, n: int) -> Iterator[Array]:
    """(b, 80, d) float32 unit vectors, the same whenever it is called."""
    rng = np.random.default_rng(SEED)
    stretch = np.arange(TOKENS)
    for start in range(0, n, BATCH):
        size = min(BATCH, n - start)
        first, second = rng.integers(0, len(values) - TOKENS, (2, size, 1))
        weight = rng.uniform(0.6, 1, (size, 1, 1)).astype(np.float32)
        mixed = weight * values[first + stretch] + (1 - weight) * values[second + stretch]
        yield mixed / np.linalg.norm(mixed, axis=2, keepdims=True)


def sample(task: dict[str, Any]) -> Array:
    values: Array = np.load(task["sample"]).astype(np.float32)
    return values


def build(task: dict[str, Any]) -> dict[str, Any]:
    """Create, add, commit once."""
    values = sample(task)
    before = status("VmHWM")
    field = bigrain.MultiVectorField(dim=values.shape[1])
    budget = task["budget_mib"] * MIB
    wall, cpu = time.perf_counter(), time.process_time()
    path = Path(task["folder"])
    with bigrain.create(path, {"tok": field}, memory_budget_bytes=budget) as col:
        start = 0
        for part in made(values, task["n"]):
            ids = [str(i) for i in range(start, start + len(part))]
            offsets = np.arange(len(part) + 1) * TOKENS
            col.add_vectors("tok", ids, (part.reshape(-1, values.shape[1]), offsets))
            start += len(part)
        col.commit()
        on_disk = sum(col.stats()["bytes_on_disk"].values())
    return {
        "wall s": round(time.perf_counter() - wall, 1),
        "cpu s": round(time.process_time() - cpu, 1),
        "before MiB": round(before / MIB, 1),
        "peak MiB": round(status("VmHWM") / MIB, 1),
        "peak beyond it MiB": round((status("VmHWM") - before) / MIB, 1),
        "bytes a document on disk": round(on_disk / task["n"], 1),
    }


def opening(task: dict[str, Any]) -> dict[str, Any]:
    """Open for reading, ask one query."""
    query = maxsim.queries(Path(task["vectors"]), 1).row(0)
    with tempfile.TemporaryDirectory(prefix="bigrain-rehearsal-") as folder:  # imports
        field = bigrain.MultiVectorField(dim=query.shape[1])
        with bigrain.create(Path(folder) / "one.grain", {"tok": field}) as col:
            col.add_vectors("tok", ["0"], (query, np.array([0, len(query)])))
            col.commit()
            col.search(query)
    before = resident()
    budget = task["budget_mib"] * MIB
    wall = time.perf_counter()
    with bigrain.open(task["folder"], read_only=True, memory_budget_bytes=budget) as col:
        seconds = time.perf_counter() - wall
        opened = resident()
        wall = time.perf_counter()
        col.search(query, k=K, recall=RECALL)
        first = time.perf_counter() - wall
        light = col.stats()["fields"]["tok"]["light_bytes_in_memory"]
    n = task["n"]
    grown = {key: opened[key] - before[key] for key in before}
    return {
        "seconds": round(seconds, 3),
        "first query s": round(first, 3),
        "bytes a document in memory": round(sum(grown.values()) / n, 1),
        "of them anonymous": round(grown["anonymous"] / n, 1),
        "bytes a document of the light grain": round(light / n, 1),
    }


def search(task: dict[str, Any]) -> dict[str, Any]:
    """Latency and reached recall of single queries."""
    given = maxsim.queries(Path(task["vectors"]), task["singles"])
    queries = [given.row(i) for i in range(given.n)]
    budget = task["budget_mib"] * MIB
    with bigrain.open(task["folder"], read_only=True, memory_budget_bytes=budget) as col:
        ask: dict[str, Callable[[Array], Any]] = {
            "search": lambda q: col.search(q, k=K, recall=RECALL),
            "search_many of one": lambda q: col.search_many([q], k=K, recall=RECALL, arrays=True),
        }
        result: dict[str, Any] = {}
        for name, run in ask.items():
            walls, cpus = [], []
            for query in queries:
                wall, cpu = time.perf_counter(), time.process_time()
                run(query)
                walls.append(time.perf_counter() - wall)
                cpus.append(time.process_time() - cpu)
            told = percentiles(walls[10:] or walls, cpus[10:] or cpus)  # the first ten warm up
            result[name] = {key: round(value) for key, value in told.items()}
        with np.load(task["truth"]) as stored:
            truth = stored["scores"]
        found, _ = col.search_many(queries[: len(truth)], k=K, recall=RECALL, arrays=True)
        rows = [[int(i) for i in row if i is not None] for row in found]
        result["asked recall"] = RECALL
        result["reached recall"] = round(maxsim.recall(truth, rows, K), 4)
    result["peak MiB"] = round(status("VmHWM") / MIB, 1)
    return result


def truth(task: dict[str, Any]) -> dict[str, Any]:
    """Exact MaxSim of all documents with the first queries."""
    asked = maxsim.queries(Path(task["vectors"]), task["asked"])
    parts = []
    for part in made(sample(task), task["n"]):
        offsets = np.arange(len(part) + 1) * TOKENS
        parts.append(maxsim.scores(maxsim.Tokens(part.reshape(-1, part.shape[2]), offsets), asked))
    np.savez(task["truth"], scores=np.concatenate(parts, axis=1))
    return {"queries": asked.n}


STEPS = {"build": build, "open": opening, "truth": truth, "search": search}


def status(name: str) -> int:
    """Bytes of a line of /proc/self/status."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("vectors", type=Path, help="a file of token_vectors.py")
    parser.add_argument("--n", type=int, default=200_000)
    parser.add_argument("--budget-mib", type=int, default=512)
    parser.add_argument("--asked", type=int, default=50, help="queries that recall is measured on")
    parser.add_argument("--singles", type=int, default=200, help="queries that are timed")
    parser.add_argument("--keep", type=Path, help="where the collection goes, and stays")
    parser.add_argument("--steps", nargs="*", choices=list(STEPS), default=list(STEPS))
    parser.add_argument("--limit", type=int, default=7200, help="seconds for one step")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "scale.json")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bigrain-scale-") as temporary:
        folder = options.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        given = maxsim.documents(options.vectors)
        np.save(folder / "sample.npy", given.values[:SAMPLE])
        task = {
            "vectors": str(options.vectors.resolve()),
            "sample": str(folder / "sample.npy"),
            "truth": str(folder / f"truth-{options.n}.npz"),
            "folder": str(folder / f"documents-{options.n}.grain"),
            "n": options.n,
            "asked": options.asked,
            "singles": options.singles,
            "budget_mib": options.budget_mib,
        }
        result: dict[str, Any] = {
            "documents": options.n,
            "tokens a document": TOKENS,
            "dim": given.dim,
            "budget MiB": options.budget_mib,
        }
        for step in options.steps:
            result[step] = process(Path(__file__), sys.executable, task | {"phase": step},
                                   options.limit)  # fmt: skip
            print(step, json.dumps(result[step]), flush=True)
            if "failed" in result[step]:
                break
    options.out.parent.mkdir(parents=True, exist_ok=True)
    save(options.out, result)


if __name__ == "__main__":
    if len(sys.argv) == 3 and sys.argv[1].endswith("task.json"):
        asked_for = json.loads(Path(sys.argv[1]).read_text())
        Path(sys.argv[2]).write_text(json.dumps(STEPS[asked_for["phase"]](asked_for)))
    else:
        main()
