"""Random damage, repaired, and held against a model: what was lost, and was all of it reported?

    python tests/soak/repair.py [--damages 1000] [--minutes 15] [--seed 1]

Every round harms a copy of a collection with all families of fields in one to four places (bits,
bytes, stretches, sectors, pages, files cut off, grown, or gone), repairs it, and compares
documents, metadata, exact scores and row counts with the model less what the report says is gone.
A second repair must find nothing. Writes benchmarks/trust/results/repair.json; exit code 1 and the
seed that replays it (--seed N --damages 1) if anything differs.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

import numpy as np  # noqa: E402
from common import save  # noqa: E402

from tests.collection import damaging  # noqa: E402


def one_round(first: Path, path: Path, model: object, seed: int, counts: Counter[str]) -> None:
    damaging.copied(first, path)
    done = damaging.damage(path, np.random.default_rng(seed))
    try:
        counts["places"] += len(done)
        report = damaging.repaired(path)
        counts["rounds"] += 1
        if report is None:
            counts["refused, nothing left or another version"] += 1
            return
        counts["sound"] += report.sound
        counts["complete"] += report.complete
        counts["catalogues rebuilt"] += report.catalogue_rebuilt
        counts["documents lost"] += len(report.documents_lost) + report.documents_unnamed
        counts["documents lost by name"] += len(report.documents_lost)
        counts["vectors lost"] += sum(map(len, report.vectors_lost.values()))
        counts["postings lost"] += sum(
            one.postings for lists in report.postings_lost.values() for one in lists
        )
        counts["rows made again"] += sum(made.rows for made in report.rebuilt.values())
        damaging.check_repaired(path, model, report)
    except BaseException as error:
        error.add_note(f"seed {seed}: {done}")
        raise


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--damages", type=int, default=1000)
    parser.add_argument("--minutes", type=float, default=15)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/trust/results/repair.json")
    given = parser.parse_args()
    counts: Counter[str] = Counter()
    failures: list[str] = []
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        first, path = Path(folder) / "first.grain", Path(folder) / "docs.grain"
        model = damaging.prepared(first)
        for seed in range(given.seed, given.seed + given.damages):
            if time.monotonic() > began + given.minutes * 60:
                break
            try:
                one_round(first, path, model, seed, counts)
            except Exception as error:
                failures.append(f"seed {seed}: {type(error).__name__}: {error}")
                traceback.print_exc()
    result = {
        "first seed": given.seed,
        "seconds": round(time.monotonic() - began),
        "documents in the collection": len(model.documents),
        **dict(counts),
        "unreported losses or differences": len(failures),
        "failures": failures[:20],
    }
    save(given.out, result)
    print(
        f"{counts['rounds']} rounds, {counts['places']} damages: {counts['documents lost']} "
        f"documents lost and reported, {len(failures)} differences"
    )
    return 1 if failures or not counts["rounds"] else 0


if __name__ == "__main__":
    sys.exit(main())
