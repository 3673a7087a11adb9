"""Many jobs, one JSON record a file; what is there already is not done again."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from bigrain.errors import ConfigError
from bigrain.progress import ProgressLike, reporting
from bigrain.tables import names, need_torch
from bigrain.tables.bench.job import Job, run_job

__all__ = ["RATES", "SEARCHES", "jobs", "read_records", "run_jobs"]

RATES = (0.5, 0.1, 0.01, 0.001)
# Shorter searches than the papers', so that a comparison of all methods stays affordable.
SEARCHES: dict[str, dict[str, Any]] = {
    "optembed.v1": {"generations": 6, "mutations": 6, "crossovers": 6, "parents": 8},
}


def jobs(
    methods: Sequence[str] | None,
    rates: Sequence[float],
    seeds: int,
    **settings: Any,
) -> list[Job]:
    """Every method at every rate and seed, all seeds of the first rate first; the full table once
    a seed."""
    wanted = [name for name in methods or names() if name != "full.v1"]
    found = [Job("full.v1", 1.0, seed, **settings) for seed in range(seeds)]
    for rate in rates:
        for seed in range(seeds):
            found += [
                Job(name, rate, seed, options=SEARCHES.get(name, {}), **settings) for name in wanted
            ]
    return found


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
    with reporting(progress) as reporter:
        reporter.stage("training tables", len(todo), "tables")
        for job in todo:
            path = folder / f"{job.name}.json"
            if not path.exists():
                if not more():
                    break
                record = run_job(job)
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
