"""The three families of the bundled encoder beside BM25: nDCG@10 and processor time of a query.

    OMP_NUM_THREADS=1 python benchmarks/quality/static_families.py [--sets npl] [--out FILE]

One collection a set with all four fields, questions in one batch, best 10. "sparse / lexical" is
the processor time of the sparse field over that of the words, both all-in from strings, the median
of alternating turns. Sets that are not named keep what the results file says of them.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import load_set, save

import bigrain
from bigrain import evaluation

SETS = ("cranfield", "scifact", "npl", "cisi", "cosqa", "medquad", "selqa")
NAME = "bigrain/static-v1"
SYSTEMS: tuple[Any, ...] = (
    ["lexical"],
    ["dense"],
    ["sparse"],
    ["multi"],
    {"lexical": 0.65, "dense": 0.35},
    {"sparse": 0.65, "dense": 0.35},
    {"lexical": 0.4, "dense": 0.25, "sparse": 0.35},
    {"lexical": 0.5, "multi": 0.5},
    {"lexical": 0.35, "dense": 0.2, "sparse": 0.25, "multi": 0.2},
)


TURNS = 7


def measured(name: str) -> dict[str, Any]:
    documents, queries, judgments = load_set(name)
    fields = {
        "lexical": bigrain.LexicalField(),
        "dense": bigrain.DenseField(encoder=NAME),
        "sparse": bigrain.SparseField(encoder=NAME),
        "multi": bigrain.MultiVectorField(encoder=NAME),
    }
    found: dict[str, Any] = {}
    with (
        tempfile.TemporaryDirectory() as folder,
        bigrain.create(Path(folder) / "c.grain", fields=fields) as col,
    ):
        col.add(documents)
        col.commit()
        for system in SYSTEMS:
            began = time.process_time()
            answers = col.search_many(list(queries.values()), k=10, fields=system)
            spent = time.process_time() - began
            run = {
                query: {hit.id: hit.score for hit in hits}
                for query, hits in zip(queries, answers, strict=True)
            }
            score = evaluation.score(run, judgments, ["nDCG@10"]).means()["nDCG@10"]
            found[json.dumps(system)] = {
                "nDCG@10": round(float(score), 4),
                "query_us": round(1e6 * spent / len(queries)),
            }
        found["sparse / lexical"] = compared(col, list(queries.values()))
    return found


def compared(col: bigrain.Collection, queries: list[str]) -> float:
    ratios = []
    for _ in range(TURNS):
        spent = []
        for field in ("lexical", "sparse"):
            began = time.process_time()
            col.search_many(queries, k=10, fields=[field])
            spent.append(time.process_time() - began)
        ratios.append(spent[1] / spent[0])
    return round(statistics.median(ratios), 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).with_name("static_families.json")
    )
    given = parser.parse_args()
    before = json.loads(given.out.read_text()) if given.out.exists() else {}
    result = {key: value for key, value in before.items() if key != "machine"}
    for name in given.sets.split(","):
        result.setdefault("sets", {})[name] = measured(name)
        print(name, result["sets"][name], flush=True)
        save(given.out, result)


if __name__ == "__main__":
    main()
