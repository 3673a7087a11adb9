"""One system in one process: builds its index, searches it, or answers judged sets.

    python worker.py TASK.json RESULT.json

`peers.py` writes the task. The process is pinned to one core and imports nothing but NumPy and the
system itself. CPU time is that of the whole process, user and kernel.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import sys
import tempfile
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
from measuring import Clock, Peak, percentiles, pin, resident, rounded  # noqa: E402

TASK = json.loads(Path(sys.argv[1]).read_text()) if __name__ == "__main__" else {}
if TASK:
    pin(1)

import numpy as np  # noqa: E402
from adapters import make  # noqa: E402
from adapters.base import Vectors  # noqa: E402
from reference import agreement  # noqa: E402

BATCH_SECONDS = 6.0  # a batch is cut to about this, and not repeated when it took as long
WARM_SECONDS = 3.0  # for one setting
LEAST = 20  # queries that are always asked


def documents(task: dict[str, Any]) -> Any:
    """All texts, or all vectors, in memory."""
    if task["track"] == "lexical":
        with Path(task["documents"]).open(encoding="utf-8") as lines:
            return [line.rstrip("\n") for line in lines]
    with np.load(task["documents"]) as stored:
        data, indices, indptr, shape = (
            stored[f"documents_{part}"] for part in ("data", "indices", "indptr", "shape")
        )
    n = task["n"]
    end = indptr[n]
    return Vectors(data[:end], indices[:end], indptr[: n + 1], (n, int(shape[1])))


def queries(task: dict[str, Any], path: str) -> list[Any]:
    """Texts, or (columns, weights)."""
    if task["track"] == "lexical":
        return json.loads(Path(path).read_text())[: task["asked"]]
    with np.load(path) as stored:
        data, indices, ends = (stored[f"queries_{part}"] for part in ("data", "indices", "indptr"))
    return [
        (indices[a:b].astype(np.int32), data[a:b])
        for a, b in zip(ends[:-1], ends[1 : task["asked"] + 1], strict=False)
    ]


def build(system: Any, given: Any, folder: Path) -> dict[str, Any]:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    before = resident()["anonymous"]
    with Peak() as peak:
        clock = Clock()
        system.build(given, folder)
        wall, cpu = clock.read()
    result = {
        "wall_s": round(wall, 2),
        "cpu_s": round(cpu, 2),
        "parts": {name: [round(s, 2) for s in both] for name, both in system.parts.items()},
        "peak_growth_bytes": peak.bytes - before,
        "index_bytes": system.index_bytes(folder),
        "folder_bytes": sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()),
        "load_before": round(os.getloadavg()[0], 1),
    }
    (folder / "build.json").write_text(json.dumps(result))
    return result


def affordable(system: Any, asked: list[Any], k: int) -> int:
    """How many of the queries a batch of BATCH_SECONDS holds."""
    clock = Clock()
    for query in asked[:LEAST]:
        system.single(query, k)
    each = clock.read()[0] / len(asked[:LEAST])
    return max(min(int(BATCH_SECONDS / max(each, 1e-9)), len(asked)), min(LEAST, len(asked)))


def batch(system: Any, asked: list[Any], k: int) -> tuple[list[list[int]], dict[str, float]]:
    """The answers, and microseconds a query of the best run."""
    walls, cpus = [], []
    for _ in range(TASK["repeats"]):
        clock = Clock()
        found = system.search(asked, k)
        wall, cpu = clock.read()
        walls.append(wall)
        cpus.append(cpu)
        if wall > BATCH_SECONDS / 2:
            break
    n = len(asked)
    return system.ids(found), {"wall_us": 1e6 * min(walls) / n, "cpu_us": 1e6 * min(cpus) / n}


def single(system: Any, asked: list[Any], k: int) -> dict[str, float]:
    walls, cpus = [], []
    for query in asked:
        clock = Clock()
        system.single(query, k)
        wall, cpu = clock.read()
        walls.append(wall)
        cpus.append(cpu)
    return percentiles(walls, cpus)


def search(system: Any, folder: Path) -> dict[str, Any]:
    before = resident()
    clock = Clock()
    system.open(folder)
    opened, wall = resident(), clock.read()[0]
    given = {name: queries(TASK, path) for name, path in TASK["sets"].items()}
    prepared = {name: list(system.prepare(asked)) for name, asked in given.items()}
    ladder, ks = system.ladder(), TASK["ks"]
    started = resident()
    for setting in ladder:  # every page that a search needs is touched before memory is read
        system.setting, clock = setting, Clock()
        for asked in prepared.values():
            for query in asked[: TASK["singles"]]:
                if clock.read()[0] < WARM_SECONDS:
                    system.single(query, max(ks))
    searched = resident()
    points = []
    for setting in ladder:
        system.setting = setting
        for name, asked in prepared.items():
            with np.load(TASK["truths"][name]) as stored:
                truth = dict(stored)
            for k in ks:
                n = affordable(system, asked, k)
                found, times = batch(system, asked[:n], k)
                point = {"setting": setting, "queries": name, "k": k, "asked": n, "batch": times}
                point["single"] = single(system, asked[: min(n, TASK["singles"])], k)
                point["agreement"] = agreement(found, truth, k)
                points.append(rounded(point))
                print(point, flush=True)
    after = resident()

    def growth(now: dict[str, int], own: dict[str, int]) -> dict[str, int]:
        return {key: now[key] - before[key] - own[key] for key in before}

    # Queries in memory are not the system's.
    none = dict.fromkeys(before, 0)
    held = {key: started[key] - opened[key] for key in before}
    return {
        "open_s": round(wall, 3),
        "resident": {
            "opened": growth(opened, none),
            "single": growth(searched, held),
            "batch": growth(after, held),
        },
        "points": points,
    }


def judged(system: Any) -> dict[str, list[list[int]]]:
    """The ten best of every query of small sets, each indexed in a folder of its own."""
    answers = {}
    for name, path in TASK["sets"].items():
        given = json.loads(Path(path).read_text())
        with tempfile.TemporaryDirectory(prefix="bigrain-judged-") as folder:
            system.build(given["documents"], Path(folder))
            system.open(Path(folder))
            system.setting = system.ladder()[0]
            answers[name] = system.ids(system.search(given["queries"], 10))
            system.close()
    return answers


def version(system: Any) -> str:
    try:
        return metadata.version(system.package)
    except metadata.PackageNotFoundError:  # of the standard library, or run from source
        if system.module == "sqlite3":
            return sqlite3.sqlite_version
        return str(getattr(sys.modules[system.module], "__version__", "?"))


def main() -> None:
    system = make(TASK["track"], TASK["system"], TASK["budget"])
    target, folder = Path(sys.argv[2]), Path(TASK["folder"])
    try:
        if find_spec(system.module) is None:
            raise ImportError(f"no module named {system.module!r}")
        system.once()
    except ImportError as error:
        target.write_text(json.dumps({"missing": f"{error}; pip install {system.package}"}))
        return
    result: dict[str, Any] = {"load_before": round(os.getloadavg()[0], 1)}
    if TASK["phase"] == "build":
        result |= build(system, documents(TASK), folder)
    elif TASK["phase"] == "search":
        result |= search(system, folder)
        system.close()
    else:
        result["answers"] = judged(system)
    target.write_text(
        json.dumps(result | {"version": version(system), "describes": system.describes})
    )


if __name__ == "__main__":
    main()
