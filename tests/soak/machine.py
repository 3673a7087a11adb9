"""The state machine of `bigrain.testing.machine` for a few minutes.

    python tests/soak/machine.py [--minutes 4] [--examples 2000] [--steps 40] [--seed N]

Stops at the number of examples or after the minutes, whichever comes first; in half of the
examples builders spill early. Writes benchmarks/trust/results/machine.json; exit code 1 and a
history that replays the failure if collection and model ever disagree.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from common import save  # noqa: E402
from hypothesis import HealthCheck, Phase, seed, settings  # noqa: E402
from hypothesis.stateful import run_state_machine_as_test  # noqa: E402

from bigrain.testing.machine import CollectionMachine  # noqa: E402
from bigrain.writing import merging  # noqa: E402

PER_RUN = 20

counts: Counter[str] = Counter()


class Counted(CollectionMachine):
    """Adds up what its histories have seen."""

    def __init__(self) -> None:
        counts["examples"] += 1
        super().__init__()

    def teardown(self) -> None:
        counts.update(self.tally)
        super().teardown()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=4)
    parser.add_argument("--examples", type=int, default=2000)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/trust/results/machine.json")
    given = parser.parse_args()
    merging.FAN_IN = 3  # merges after commits happen often
    began, failure = time.monotonic(), None
    runs = 0
    while counts["examples"] < given.examples and time.monotonic() < began + given.minutes * 60:
        Counted.spill_early = runs % 2 == 1
        machine = seed(given.seed + runs)(Counted)
        try:
            run_state_machine_as_test(
                machine,
                settings=settings(
                    max_examples=min(PER_RUN, given.examples - counts["examples"]),
                    stateful_step_count=given.steps,
                    deadline=None,
                    database=None,
                    print_blob=False,
                    phases=[Phase.generate],
                    suppress_health_check=list(HealthCheck),
                ),
            )
        except Exception as error:
            failure = f"seed {given.seed + runs}: {type(error).__name__}: {error}"
            traceback.print_exc()
            break
        runs += 1
    result = {
        "seed": given.seed,
        "seconds": round(time.monotonic() - began),
        **counts,
        "failure": failure,
    }
    given.out.parent.mkdir(parents=True, exist_ok=True)
    save(given.out, result)
    print(f"{counts['examples']:,} examples, {counts['steps']:,} steps, failure: {failure}")
    return 1 if failure else 0


if __name__ == "__main__":
    sys.exit(main())
