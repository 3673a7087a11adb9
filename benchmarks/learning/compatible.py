"""New queries on old codes: how much of the old nDCG@10 is kept before anything is re-encoded.

    python benchmarks/learning/compatible.py --cache FOLDER

Old codes are OPQ of 32 bytes. The map from the new encoder's queries is learned from documents
that both have encoded, from questions of the train split, or from these with their judgments.
Writes `results/compatible.json` row by row; rows that it holds are not measured again.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
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

from bigrain.codecs.dense import CodeSettings
from bigrain.evaluation.significance import paired_bootstrap_interval
from bigrain.learning.compatible import learn_compatible
from bigrain.learning.light import fitted_codec
from bigrain.learning.mining import Coded, best_rows, exact_scores

PATH = Path(__file__).parent / "results" / "compatible.json"
SETS = ("scifact", "medquad")
LEFT_OUT = 4  # every so many-th document stands in for a query


def ndcg(asked: np.ndarray, documents: np.ndarray, data: Judged, k: int = 10) -> np.ndarray:
    """(test queries,) with linear gains."""
    discounts = 1 / np.log2(np.arange(2, k + 2))
    best = best_rows(exact_scores(documents, "ip"), asked, len(documents), k)
    out = []
    for rows, grades in zip(best, data.grades, strict=True):
        ideal = np.array(sorted(grades.values(), reverse=True)[:k])
        gains = np.array([grades.get(int(row), 0) for row in rows])
        out.append(gains @ discounts / (ideal @ discounts[: len(ideal)]))
    return np.array(out)


def measure(name: str, old: Judged, new: Judged, told: dict[str, Any]) -> None:
    rows = json.loads(PATH.read_text())["rows"] if PATH.exists() else []
    known = {(row["set"], row["old"], row["from"], row["steps"]) for row in rows}
    codec = fitted_codec(CodeSettings(32, "opq", 4), "cosine", old.vectors)
    codes = Coded(codec, old.vectors).stand_for()
    before = ndcg(old.test, codes, old)
    after = ndcg(new.test, new.vectors, new)
    paired = (new.vectors, old.vectors)
    some = slice(None, None, LEFT_OUT)
    ways: dict[str, dict[str, Any]] = {
        "documents": {"new": new.vectors[some], "old": old.vectors[some]},
        "questions": {"new": new.train, "old": old.train},
        "judgments": {"new": new.train, "old": old.train, "positives": old.train_positives},
    }
    for way, given in ways.items():
        for steps in (0, 300):
            if (name, told["old"], way, steps) in known:
                continue
            began = time.process_time()
            matrix, report = learn_compatible(
                given["new"], given["old"], codes, paired=paired,
                positives=given.get("positives", ()), steps=steps,
            )  # fmt: skip
            seconds = time.process_time() - began
            reached = ndcg(new.test @ matrix.T, codes, old)
            low, high = paired_bootstrap_interval(reached, before, seed=0)
            rows.append({
                "set": name, **told, "from": way, "steps": steps,
                "old on old codes": round(float(before.mean()), 4),
                "new, re-encoded, exact": round(float(after.mean()), 4),
                "new on old codes": round(float(reached.mean()), 4),
                "kept": round(float(reached.mean() / before.mean()), 4),
                "difference interval": [round(low, 4), round(high, 4)],
                "ridge": report["ridge"], "paired": report["paired"],
                "seconds": round(seconds, 1),
            })  # fmt: skip
            print(json.dumps(rows[-1]), flush=True)
            PATH.parent.mkdir(exist_ok=True)
            PATH.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cache", type=Path, required=True)
    args = parser.parse_args()
    for name in SETS:
        minilm, static = (judged(name, encoder, args.cache) for encoder in ("minilm", "static"))
        measure(name, minilm, static, {"old": "minilm", "new": "static"})
        measure(name, static, minilm, {"old": "static", "new": "minilm"})


if __name__ == "__main__":
    main()
