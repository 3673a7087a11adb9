"""Effectiveness on judged collections: BM25 and bm25s, dense, fused; methods and weights of fusion.

    python benchmarks/quality/quality.py [--sets scifact,npl] [--out results.json]

Every collection is made with the default fields. bm25s gets the same terms (same analyser), the
same formula (Lucene) and parameters. nDCG@10 and R@100 over judged queries, by ir-measures.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import load_set, save

import bigrain
from bigrain import evaluation
from bigrain.text import Analyser

BM25_SETS = ("cranfield", "scifact", "npl", "cisi", "medquad")
FUSED_SETS = ("cranfield", "scifact", "npl", "cisi", "cosqa", "medquad", "selqa")
LONG_SETS = ("qmsum",)
MEASURES = ("nDCG@10", "R@100")
DENSE_SHARES = (0.1, 0.2, 0.3, 0.35, 0.4, 0.5, 0.6)


def systems() -> dict[str, dict[str, Any]]:
    """The settings compared: each field alone, the default, other weights, RRF."""
    found: dict[str, dict[str, Any]] = {
        "lexical": {"fields": ["lexical"]},
        "dense": {"fields": ["dense"]},
        "fused": {},
        "rrf": {"fields": {"lexical": 0.5, "dense": 0.5}, "fusion": bigrain.Fusion("rrf")},
    }
    for share in DENSE_SHARES:
        found[f"minmax dense={share}"] = {"fields": {"lexical": 1 - share, "dense": share}}
    return found


def bm25s_scores(
    documents: list[bigrain.Document], queries: dict[str, str], judgments: Any
) -> dict[str, float]:
    """bm25s over the same terms."""
    import bm25s

    analyser = Analyser("en")
    corpus = analyser.analyse_many(f"{d.title}\n{d.text}" if d.title else d.text for d in documents)
    engine = bm25s.BM25(method="lucene", k1=1.2, b=0.75)
    engine.index(corpus, show_progress=False)
    known = engine.vocab_dict
    run: dict[str, dict[str, float]] = {}
    for query, text in queries.items():
        terms = [term for term in analyser.analyse(text) if term in known]
        if not terms:
            continue
        ids, scores = engine.retrieve(
            [terms], k=min(100, len(documents)), show_progress=False, sorted=True
        )
        run[query] = {
            str(documents[i].id): float(s)
            for i, s in zip(ids[0].tolist(), scores[0].tolist(), strict=True)
            if s > 0
        }
    return evaluation.score(run, judgments, MEASURES).means()


def judge(name: str) -> dict[str, Any]:
    """Everything about one set."""
    documents, queries, judgments = load_set(name)
    documents = [d for d in documents if d.text.strip() or d.title.strip()]
    with tempfile.TemporaryDirectory() as folder:
        col = bigrain.create(Path(folder) / "set.grain")
        began = time.perf_counter()
        col.add(documents)
        col.commit()
        seconds = time.perf_counter() - began
        found = col.evaluate(queries, judgments, measures=MEASURES, systems=systems())
        col.close()
    row: dict[str, Any] = {
        "documents": len(documents),
        "queries": len(queries),
        "index_s": round(seconds, 2),
        "systems": {
            system: {m: round(r.measures[m].mean, 4) for m in MEASURES}
            for system, r in found.systems.items()
        },
    }
    compared = evaluation.compare(found.systems["fused"], found.systems["lexical"], "nDCG@10")
    row["fused - lexical"] = {
        "difference": round(compared.difference, 4),
        "low": round(compared.low, 4),
        "high": round(compared.high, 4),
        "p": round(compared.p_randomisation, 4),
    }
    if name in BM25_SETS:
        peer = bm25s_scores(documents, queries, judgments)
        row["bm25s"] = {m: round(peer[m], 4) for m in MEASURES}
    return row


def main() -> None:
    """Run, print a table, save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", default=",".join((*FUSED_SETS, *LONG_SETS)))
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("results.json"))
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    rows = {}
    for name in options.sets.split(","):
        rows[name] = judge(name)
        at = rows[name]["systems"]
        print(
            f"{name:10} lexical {at['lexical']['nDCG@10']:.4f}  dense {at['dense']['nDCG@10']:.4f}"
            f"  fused {at['fused']['nDCG@10']:.4f}"
            f" ({rows[name]['fused - lexical']['difference']:+.4f})"
            f"  bm25s {rows[name].get('bm25s', {}).get('nDCG@10', float('nan')):.4f}",
            flush=True,
        )
    seven = [n for n in FUSED_SETS if n in rows]
    summary = {
        system: round(float(np.mean([rows[n]["systems"][system]["nDCG@10"] for n in seven])), 4)
        for system in systems()
    }
    for system, mean in summary.items():
        gain = mean - summary["lexical"]
        worst = min(
            rows[n]["systems"][system]["nDCG@10"] - rows[n]["systems"]["lexical"]["nDCG@10"]
            for n in seven
        )
        print(f"{system:20} mean {mean:.4f}  gain {gain:+.4f}  worst {worst:+.4f}")
    save(options.out, {"sets": rows, "mean nDCG@10 of seven sets": summary})


if __name__ == "__main__":
    main()
