"""The learning rate and the options that run.py uses, by scores on validation rows.

    python benchmarks/tables/tune.py SET

The rule: the learning rate of RATES with which the full table scores best is that of all methods;
then each of OPTIONS takes the value that scores best at a tenth of the bytes, one after the other
(at a half where no value gets down to a tenth). The seed is one that run.py does not use, and test
rows decide nothing. results/SET.chosen.json has what was chosen and all that was tried; a later
call does what is missing.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import save
from run import HERE, SETS

from bigrain.tables.bench.grid import job_of
from bigrain.tables.bench.job import Worker

SEED, RATE = 1000, 0.1
RATES = (0.01, 0.03, 0.1)
BITS = {"bits": (32, 8)}
OPTIONS: dict[str, dict[str, tuple[Any, ...]]] = {
    "autodim.v1": BITS,
    "autosrh.v1": BITS,
    "compositional.v1": {"remainder_std": (1.0, 0.3, 0.1)},
    "dedup.v1": {"tolerance": (0.01, 0.03, 0.1)},
    "deeplight.v1": BITS,
    "dpq.v1": {"commitment": (1.0, 0.25)},
    "mde.v1": BITS,
    "mgqe.v1": {"commitment": (1.0, 0.25)},
    "optembed.v1": BITS,
    "pep.v1": BITS,
    "robe.v1": {"chunk": (1, 4)},
    "unified.v1": {"hashes": (1, 2, 4)},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("set", choices=SETS)
    given = parser.parse_args()
    path = HERE / f"{given.set}.chosen.json"
    tried: list[dict[str, Any]] = json.loads(path.read_text())["tried"] if path.exists() else []
    settings = dict(SETS[given.set])
    best = 0.0
    chosen: dict[str, dict[str, Any]] = {}

    def keep() -> None:
        told = {"set": given.set, "seed": SEED, "batch": settings["batch"], "learning_rate": best}
        save(path, {**told, "options": chosen, "tried": tried})

    with Worker() as worker:

        def score(method: str, learning_rate: float, options: dict[str, Any]) -> tuple[bool, float]:
            """(whether the smaller budget is met, score on validation rows)."""
            asked = {"method": method, "batch": settings["batch"], "learning_rate": learning_rate}
            known = [one for one in tried if one["asked"] == asked | options]
            if not known:
                told = {**settings, "learning_rate": learning_rate, "options": options}
                for rate in (1.0,) if method == "full.v1" else (RATE, 0.5):
                    record = worker.run(job_of(method, rate, SEED, told))
                    if "validation" in record:
                        break
                found = float(record["validation"])
                known = [{"asked": asked | options, "rate": rate, "validation": found}]
                tried.append(known[0])
                print(json.dumps(known[0]), flush=True)
                keep()
            return known[0]["rate"] <= RATE, known[0]["validation"]

        best = max(RATES, key=lambda rate: score("full.v1", rate, {}))
        for method, all_values in OPTIONS.items():
            chosen[method] = {}
            for option, values in all_values.items():
                others = [{**chosen[method], option: value} for value in values]
                chosen[method] = max(others, key=lambda o: score(method, best, o))
    keep()


if __name__ == "__main__":
    main()
