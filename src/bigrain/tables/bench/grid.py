"""Many jobs, one JSON record a file; what is there already is not done again."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bigrain.errors import ConfigError
from bigrain.progress import ProgressLike, reporting
from bigrain.tables import names, need_torch
from bigrain.tables.bench.job import Job, Worker

__all__ = ["RATES", "SEARCHES", "job_of", "jobs", "read_records", "run_jobs"]

RATES = (0.5, 0.1, 0.01, 0.001)
# Shorter searches than the papers', so that a comparison of all methods stays affordable.
SEARCHES: dict[str, dict[str, Any]] = {
    "optembed.v1": {"generations": 6, "mutations": 6, "crossovers": 6, "parents": 8},
}


def jobs(
    methods: Sequence[str] | None,
    rates: Sequence[float],
    seeds: int,
    chosen: Mapping[str, Mapping[str, Any]] | None = None,
    **settings: Any,
) -> list[Job]:
    """Every method at every rate, all of one seed before the next; the full table once a seed.

    `chosen` has settings of single methods that go before `settings`.
    """
    wanted = [name for name in methods or names() if name != "full.v1"]
    return [
        job_of(name, rate, seed, {**settings, **(chosen or {}).get(name, {})})
        for seed in range(seeds)
        for name, rate in [("full.v1", 1.0), *((name, rate) for rate in rates for name in wanted)]
    ]


def job_of(method: str, rate: float, seed: int, settings: Mapping[str, Any]) -> Job:
    """A job with the shorter searches of SEARCHES where `settings` says nothing else."""
    options = {**SEARCHES.get(method, {}), **settings.get("options", {})}
    return Job(method, rate, seed, **{**settings, "options": options})


def run_jobs(
    wanted: Iterable[Job],
    folder: Path,
    *,
    progress: ProgressLike = None,
    more: Callable[[], bool] = lambda: True,
) -> list[dict[str, Any]]:
    """Run what has no record in the folder yet, while `more()`; returns the records of all."""
    need_torch()
    todo = list(wanted)
    folder.mkdir(parents=True, exist_ok=True)
    records = []
    with reporting(progress) as reporter, Worker() as worker:
        reporter.stage("training tables", len(todo), "tables")
        for job in todo:
            path = folder / f"{job.name}.json"
            if not path.exists():
                if not more():
                    break
                record = worker.run(job)
                fresh = path.with_suffix(".part")
                fresh.write_text(json.dumps(record, indent=1) + "\n")
                os.replace(fresh, path)
            record = json.loads(path.read_text())
            if record["job"] != job.told():
                raise ConfigError(
                    f"{path} is the record of other settings than these; choose another folder"
                )
            records.append(record)
            reporter.advance()
    return records


def read_records(folder: Path) -> list[dict[str, Any]]:
    """All records of a folder, by name."""
    return [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
