"""Methods whose point is to be small are small while they train, not only in the file."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

ROWS, DIM = 2_000_000, 32
FULL = 4 * ROWS * DIM
BUDGETS = {
    name: FULL // 20
    for name in (
        "adapt.v1", "compositional.v1", "dhe.v1", "hash.v1", "mde.v1", "robe.v1", "tt_rec.v1",
        "unified.v1",
    )
}  # fmt: skip
BUDGETS["alpt.v1"] = FULL // 3
BUDGETS["full.v1"] = 2 * FULL
# Each method in a fork of its own, which begins with the memory of the imports alone.
SCRIPT = f"""
import json, os, resource, torch
from bigrain import tables

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

def train(name, rows, budget):
    table = tables.create(name, rows, {DIM}, budget_bytes=budget, frequencies="falling")
    ids = torch.arange(0, rows, rows // 256)
    parameters = list(table.parameters()) or [torch.zeros(1, requires_grad=True)]
    for step in table.schedule(steps=2):
        step.update(table(ids).square().sum(), torch.optim.SGD(parameters, lr=0.1))

torch.set_num_threads(1)
train("full.v1", 4096, None)
for name, budget in {BUDGETS!r}.items():
    child = os.fork()
    if not child:
        train(name, 4096, 4 * 4096 * {DIM} + 9999)  # whatever code it needs is loaded
        before = peak()
        train(name, {ROWS}, budget)
        print(json.dumps([name, peak() - before]), flush=True)
        os._exit(0)
    os.waitpid(child, 0)
"""


def test_there_is_no_full_table_while_training() -> None:
    source = Path(__file__).parents[2] / "src"
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        capture_output=True, text=True, env={"PYTHONPATH": str(source), "PATH": ""},
    )  # fmt: skip
    grown = dict(json.loads(line) for line in run.stdout.splitlines())
    assert grown.keys() == BUDGETS.keys(), run.stderr
    assert grown.pop("full.v1") > FULL  # the measurement sees one
    assert max(grown.values()) < FULL // 2, grown
