"""One run of a comparison: what is trained, and the record that comes of it.

Each runs in a process of its own, so that its peak memory is its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass, field
from typing import Any

from bigrain.errors import ConfigError
from bigrain.tables import check_name

__all__ = ["Job", "Worker"]

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


class Worker:
    """Trains jobs in processes of their own; use it in a with block.

    A job that fails raises ConfigError with the last line that its process said.
    """

    def __enter__(self) -> Worker:
        return self

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._said = tempfile.TemporaryFile("w+")  # noqa: SIM115  closed in __exit__

    def run(self, job: Job) -> dict[str, Any]:
        """Its record, or {"impossible": why} where its budget cannot be met."""
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "bigrain.tables.bench.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._said,
                text=True,
                env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
            )
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None and stdout is not None
        stdin.write(json.dumps(asdict(job)) + "\n")
        stdin.flush()
        line = stdout.readline()
        record: dict[str, Any] = json.loads(line) if line else {"error": "the process has ended"}
        if "error" in record:
            self._said.seek(0)
            last = self._said.read().strip().splitlines()[-1:] or [record["error"]]
            raise ConfigError(f"{job.name}: {last[0]}")
        return record

    def __exit__(self, *error: object) -> None:
        if self._process is not None:
            if error[0] is not None:
                self._process.kill()
            self._process.communicate()
        self._said.close()
