"""The learning rate and the options that run.py uses, by scores on validation rows.

    python benchmarks/tables/tune.py SET

The rule: the learning rate of RATES with which the full table scores best is that of all methods;
then each of OPTIONS takes the value that scores best at a tenth of the bytes, one after the other.
The seed is one that run.py does not use, and test rows decide nothing.
results/SET.chosen.json has what was chosen and all that was tried.
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
OPTIONS: dict[str, dict[str, tuple[Any, ...]]] = {
    "compositional.v1": {"remainder_std": (1.0, 0.3, 0.1)},
    "dedup.v1": {"tolerance": (0.01, 0.03, 0.1)},
    "dpq.v1": {"commitment": (1.0, 0.25)},
    "mgqe.v1": {"commitment": (1.0, 0.25)},
    "robe.v1": {"chunk": (1, 4)},
    "unified.v1": {"hashes": (1, 2, 4)},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("set", choices=SETS)
    given = parser.parse_args()
    tried: list[dict[str, Any]] = []
    settings = dict(SETS[given.set])

    with Worker() as worker:

        def score(method: str, rate: float, learning_rate: float, options: dict[str, Any]) -> float:
            told = {**settings, "learning_rate": learning_rate, "options": options}
            found = float(worker.run(job_of(method, rate, SEED, told))["validation"])
            tried.append(
                {"method": method, "learning_rate": learning_rate, **options, "validation": found}
            )
            print(json.dumps(tried[-1]), flush=True)
            return found

        best = max(RATES, key=lambda rate: score("full.v1", 1, rate, {}))
        chosen: dict[str, dict[str, Any]] = {}
        for method, all_values in OPTIONS.items():
            chosen[method] = {}
            for option, values in all_values.items():
                others = [{**chosen[method], option: value} for value in values]
                chosen[method] = max(others, key=lambda o: score(method, RATE, best, o))
    path = HERE / f"{given.set}.chosen.json"
    told = {"set": given.set, "seed": SEED, "learning_rate": best, "options": chosen}
    save(path, {**told, "tried": tried})


if __name__ == "__main__":
    main()
