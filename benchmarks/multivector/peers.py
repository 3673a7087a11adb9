"""bigrain beside other multi-vector indexes: same vectors, same queries, one thread, same run.

    python benchmarks/multivector/token_vectors.py selqa --cache FOLDER
    python benchmarks/multivector/peers.py FOLDER/selqa-128.npz --cache FOLDER [--systems a,b]

Every system is built and searched in a process of its own, pinned to one core, at every step of its
ladder of settings. Recall is the share of the ten best by exact MaxSim over the vectors of the file
(computed here; what scores as the tenth best counts as one of them). Slow settings are asked fewer
queries. Memory is the growth of the process beyond what it loads for any collection. nDCG@10 is of
the set's judgments, beside BM25 and beside one vector a text (the mean of its tokens). Writes
`results/peers-NAME.json`, a picture beside it and the tables in `benchmarks/README.md`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import maxsim
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
import report
from adapters import SYSTEMS
from common import load_set, machine
from measuring import process

import bigrain
from bigrain import evaluation

HERE = Path(__file__).parent
Array = np.ndarray[Any, Any]
K = 10


def main() -> None:
    options = arguments()
    name = options.vectors.stem + (f"-first-{options.n}" if options.n else "")
    target = options.out / f"peers-{name}.json"
    with tempfile.TemporaryDirectory(prefix="bigrain-multivector-") as temporary:
        options.cache = options.cache or Path(temporary)
        options.cache.mkdir(parents=True, exist_ok=True)
        options.out.mkdir(parents=True, exist_ok=True)
        if options.systems:
            measure(name, target, options)
    result = json.loads(target.read_text())
    report.everything(result, target, options.clock, options.readme)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("vectors", type=Path, help="a file of token_vectors.py")
    parser.add_argument("--n", type=int, help="the first n documents only")
    parser.add_argument("--asked", type=int, default=500, help="queries in a batch")
    parser.add_argument("--singles", type=int, default=300, help="queries asked one at a time")
    parser.add_argument("--repeats", type=int, default=3, help="batches; the best is kept")
    parser.add_argument(
        "--seconds", type=float, default=6.0, help="that a setting may take in a batch, or alone"
    )
    parser.add_argument("--systems", default=",".join(SYSTEMS), help="by commas; '': report only")
    parser.add_argument("--cache", type=Path, help="folder of truths and indexes, kept")
    parser.add_argument(
        "--reuse", action="store_true", help="search indexes of peers already in --cache"
    )
    parser.add_argument("--update", action="store_true", help="keep other systems' results")
    parser.add_argument("--limit", type=int, default=3600, help="seconds for one process")
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall", help="of the tables")
    parser.add_argument("--python", action="append", default=[], metavar="SYSTEM=PATH",
                        help="interpreter of a system; 'peers': of all but bigrain")  # fmt: skip
    parser.add_argument("--out", type=Path, default=HERE / "results", help="folder of results")
    parser.add_argument("--readme", type=Path, default=HERE.parent / "README.md")
    options = parser.parse_args()
    if unknown := set(options.systems.split(",")) - {*SYSTEMS, ""}:
        parser.error(f"no adapter for {', '.join(sorted(unknown))}; there is {', '.join(SYSTEMS)}")
    if options.systems and not options.vectors.exists():
        parser.error(f"{options.vectors} does not exist: token_vectors.py makes it")
    if options.reuse and not options.cache:
        parser.error("--reuse needs the --cache of the earlier run")
    return options


def measure(name: str, target: Path, options: argparse.Namespace) -> None:
    """Truth and baselines, then each system; the result is written after each."""
    given = maxsim.documents(options.vectors, options.n)
    asked = maxsim.queries(options.vectors, options.asked)
    judged = maxsim.judgments(options.vectors, given.n, asked.n)
    result = json.loads(target.read_text()) if target.exists() and options.update else {}
    result |= {
        "machine": machine(),
        "name": name,
        "n": given.n,
        "dim": given.dim,
        "tokens": len(given.values),
        "queries": asked.n,
        "query_tokens": round(len(asked.values) / asked.n, 1),
    }
    result.setdefault("systems", {})
    truth = true_scores(name, given, asked, options.cache)
    if judged:
        result["nDCG@10"] = baselines(options.vectors, given, asked, judged, truth)
        print("nDCG@10", result["nDCG@10"], flush=True)
    del given
    for system in options.systems.split(","):
        print(system, flush=True)
        found = one(system, name, options, result["n"], result["dim"], truth, judged)
        if found is not None:
            result["systems"][system] = found
            target.write_text(json.dumps(result, indent=1) + "\n")


def true_scores(name: str, given: maxsim.Tokens, asked: maxsim.Tokens, cache: Path) -> Array:
    """(queries, documents) exact MaxSim, kept in the cache."""
    kept = cache / f"truth-{name}-{given.n}-{asked.n}.npy"
    if not kept.exists():
        np.save(kept, maxsim.scores(given, asked))
    truth: Array = np.load(kept, mmap_mode="r")
    return truth


def ndcg(found: Sequence[Sequence[int]], judged: dict[str, dict[str, int]]) -> float:
    """Mean nDCG@10 of the queries that have judgments."""
    run = {
        str(query): {str(row): 1 / (rank + 1) for rank, row in enumerate(rows[:K])}
        for query, rows in enumerate(found)
        if str(query) in judged and len(rows)
    }
    return round(evaluation.score(run, judged, ("nDCG@10",)).means()["nDCG@10"], 4)


def baselines(
    path: Path, given: maxsim.Tokens, asked: maxsim.Tokens, judged: Any, truth: Array
) -> dict[str, float]:
    """nDCG@10 of exact MaxSim, of one vector a text, and of BM25 where the set is at hand."""
    found = {"exact MaxSim": ndcg([maxsim.top(row, K).tolist() for row in truth], judged)}
    cosine = maxsim.means(asked) @ maxsim.means(given).T
    found["mean of tokens"] = ndcg([maxsim.top(row, K).tolist() for row in cosine], judged)
    with np.load(path) as stored:
        if "document_ids" in stored:
            ids = stored["document_ids"][: given.n].tolist()
            questions = stored["query_ids"][: asked.n].tolist()
            found["BM25"] = ndcg(bm25(str(stored["set"]), ids, questions), judged)
    return found


def bm25(name: str, ids: list[str], questions: list[str]) -> list[list[int]]:
    """Places in `ids` of the ten best by bigrain's BM25."""
    documents, texts, _ = load_set(name)
    wanted = set(ids)
    places = {doc: place for place, doc in enumerate(ids)}
    with tempfile.TemporaryDirectory(prefix="bigrain-bm25-") as folder:
        fields = {"lexical": bigrain.LexicalField()}
        with bigrain.create(Path(folder) / "texts.grain", fields) as col:
            col.add([doc for doc in documents if str(doc.id) in wanted])
            col.commit()
            asked = [texts[question] for question in questions]
            found, _ = col.search_many(asked, k=K, arrays=True)
    return [[places[i] for i in row if i is not None] for row in found]


