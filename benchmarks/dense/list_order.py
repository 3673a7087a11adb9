"""What rows in the order of their lists would bring: pages and cold reads of real candidates.

    python benchmarks/dense/list_order.py --collection C.grain --queries Q.npy [--asked 0.75]

`C.grain` has one dense field and one segment. Its rows lie in ascending order of unit; a copy of
them is written in the order of their codes. The candidates that searches verify are read from both
copies, by the reader that searches use, with the page cache dropped before: every query for itself,
and all queries in one call. Told are distinct pages of 4 KiB, bytes that the system read from the
disk, and wall times, turn by turn, so other work on the machine slows both alike.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import forget, save

import bigrain
from bigrain.index.dense import DenseSegment
from bigrain.storage.files import DISK

PAGE, K, TOGETHER = 4096, 10, 100
SINGLE, ROUNDS = 300, 5
ORDERS = ("unit", "list")
Array = np.ndarray[Any, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--collection", type=Path, action="append", required=True)
    parser.add_argument("--queries", type=Path, action="append", required=True)
    parser.add_argument("--asked", type=float, action="append", default=[])
    parser.add_argument("--n-queries", type=int, default=1000)
    here = Path(__file__).parent / "results" / "list_order.json"
    parser.add_argument("--out", type=Path, default=here)
    options = parser.parse_args()
    points = []
    for path, file in zip(options.collection, options.queries, strict=True):
        queries = np.load(file)[: options.n_queries].astype(np.float32)
        with tempfile.TemporaryDirectory(prefix="bigrain-order-") as temporary:
            points += of_collection(path, queries, options.asked or [0.75, 0.95], Path(temporary))
    save(options.out, {"k": K, "page": PAGE, "points": points})


def of_collection(
    path: Path, queries: Array, asked: list[float], folder: Path
) -> list[dict[str, Any]]:
    points = []
    with bigrain.open(path, read_only=True, memory_budget_bytes=2 << 30) as col:
        (field,) = col._view.fields.values()
        (view,) = field.index.views
        segment: DenseSegment = view.segment
        places = segment._places.astype(np.int64)
        copies = {name: folder / f"{name}.rows" for name in ORDERS}
        write(segment, np.arange(len(places)), copies["unit"])
        write(segment, segment.order.astype(np.int64), copies["list"])
        for recall in asked:
            effort = field.index.effort(recall, K)
            rows = []
            for start in range(0, len(queries), TOGETHER):
                some = field.index.candidates(list(queries[start : start + TOGETHER]), effort, None)
                rows += [segment.units.rows(ranked.units) for ranked in some]
            by_order = {"unit": rows, "list": [places[some] for some in rows]}
            point = {
                "vectors": len(places),
                "row_bytes": segment.spec.rows.record_bytes,
                "asked": recall,
                "candidates": effort.n,
                "margin": effort.margin,
                "queries": len(queries),
                **measured(copies, by_order, segment.spec.rows.record_bytes),
            }
            points.append(point)
            print(point, flush=True)
    return points


def write(segment: DenseSegment, rows: Array, path: Path) -> None:
    """A file of the records of these rows."""
    with path.open("wb") as out:
        for start in range(0, len(rows), 16_384):
            out.write(segment.file.gather_rows("rows", rows[start : start + 16_384]).tobytes())
        out.flush()
        os.fsync(out.fileno())


def measured(copies: dict[str, Path], rows: dict[str, list[Array]], width: int) -> dict[str, Any]:
    """Both orders, query by query and all together."""
    told: dict[str, Any] = {name: {} for name in ORDERS}
    single: dict[str, list[Array]] = {name: [] for name in ORDERS}
    for i in range(min(SINGLE, len(rows["unit"]))):
        for name in ORDERS:
            single[name].append(np.array(cold(copies[name], rows[name][i], width)))
    together = {name: np.unique(np.concatenate(rows[name])) for name in ORDERS}
    batches: dict[str, list[tuple[float, int]]] = {name: [] for name in ORDERS}
    for _ in range(ROUNDS):
        for name in ORDERS:
            batches[name].append(cold(copies[name], together[name], width))
    for name in ORDERS:
        seconds, read = np.array(single[name]).T
        batch = batches[name]
        told[name] = {
            "pages a query": round(float(np.mean([pages(r, width) for r in rows[name]])), 1),
            "KiB read a query": round(float(read.mean()) / 1024, 1),
            "single p50 ms": round(float(np.median(seconds)) * 1e3, 3),
            "single p99 ms": round(float(np.quantile(seconds, 0.99)) * 1e3, 3),
            "pages a query of 100": round(of_hundred(rows[name], width), 1),
            "batch rows": len(together[name]),
            "batch pages": pages(together[name], width),
            "batch MiB read": round(float(np.median([b[1] for b in batch])) / 2**20, 1),
            "batch ms": round(float(np.median([b[0] for b in batch])) * 1e3, 1),
        }
    return told


def of_hundred(rows: list[Array], width: int) -> float:
    """Distinct pages of every hundred queries together, a query."""
    parts = [np.concatenate(rows[at : at + 100]) for at in range(0, len(rows), 100)]
    return sum(pages(part, width) for part in parts) / len(rows)


def pages(rows: Array, width: int) -> int:
    """Distinct pages of a file of records that these rows touch."""
    first, last = rows * width // PAGE, (rows * width + width - 1) // PAGE
    return len(np.unique(np.concatenate((first, last))))


def cold(path: Path, rows: Array, width: int) -> tuple[float, int]:
    """(seconds, bytes that the system read) for a gather with nothing in the page cache."""
    forget(path)
    wanted = np.sort(rows)
    stretches = np.stack((wanted * width, np.full(len(wanted), width)), axis=1)
    buffer = np.empty(len(wanted) * width, np.uint8)
    file = DISK.open(path)
    before, began = read_bytes(), time.perf_counter()
    got = file.gather(stretches, buffer)
    taken = time.perf_counter() - began, read_bytes() - before
    file.close()
    if got != len(buffer):
        raise OSError(f"{got} of {len(buffer)} bytes of {path}")
    return taken


def read_bytes() -> int:
    """What the system has read from disks for this process."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("read_bytes")))


if __name__ == "__main__":
    main()
