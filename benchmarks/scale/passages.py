"""A million short passages with the default fields: build, open, search, exactness, memory.

    python benchmarks/scale/passages.py [--limit 1000000] [--keep FOLDER] [--budget-mb 1024]

Queries are the titles of scientific papers (arxiv test queries): real, and of another kind than the
passages. Peak memory is that of a fresh process for each step.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import DATA, passages, save

import bigrain
from bigrain.budget import peak_bytes
from bigrain.text import beir_queries


def queries(n: int) -> list[str]:
    """The first n queries of the arxiv set."""
    return list(beir_queries(DATA / "arxiv").values())[:n]


def build(folder: Path, limit: int, budget: int) -> dict[str, Any]:
    """Index the passages from text, one commit."""
    col = bigrain.create(folder, memory_budget_bytes=budget)
    began = time.perf_counter()
    counts = col.add(passages(limit))
    added = time.perf_counter()
    col.commit()
    ended = time.perf_counter()
    stats = col.stats()
    return {
        "passages": counts.added,
        "seconds": round(ended - began, 1),
        "of which commit": round(ended - added, 1),
        "passages per second": round(counts.added / (ended - began)),
        "peak MiB": peak_bytes() >> 20,
        "bytes on disk per passage": {
            k: round(v / counts.added, 1) for k, v in stats["bytes_on_disk"].items()
        },
        "light bytes per passage": {
            name: round(f["light_bytes_in_memory"] / counts.added, 1)
            for name, f in stats["fields"].items()
        },
    }


def search(folder: Path, budget: int) -> dict[str, Any]:
    """Open time and latencies on one thread."""
    began = time.perf_counter()
    col = bigrain.open(folder, read_only=True, memory_budget_bytes=budget)
    opened = time.perf_counter() - began
    result: dict[str, Any] = {"open s": round(opened, 3)}
    asked = queries(400)
    for name, fields in (("fused", None), ("lexical", ["lexical"]), ("dense", ["dense"])):
        for text in asked[:50]:
            col.search(text, fields=fields)
        times = []
        for text in asked[50:]:
            began = time.perf_counter()
            col.search(text, fields=fields)
            times.append(time.perf_counter() - began)
        result[name] = {
            f"p{p} ms": round(float(np.percentile(times, p)) * 1e3, 2) for p in (50, 95, 99)
        }
    began = time.perf_counter()
    col.search_many(asked, arrays=True)
    result["search_many of 400, queries per second"] = round(
        len(asked) / (time.perf_counter() - began)
    )
    result["peak MiB"] = peak_bytes() >> 20
    return result


def exactness(folder: Path, budget: int, n: int) -> dict[str, Any]:
    """Verified search with every candidate kept, and by default, against brute force in NumPy."""
    col = bigrain.open(folder, read_only=True, memory_budget_bytes=budget)
    encoder = bigrain.registry.make_encoder("bigrain/static-v1", "dense")
    asked = queries(n)
    wanted = encoder.encode_queries(asked)
    best_scores = np.full((n, 0), -np.inf, np.float32)
    best_ids = np.empty((n, 0), np.int64)
    batch: list[str] = []
    start = 0

    def rank(texts: list[str], first: int) -> None:
        nonlocal best_scores, best_ids
        scores = wanted @ encoder.encode_documents(texts).T
        ids = np.broadcast_to(np.arange(first, first + len(texts)), scores.shape)
        all_scores = np.concatenate((best_scores, scores), axis=1)
        all_ids = np.concatenate((best_ids, ids), axis=1)
        top = np.argpartition(-all_scores, 10, axis=1)[:, :11]
        best_scores = np.take_along_axis(all_scores, top, axis=1)
        best_ids = np.take_along_axis(all_ids, top, axis=1)

    for text in passages(len(col)):
        batch.append(text)
        if len(batch) == 20_000:
            rank(batch, start)
            start += len(batch)
            batch = []
    if batch:
        rank(batch, start)
    order = np.argsort(-best_scores, axis=1)[:, :10]
    truth = np.take_along_axis(best_scores, order, axis=1)
    truth_ids = np.take_along_axis(best_ids, order, axis=1).astype(str)
    result: dict[str, Any] = {"queries": n}
    for name, options in (
        ("recall=1", {"recall": 1.0}),
        ("every candidate kept", {"n_candidates": len(col)}),
        ("default", {}),
        ("recall=0.9", {"recall": 0.9}),
        ("recall=0.99", {"recall": 0.99}),
    ):
        some = asked if "n_candidates" not in options else asked[:50]
        began = time.perf_counter()
        ids, scores = col.search_many(some, fields=["dense"], arrays=True, **options)
        seconds = time.perf_counter() - began
        rows = len(some)
        overlap = [
            len(set(a.tolist()) & set(b.tolist())) / 10
            for a, b in zip(ids, truth_ids[:rows], strict=True)
        ]
        result[name] = {
            "queries": rows,
            "recall@10": round(float(np.mean(overlap)), 4),
            "largest difference of sorted scores": float(np.abs(scores - truth[:rows]).max()),
            "ms per query": round(seconds / rows * 1e3, 2),
        }
    return result


def main() -> None:
    """Run each step in a process of its own and save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--limit", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, default=1_000)
    parser.add_argument("--budget-mb", type=int, default=1024)
    parser.add_argument("--keep", type=Path, help="where the collection goes, and stays")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("results.json"))
    parser.add_argument("--step", choices=("build", "search", "exactness"))
    options = parser.parse_args()
    budget = options.budget_mb << 20
    if options.step:
        steps = {
            "build": lambda: build(options.keep, options.limit, budget),
            "search": lambda: search(options.keep, budget),
            "exactness": lambda: exactness(options.keep, budget, options.queries),
        }
        print(json.dumps(steps[options.step]()))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary) / "passages.grain"
        result: dict[str, Any] = {"budget MiB": options.budget_mb}
        for step in ("build", "search", "exactness"):
            if step == "build" and folder.exists():
                continue
            arguments = [sys.executable, __file__, "--step", step, "--keep", str(folder)]
            arguments += ["--limit", str(options.limit), "--queries", str(options.queries)]
            # A million candidates for every query take memory that a search never needs otherwise.
            budget_mb = max(options.budget_mb, 2048) if step == "exactness" else options.budget_mb
            arguments += ["--budget-mb", str(budget_mb)]
            out = subprocess.run(arguments, capture_output=True, text=True, check=True).stdout
            result[step] = json.loads(out)
            print(step, json.dumps(result[step], indent=2), flush=True)
        save(options.out, result)


if __name__ == "__main__":
    main()
