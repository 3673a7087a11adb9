"""What a level of kernels is worth to a batch: the scan of codes, and the whole search.

    python benchmarks/dense/levels.py --collection C.grain --queries Q.npy [--levels avx512,amx]

`C.grain` has one dense field, such as `peers.py --cache` leaves. For each asked recall and level:
the scan of all queries in one call, nanoseconds for a code and a query, with all within reach kept,
and with ten; and queries a second of `search_many`, each level in a process of its own. One thread,
processor time, best of `--repeats`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import save

import bigrain
from bigrain.kernels import available_levels
from bigrain.kernels.levels import ENVIRONMENT, kernels

K = 10
ASKED = (0.8, 0.95, 0.99)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--collection", type=Path, required=True)
    parser.add_argument("--queries", type=Path, required=True)
    parser.add_argument("--asked", type=int, default=1000, help="queries in the batch")
    parser.add_argument("--levels", default=",".join(available_levels()[-2:]))
    parser.add_argument("--repeats", type=int, default=4)
    parser.add_argument("--search", action="store_true", help=argparse.SUPPRESS)
    here = Path(__file__).parent / "results" / "levels.json"
    parser.add_argument("--out", type=Path, default=here)
    options = parser.parse_args()
    queries = list(np.load(options.queries)[: options.asked].astype(np.float32))
    with bigrain.open(options.collection, read_only=True, memory_budget_bytes=4 << 30) as col:
        if options.search:
            print(json.dumps(searches(col, queries, options.repeats)))
            return
        levels = options.levels.split(",")
        result: dict[str, Any] = {"queries": len(queries), "vectors": len(col)}
        result["scan"] = scans(col, queries, levels, options.repeats)
    result["queries a second"] = {}
    for level in levels:
        command = [sys.executable, __file__, *sys.argv[1:], "--search"]
        environment = os.environ | {ENVIRONMENT: level}
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
        result["queries a second"][level] = json.loads(done.stdout)
    print(json.dumps(result, indent=1))
    save(options.out, result)


def best(run: Callable[[], Any], repeats: int) -> float:
    """The least seconds."""
    seconds = []
    for _ in range(repeats):
        began = time.process_time()
        run()
        seconds.append(time.process_time() - began)
    return min(seconds)


def searches(col: bigrain.Collection, queries: list[Any], repeats: int) -> dict[str, int]:
    """Queries a second by asked recall."""
    told = {}
    for asked in ASKED:

        def run(asked: float = asked) -> Any:
            return col.search_many(queries, k=K, recall=asked, arrays=True)

        told[str(asked)] = round(len(queries) / best(run, repeats))
    return told


def scans(
    col: bigrain.Collection, queries: list[Any], levels: list[str], repeats: int
) -> dict[str, Any]:
    """The kernel alone, in the largest segment."""
    ((field,),) = [list(col._require_open().fields.values())]
    index = field.index
    at = max(range(len(index.views)), key=lambda i: index.views[i].segment.units.n_rows)
    segment, live = index.views[at].segment, index._alive(at, None)
    prepared = index.prepare(segment, field.family.queries(queries))
    unit = np.float32(segment.scale_unit)
    told: dict[str, Any] = {}
    for asked in ASKED:
        effort = index.effort(asked, K)
        probes = segment.probes(prepared, effort, live)
        looks = np.bincount(probes[1], minlength=segment.partition.n_lists)
        n_codes = int((looks * segment.sizes).sum())
        found: dict[str, Any] = {
            "codes a query": round(n_codes / len(queries)),
            "queries a list": round(float(looks.mean()), 1),
        }
        doubt = effort.doubt(prepared.length)
        kept = {"all within reach": (effort.n, effort.rank, doubt), f"{K} kept": (K, 1, None)}
        for what, wanted in kept.items():
            for level in levels:
                scan = kernels(level).scan_lists

                def run(scan: Any = scan, wanted: Any = wanted, probes: Any = probes) -> Any:
                    return scan(
                        segment.blocks, segment.starts, prepared.luts, prepared.scale * unit,
                        prepared.bias * unit, segment.scale, segment.offset, live.bits, *probes,
                        *wanted,
                    )  # fmt: skip

                seconds = best(run, repeats)
                found[f"{level}, {what}, ns a code"] = round(1e9 * seconds / n_codes, 2)
        told[str(asked)] = found
    return told


if __name__ == "__main__":
    main()
