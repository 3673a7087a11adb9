"""How long a row takes from each exported table, beside torch.nn.Embedding and a hashed table.

    python benchmarks/tables/lookups.py [--rate 0.1 | --report]

--report writes the table in benchmarks/README.md again, from results/lookups.json.

Tables of the size of arxiv-authors (265,694 x 16), at a tenth of the bytes where that can be met,
else at a half; trained for a few steps, since only their shape matters. Ids are drawn by Zipf's law
in batches of 1,024. Nanoseconds of processor time a row of one thread: the median over batches, the
least of ROUNDS rounds, so that other work on the machine counts little.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import save
from reporting import into_page, markdown_table

from bigrain import tables
from bigrain.errors import BudgetError

HERE = Path(__file__).parent / "results"
N, DIM, BATCH, BATCHES, ROUNDS, SKEW = 265_694, 16, 1024, 20, 25, 1.05
OPTIONS: dict[str, dict[str, Any]] = {
    **{
        name: {"bits": 8}
        for name in ("autodim.v1", "autosrh.v1", "deeplight.v1", "mde.v1", "pep.v1")
    },
    "optembed.v1": {"bits": 8, "generations": 0, "parents": 1},
}


def shaped(name: str, rate: float) -> Any:
    """A table through all its phases, a few steps each."""
    table = tables.create(
        name, N, DIM, budget_bytes=int(1.01 * rate * 4 * N * DIM),
        frequencies="falling", **OPTIONS.get(name, {}),
    )  # fmt: skip
    ids = torch.arange(0, N, 97)
    for step in table.schedule(steps=2, search_steps=2):
        if step.kind == "score":
            step.report(0.0)
            continue
        if step.renewed:
            parameters = list(table.parameters()) or [torch.zeros(1, requires_grad=True)]
            optimiser = torch.optim.SGD(parameters, lr=0.1)
        step.update((table(ids) - 1).square().mean(), optimiser)
    return table.eval()


def nanoseconds(lookup: Callable[[Any], Any], batches: Any) -> float:
    lookup(batches[0])
    rounds = []
    for _ in range(ROUNDS):
        taken = []
        for batch in batches:
            began = time.process_time_ns()
            lookup(batch)
            taken.append(time.process_time_ns() - began)
        rounds.append(float(np.median(taken)) / BATCH)
    return min(rounds)


def report(rows: list[dict[str, Any]]) -> None:
    lines = [
        [
            row["table"].removesuffix(".v1"),
            *(
                f"{row[key]:{shape}}" if row.get(key) is not None else "-"
                for key, shape in (
                    ("achieved_rate", ".3f"), ("numpy_ns", ".0f"), ("times_plain", ".1f"),
                    ("torch_ns", ".0f"),
                )
            ),
        ]
        for row in sorted(rows, key=lambda row: row.get("numpy_ns", 0.0))
    ]  # fmt: skip
    head = ("table", "of the bytes", "file, ns", "times plain", "torch module, ns")
    page = markdown_table(head, lines)
    begin = "<!-- tables-lookups: written by tables/lookups.py -->"
    into_page(
        Path(__file__).parents[1] / "README.md", begin, "<!-- end of tables-lookups -->", page
    )
    print(page)


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=0.1)
    parser.add_argument("--report", action="store_true")
    given = parser.parse_args()
    if given.report:
        return report(json.loads((HERE / "lookups.json").read_text())["rows"])
    torch.set_num_threads(1)
    p = np.arange(1, N + 1) ** -SKEW
    ids = np.random.default_rng(0).choice(N, (BATCHES, BATCH), p=p / p.sum())
    tensors = torch.from_numpy(ids)
    rows = [{"table": "torch.nn.Embedding", "torch_ns": nanoseconds(nn.Embedding(N, DIM), tensors)}]
    for name in sorted(tables.names(), key=lambda name: name != "full.v1"):
        for rate in (1.0,) if name == "full.v1" else (given.rate, 0.5):
            try:
                with torch.enable_grad():
                    table = shaped(name, rate)
                break
            except BudgetError:
                continue
        with tempfile.TemporaryDirectory() as folder:
            size = table.export(Path(folder) / "t.table")
            form = tables.load(Path(folder) / "t.table")
            found: dict[str, Any] = {
                "table": name,
                "achieved_rate": size / (4 * N * DIM),
                "numpy_ns": nanoseconds(form.lookup, ids),
                "torch_ns": nanoseconds(table, tensors),
            }
        rows.append(found)
        print(found, flush=True)
    plain = next(row["numpy_ns"] for row in rows if row["table"] == "full.v1")
    for row in rows:
        row["times_plain"] = row["numpy_ns"] / plain if "numpy_ns" in row else None
    save(HERE / "lookups.json", {"rows": rows})
    report(rows)


if __name__ == "__main__":
    main()
