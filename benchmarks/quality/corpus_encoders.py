"""Encoders learned from nothing but the texts that are searched, beside LSA and BM25.

    python benchmarks/quality/corpus_encoders.py [--sets cisi,npl] [--out corpus_encoders.json]

Every kind learns from the documents of a set (never from queries or judgments), and fills a dense
field of 16 bytes a document in memory and float16 rows on disk; nDCG@10 and AP at the default
recall and exactly, CPU seconds of one thread, bytes. Of Real-Binary Paragraph Vectors also their
own 128 bits: 100 candidates by Hamming distance, ranked by the real vectors, beside 100 candidates
of the field's codes of as many bits.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import load_set, save

import bigrain
from bigrain.encoders import corpus

SETS = {"cranfield": "en", "cisi": "en", "npl": "en", "scifact": "en", "drcd": "zh"}
BITS, CANDIDATES = 128, 100
KINDS: dict[str, dict[str, Any]] = {
    "lsa": {"kind": "lsa", "dim": BITS},
    "lsa 300": {"kind": "lsa", "dim": 300},
    "pmi": {"kind": "pmi", "dim": BITS},
    "fastrp": {"kind": "fastrp", "dim": BITS},
    "bit-cipher": {"kind": "bit-cipher", "dim": BITS},
    "rand-walk": {"kind": "rand-walk", "dim": BITS},
    "skip-gram": {"kind": "skip-gram", "dim": BITS},
    "pv": {"kind": "pv", "dim": BITS},
    "binary-pv": {"kind": "binary-pv", "bits": BITS},
    "rb-pv": {"kind": "rb-pv", "dim": BITS, "bits": BITS},
}
MEASURES = ("nDCG@10", "AP", "R@100")
MOST_QUERIES, SEED = 300, 7


def measured(col: bigrain.Collection, queries: Any, judgments: Any, **systems: Any) -> Any:
    found = col.evaluate(queries, judgments, measures=MEASURES, systems=systems)
    return {
        name: {m: round(one.measures[m].mean, 4) for m in MEASURES}
        for name, one in found.systems.items()
    }


def own_codes(encoder: Any, texts: list[str], asked: list[str]) -> dict[str, Any]:
    """Which of the exact ten best are among the candidates by Hamming distance."""
    rows, vectors = encoder.encode_documents(texts), encoder.encode_queries(asked)
    exact = np.argsort(-vectors @ rows.T, axis=1, kind="stable")[:, :10]
    bits = [
        np.unpackbits(codes, axis=1).astype(np.float32) * 2 - 1
        for codes in (encoder.codes(texts), encoder.codes(asked))
    ]
    near = np.argsort(-bits[1] @ bits[0].T, axis=1, kind="stable")[:, :CANDIDATES]
    kept = [np.isin(best, some).mean() for best, some in zip(exact, near, strict=True)]
    candidates = {"recall of the exact 10": round(float(np.mean(kept)), 4)}
    on = (bits[0] > 0).mean(axis=0)
    candidates["bit means"] = [round(float(q), 2) for q in np.quantile(on, [0.05, 0.5, 0.95])]
    ranked = [
        some[np.argsort(-(vector @ rows[some].T), kind="stable")]
        for vector, some in zip(vectors, near, strict=True)
    ]
    return candidates | {"ranked": ranked}


def of_kind(
    name: str, folder: Path, documents: Any, queries: Any, judgments: Any, language: str
) -> dict[str, Any]:
    texts = [f"{d.title} {d.text}" for d in documents]
    began = time.process_time()
    encoder = corpus.learn(texts=texts, language=language, **KINDS[name])
    row: dict[str, Any] = {"learning_s": round(time.process_time() - began, 1)}
    encoder.save(folder / "encoder")
    if name in ("pv", "rb-pv"):
        row["inference"] = f"{encoder.settings['rule']} {encoder.settings['steps']}"
    row["encoder_bytes"] = sum(f.stat().st_size for f in (folder / "encoder").iterdir())
    field = bigrain.DenseField(encoder=str(folder / "encoder"), dim=encoder.dim, light_bytes=16)
    bigrain.register_encoder(str(folder / "encoder"), lambda: encoder)
    began = time.process_time()
    with bigrain.create(folder / "set.grain", {"dense": field}, chunking=None) as col:
        col.add(documents)
        col.commit()
        row["indexing_s"] = round(time.process_time() - began, 1)
        row["bytes_a_document"] = {"light": 16, "heavy": 2 * encoder.dim}
        row |= measured(
            col, queries, judgments,
            default={}, exact={"recall": 1.0},
        )  # fmt: skip
        if name in ("binary-pv", "rb-pv"):
            row["own codes"] = with_own_codes(col, encoder, documents, queries, judgments)
    return row


def with_own_codes(
    col: bigrain.Collection, encoder: Any, documents: Any, queries: Any, judgments: Any
) -> dict[str, Any]:
    from bigrain import evaluation

    asked = [queries[q] for q in queries]
    found = own_codes(encoder, [f"{d.title} {d.text}" for d in documents], asked)
    by_text = {
        text: [documents[i].id for i in rows]
        for text, rows in zip(asked, found.pop("ranked"), strict=True)
    }
    exact, _ = col.search_many(asked, 10, arrays=True, recall=1.0)
    near, _ = col.search_many(asked, 10, arrays=True, n_candidates=CANDIDATES)
    kept = [len({*a} & {*b}) / 10 for a, b in zip(exact, near, strict=True)]
    system = {"own": lambda query, k: [(i, -float(r)) for r, i in enumerate(by_text[query][:k])]}
    told = evaluation.evaluate_systems(
        system, queries, judgments, k=CANDIDATES, measures=list(MEASURES)
    )
    measures = {m: round(told.systems["own"].measures[m].mean, 4) for m in MEASURES}
    return measures | found | {"recall of the field's codes": round(float(np.mean(kept)), 4)}


def judge(name: str, kinds: list[str]) -> Iterator[dict[str, Any]]:
    """Words, and all kinds, on one set; what is known after each of them."""
    documents, queries, judgments = load_set(name)
    documents = [d for d in documents if d.text.strip() or d.title.strip()]
    if len(judgments) > MOST_QUERIES:
        drawn = random.Random(SEED).sample(sorted(judgments), MOST_QUERIES)
        judgments = {query: judgments[query] for query in drawn}
    queries = {query: queries[query] for query in judgments}
    rows: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        fields = {"lexical": bigrain.LexicalField(language=SETS[name])}
        with bigrain.create(Path(folder) / "words.grain", fields) as col:
            col.add(documents)
            col.commit()
            rows["bm25"] = measured(col, queries, judgments, words={})["words"]
    print(f"{name:10} bm25 {rows['bm25']}", flush=True)
    for kind in kinds:
        with tempfile.TemporaryDirectory() as folder:
            rows[kind] = of_kind(kind, Path(folder), documents, queries, judgments, SETS[name])
        print(f"{name:10} {kind:10} {rows[kind]}", flush=True)
        yield {"documents": len(documents), "queries": len(judgments), "systems": rows}


def main() -> None:
    """Run, print, save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    rows = {}
    for name in options.sets.split(","):
        for row in judge(name, options.kinds.split(",")):
            rows[name] = row
            save(options.out, {"sets": rows})


if __name__ == "__main__":
    main()
