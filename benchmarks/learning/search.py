"""The two-grain search before and after learning an adapter, against exact search as it was.

    python benchmarks/learning/search.py --sets scifact,medquad --encoders minilm,static

For each set with a train split: nDCG@10 on its test split of the dense field alone with 100
verified candidates, before and after `learn(what="adapter")` on the train split, against the exact
full-precision search of the same encoder without learning (paired tests over test queries). Then
how many verified candidates are enough, and which negatives train best. Results are added to the
file after every set.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import machine  # noqa: E402
from judged import Judged, judged  # noqa: E402

import bigrain  # noqa: E402
from bigrain.evaluation.significance import (  # noqa: E402
    paired_bootstrap_interval,
    randomisation_test,
)
from bigrain.learning import task  # noqa: E402
from bigrain.learning.adapter import AdapterSettings, train_adapter  # noqa: E402
from bigrain.learning.measuring import ndcg, recall_at  # noqa: E402
from bigrain.learning.sampling import SAMPLERS, batches  # noqa: E402

VERIFIED = 100
DEPTHS = (10, 20, 50, 100, 200, 500)
MOST_TEST = 600


def ranking(col: Any, queries: np.ndarray, **options: Any) -> np.ndarray:
    """(Q, 10) rows found, best first."""
    ids, _ = col.search_many(list(queries), 10, arrays=True, **options)
    return np.array([[-1 if i is None else int(i) for i in row] for row in ids])


def compared(after: np.ndarray, before: np.ndarray) -> dict[str, Any]:
    low, high = paired_bootstrap_interval(after, before)
    return {
        "difference": round(float((after - before).mean()), 4),
        "interval": [round(low, 4), round(high, 4)],
        "p": round(randomisation_test(after, before), 5),
    }


def of_set(data: Judged, light_bytes: int, most_train: int, seeds: int) -> dict[str, Any]:
    """Everything about one set and encoder."""
    rng = np.random.default_rng(0)
    train = np.sort(rng.permutation(len(data.train))[:most_train])
    test = np.sort(rng.permutation(len(data.test))[:MOST_TEST])
    queries = {f"q{i}": data.train[i] for i in train.tolist()}
    judgments = {
        f"q{i}": {str(row): 1 for row in data.train_positives[i].tolist()} for i in train.tolist()
    }
    asked = data.test[test]
    grades = [{row: float(g) for row, g in data.grades[i].items()} for i in test.tolist()]
    wanted = [np.array([row for row, g in told.items() if g > 0]) for told in grades]
    dim = data.vectors.shape[1]
    found: dict[str, Any] = {
        "documents": len(data.vectors), "pairs": len(train), "test_queries": len(test),
        "light_bytes": light_bytes,
    }  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="learning-search-") as folder:
        field = bigrain.DenseField(dim=dim, light_bytes=light_bytes)
        with bigrain.create(Path(folder) / "a.grain", {"dense": field}) as col:
            col.add_vectors("dense", [str(i) for i in range(len(data.vectors))], data.vectors)
            col.commit()
            exact = ndcg(ranking(col, asked, recall=1.0), grades)
            before = ndcg(ranking(col, asked, n_candidates=VERIFIED), grades)
            found["exact"] = round(float(exact.mean()), 4)
            found["before"] = round(float(before.mean()), 4)
            for hold_out in ("documents", "questions"):
                began, used = time.monotonic(), time.process_time()
                report = col.learn(queries, judgments, what="adapter", hold_out=hold_out)
                told: dict[str, Any] = {
                    "published": list(report.published),
                    "held_out": [g.to_dict() for g in report.gains],
                    "notes": list(report.notes),
                    "learn_seconds": round(time.monotonic() - began, 1),
                    "learn_cpu_seconds": round(time.process_time() - used, 1),
                }
                if report.published:
                    after = ndcg(ranking(col, asked, n_candidates=VERIFIED), grades)
                    told["after"] = round(float(after.mean()), 4)
                    told["against_exact"] = compared(after, exact)
                    told["against_before"] = compared(after, before)
                    told["by_verified"] = {
                        str(n): round(
                            float(ndcg(ranking(col, asked, n_candidates=n), grades).mean()), 4
                        )
                        for n in DEPTHS
                    }
                    truth = ranking(col, asked[:300], recall=1.0)
                    reached = recall_at(ranking(col, asked[:300], recall=0.95), list(truth), 10)
                    told["recall_asked_0.95"] = round(float(reached.mean()), 4)
                    col.unlearn()
                found[hold_out] = told
            found["samplers"] = samplers(col, queries, judgments, asked, grades, seeds)
    found["wanted"] = round(float(np.mean([len(w) for w in wanted])), 2)
    return found


def samplers(
    col: Any, queries: Any, judgments: Any, asked: np.ndarray, grades: Any, seeds: int
) -> dict[str, Any]:
    """Each kind of negatives with the same candidates: nDCG@10 on the test queries, hardness."""
    graphs: list[Any] = []

    def keeping(*args: Any, settings: AdapterSettings, **options: Any) -> Any:
        graphs.append((args[0], args[1], args[2]))
        return train_adapter(*args, settings=settings, **options)

    found: dict[str, Any] = {}
    for sampler in SAMPLERS:
        values, seconds = [], []
        for seed in range(seeds):
            settings = AdapterSettings(sampler=sampler)
            task.train_adapter = partial(keeping, settings=settings)
            report = col.learn(queries, judgments, what="adapter", force=True, seed=seed)
            values.append(float(ndcg(ranking(col, asked, n_candidates=VERIFIED), grades).mean()))
            seconds.append(report.seconds["adapter"])
            if report.published:
                col.unlearn()
        task.train_adapter = train_adapter
        found[sampler] = {
            "ndcg@10": [round(v, 4) for v in values],
            "mean": round(float(np.mean(values)), 4),
            "seconds": round(float(np.mean(seconds)), 1),
            **hardness(*graphs[-1], sampler),
        }
    return found


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", default="scifact,medquad,arxiv,jaquad")
    parser.add_argument("--encoders", default="minilm,static")
    parser.add_argument("--cache", type=Path, default=Path("build/teacher"))
    parser.add_argument("--light-bytes", type=int, default=32)
    parser.add_argument("--pairs", type=int, default=10_000)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parent / "results" / "search.json"
    )
    args = parser.parse_args()
    told = json.loads(args.out.read_text()) if args.out.exists() else {"sets": {}}
    told["machine"] = machine()
    for name in args.sets.split(","):
        for encoder in args.encoders.split(","):
            data = judged(name, encoder, args.cache)
            found = of_set(data, args.light_bytes, args.pairs, args.seeds)
            told["sets"][f"{name} {encoder}"] = found
            args.out.parent.mkdir(exist_ok=True)
            args.out.write_text(json.dumps(told, indent=1) + "\n")
            print(name, encoder, json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
