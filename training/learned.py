"""The bundled table learned on each set's own documents: nDCG@10 before and after.

Without labels, with the teacher's vectors of the documents (`--taught`), or with the train split's
pairs (`--judged`). Test judgments are read only to score. Fusion as in `evaluate.py`. Beside it
stand the teacher's figures where its vectors are in the cache. `--limit` keeps so many documents of
a set: those that the test wants, and others by chance.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
from data import read_set
from evaluate import BM25, TARGET_SETS, judge, limited
from scipy.sparse import csr_matrix
from teacher import Teacher

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

from bigrain.encoders.static import StaticEncoder
from bigrain.learning.static_encoder import learn_static


def vectors(model: StaticEncoder, rows: np.ndarray, texts: list[str]) -> np.ndarray:
    """Unit vectors by other rows than the model's own."""
    ids, offsets = model.tokenise(texts)
    counts = csr_matrix((np.ones(len(ids)), ids, offsets), shape=(len(texts), len(rows)))
    counts.sum_duplicates()
    counts.data **= model.power
    sums = counts @ rows
    norms = np.linalg.norm(sums, axis=1, keepdims=True)
    return (sums / np.maximum(norms, 1e-9)).astype(np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--cache", type=Path, default=Path("build/teacher"))
    parser.add_argument("--sets", nargs="+", default=list(TARGET_SETS))
    parser.add_argument("--limit", type=int, default=10**9, help="documents per set, all judged")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--taught", action="store_true")
    parser.add_argument("--judged", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("learned.json"), help="added to")
    given = parser.parse_args()
    model = StaticEncoder()
    kind = "judged" if given.judged else "taught" if given.taught else "unlabelled"
    minilm = Teacher(None, given.cache, 1)
    found = json.loads(given.out.read_text()) if given.out.exists() else {}
    for name in given.sets:
        whole = read_set(given.data, name, TARGET_SETS.get(name, "test"))
        target = limited(whole, given.limit, seed=0)
        pairs, teacher = None, None
        if given.judged:
            train = read_set(given.data, name, "train")
            place = {document: i for i, document in enumerate(target.document_ids)}
            pairs = [
                (query, place[document])
                for key, query in zip(train.query_ids, train.queries, strict=True)
                for document in sorted(train.judgments[key])
                if document in place
            ]
        if given.taught:
            teacher = minilm.encode(target.documents)
        words = BM25(target.documents).scores(target.queries)
        began = time.process_time()
        learned = learn_static(
            model, target.documents, pairs=pairs, teacher=teacher, steps=given.steps
        )
        row: dict[str, object] = {
            "documents": len(target.documents),
            "cpu_s": round(time.process_time() - began),
            "steps": learned.steps,
        }
        for when, rows in (("before", model.rows()), ("after", learned.rows)):
            queries = vectors(model, rows, target.queries)
            scores = judge(target, queries @ vectors(model, rows, target.documents).T, words)
            row[when] = {
                key: round(scores[key], 4) for key in ("dense", "minmax 0.35", "minmax 0.50")
            }
        if minilm.knows(target.documents):
            queries = minilm.encode(target.queries).astype(np.float32)
            documents = minilm.encode(target.documents).astype(np.float32)
            scores = judge(target, queries @ documents.T, words)
            row["minilm"] = {key: round(scores[key], 4) for key in ("dense", "minmax 0.60")}
        found.setdefault(kind, {})[name] = row
        given.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        print(kind, name, row, flush=True)


if __name__ == "__main__":
    main()
