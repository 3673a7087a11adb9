"""bigrain beside other sparse indexes: same documents, same queries, one thread, same run.

    python benchmarks/sparse/peers.py [--tracks lexical,learned] [--systems a,b] [--cache FOLDER]

*Lexical*: N short passages given as text, asked with questions of the judged sets and with titles
of papers, top 10 and top 100. Every system analyses texts itself, configured to be as near as it
can be to bigrain's analyser (lower case, Lucene's 33 stop words, Snowball's English stemmer); what
it could not do is said in its adapter. A query is timed from text to ids. "Agreement" is the share
of the k best of exhaustive BM25 (`reference.py`; ties with the last count) that a system found, so
it holds differences of analysis, of formula and of rounding; the judged sets tell whether they
matter.

*Learned*: vectors of 127 weights asked with vectors of 40, made of real text by
`learned_vectors.py`, top 10. Recall is counted against exact inner products in float64. Systems
that round weights lose by it; approximate ones are asked at several settings.

Every system is built and searched in a process of its own, pinned to one core. Slow systems are
asked fewer queries. Memory is the growth of the process, after whatever it does once for any
collection (imports, compilation). Writes `results/TRACK-N.json`, a picture beside it and the tables
in `benchmarks/README.md`. `--reuse a,b` searches the indexes that these systems left in an earlier
`--cache`.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
import report
from adapters import SYSTEMS
from common import DATA, load_set, machine, passages
from learned_vectors import learned_vectors, questions
from measuring import process
from reference import Bm25, Postings, best, save_truth

from bigrain import evaluation
from bigrain.text import beir_queries

HERE = Path(__file__).parent
KS = {"lexical": (10, 100), "learned": (10,)}
PARTS = ("data", "indices", "indptr", "shape")
JUDGED = "cranfield,npl,scifact,selqa,cosqa,medquad"


def main() -> None:
    options = arguments()
    temporary = None if options.cache else tempfile.mkdtemp(prefix="bigrain-sparse-peers-")
    options.cache = options.cache or Path(temporary or "")
    options.cache.mkdir(parents=True, exist_ok=True)
    options.out.mkdir(parents=True, exist_ok=True)
    try:
        for track in options.tracks.split(","):
            n = options.n if track == "lexical" else options.n_learned
            target = options.out / f"{track}-{n}.json"
            if options.systems:
                measure(track, n, target, options)
            result = json.loads(target.read_text())
            report.everything(result, target, options.clock, options.readme)
    finally:
        if temporary:
            shutil.rmtree(temporary)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tracks", default="lexical,learned")
    parser.add_argument("--n", type=int, default=1_000_000, help="passages")
    parser.add_argument("--n-learned", type=int, default=300_000, help="vectors")
    parser.add_argument("--asked", type=int, default=1000, help="queries of a set, in a batch")
    parser.add_argument("--singles", type=int, default=300, help="queries asked one at a time")
    parser.add_argument("--repeats", type=int, default=3, help="batches; the best is kept")
    named = sorted({name for systems in SYSTEMS.values() for name in systems})
    parser.add_argument("--systems", default=",".join(named), help="by commas; '': report only")
    parser.add_argument("--judged", default=JUDGED, help="judged sets by commas; '' for none")
    parser.add_argument("--texts", type=Path, help="own texts, one a line, instead of passages")
    parser.add_argument("--queries", type=Path, help="own queries for --texts, one a line")
    parser.add_argument(
        "--vectors", type=Path, help="own vectors, as learned_vectors.py keeps them"
    )
    parser.add_argument("--cache", type=Path, help="folder of data, truths and indexes, kept")
    parser.add_argument("--reuse", default="", help="systems whose indexes in --cache are searched")
    parser.add_argument("--update", action="store_true", help="keep other systems' results")
    parser.add_argument(
        "--budget-mb", type=int, help="memory budget of bigrain; its default if not"
    )
    parser.add_argument("--limit", type=int, default=3600, help="seconds for one process")
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall", help="of the tables")
    parser.add_argument("--python", action="append", default=[], metavar="SYSTEM=PATH",
                        help="an interpreter of its own for a system")  # fmt: skip
    parser.add_argument("--out", type=Path, default=HERE / "results", help="folder of results")
    parser.add_argument("--readme", type=Path, default=HERE.parent / "README.md")
    options = parser.parse_args()
    for given, known in (
        (options.tracks, SYSTEMS),
        (options.systems, named),
        (options.reuse, named),
    ):
        if unknown := set(filter(None, given.split(","))) - set(known):
            parser.error(f"there is no {', '.join(sorted(unknown))}; there is {', '.join(known)}")
    if options.reuse and not options.cache:
        parser.error("--reuse needs the --cache of the earlier run")
    if bool(options.texts) != bool(options.queries):
        parser.error("--texts and --queries go together")
    return options


def measure(track: str, n: int, target: Path, options: argparse.Namespace) -> None:
    """Prepare the data of a track, run its systems, write the result after each."""
    prepared = (lexical if track == "lexical" else learned)(n, options)
    result = json.loads(target.read_text()) if target.exists() and options.update else {}
    result |= {"machine": machine(), "track": track, "n": n, "asked": options.asked}
    result["sets"] = list(prepared["sets"])
    result.setdefault("systems", {})
    judged = JudgedSets(options) if track == "lexical" and options.judged else None
    if judged:
        result["exhaustive nDCG@10"] = judged.exhaustive()
    for name in SYSTEMS[track]:
        if name not in options.systems.split(","):
            continue
        print(f"{track}: {name}", flush=True)
        found = one(track, name, options, prepared, judged)
        if found is not None:
            result["systems"][name] = found
        target.write_text(json.dumps(result, indent=1) + "\n")


def lexical(n: int, options: argparse.Namespace) -> dict[str, Any]:
    """Texts, sets of queries and their truths, in the cache."""
    kept = options.cache / f"texts-{n}.txt"
    if options.texts:
        with options.texts.open(encoding="utf-8") as lines:
            given = list(islice(lines, n))
        if len(given) < n:
            raise SystemExit(f"{options.texts} has {len(given)} texts: pass --n {len(given)}")
        kept.write_text("".join(given), encoding="utf-8")
        sets = {"own": options.queries.read_text(encoding="utf-8").splitlines()[: options.asked]}
    else:
        if not kept.exists():
            kept.write_text("".join(f"{text}\n" for text in passages(n)), encoding="utf-8")
        sets = {
            "questions": list(islice(questions(), options.asked)),
            "titles": list(beir_queries(DATA / "arxiv").values())[: options.asked],
        }
    scorer = None
    paths, truths = {}, {}
    for name, asked in sets.items():
        path = options.cache / f"{name}.json"
        path.write_text(json.dumps(asked))
        truth = options.cache / f"truth-{name}-{n}-{options.asked}.npz"
        if options.texts or not truth.exists():
            if scorer is None:
                with kept.open(encoding="utf-8") as lines:
                    scorer = Bm25((line.rstrip("\n") for line in lines), "en")
            save_truth(truth, map(scorer.scores, asked), KS["lexical"])
        paths[name], truths[name] = str(path), str(truth)
    return {"n": n, "documents": str(kept), "sets": paths, "truths": truths}


def learned(n: int, options: argparse.Namespace) -> dict[str, Any]:
    """Vectors of documents and queries, and their truth, in the cache."""
    path = options.vectors
    if path is None:
        path = options.cache / f"learned-{n}-{options.asked}.npz"
        learned_vectors(n, options.asked, options.cache)
    truth = options.cache / f"truth-learned-{n}-{options.asked}.npz"
    if options.vectors or not truth.exists():
        with np.load(path) as stored:
            data, indices, ends, shape = (stored[f"documents_{p}"] for p in PARTS)
            asked = [stored[f"queries_{p}"] for p in PARTS]
        if n > shape[0]:
            raise SystemExit(f"{path} has {shape[0]} vectors: pass --n-learned {shape[0]}")
        rows = np.repeat(np.arange(n, dtype=np.int32), np.diff(ends[: n + 1]))
        postings = Postings(indices[: ends[n]], rows, data[: ends[n]], n, int(shape[1]))

        def scores() -> Iterator[Any]:
            begins = asked[2][: options.asked + 1]
            for a, b in zip(begins[:-1], begins[1:], strict=True):
                yield postings.scores(asked[1][a:b], asked[0][a:b])

        save_truth(truth, scores(), KS["learned"])
    return {
        "n": n,
        "documents": str(path),
        "sets": {"questions": str(path)},
        "truths": {"questions": str(truth)},
    }


def one(
    track: str, name: str, options: argparse.Namespace, prepared: dict[str, Any],
    judged: JudgedSets | None,
) -> dict[str, Any] | None:  # fmt: skip
    """Everything about one system; None if its package is missing."""
    folder = options.cache / f"{track}-{name}-{prepared['n']}"
    base = prepared | {
        "track": track, "system": name, "folder": str(folder), "ks": KS[track],
        "asked": options.asked, "singles": options.singles, "repeats": options.repeats,
        "budget": options.budget_mb << 20 if options.budget_mb else None,
    }  # fmt: skip
    python = dict(entry.split("=", 1) for entry in options.python).get(name, sys.executable)

    def run(**more: Any) -> dict[str, Any]:
        return process(HERE / "worker.py", python, base | more, options.limit)

    built = folder / "build.json"
    reused = name in options.reuse.split(",") and built.exists()
    build = json.loads(built.read_text()) if reused else run(phase="build")
    if "missing" in build:
        print(f"  skipped: {build['missing']}")
        return None
    if "failed" in build:
        print(f"  failed to build: {build['failed'][-300:]}")
        return build
    print(f"  built in {build['wall_s']} s, {build['cpu_s']} s of CPU", flush=True)
    system: dict[str, Any] = {"build": build | {"reused": reused}}
    system |= run(phase="search")
    if "failed" in system:
        print(f"  failed to search: {system['failed'][-300:]}")
        return system
    for point in system["points"]:
        qps, agreed = 1e6 / point["batch"][f"{options.clock}_us"], point["agreement"]
        said = f"{point['setting']} {point['queries']}, top {point['k']}"
        print(f"  {said}: {qps:,.0f}/s, agreement {agreed:.4f}", flush=True)
    if judged:
        answer = run(phase="judged", sets=judged.paths)
        if "failed" in answer:
            print(f"  failed on judged sets: {answer['failed'][-300:]}")
        else:
            system["nDCG@10"] = judged.scores(answer["answers"])
    return system


class JudgedSets:
    """Small collections with judgments, as files that a worker reads."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.paths, self.sets = {}, {}
        for name in options.judged.split(","):
            listed, queries, judgments = load_set(name)
            documents = [d for d in listed if d.text.strip() or d.title.strip()]
            texts = [f"{d.title}\n{d.text}" if d.title else d.text for d in documents]
            path = options.cache / f"judged-{name}.json"
            path.write_text(json.dumps({"documents": texts, "queries": list(queries.values())}))
            self.paths[name] = str(path)
            ids = [str(d.id) for d in documents]
            self.sets[name] = (ids, texts, queries, judgments)

    def scores(self, answers: dict[str, list[list[int]]]) -> dict[str, float]:
        """nDCG@10 of the places that a system found."""
        out = {}
        for name, (ids, _, queries, judgments) in self.sets.items():
            found = zip(queries, answers[name], strict=True)
            run = {
                query: {ids[row]: 1 / (rank + 1) for rank, row in enumerate(rows)}
                for query, rows in found
                if rows
            }
            means = evaluation.score(run, judgments, ("nDCG@10",)).means()
            out[name] = round(means["nDCG@10"], 4)
        return out

    def exhaustive(self) -> dict[str, float]:
        """The same for the reference."""
        answers = {}
        for name, (_, texts, queries, _) in self.sets.items():
            scorer = Bm25(texts, "en")
            answers[name] = [
                best(scorer.scores(query), 10)[0][:10].tolist() for query in queries.values()
            ]
        return self.scores(answers)


if __name__ == "__main__":
    main()
