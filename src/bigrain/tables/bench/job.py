"""One run of a comparison: what is trained, and the record that comes of it.

Each runs in a process of its own, so that its peak memory is its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass, field
from typing import Any

from bigrain.errors import ConfigError
from bigrain.tables import check_name

__all__ = ["Job", "run_job"]

MODELS = ("bag", "cross", "deepfm", "dlrm", "wide_deep")


@dataclass(frozen=True)
class Job:
    """A method at a budget of `rate` times the bytes of a full table, with a seed."""

    method: str
    rate: float
    seed: int
    data: str = "generated"
    folder: str | None = None
    data_options: dict[str, Any] = field(default_factory=dict)
    model: str = "dlrm"
    dim: int = 16
    batch: int = 256
    learning_rate: float = 5e-3
    epochs: float = 10.0  # at most
    checks: int = 4  # of the validation data an epoch
    patience: int = 8  # checks without a better score, after which a phase ends
    options: dict[str, Any] = field(default_factory=dict)  # of the method

    def __post_init__(self) -> None:
        check_name(self.method)
        if self.model not in MODELS:
            raise ConfigError(f"no model {self.model!r}; known: {', '.join(MODELS)}")
        if (self.model == "bag") != (self.data == "arxiv-authors"):
            raise ConfigError("arxiv-authors is for the model bag, other data for the others")
        if not self.rate > 0:
            raise ConfigError(f"rate must be above 0, not {self.rate}")

    def told(self) -> dict[str, Any]:
        """As records have it: without the folder, which differs between machines."""
        return {name: value for name, value in asdict(self).items() if name != "folder"}

    @property
    def name(self) -> str:
        """The name of its record."""
        return f"{self.data}-{self.model}-{self.method}-{self.rate:g}-{self.seed}"


def run_job(job: Job) -> dict[str, Any]:
    """Train in a new process; returns the record, or {"impossible": why} for its budget."""
    run = subprocess.run(
        [sys.executable, "-m", "bigrain.tables.bench.training", json.dumps(asdict(job))],
        capture_output=True,
        text=True,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
    )
    if run.returncode:
        last = run.stderr.strip().splitlines()[-1:] or [f"exit code {run.returncode}"]
        raise ConfigError(f"{job.name}: {last[0]}")
    record: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return record
