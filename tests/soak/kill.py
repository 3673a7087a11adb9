"""kill -9 in the middle of everything, a few thousand times.

    python tests/soak/kill.py [--rounds 2000] [--minutes 30] [--seed N]

A writer is killed at a random moment of each round while two other processes read. Writes
benchmarks/trust/results/kill.json; exit code 1 if anything acknowledged was lost, any snapshot was
seen torn, or a reader met an error.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from common import save  # noqa: E402

from tests.storage.killing import Arena  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=2000)
    parser.add_argument("--minutes", type=float, default=30, help="stop after these, rounds or not")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/trust/results/kill.json")
    given = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="bigrain-kill-") as folder:
        with Arena(Path(folder), given.seed) as arena:
            for _ in range(given.rounds):
                if time.monotonic() > began + given.minutes * 60:
                    break
                arena.round()
            arena.clear_up()
    figures = arena.figures
    steps: dict[str, Counter[str]] = {}
    for phase, times in figures.killed_during.items():
        step, _, operation = phase.partition(": ")
        steps.setdefault(step, Counter())[operation] += times
    result = {
        "seed": given.seed,
        "seconds": round(time.monotonic() - began),
        "rounds": figures.rounds,
        "acknowledged commits": figures.acknowledged,
        "acknowledged commits lost": len(figures.lost),
        "torn snapshots": len(figures.torn),
        "errors of readers and writers": len(figures.errors),
        "commits found that nobody had acknowledged yet": figures.in_flight_kept,
        "looks of readers": figures.looks,
        "snapshots seen by readers": figures.snapshots_seen,
        "killed during": {
            step: {"kills": sum(ops.values()), **dict(ops.most_common())}
            for step, ops in sorted(steps.items(), key=lambda pair: -sum(pair[1].values()))
        },
        "found": (figures.lost + figures.torn + figures.errors)[:20],
    }
    given.out.parent.mkdir(parents=True, exist_ok=True)
    save(given.out, result)
    for found in result["found"]:
        print(found, file=sys.stderr)
    print(
        f"{figures.rounds:,} rounds, {figures.acknowledged:,} acknowledged commits, "
        f"{len(figures.lost)} lost, {len(figures.torn)} torn, {len(figures.errors)} errors"
    )
    return 1 if result["found"] else 0


if __name__ == "__main__":
    sys.exit(main())
