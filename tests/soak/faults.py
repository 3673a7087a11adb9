"""Every operation on the disk fails, in each of four ways: at files and statements, and in SQLite.

    python tests/soak/faults.py [--every 1]

The workloads of tests/collection/faulting.py, each operation once and for good, with an error or a
full disk, with and without half a write left behind; afterwards two disks are looked at, one closed
in order and one as a killed process leaves it. Writes benchmarks/trust/results/faults.json; exit
code 1 if any of them held neither the old nor the new state.
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

from tests.collection.faulting import WAYS, WORKLOADS, Explorer  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--every", type=int, default=1, help="take each n-th operation")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/trust/results/faults.json")
    given = parser.parse_args()
    began = time.monotonic()
    results: dict[str, Any] = {}
    found: list[str] = []
    points = 0
    with tempfile.TemporaryDirectory(prefix="bigrain-faults-") as folder:
        for kind in ("file", "sqlite"):
            for workload in WORKLOADS:
                explorer = Explorer(Path(folder), kind, workload, write_every=5)
                for way in WAYS:
                    for error in explorer.failures([way], every=given.every):
                        traceback.print_exception(error)
                        notes = "; ".join(getattr(error, "__notes__", []))
                        found.append(f"{workload}: {type(error).__name__}: {error} [{notes}]")
                points += len(explorer.failed)
                operations = Counter(operation.split()[0] for operation in explorer.failed)
                results.setdefault(kind, {})[workload] = {
                    "points": len(explorer.failed),
                    "by operation": dict(operations.most_common()),
                }
                print(kind, workload, len(explorer.failed), "points", len(found), "failures")
    save(
        given.out,
        {
            "every": given.every,
            "ways": [{k: v for k, v in way.items()} for way in WAYS],
            "fault points explored": points,
            "disks looked at afterwards": 2 * points,
            "acknowledged commits lost, or snapshots torn": len(found),
            "found": found[:20],
            "seconds": round(time.monotonic() - began),
            "workloads": results,
        },
    )
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
