"""The power goes after every single write, in every way that the model of a disk knows.

    python tests/soak/power.py [--every 1] [--singles 40] [--torn 12] [--seed N]

Each workload of tests/collection/power.py is recorded once and replayed up to each of its events;
see bigrain.testing.power for what may happen to what was not synced. Writes
benchmarks/trust/results/power.json; exit code 1 if an image held neither the old nor the new
snapshot, or lacked an acknowledged one.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from common import save  # noqa: E402

from bigrain.testing.power import images  # noqa: E402
from tests.collection.power import WORKLOADS, Judge, record  # noqa: E402


def explore(name: str, scratch: Path, given: argparse.Namespace) -> dict[str, Any]:
    """Replay one workload; its figures."""
    began = time.monotonic()
    story = record(scratch / name, name)
    judge = Judge(story, scratch, write_every=5)
    failures: list[str] = []
    choices = {"singles": given.singles, "torn": given.torn, "seed": given.seed}
    points = set()
    for image in images(story.start, story.events, every=given.every, **choices):
        points.add(image.point)
        try:
            judge.judge(image)
        except Exception as error:
            notes = "; ".join(getattr(error, "__notes__", []))
            failures.append(f"{type(error).__name__}: {error} [{notes}]")
            traceback.print_exc()
    changes = Counter(event.kind for event in story.events if event.kind != "mark")
    return {
        "operations recorded": sum(changes.values()),
        "of which": dict(changes.most_common()),
        "commits": len(story.states) - 1,
        "prefixes replayed": len(points),
        "images replayed": sum(judge.replayed.values()) + len(failures),
        "by choice": dict(judge.replayed),
        "different images opened": judge.opened,
        "opened to the last acknowledged snapshot": judge.found["old"],
        "opened to the one being committed": judge.found["new"],
        "failures": len(failures),
        "first failures": failures[:5],
        "seconds": round(time.monotonic() - began),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--every", type=int, default=1, help="take each n-th point")
    parser.add_argument("--singles", type=int, default=40, help="parts dropped, and alone, a point")
    parser.add_argument("--torn", type=int, default=12, help="random torn choices a point")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/trust/results/power.json")
    given = parser.parse_args()
    workloads: dict[str, dict[str, Any]] = {}
    total: dict[str, int] = {}
    with tempfile.TemporaryDirectory(prefix="bigrain-power-") as folder:
        for name in WORKLOADS:
            workloads[name] = explore(name, Path(folder), given)
            print(name, {k: v for k, v in workloads[name].items() if isinstance(v, int)})
            total = {
                key: sum(figures[key] for figures in workloads.values())
                for key, value in workloads["create"].items()
                if isinstance(value, int)
            }
            save(
                given.out,
                {
                    "seed": given.seed,
                    "every": given.every,
                    **total,
                    "acknowledged commits lost, or snapshots torn": total["failures"],
                    "workloads": workloads,
                },
            )
    return 1 if total["failures"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
