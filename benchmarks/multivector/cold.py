"""Multi-vector search with no token in the page cache, and what reads ahead of the scan could save.

    python benchmarks/multivector/cold.py FOLDER/selqa-128.npz
    python benchmarks/multivector/cold.py FOLDER/selqa-128.npz --collection FOLDER/C.grain

`C.grain` has one multi-vector field, such as `scale.py --keep` leaves; without it the documents of
the file are indexed. Questions are those of the file. One thread. Warm: everything in the system's
cache. Cold: the system was asked to forget the segments, before the batch or before each single
query. Reads: documents read, in so many rounds that are each announced together.

ESPN (Shrestha et al., ISMM 2024; papers/B-3a) begins to read candidates while later lists are
probed. `ahead` tells for some shares of the codes, scanned in the order of the lists, which share
of the documents read in the end are among the best after it ("hits": they could be on their way),
which share of the reads would be in vain, and what is left of the scan: no more than that can be
saved of a query, and no more than the time it waits for reads.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "dense"))
import maxsim
from common import forget, save
from disk import reads_per_second

import bigrain
from bigrain.index.coded import CodedSegment
from bigrain.index.token_records import TokenRecords

HERE = Path(__file__).parent
SEED, K = 29, 10
ASKED = (0.85, 0.93, 0.98)
SHARES = (0.25, 0.5, 0.75)  # of the codes that a query scans
Array = np.ndarray[Any, Any]


class Watched:
    """Seconds spent in scans and reads, and what was read."""

    def __init__(self) -> None:
        self.scans = self.reads = 0.0
        self.rounds = self.documents = self.bytes = 0

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """While this lasts."""
        best, read = CodedSegment.best, TokenRecords.read

        def scanned(segment: Any, *others: Any) -> Any:
            began = time.perf_counter()
            try:
                return best(segment, *others)
            finally:
                self.scans += time.perf_counter() - began

        def counted(records: Any, rows: Array) -> Any:
            began = time.perf_counter()
            found = read(records, rows)
            self.reads += time.perf_counter() - began
            self.rounds, self.documents = self.rounds + 1, self.documents + len(rows)
            self.bytes += len(found[0])
            return found

        CodedSegment.best, TokenRecords.read = scanned, counted  # type: ignore[method-assign]
        try:
            yield
        finally:
            CodedSegment.best, TokenRecords.read = best, read  # type: ignore[method-assign]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("vectors", type=Path, help="a file of token_vectors.py")
    parser.add_argument("--collection", type=Path, help="with one multi-vector field")
    parser.add_argument("--asked", type=int, default=1 << 30, help="questions in a batch, at most")
    parser.add_argument("--singles", type=int, default=200, help="questions asked one at a time")
    parser.add_argument("--rounds", type=int, default=3, help="batches; the median counts")
    parser.add_argument("--update", action="store_true", help="keep other collections' results")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "cold.json")
    options = parser.parse_args()
    given = maxsim.queries(options.vectors, options.asked)
    queries = [given.row(i) for i in range(given.n)]
    with tempfile.TemporaryDirectory(prefix="bigrain-cold-") as temporary:
        path = options.collection or built(options.vectors, Path(temporary) / "documents.grain")
        told = measure(path, queries, options)
    result: dict[str, Any] = {"seed": SEED, "k": K}
    if options.update and options.out.exists():
        result |= json.loads(options.out.read_text())
    name = path.stem if options.collection else options.vectors.stem
    save(options.out, result | {name: told})


def built(vectors: Path, path: Path) -> Path:
    """The documents of the file, as a field is by default."""
    given = maxsim.documents(vectors)
    field = bigrain.MultiVectorField(dim=given.dim)
    with bigrain.create(path, {"tok": field}, memory_budget_bytes=2 << 30) as col:
        ids = [str(i) for i in range(len(given.offsets) - 1)]
        col.add_vectors("tok", ids, (given.values.astype(np.float32), given.offsets))
        col.commit()
    return path


def measure(path: Path, queries: list[Array], options: argparse.Namespace) -> dict[str, Any]:
    """Everything at every asked recall."""
    segments = sorted((path / "segments").glob("*.seg"))
    largest = max(segments, key=lambda file: file.stat().st_size)
    for file in segments:
        with file.open("rb") as whole:
            while whole.read(1 << 22):
                pass
    result: dict[str, Any] = {}
    with bigrain.open(path, read_only=True, memory_budget_bytes=4 << 30) as col:
        result |= {"documents": len(col), "queries": len(queries)}
        result["4 KiB reads a second"] = {
            f"{depth} at a time": reads_per_second(largest, depth, SEED) for depth in (1, 64)
        }
        for asked in ASKED:
            told: dict[str, Any] = {}
            for name, drop in (("warm", []), ("cold", segments)):
                told[name] = state(col, queries, asked, drop, options)
            told["ahead"] = ahead(col, queries[: options.singles], asked)
            result[f"asked {asked}"] = told
            print(asked, told, flush=True)
    return result


def state(
    col: bigrain.Collection, queries: list[Array], asked: float, drop: list[Path],
    options: argparse.Namespace,
) -> dict[str, Any]:  # fmt: skip
    """Batches and single queries, after dropping `drop` before each."""

    def timed(some: list[Array]) -> float:
        for file in drop:
            forget(file)
        began = time.perf_counter()
        col.search_many(some, k=K, recall=asked, arrays=True)
        return time.perf_counter() - began

    timed(queries)
    whole = [timed(queries) for _ in range(options.rounds)]
    watched = Watched()
    with watched.watching():
        each = [timed([query]) for query in queries[: options.singles]]
    n = len(each)
    return {
        "batch QPS": round(len(queries) / float(np.median(whole))),
        "single p50 ms": round(float(np.percentile(each, 50)) * 1e3, 2),
        "single p99 ms": round(float(np.percentile(each, 99)) * 1e3, 2),
        "ms in the scan": round(watched.scans / n * 1e3, 3),
        "ms in reads": round(watched.reads / n * 1e3, 3),
        "documents read": round(watched.documents / n, 1),
        "rounds": round(watched.rounds / n, 2),
        "KiB read": round(watched.bytes / n / 1024, 1),
    }


def ahead(col: bigrain.Collection, queries: list[Array], asked: float) -> dict[str, Any]:
    """By share of the codes scanned: what is already known of the documents that will be read."""
    view = col._require_open()
    ((field,),) = [list(view.fields.values())]
    index = field.index
    known = {share: [] for share in SHARES}
    vain = {share: [] for share in SHARES}
    for query in queries:
        effort = index.effort_for(query, index.effort(asked, K), K, 1 << 30)
        for at, own in enumerate(index.views):
            segment = own.segment
            prepared, live = segment.prepare([query]), index._alive(at, None)
            probes = segment.probes(prepared, effort, live)
            keep = min(effort.n, live.n)
            final = segment._scan(prepared, probes, live.bits, keep)[0][0]
            for share in SHARES:
                early = _early(segment, prepared, probes, share, keep)
                hits = len(np.intersect1d(early, final)) / max(1, len(final))
                known[share].append(hits)
                vain[share].append(1 - hits * len(final) / max(1, len(early)))
    return {
        f"after {share}": {
            "hits": round(float(np.mean(known[share])), 3),
            "in vain": round(float(np.mean(vain[share])), 3),
            "of the scan left": round(1 - share, 2),
        }
        for share in SHARES
    }


def _early(segment: Any, prepared: Any, probes: Any, share: float, keep: int) -> Array:
    """The best `keep` places of the first so many codes, the most promising lists first."""
    _, lists, bases = probes
    if segment.partition.n_lists == 1:
        first = np.arange(segment.units.n_rows) < share * segment.units.n_rows
        bits = np.packbits(first, bitorder="little")
        found = segment._scan(prepared, probes, bits, keep)[0][0]
        return np.asarray(found[found >= 0])
    order = np.argsort(-bases, kind="stable")
    seen = np.cumsum(segment.sizes[lists[order]])
    some = np.sort(order[: int(np.searchsorted(seen, share * seen[-1])) + 1])
    fewer = np.array([0, len(some)], probes[0].dtype), lists[some], bases[some]
    found = segment._scan(prepared, fewer, None, keep)[0][0]
    return np.asarray(found[found >= 0])


if __name__ == "__main__":
    main()
