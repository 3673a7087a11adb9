"""How long until 1,000 short documents are durable.

    python benchmarks/trust/commit.py [--rounds 30] [--folder FOLDER]

Adds and commits 1,000 sentences, again and again, to a collection with the default fields and to
one with words only; times adding and committing apart, and what it takes the disk to sync once.
Commits that went on to merge eight segments are told apart. Processor time says what a machine
with nothing else to do would need, the syncs aside. Writes results/commit.json.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from common import passages, save  # noqa: E402

import bigrain  # noqa: E402
from bigrain.families.dense import DenseFamily  # noqa: E402
from bigrain.families.lexical import LexicalFamily  # noqa: E402
from bigrain.testing import vfs  # noqa: E402
from bigrain.testing.power import RecordingFiles  # noqa: E402

DOCUMENTS = 1000
FIELDS = {"default fields": None, "lexical only": {"lexical": bigrain.LexicalField()}}


def spread(seconds: list[float]) -> dict[str, float]:
    """Median, 99th percentile and best, in milliseconds."""
    ms = np.array(seconds) * 1e3
    return {
        "p50_ms": round(float(np.median(ms)), 2),
        "p99_ms": round(float(np.percentile(ms, 99)), 2),
        "min_ms": round(float(ms.min()), 2),
    }


@contextmanager
def encoding() -> Iterator[list[float]]:
    """The seconds that each call of an encoder or analyser takes while this lasts."""
    spent: list[float] = []

    def timed(original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **more: Any) -> Any:
            began = time.perf_counter()
            try:
                return original(*arguments, **more)
            finally:
                spent.append(time.perf_counter() - began)

        return call

    with mock.patch.multiple(
        DenseFamily, encode_documents=timed(DenseFamily.encode_documents)
    ), mock.patch.multiple(
        LexicalFamily, encode_documents=timed(LexicalFamily.encode_documents)
    ):  # fmt: skip
        yield spent


def one_sync(folder: Path, times: int = 200) -> dict[str, float]:
    """Appending 4 KiB to a file and syncing it."""
    found = []
    fd = os.open(folder / "sync", os.O_WRONLY | os.O_CREAT)
    for _ in range(times):
        os.write(fd, bytes(4096))
        began = time.perf_counter()
        os.fsync(fd)
        found.append(time.perf_counter() - began)
    os.close(fd)
    return spread(found)


def batches(rounds: int) -> Iterator[list[str]]:
    lines = passages()
    for _ in range(rounds):
        yield [next(lines) for _ in range(DOCUMENTS)]


def measure(folder: Path, fields: Any, rounds: int) -> dict[str, Any]:
    """Time the rounds on one growing collection."""
    col = bigrain.create(folder / "docs.grain", fields)
    both, adds, commits, merging, encoded, processor = [], [], [], [], [], []
    for n, texts in enumerate(batches(rounds + 1)):
        segments = col.stats()["segments"]
        with encoding() as spent:
            cpu, began = time.process_time(), time.perf_counter()
            col.add(texts)
            added = time.perf_counter()
            col.commit()
            done, cpu = time.perf_counter(), time.process_time() - cpu
        if n == 0:
            continue  # loads the encoder
        merged = col.stats()["segments"] <= segments
        (merging if merged else both).append(done - began)
        adds.append(added - began)
        encoded.append(sum(spent))
        if not merged:
            commits.append(done - added)
            processor.append(cpu)
    col.close()
    return {
        "add and commit": spread(both),
        "processor time of both": spread(processor),
        "commit alone": spread(commits),
        "add alone": spread(adds),
        "encoding and analysing, inside add": spread(encoded),
        "share of encoding": round(float(np.median(encoded) / np.median(both)), 2),
        "add and commit that merged segments": spread(merging) if merging else None,
    }


def count_syncs(folder: Path, fields: Any) -> dict[str, int]:
    """The syncs of one commit, by what is synced."""
    root = folder / "recorded"
    root.mkdir()
    with RecordingFiles(root) as files:
        col = bigrain.create(root / "docs.grain", fields, files=files)
        first, second = batches(2)
        col.add(first)
        col.commit()
        files.events.clear()
        col.add(second)
        in_add = sum(event.kind.startswith("sync") for event in files.events)
        col.commit()
        events = [event for event in files.events if event.kind.startswith("sync")]
        col.close()
    return {
        "files": sum(e.kind == "sync" and "sqlite" not in e.path for e in events),
        "folders": sum(e.kind == "sync_folder" for e in events),
        "catalogue": sum("sqlite" in e.path for e in events),
        "all": len(events),
        "of these while adding": in_add,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--folder", type=Path, help="on the disk to measure")
    given = parser.parse_args()
    result: dict[str, Any] = {"documents": DOCUMENTS, "rounds": given.rounds, "fields": {}}
    for name, fields in FIELDS.items():
        with tempfile.TemporaryDirectory(prefix="bigrain-commit-", dir=given.folder) as folder:
            before = one_sync(Path(folder))
            figures = measure(Path(folder), fields, given.rounds)
            if vfs.available():
                figures["syncs of a commit"] = count_syncs(Path(folder), fields)
            figures["one sync of 4 KiB"] = {"before": before, "after": one_sync(Path(folder))}
        result["fields"][name] = figures
        print(name, figures)
    result["load of the machine"] = [round(load, 1) for load in os.getloadavg()]
    save(Path(__file__).parent / "results" / "commit.json", result)


if __name__ == "__main__":
    main()
