"""Readers at work while nobody writes, while somebody adds, and while somebody compacts.

    python tests/soak/stress.py [--passages 100000] [--seconds 40] [--rate 20] [--seed N]

A collection of real sentences with the default fields. One process reads with two threads on one
handle, another with a handle that is closed and opened again; each thread asks `--rate` times a
second: searches in all fields or one, with and without filters, batches, documents by id, refresh.
The writer works without a pause. Whatever is found must belong to the snapshot it was found in,
and snapshots only go forward. Writes benchmarks/trust/results/stress.json with the latencies of
readers; exit code 1 on any error.
"""

from __future__ import annotations

import argparse
import multiprocessing as mp
import os
import random
import sys
import tempfile
import threading
import time
import traceback
from collections import defaultdict
from itertools import islice
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

import numpy as np  # noqa: E402
from common import DATA, passages, save  # noqa: E402

import bigrain  # noqa: E402
from bigrain.text import beir_queries  # noqa: E402

BUDGET = 512 << 20
PHASES = ("warming up", "no writer", "writer adds", "writer compacts")
BATCH, KEPT_BATCHES = 500, 10  # the writer deletes a batch when ten more have come
OPERATIONS = (
    ("search", 60), ("search, filter", 10), ("search, one field", 12), ("search_many of 8", 6),
    ("get", 6), ("refresh", 6),
)  # fmt: skip


def build(path: Path, n: int) -> float:
    began = time.perf_counter()
    with bigrain.create(path, memory_budget_bytes=BUDGET) as col:
        col.add(
            {"id": f"p{i}", "text": text, "metadata": {"since": 0, "tenth": i % 10}}
            for i, text in enumerate(passages(n))
        )
        col.commit()
        col.compact()
    return time.perf_counter() - began


# -- the writer -----------------------------------------------------------------------------------


def write(path: Path, skip: int, phase: Any, told: Any) -> None:
    """Add and delete batches; in the last phase compact after each. Tells when each batch lived."""
    lives: list[list[int]] = []  # [snapshot it came with, snapshot it went with]
    compactions = 0
    try:
        texts = islice(passages(), skip, None)
        col = bigrain.open(path, memory_budget_bytes=BUDGET)
        while phase.value < 2:
            time.sleep(0.05)
        while 2 <= phase.value < len(PHASES):
            number = col.snapshot + 1
            ids = [f"w{len(lives)}-{i}" for i in range(BATCH)]
            col.add(
                {"id": i, "text": text, "metadata": {"since": number}}
                for i, text in zip(ids, texts, strict=False)
            )
            lives.append([number, 2**62])
            if len(lives) > KEPT_BATCHES:
                old = len(lives) - KEPT_BATCHES - 1
                col.delete([f"w{old}-{i}" for i in range(BATCH)])
                lives[old][1] = number
            col.commit()
            if phase.value == 3:
                col.compact()
                compactions += 1
        report = col.verify()
        col.close()
        told.put(("writer", lives, compactions, [] if report.ok else report.problems))
    except BaseException:
        told.put(("writer", lives, compactions, [traceback.format_exc()]))


# -- readers --------------------------------------------------------------------------------------


class Reader:
    """One thread's questions, their latencies and what they showed."""

    def __init__(self, path: Path, col: bigrain.Collection | None, seed: int, rate: float) -> None:
        self.path, self.shared, self.rate = path, col, rate
        self.rng = random.Random(seed)
        self.questions = list(beir_queries(DATA / "arxiv").values())[:400]
        self.latencies: dict[tuple[int, str], list[tuple[float, float]]] = defaultdict(list)
        self.seen: set[tuple[int, int, int]] = set()  # (snapshot before, after, batch's snapshot)
        self.errors: list[str] = []
        self.newest = 0

    def run(self, phase: Any) -> None:
        col = self.shared or self._open()
        due = time.perf_counter()
        names, weights = zip(*OPERATIONS, strict=True)
        while (now := phase.value) < len(PHASES):
            due += self.rng.uniform(0.5, 1.5) / self.rate
            time.sleep(max(0.0, due - time.perf_counter()))
            name = self.rng.choices(names, weights)[0]
            if self.shared is None and self.rng.random() < 0.01:
                name = "open"
            try:
                before, began, busy = col.snapshot, time.perf_counter(), time.thread_time()
                if name == "open":
                    col.close()
                    col = self._open()
                    hits: list[Any] = []
                else:
                    hits = self._ask(col, name)
                took = time.perf_counter() - began, time.thread_time() - busy
                if phase.value == now:
                    self.latencies[now, name].append(took)
                self._check(before, col.snapshot, hits)
            except BaseException:
                self.errors.append(traceback.format_exc())
                return

    def _open(self) -> bigrain.Collection:
        return bigrain.open(self.path, read_only=True, memory_budget_bytes=BUDGET)

    def _ask(self, col: bigrain.Collection, name: str) -> list[Any]:
        question = self.rng.choice(self.questions)
        if name == "search":
            return col.search(question)
        if name == "search, filter":
            where = self.rng.choice(["since > 0", "tenth = 3", "tenth < 5"])
            return col.search(question, filter=where)
        if name == "search, one field":
            return col.search(question, fields=self.rng.choice(["lexical", "dense"]))
        if name == "search_many of 8":
            found = col.search_many(self.rng.sample(self.questions, 8))
            return [hit for hits in found for hit in hits]
        if name == "get":
            documents = col.get([f"p{self.rng.randrange(1000)}" for _ in range(10)])
            assert all(document is not None for document in documents)
        else:
            col.refresh()
        return []

    def _check(self, before: int, after: int, hits: list[Any]) -> None:
        assert self.newest <= before <= after, f"snapshot {after} after {self.newest}"
        self.newest = after
        self.seen.update((before, after, h.metadata["since"]) for h in hits)


