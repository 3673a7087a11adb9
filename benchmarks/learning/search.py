"""The two-grain search before and after learning an adapter, against exact search as it was.

    python benchmarks/learning/search.py --cache FOLDER [--sets scifact] [--encoders minilm]
    python benchmarks/learning/search.py --cache FOLDER --report

For each set with a train split: nDCG@10 on its test split of the dense field alone with 100
verified candidates, before and after `learn(what="adapter")` on the train split, against the exact
full-precision search of the same encoder without learning (paired tests over test queries, after
the mean over seeds). Then how many verified candidates are enough, whether one map of queries
serves both grains, and which negatives train best. Every run is one record in the cache; `--report`
writes `results/search.json` and the tables of the README.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))
from common import machine
from judged import Judged, judged
from records import Records, compared
from reporting import into_page, markdown_table

import bigrain
from bigrain.learning import task
from bigrain.learning.adapter import AdapterSettings, train_adapter
from bigrain.learning.measuring import ndcg, recall_at
from bigrain.learning.sampling import batches

HERE = Path(__file__).parent
BEGIN = "<!-- learned-search-{part}: written by learning/search.py -->"
END = "<!-- end of learned-search-{part} -->"
VERIFIED = 100
DEPTHS = (10, 20, 50, 100, 200, 500)
MOST_TEST = 600
RUNS = (
    ("documents", "snowball"), ("questions", "snowball"), ("documents", "walk"),
    ("documents", "random"), ("documents", "ann"),
)  # fmt: skip
NAMES = {"ann": "ANN", "random": "ANN and in-batch", "walk": "random walk", "snowball": "snowball"}


def ranking(col: Any, queries: np.ndarray, k: int = 10, **options: Any) -> np.ndarray:
    """(Q, k) rows found, best first."""
    ids, _ = col.search_many(list(queries), k, arrays=True, **options)
    return np.array([[-1 if i is None else int(i) for i in row] for row in ids])


class Bench:
    """One set and encoder as a collection, and the questions of both splits."""

    def __init__(self, col: Any, data: Judged, most_train: int) -> None:
        self.col, self.data = col, data
        rng = np.random.default_rng(0)
        train = np.sort(rng.permutation(len(data.train))[:most_train])
        test = np.sort(rng.permutation(len(data.test))[:MOST_TEST])
        self.queries = {f"q{i}": data.train[i] for i in train.tolist()}
        self.judgments = {
            f"q{i}": {str(row): 1 for row in data.train_positives[i].tolist()}
            for i in train.tolist()
        }
        self.asked = data.test[test]
        self.grades = [{row: float(g) for row, g in data.grades[i].items()} for i in test.tolist()]
        col.add_vectors("dense", [str(i) for i in range(len(data.vectors))], data.vectors)
        col.commit()
        self.plain = ranking(col, self.asked, VERIFIED, n_candidates=VERIFIED)
        self.before = ndcg(self.plain, self.grades)

    def exact(self) -> np.ndarray:
        return ndcg(ranking(self.col, self.asked, recall=1.0), self.grades)

    def told(self) -> dict[str, Any]:
        return {
            "documents": len(self.data.vectors), "pairs": len(self.queries),
            "test_queries": len(self.asked),
        }  # fmt: skip

    def learned(
        self, hold_out: str, sampler: str, seed: int, thorough: bool
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """nDCG@10 of each test query with the adapter, better or not, and what learning told."""
        graphs: list[Any] = []

        def keeping(*args: Any, **options: Any) -> Any:
            graphs.append(args[:3])
            return train_adapter(*args, settings=AdapterSettings(sampler=sampler), **options)

        task.train_adapter = keeping
        used = time.process_time()
        try:
            report = self.col.learn(
                self.queries, self.judgments, what="adapter", hold_out=hold_out, seed=seed,
                force=True,
            )  # fmt: skip
        finally:
            task.train_adapter = train_adapter
        told: dict[str, Any] = {
            "better": any(gain.better for gain in report.gains),
            "held_out": [gain.to_dict() for gain in report.gains],
            "notes": list(report.notes),
            "cpu_seconds": round(time.process_time() - used, 1),
            **hardness(*graphs[-1], sampler),
        }
        if not report.published:
            return self.before, told
        after = ndcg(ranking(self.col, self.asked, n_candidates=VERIFIED), self.grades)
        if thorough:
            told |= self.more()
        self.col.unlearn()
        return after, told

    def more(self) -> dict[str, Any]:
        """Of the adapter that is there: by candidates, by asked recall, with two queries."""
        col, asked = self.col, self.asked
        by_verified = {
            str(n): round(float(ndcg(ranking(col, asked, n_candidates=n), self.grades).mean()), 4)
            for n in DEPTHS
        }
        truth = ranking(col, asked[:300], recall=1.0)
        reached = recall_at(ranking(col, asked[:300], recall=0.95), list(truth), 10)
        adapted = col._opened.families["dense"].asked(asked)
        scores = np.einsum("qd,qnd->qn", adapted, self.data.vectors[self.plain])
        order = np.argsort(-scores, axis=1, kind="stable")
        two = ndcg(np.take_along_axis(self.plain, order, axis=1), self.grades)
        return {
            "by_verified": by_verified,
            "recall_asked_0.95": round(float(reached.mean()), 4),
            "plain_candidates": round(float(two.mean()), 4),
        }


def hardness(queries: Any, vectors: Any, graph: Any, sampler: str) -> dict[str, float]:
    """Of in-batch negatives: mean score less the positive's, and the share among candidates."""
    scores, shares = [], []
    for at, batch in enumerate(batches(graph, 128, sampler, np.random.default_rng(0))):
        if at == 8:
            break
        documents = batch.documents
        for query, positive in zip(batch.queries, batch.positives, strict=True):
            others = documents[~np.isin(documents, graph.right[query])]
            found = vectors[others] @ queries[query]
            scores.append(float(found.mean() - vectors[positive] @ queries[query]))
            shares.append(float(np.isin(others, graph.candidates[query]).mean()))
    return {
        "in_batch_score_less_positive": round(float(np.mean(scores)), 4),
        "in_batch_among_candidates": round(float(np.mean(shares)), 4),
    }


