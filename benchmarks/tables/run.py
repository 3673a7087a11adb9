"""Every compressed embedding table on the same data, at four budgets and three seeds.

    python benchmarks/tables/run.py SET [--minutes 60] [--seeds 3] [--method NAME ...]
    python benchmarks/tables/run.py SET --report

SET is one of SETS below. Each run leaves a record in results/SET/; a later call does what is
missing and stops to begin runs after --minutes, so hours can be split. --report writes
results/SET.json and results/SET.png from the records that are there.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import DATA, save

from bigrain.tables.bench.grid import RATES, jobs, read_records, run_jobs
from bigrain.tables.bench.report import best_at, pareto, plot, recommendations, summary

HERE = Path(__file__).parent / "results"
HERE.mkdir(exist_ok=True)
SETS: dict[str, dict[str, Any]] = {
    "arxiv-authors": {
        "data": "arxiv-authors", "folder": str(DATA / "arxiv-authors"), "model": "bag",
        "dim": 16, "batch": 1024, "learning_rate": 1e-2, "epochs": 12, "patience": 20,
    },
    **{
        f"movielens-{model}": {
            "data": "movielens-small", "folder": str(DATA / "movielens-small"), "model": model,
            "dim": 16, "batch": 512, "epochs": 6,
        }
        for model in ("dlrm", "wide_deep", "cross", "deepfm")
    },
    **{
        f"zipf-{skew:g}": {
            "data": "generated", "model": "dlrm", "dim": 16, "batch": 512, "epochs": 6,
            "data_options": {"rows": 100_000, "vocabulary": 50_000, "fields": 4, "skew": skew},
        }
        for skew in (0.6, 1.1, 1.6)
    },
}  # fmt: skip


def report(name: str) -> None:
    rows = summary(read_records(HERE / name))
    if not rows:
        print("no records yet")
        return
    front = {(row.method, row.rate) for row in pareto(rows)}
    found = {
        "set": name,
        "settings": {key: value for key, value in SETS[name].items() if key != "folder"},
        "rows": [
            {k: None if v != v else v for k, v in asdict(row).items()}
            | {"pareto": (row.method, row.rate) in front}
            for row in rows
        ],
        "recommendations": recommendations(rows),
    }
    save(HERE / f"{name}.json", found)
    plot(rows, HERE / f"{name}.png", f"{name}: score against bytes, 95 % intervals over seeds")
    for rate, group in best_at(rows).items():
        print(f"{rate:g}: " + ", ".join(f"{row.method} {row.score:.4f}" for row in group))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("set", choices=SETS)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--method", action="append")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--report", action="store_true")
    given = parser.parse_args()
    if not given.report:
        end = time.monotonic() + 60 * given.minutes
        wanted = jobs(given.method, RATES, given.seeds, **SETS[given.set])
        done = run_jobs(wanted, HERE / given.set, more=lambda: time.monotonic() < end)
        print(f"{len(done)} of {len(wanted)} runs have a record")
    report(given.set)


if __name__ == "__main__":
    main()
