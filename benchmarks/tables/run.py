"""Every compressed embedding table on the same data, at four budgets and three seeds.

    python benchmarks/tables/run.py SET [--minutes 60] [--seeds 3] [--method NAME] [--rate R]
    python benchmarks/tables/run.py SET --report

SET is one of SETS below. The learning rate and the options of the methods are those that tune.py
chose on validation rows, for this set or the one in CHOSEN_ON. Each run leaves a record in
results/SET/; a later call does what is missing and stops to begin runs after --minutes, so hours
can be split. --report writes results/SET.json, results/SET.png and the table in
benchmarks/README.md from the records that are there.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import DATA, save
from reporting import into_page, markdown_table

from bigrain.tables.bench.grid import RATES, jobs, read_records, run_jobs
from bigrain.tables.bench.job import Job
from bigrain.tables.bench.report import Row, pareto, plot, recommendations, summary

HERE = Path(__file__).parent / "results"
HERE.mkdir(exist_ok=True)
ORDER = (0.1, 0.01, 0.001, 0.5)  # the rates, what is wanted most first
SETS: dict[str, dict[str, Any]] = {
    **{
        f"arxiv-authors{short}": {
            "data": "arxiv-authors", "folder": str(DATA / "arxiv-authors"), "model": "bag",
            "dim": 16, "batch": batch, "epochs": 3, "checks": 3, "patience": 9,
        }
        for short, batch in (("", 512), ("-short", 2048))
    },
    **{
        f"movielens-{model}": {
            "data": "movielens-small", "folder": str(DATA / "movielens-small"), "model": model,
            "dim": 16, "batch": 1024, "epochs": 5, "checks": 2,
        }
        for model in ("dlrm", "wide_deep", "cross", "deepfm")
    },
    **{
        f"zipf-{skew:g}": {
            "data": "generated", "model": "dlrm", "dim": 16, "batch": 1024, "epochs": 4,
            "checks": 2,
            "data_options": {"rows": 100_000, "vocabulary": 50_000, "fields": 4, "skew": skew},
        }
        for skew in (0.6, 1.1, 1.6)
    },
}  # fmt: skip

# Training costs the bytes times the ids of each batch: too long for a comparison.
LEFT_OUT = {
    *((f"arxiv-authors{short}", "dhe.v1", rate) for short in ("", "-short") for rate in (0.5, 0.1))
}
CHOSEN_ON = {
    **{f"movielens-{model}": "movielens-dlrm" for model in ("wide_deep", "cross", "deepfm")},
    **{f"zipf-{skew:g}": "zipf-1.1" for skew in (0.6, 1.6)},
}


def chosen(name: str) -> dict[str, Any]:
    """What tune.py wrote."""
    path = HERE / f"{CHOSEN_ON.get(name, name)}.chosen.json"
    told: dict[str, Any] = json.loads(path.read_text())
    return told


def wanted(
    name: str, methods: list[str] | None, seeds: int, at: Sequence[float] = ORDER
) -> list[Job]:
    """The jobs of a set, with the settings that tune.py chose."""
    known = chosen(name)
    settings = {**SETS[name], "learning_rate": known["learning_rate"]}
    own = {method: {"options": given} for method, given in known["options"].items()}
    return [
        job
        for job in jobs(methods, at, seeds, own, **settings)
        if (name, job.method, job.rate) not in LEFT_OUT
    ]


def page_table(rows: list[Row]) -> str:
    """Scores at every rate that was run, and what a tenth of the bytes (a half, with *) costs."""
    found = {(row.method, row.rate): row for row in rows}
    rates = [rate for rate in RATES if any(row.rate == rate for row in rows)]
    head = (
        "method", *(f"1/{1 / rate:g}" for rate in rates), "achieved", "log loss", "training s",
        "peak MiB", "seeds",
    )  # fmt: skip
    lines = []
    for method in sorted({row.method for row in rows}, key=lambda name: (name != "full.v1", name)):
        star = (method, 0.1) not in found and method != "full.v1"
        row = found.get((method, 1.0)) or found.get((method, 0.5 if star else 0.1))
        if row is None:
            continue
        each = [found.get((method, rate)) for rate in rates]
        scores = (
            [told(row)] + [""] * (len(rates) - 1)
            if method == "full.v1"
            else [told(one) for one in each]
        )
        lines.append(
            [
                method.removesuffix(".v1") + ("*" if star else ""), *scores,
                f"{row.achieved_rate:.3f}", f"{row.log_loss:.3f}", f"{row.train_s:.1f}",
                f"{row.peak_training_bytes / 2**20:.0f}", f"{row.seeds}",
            ]
        )  # fmt: skip
    return markdown_table(head, lines)


def told(row: Row | None) -> str:
    if row is None:
        return "-"
    half = "" if row.interval != row.interval else f" ±{row.interval:.3f}"
    return f"{row.score:.4f}{half}"


def report(name: str) -> None:
    rows = summary(read_records(HERE / name))
    if not rows:
        print("no records yet")
        return
    front = {(row.method, row.rate) for row in pareto(rows)}
    found = {
        "set": name,
        "settings": {key: value for key, value in SETS[name].items() if key != "folder"}
        | {key: chosen(name)[key] for key in ("learning_rate", "options")},
        "rows": [
            {k: None if v != v else v for k, v in asdict(row).items()}
            | {"pareto": (row.method, row.rate) in front}
            for row in rows
        ],
        "recommendations": recommendations(rows),
    }
    save(HERE / f"{name}.json", found)
    plot(rows, HERE / f"{name}.png", f"{name}: score against bytes, 95 % intervals over seeds")
    page = page_table(rows)
    begin, end = (
        f"<!-- tables-{name}: written by tables/run.py -->",
        f"<!-- end of tables-{name} -->",
    )
    into_page(Path(__file__).parents[1] / "README.md", begin, end, page)
    print(page)
    print("\n".join(f"{purpose}: {what}" for purpose, what in found["recommendations"].items()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("set", choices=SETS)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--method", action="append")
    parser.add_argument("--rate", action="append", type=float, choices=ORDER)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--report", action="store_true")
    given = parser.parse_args()
    if not given.report:
        end = time.monotonic() + 60 * given.minutes
        todo = wanted(given.set, given.method, given.seeds, given.rate or ORDER)
        done = run_jobs(todo, HERE / given.set, more=lambda: time.monotonic() < end)
        print(f"{len(done)} of {len(todo)} runs have a record")
    report(given.set)


if __name__ == "__main__":
    main()