def run(records: Records, args: argparse.Namespace) -> None:
    seeds = list(map(int, args.seeds.split(",")))
    for name in args.sets.split(","):
        for encoder in args.encoders.split(","):
            here = {"set": name, "encoder": encoder}
            runs = [r for r in RUNS if r[1] in args.samplers.split(",")]
            keys = [
                {**here, "hold_out": hold_out, "sampler": sampler, "seed": seed}
                for hold_out, sampler in runs
                for seed in seeds
            ]
            missing = [key for key in keys if not records.path(**key).exists()]
            if not missing:
                continue
            data = judged(name, encoder, args.cache)
            field = bigrain.DenseField(dim=data.vectors.shape[1], light_bytes=args.light_bytes)
            with (
                tempfile.TemporaryDirectory(prefix="learning-search-") as folder,
                bigrain.create(Path(folder) / "a.grain", {"dense": field}) as col,
            ):
                bench = Bench(col, data, args.pairs)
                base = {**here, "hold_out": "", "sampler": "exact", "seed": 0}
                if not records.path(**base).exists():
                    records.keep(base, bench.exact(), **bench.told())
                    records.keep({**base, "sampler": "before"}, bench.before)
                for key in missing:
                    found, told = bench.learned(
                        key["hold_out"], key["sampler"], key["seed"],
                        key["seed"] == 0 and key["sampler"] == "snowball",
                    )  # fmt: skip
                    records.keep(key, found, **told)


def report(records: Records) -> dict[str, Any]:
    """By set and encoder: each run's mean over seeds beside exact search, and the samplers."""
    groups: dict[str, dict[tuple[str, str], list[tuple[dict[str, Any], np.ndarray]]]] = {}
    for told, values in records.all():
        of_set = groups.setdefault(f"{told['set']} {told['encoder']}", {})
        of_set.setdefault((told["hold_out"], told["sampler"]), []).append((told, values))
    sets: dict[str, Any] = {}
    for name, runs in groups.items():
        (told, exact), (_, before) = runs["", "exact"][0], runs["", "before"][0]
        sets[name] = {
            **{k: told[k] for k in ("documents", "pairs", "test_queries")},
            "exact": round(float(exact.mean()), 4), "before": round(float(before.mean()), 4),
        }  # fmt: skip
        for (hold_out, sampler), members in sorted(runs.items()):
            if not hold_out:
                continue
            members.sort(key=lambda one: one[0]["seed"])
            forced = np.array([values for _, values in members])
            better = np.array([t["better"] for t, _ in members])
            as_learned = np.where(better[:, None], forced, before)
            first = members[0][0]
            beside = {}
            others = {t["seed"]: v for t, v in runs.get((hold_out, "random"), [])}
            both = [(v, others[t["seed"]]) for t, v in members if t["seed"] in others]
            if sampler == "snowball" and both:
                means = (np.mean([pair[i] for pair in both], axis=0) for i in (0, 1))
                beside = {"against_random": compared(*means)}
            keep = ("by_verified", "recall_asked_0.95", "plain_candidates",
                    "in_batch_score_less_positive", "in_batch_among_candidates")  # fmt: skip
            sets[name][f"{hold_out} {sampler}"] = {
                "seeds": len(members),
                "published": int(better.sum()),
                "ndcg": [round(float(v), 4) for v in as_learned.mean(axis=1)],
                "ndcg_forced": [round(float(v), 4) for v in forced.mean(axis=1)],
                "against_exact": compared(as_learned.mean(axis=0), exact),
                "seeds_above_exact": int((as_learned.mean(axis=1) > exact.mean()).sum()),
                "cpu_seconds": round(float(np.mean([t["cpu_seconds"] for t, _ in members])), 1),
                **beside,
                **{k: first[k] for k in keep if k in first},
            }
    return {"machine": machine(), "sets": sets}


