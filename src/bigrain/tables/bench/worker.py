"""Trains jobs one after the other, each in a process of its own that is forked from this one.

So torch is imported and data is read once. Run as a module: each line read is a job as JSON, each
line printed its record, or {"error": why}. Single-threaded, as what forks must be.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import torch

from bigrain.tables.bench.data import load_data
from bigrain.tables.bench.job import Job
from bigrain.tables.bench.training import train, warm_up


def main() -> None:
    """Train what standard input asks for, until it ends."""
    torch.set_num_threads(1)
    warm_up()
    held, data = None, None
    for line in sys.stdin:
        job = Job(**json.loads(line))
        wanted = (job.data, job.folder, job.data_options)
        if held != wanted:
            folder = Path(job.folder) if job.folder else None
            held, data = wanted, load_data(job.data, folder, job.data_options)
        child = os.fork()
        if child == 0:
            _say(train(job, data))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if status:
            _say({"error": f"training ended with {_told(status)}"})


def _told(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    return f"signal {-code}" if code < 0 else f"exit code {code}"


def _say(record: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(record) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
