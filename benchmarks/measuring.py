"""Measuring one system in one process: its cores, clocks, memory, and the process itself.

Imports nothing but the standard library, so that a worker can set how many threads libraries may
start before it imports them.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

THREAD_COUNTS = (
    "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS",
    "NUMBA_NUM_THREADS", "TOKIO_WORKER_THREADS", "LANCE_CPU_THREADS", "LANCE_IO_THREADS",
)  # fmt: skip


def pin(threads: int) -> None:
    """Give this process as many cores as it may use threads, and tell every library so."""
    os.environ.update(dict.fromkeys(THREAD_COUNTS, str(threads)))
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-threads:])


class Clock:
    """Wall and CPU seconds since it was made; CPU of all threads and of children that ended."""

    def __init__(self) -> None:
        self.wall, self.cpu = time.perf_counter(), _cpu()

    def read(self) -> tuple[float, float]:
        return time.perf_counter() - self.wall, _cpu() - self.cpu


def _cpu() -> float:
    kids = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + kids.ru_utime + kids.ru_stime


def resident() -> dict[str, int]:
    """Bytes of the process in memory: anonymous, and of mapped files."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    kib = {key: int(lines[key].split()[0]) for key in ("RssAnon", "RssFile", "RssShmem")}
    return {"anonymous": (kib["RssAnon"] + kib["RssShmem"]) * 1024, "files": kib["RssFile"] * 1024}


class Peak(threading.Thread):
    """The most anonymous memory seen while it watches, every 50 ms; files are not counted."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.bytes, self.done = 0, threading.Event()

    def run(self) -> None:
        while True:
            self.bytes = max(self.bytes, resident()["anonymous"])
            if self.done.wait(0.05):
                return

    def __enter__(self) -> Peak:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.done.set()
        self.join()


def percentiles(walls: list[float], cpus: list[float]) -> dict[str, float]:
    """p50, p99 and mean in microseconds of times in seconds."""
    import numpy as np

    out = {}
    for name, values in (("wall", walls), ("cpu", cpus)):
        out |= {
            f"{name}_p50_us": 1e6 * float(np.median(values)),
            f"{name}_p99_us": 1e6 * float(np.quantile(values, 0.99)),
            f"{name}_mean_us": 1e6 * float(np.mean(values)),
        }
    return out


def rounded(value: Any) -> Any:
    """The same, floats with four decimals below 10 and one above."""
    if isinstance(value, dict):
        return {key: rounded(v) for key, v in value.items()}
    return round(value, 4 if abs(value) < 10 else 1) if isinstance(value, float) else value


def process(worker: Path, python: str, task: dict[str, Any], limit: int) -> dict[str, Any]:
    """Run a worker on a task and read its answer; {"failed": why} if there is none."""
    with tempfile.TemporaryDirectory(prefix="bigrain-peer-") as folder:
        asked, answered, log = (Path(folder) / f for f in ("task.json", "answer.json", "log"))
        asked.write_text(json.dumps(task))
        command = [python, str(worker), str(asked), str(answered)]
        with log.open("w") as sink:
            try:
                done = subprocess.run(command, stdout=sink, stderr=sink, timeout=limit)
            except subprocess.TimeoutExpired:
                return {"failed": f"{task['phase']}: not done after {limit} s"}
        if done.returncode or not answered.exists():
            tail = log.read_text(errors="replace")[-500:]
            return {"failed": f"{task['phase']}: exit {done.returncode}: {tail}"}
        return json.loads(answered.read_text())