def number(value: float) -> str:
    return f"{value:.4f}".lstrip("0")


def tables(sets: dict[str, Any]) -> dict[str, str]:
    """The tables of the README, by part."""
    main, depths, kinds = [], [], []
    for name, told in sorted(sets.items(), key=lambda one: one[0].split()[::-1]):
        row = [name, f"{told['pairs']:,}", number(told["exact"]), number(told["before"])]
        for hold_out in ("documents", "questions"):
            one = told.get(f"{hold_out} snowball")
            if one is None:
                row += ["", ""]
                continue
            gain = one["against_exact"]
            low, high = gain["interval"]
            cell = f"{number(np.mean(one['ndcg']))} ({one['published']}/{one['seeds']})"
            row += [cell, f"{gain['difference']:+.4f} [{low:.4f}, {high:.4f}], p {gain['p']:.4f}"]
        one = told.get("documents snowball", told.get("questions snowball"))
        main.append([*row, f"{one['cpu_seconds']:.0f}" if one else ""])
        for hold_out in ("documents", "questions"):
            one = told.get(f"{hold_out} snowball", {})
            if one.get("published") and "by_verified" in one:
                cells = [number(v) for v in one["by_verified"].values()]
                two = number(one["plain_candidates"])
                depths.append([f"{name}, other {hold_out}" if hold_out == "documents" else
                               f"{name}, same documents", *cells, two])  # fmt: skip
        found = {s: told[f"documents {s}"] for s in NAMES if f"documents {s}" in told}
        if len(found) > 1:
            cells = [
                f"{number(np.mean(found[s]['ndcg_forced']))} ± "
                f"{number(np.std(found[s]['ndcg_forced']))} ({found[s]['seeds']})"
                if s in found else "" for s in NAMES
            ]  # fmt: skip
            shares = [f"{found[s]['in_batch_among_candidates']:.3f}" if s in found else "–"
                      for s in ("random", "walk", "snowball")]  # fmt: skip
            less = found.get("snowball", {}).get("against_random")
            told_less = ""
            if less:
                low, high = less["interval"]
                told_less = f"{less['difference']:+.4f} [{low:.4f}, {high:.4f}]"
            kinds.append([name, *cells, told_less, ", ".join(shares)])
    gain = "gain over exact"
    return {
        "main": markdown_table(
            ["set, encoder", "pairs", "exact", "before", "other documents", gain,
             "same documents", gain, "seconds"], main),
        "candidates": markdown_table(
            ["set, encoder", *(f"{n}" for n in DEPTHS), "100 by the plain query"], depths),
        "negatives": markdown_table(
            ["set, encoder", *NAMES.values(), "snowball less in-batch",
             "in-batch among candidates: random, walk, snowball"], kinds),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sets", default="scifact,medquad,arxiv,jaquad")
    parser.add_argument("--encoders", default="minilm,static")
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--light-bytes", type=int, default=32)
    parser.add_argument("--pairs", type=int, default=3_000)
    parser.add_argument("--seeds", default="0,1,2,3,4")
    parser.add_argument("--samplers", default=",".join(NAMES))
    parser.add_argument("--report", action="store_true")
    args = parser.parse_args()
    records = Records(args.cache / "search-records")
    if not args.report:
        run(records, args)
        return
    result = report(records)
    (HERE / "results" / "search.json").write_text(json.dumps(result, indent=1) + "\n")
    for part, table in tables(result["sets"]).items():
        into_page(HERE.parent / "README.md", BEGIN.format(part=part), END.format(part=part), table)


if __name__ == "__main__":
    main()
