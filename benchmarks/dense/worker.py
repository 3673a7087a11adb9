"""One system in one process: builds its index, or searches it, and writes what it measured.

    python worker.py TASK.json RESULT.json

`peers.py` writes the task. The process is pinned to as many cores as it may use threads, and
imports nothing but NumPy and the system itself. CPU time is that of the whole process, all
threads, user and kernel.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
from measuring import Clock, Peak, percentiles, pin, resident, rounded  # noqa: E402

TASK = json.loads(Path(sys.argv[1]).read_text()) if __name__ == "__main__" else {}
THREADS = int(TASK.get("threads", 1))
if TASK:
    pin(THREADS)
    os.environ["OPENBLAS_NUM_THREADS"] = "1" if TASK["phase"] != "build" else str(THREADS)

import numpy as np  # noqa: E402

sys.path.insert(0, str(Path(__file__).parent))
from adapters import make  # noqa: E402

Array = np.ndarray[Any, Any]
K, DEEP = 10, 100
BATCH_SECONDS = 4.0  # a slower batch is not repeated


def build(system: Any, folder: Path) -> dict[str, Any]:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with Peak() as peak:
        clock = Clock()
        system.build(folder)
        wall, cpu = clock.read()
    result = {
        "wall_s": round(wall, 2),
        "cpu_s": round(cpu, 2),
        "threads": THREADS,
        "peak_bytes": peak.bytes,
        "index_bytes": sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()),
    }
    (folder / "build.json").write_text(json.dumps(result))
    return result


def recall(ids: Array, truth: Array) -> float:
    """Share of the true K among the ids given."""
    hits = (ids[:, :, None] == truth[:, None, :K]).any(axis=1).sum()
    return round(float(hits) / (K * len(truth)), 4)


def batch(system: Any, queries: Array, repeats: int) -> tuple[Array, dict[str, float]]:
    """The answers, and seconds a query of the best run after one that warms up."""
    walls, cpus = [], []
    for run in range(repeats + 1):
        clock = Clock()
        found = system.search(queries, K)
        wall, cpu = clock.read()
        if run or wall > BATCH_SECONDS:
            walls.append(wall)
            cpus.append(cpu)
        if wall > BATCH_SECONDS:
            break
    n = len(queries)
    return system.ids(found), {"wall_us": 1e6 * min(walls) / n, "cpu_us": 1e6 * min(cpus) / n}


def single(ask: Callable[[Array], Any], queries: Array, before: Any = None) -> dict[str, float]:
    """Percentiles of one query at a time, in microseconds; `before` runs outside the clock."""
    walls, cpus = [], []
    for i in range(len(queries)):
        if before is not None:
            before()
        clock = Clock()
        ask(queries[i : i + 1])
        wall, cpu = clock.read()
        walls.append(wall)
        cpus.append(cpu)
    return percentiles(walls, cpus)


def search(system: Any, folder: Path, queries: Array, truth: Array) -> dict[str, Any]:
    before = resident()
    clock = Clock()
    system.open(folder)
    opened, wall = resident(), clock.read()[0]
    singles = queries[: TASK["singles"]]
    points: list[dict[str, Any]] = []
    ladder = system.ladder()
    for setting in ladder:  # every page that a search needs is touched before memory is read
        system.setting = setting
        for i in range(min(50, len(singles))):
            system.search(singles[i : i + 1], K)
    searched = resident()
    for setting in ladder:
        system.setting = setting
        ids, times = batch(system, queries, TASK["repeats"])
        point = {"setting": setting, "recall": recall(ids, truth), "batch": times}
        point["single"] = single(lambda q: system.search(q, K), singles)
        for name, ask in system.others().items():
            point[f"single {name}"] = single(lambda q, ask=ask: ask(q[0]), singles[:100])
        if TASK["deep"]:
            point["recall10@100"] = recall(system.ids(system.search(queries, DEEP)), truth)
        points.append(rounded(point))
        print(f"    {setting} recall {point['recall']:.4f}", flush=True)
    after = resident()
    n = system.n
    return {
        "open_s": round(wall, 3),
        "resident": {
            "opened": _growth(before, opened, n),
            "single": _growth(before, searched, n),
            "batch": _growth(before, after, n),
        },
        "points": points,
    }


def _growth(before: dict[str, int], after: dict[str, int], n: int) -> dict[str, float]:
    return {f"{key}_per_vector": round((after[key] - before[key]) / n, 1) for key in before}


def cold(system: Any, folder: Path, queries: Array) -> dict[str, Any]:
    """The settings asked for, with nothing of the verified files in the page cache."""
    system.open(folder)
    files = [f.resolve() for f in folder.rglob("*") if f.is_file()]
    files += [Path(TASK["vectors"]).resolve()]
    dropper = Dropper(files)
    points = []
    for setting in TASK["settings"]:
        system.setting = setting
        system.search(queries[:1], K)
        times = single(lambda q: system.search(q, K), queries, dropper)
        dropper()
        clock = Clock()
        system.search(queries, K)
        times["batch_wall_us"] = 1e6 * clock.read()[0] / len(queries)
        points.append(rounded({"setting": setting, **times}))
    return {"points": points}


class Dropper:
    """Drops files from the page cache, those that this process has mapped included."""

    def __init__(self, files: list[Path]) -> None:
        self.files = {str(f) for f in files}
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.libc.madvise.argtypes = [ctypes.c_size_t, ctypes.c_size_t, ctypes.c_int]

    def __call__(self) -> None:
        for line in Path("/proc/self/maps").read_text().splitlines():
            parts = line.split(None, 5)
            if len(parts) == 6 and parts[5] in self.files and "w" not in parts[1]:
                start, end = (int(x, 16) for x in parts[0].split("-"))
                self.libc.madvise(start, end - start, 4)  # MADV_DONTNEED: unmap the pages
        for path in self.files:
            handle = os.open(path, os.O_RDONLY)
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(handle)


def main() -> None:
    vectors = np.load(TASK["vectors"], mmap_mode="r")[: TASK["n"]]
    queries = np.load(TASK["queries"])[: TASK["asked"]].astype(np.float32)
    system = make(TASK["system"], vectors, THREADS)
    target, folder = Path(sys.argv[2]), Path(TASK["folder"])
    try:
        __import__(system.module)
    except ImportError as error:
        target.write_text(json.dumps({"missing": f"{error}; pip install {system.package}"}))
        return
    try:
        version = metadata.version(system.package)
    except metadata.PackageNotFoundError:  # run from source
        version = str(getattr(sys.modules[system.module], "__version__", "?"))
    result: dict[str, Any] = {
        "version": version,
        "describes": system.describes,
        "verifies_from_disk": system.verifies_from_disk,
        "load_before": round(os.getloadavg()[0], 1),
    }
    if TASK["phase"] == "build":
        result |= build(system, folder)
    elif TASK["phase"] == "cold":
        result |= cold(system, folder, queries)
        system.close()
    else:
        result |= search(system, folder, queries, np.load(TASK["truth"])[: TASK["asked"]])
        system.close()
    target.write_text(json.dumps(result))


if __name__ == "__main__":
    main()
