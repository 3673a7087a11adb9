"""One system in one process: builds its index, or searches it, and writes what it measured.

    python worker.py TASK.json RESULT.json

`peers.py` writes the task. The process is pinned to one core and imports nothing but NumPy and the
system itself. CPU time is that of the whole process, user and kernel.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
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
from maxsim import Tokens, documents, queries  # noqa: E402

K = 10
LEAST = 20  # that are asked whatever they take
WARM = 10


def build(system: Any, folder: Path) -> dict[str, Any]:
    given = documents(TASK["vectors"], TASK["n"])
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
        "peak_growth_bytes": peak.bytes - before,
        "index_bytes": sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()),
        "load_before": round(os.getloadavg()[0], 1),
    }
    (folder / "build.json").write_text(json.dumps(result))
    return result


def affordable(system: Any, asked: list[Any]) -> int:
    """How many of the queries so many seconds hold, in a batch or alone."""
    few = asked[:WARM]
    for query in few[:2]:
        system.single(query, K)
    clock = Clock()
    for query in few:
        system.single(query, K)
    each = clock.read()[0] / len(few)
    return min(len(asked), max(LEAST, int(TASK["seconds"] / max(each, 1e-9))))


def batch(system: Any, asked: list[Any]) -> tuple[list[list[int]], dict[str, float]]:
    """The answers, and microseconds a query of the best run."""
    walls, cpus = [], []
    for _ in range(TASK["repeats"]):
        clock = Clock()
        found = system.search(asked, K)
        wall, cpu = clock.read()
        walls.append(wall)
        cpus.append(cpu)
        if wall > TASK["seconds"] / 2:
            break
    n = len(asked)
    return system.ids(found), {"wall_us": 1e6 * min(walls) / n, "cpu_us": 1e6 * min(cpus) / n}


def single(ask: Callable[[Any, int], Any], asked: list[Any]) -> dict[str, float]:
    walls, cpus = [], []
    for query in asked:
        clock = Clock()
        ask(query, K)
        wall, cpu = clock.read()
        walls.append(wall)
        cpus.append(cpu)
    return percentiles(walls, cpus)


def rehearse(name: str, dim: int) -> None:
    """Build and search a small collection, so that what is loaded for any is not counted."""
    rng = np.random.default_rng(7)
    values = rng.standard_normal((3000, dim), dtype=np.float32)
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    system = make(name)
    system.once()
    with tempfile.TemporaryDirectory(prefix="bigrain-rehearsal-") as folder:
        system.build(Tokens(values, np.arange(301) * 10), Path(folder))
        system.open(Path(folder))
        system.setting = system.ladder()[0]
        system.single(system.prepare([values[:10]])[0], K)
        system.close()
    del system, values
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # what it freed must not hold the real index unseen


def search(system: Any, folder: Path) -> dict[str, Any]:
    before = resident()
    clock = Clock()
    system.open(folder)
    opened, wall = resident(), clock.read()[0]
    given = queries(TASK["vectors"], TASK["asked"])
    asked = list(system.prepare([given.row(i) for i in range(given.n)]))
    ladder = system.ladder()
    started = resident()
    for setting in ladder:  # every page that a search needs is touched before memory is read
        system.setting, clock = setting, Clock()
        for query in asked[: TASK["singles"]]:
            if clock.read()[0] < TASK["seconds"] / 2:
                system.single(query, K)
    searched = resident()
    points = []
    for setting in ladder:
        system.setting = setting
        n = affordable(system, asked)
        found, times = batch(system, asked[:n])
        point = {"setting": setting, "asked": n, "batch": times}
        some = asked[: min(n, TASK["singles"])]
        point["single"] = single(system.single, some)
        for name, ask in system.others().items():
            point[f"single {name}"] = single(ask, some)
        points.append(rounded(point) | {"found": found})
    after = resident()
    held = {key: started[key] - opened[key] for key in before}  # queries are not the system's

    def growth(now: dict[str, int], own: dict[str, int]) -> dict[str, int]:
        return {key: now[key] - before[key] - own[key] for key in before}

    return {
        "open_s": round(wall, 3),
        "resident": {
            "opened": growth(opened, dict.fromkeys(before, 0)),
            "single": growth(searched, held),
            "batch": growth(after, held),
        },
        "points": points,
    }


def version(system: Any) -> str:
    try:
        return metadata.version(system.package)
    except metadata.PackageNotFoundError:  # run from source
        return str(getattr(sys.modules[system.module], "__version__", "?"))


def main() -> None:
    system = make(TASK["system"])
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
        result |= build(system, folder)
    else:
        rehearse(TASK["system"], TASK["dim"])
        result |= search(system, folder)
        system.close()
    target.write_text(
        json.dumps(result | {"version": version(system), "describes": system.describes})
    )


if __name__ == "__main__":
    main()