def read(path: Path, threads: int, seed: int, rate: float, phase: Any, told: Any) -> None:
    col = None
    if threads > 1:
        col = bigrain.open(path, read_only=True, memory_budget_bytes=BUDGET)
    readers = [Reader(path, col, seed + i, rate) for i in range(threads)]
    working = [threading.Thread(target=reader.run, args=(phase,)) for reader in readers]
    for thread in working:
        thread.start()
    for thread in working:
        thread.join()
    for reader in readers:
        told.put(("reader", dict(reader.latencies), reader.seen, reader.errors))


# -- the parent -----------------------------------------------------------------------------------


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--passages", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=40, help="of each of the three phases")
    parser.add_argument("--rate", type=float, default=20, help="questions a second and thread")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/trust/results/stress.json")
    given = parser.parse_args()
    context = mp.get_context("spawn")
    phase, told = context.Value("i", 0), context.Queue()
    with tempfile.TemporaryDirectory(prefix="bigrain-stress-") as folder:
        path = Path(folder) / "docs.grain"
        built = build(path, given.passages)
        arguments = (given.rate, phase, told)
        processes = [
            context.Process(target=read, args=(path, 2, given.seed, *arguments)),
            context.Process(target=read, args=(path, 1, given.seed + 10, *arguments)),
            context.Process(target=write, args=(path, given.passages, phase, told)),
        ]
        for process in processes:
            process.start()
        load = os.getloadavg()[0]
        for number in range(len(PHASES)):
            phase.value = number
            time.sleep(8 if number == 0 else given.seconds)
        phase.value = len(PHASES)
        answers = [told.get(timeout=120) for _ in range(4)]
        for process in processes:
            process.join(60)
    result = summary(answers)
    settings = {
        "seed": given.seed, "passages": given.passages, "seconds a phase": given.seconds,
        "questions a second": 3 * given.rate, "build s": round(built, 1),
        "load of the machine before": round(load, 2),
    }  # fmt: skip
    given.out.parent.mkdir(parents=True, exist_ok=True)
    save(given.out, {**settings, **result})
    for name, figures in result["search, ms"].items():
        print(f"{name:16} {figures}")
    for found in result["errors"]:
        print(found, file=sys.stderr)
    adding = result["search, ms"]["writer adds"]
    print(
        f"{result['questions']:,} questions, {len(result['errors'])} errors, searches while a "
        f"writer adds: p50 {adding.get('p50')} ms, p99 {adding.get('p99')} ms"
    )
    return 1 if result["errors"] else 0


def summary(answers: list[Any]) -> dict[str, Any]:
    (writer,) = (answer for answer in answers if answer[0] == "writer")
    readers = [answer for answer in answers if answer[0] == "reader"]
    _, lives, compactions, errors = writer
    died = {born: gone for born, gone in lives}
    wrong = 0
    latencies: dict[tuple[int, str], list[tuple[float, float]]] = defaultdict(list)
    for _, measured, seen, failed in readers:
        errors = errors + failed
        for key, values in measured.items():
            latencies[key] += values
        # A hit of a batch that was born later, or had gone before the search began.
        wrong += sum(
            since > after or died.get(since, 2**62) <= before for before, after, since in seen
        )
    if wrong:
        errors = [*errors, f"{wrong} hits did not belong to the snapshot they were found in"]
    tables: dict[str, Any] = {}
    for operation in ("search", *sorted({name for _, name in latencies} - {"search"})):
        tables[f"{operation}, ms"] = {
            PHASES[i]: percentiles(latencies[i, operation]) for i in (1, 2, 3)
        }
    return {
        "commits": len(lives),
        "documents added": len(lives) * BATCH,
        "compactions": compactions,
        "questions": sum(map(len, latencies.values())),
        "hits outside their snapshot": wrong,
        "errors": errors,
        **tables,
    }


def percentiles(measured: list[tuple[float, float]]) -> dict[str, float]:
    """Of the time that passed, and of the processor time that the answering thread took."""
    if not measured:
        return {"n": 0}
    passed, busy = np.array(measured).T * 1e3
    return {
        "n": len(measured),
        **{f"p{p}": round(float(np.percentile(passed, p)), 2) for p in (50, 90, 99)},
        "max": round(float(passed.max()), 2),
        **{f"processor p{p}": round(float(np.percentile(busy, p)), 2) for p in (50, 99)},
    }


if __name__ == "__main__":
    sys.exit(main())
