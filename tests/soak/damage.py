"""Many mutations of every file of a collection; none may deceive anybody.

    python tests/soak/damage.py [--count 50000] [--seed N]

Writes benchmarks/trust/results/damage.json: for each kind of file, how many mutations were noticed
when the collection was opened, when it was used, by `verify` alone, when it was written to, and
how many changed bytes that nothing reads. Exits with 1 if one of them deceived anybody.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from common import save  # noqa: E402

from bigrain.storage.schema import FORMAT_VERSION  # noqa: E402
from tests.storage.damage import LogTrial, Trial, headers, mutation, values  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(description="Change bytes and look whether anybody notices.")
    parser.add_argument("--count", type=int, default=50_000, help="random mutations")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rows", type=int, default=8, help="rows of each table changed by SQL")
    parser.add_argument("--folder", type=Path, default=None, help="where to work; fast is better")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/trust/results/damage.json")
    given = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        trial = Trial(Path(folder), write=True)
        rng = np.random.default_rng(given.seed)
        files = trial.files()
        for change in values(trial.sound, rng, given.rows):
            trial.run(change)
        for file in files:
            for change in headers(file, trial.sound):
                trial.run(change)
        for i in range(given.count):
            at = 0 if rng.random() < 0.5 else int(rng.integers(1, len(files)))
            trial.run(mutation(rng, files[at], trial.sound))
            if (i + 1) % 1000 == 0:
                n_failures = len(trial.outcome.failures)
                print(f"{i + 1:,} of {given.count:,}, {n_failures} failures", flush=True)
        log = LogTrial(Path(folder) / "log")
        for _ in range(given.count // 10):
            log.run(rng)
    result = {
        "what": "mutations of a collection's files, and how each was noticed",
        "format": FORMAT_VERSION,
        "seed": given.seed,
        "mutations": sum(trial.outcome.ended.values()),
        "seconds": round(time.monotonic() - began),
        **trial.outcome.to_dict(),
        "log of a killed writer": {"mutations": log.ended.total(), **log.ended},
    }
    given.out.parent.mkdir(parents=True, exist_ok=True)
    save(given.out, result)
    for failure in trial.outcome.failures[:20]:
        print(failure)
    print(f"{result['mutations']:,} mutations, {len(trial.outcome.failures)} failures")
    return 1 if trial.outcome.failures else 0


if __name__ == "__main__":
    sys.exit(main())