def one(
    system: str, name: str, options: argparse.Namespace, n: int, dim: int, truth: Array, judged: Any
) -> dict[str, Any] | None:
    """Everything about one system; None if its package is missing."""
    folder = options.cache / f"{system}-{name}-{n}"
    base = {
        "system": system, "vectors": str(options.vectors.resolve()), "n": n,
        "dim": dim, "folder": str(folder), "asked": len(truth), "singles": options.singles,
        "repeats": options.repeats, "seconds": options.seconds,
    }  # fmt: skip
    chosen = dict(entry.split("=", 1) for entry in options.python)
    python = chosen.get(system)
    if python is None:
        python = (
            sys.executable if system.startswith("bigrain") else chosen.get("peers", sys.executable)
        )

    def run(phase: str) -> dict[str, Any]:
        return process(HERE / "worker.py", python, base | {"phase": phase}, options.limit)

    kept = folder / "build.json"
    reused = options.reuse and not system.startswith("bigrain") and kept.exists()
    build = json.loads(kept.read_text()) if reused else run("build")
    if "missing" in build:
        print(f"  skipped: {build['missing']}")
        return None
    if "failed" in build:
        print(f"  failed to build: {build['failed'][-500:]}")
        return build
    print(f"  built in {build['wall_s']} s, {build['cpu_s']} s of CPU", flush=True)
    found: dict[str, Any] = {"build": build | {"reused": reused}} | run("search")
    if "failed" in found:
        print(f"  failed to search: {found['failed'][-500:]}")
        return found
    for point in found["points"]:
        ids = point.pop("found")
        point["recall"] = round(maxsim.recall(truth, ids, K), 4)
        if judged and len(ids) == len(truth):
            point["nDCG@10"] = ndcg(ids, judged)
        ms = point["single"][f"{options.clock}_p50_us"] / 1000
        print(f"  {point['setting']}: recall {point['recall']:.3f}, {ms:.2f} ms", flush=True)
    return found


if __name__ == "__main__":
    main()
