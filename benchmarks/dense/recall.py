"""Asked recall against reached recall, with queries of another kind than the vectors.

    python benchmarks/dense/recall.py [--vectors X.npy --queries Q.npy] [--n 100000]

Nothing is set but the recall. The sets, n vectors and up to 1,000 queries each:

    given        --vectors and --queries, two files of float32 unit vectors, cosine
    encoded      sentences of `passages` and questions of selqa, medquad and cosqa by the bundled
                 encoder, cosine
    lsa          the same texts by TF-IDF and 200 singular vectors (Deerwester et al., JASIS 1990),
                 not normalised: lengths differ threefold; inner product, and Euclidean distance
    lengths      `given` (else `encoded`), every vector and query times a random length exp(z / 2)
                 of its own, z normal; inner product, and Euclidean distance
    unrelated    the same vectors with queries of random direction: they are like nothing stored,
                 and all neighbours are about as good as a thousand others

One half of the queries is asked first; "after an audit" is the same half again, once the other half
was audited. Truth: every vector in float32. One thread; CPU time, so other work may run beside it.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import load_set, passages, save

import bigrain
from bigrain.encoders.static import StaticEncoder

SEED = 5
ASKED = (0.9, 0.95, 0.99)
SETS = ("selqa", "medquad", "cosqa")
K, QUERIES, ALLOWED = 10, 1000, 0.005
WORDS, DIMENSIONS, ITERATIONS = 30_000, 200, 4
Array = np.ndarray[Any, Any]
Case = tuple[str, str, Array, Array]  # name, metric, vectors, queries


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=100_000)
    parser.add_argument("--vectors", type=Path)
    parser.add_argument("--queries", type=Path)
    parser.add_argument("--sets", default="given,encoded,lsa,lengths,unrelated")
    here = Path(__file__).parent / "results" / "recall.json"
    parser.add_argument("--out", type=Path, default=here)
    options = parser.parse_args()
    result: dict[str, Any] = {"seed": SEED, "k": K, "vectors": options.n, "sets": []}
    for name, metric, vectors, queries in cases(options):
        point = {"set": name, "metric": metric, "dim": vectors.shape[1], "queries": len(queries)}
        with tempfile.TemporaryDirectory(prefix="bigrain-recall-") as temporary:
            point |= measured(Path(temporary) / "c.grain", metric, vectors, queries)
        result["sets"].append(point)
        print(point, flush=True)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    save(options.out, result)


def cases(options: argparse.Namespace) -> Iterator[Case]:
    """Every set that was asked for, made when it is its turn."""
    wanted = options.sets.split(",")
    rng = np.random.default_rng(SEED)
    vectors, queries = encoded(options.n), questions()
    if "encoded" in wanted:
        yield "encoded", "cosine", vectors, queries
    if "lsa" in wanted:
        reduced = lsa(list(passages(options.n)), asked_texts())
        yield "lsa", "ip", *reduced
        yield "lsa", "l2", *reduced
    if options.vectors and options.queries:
        vectors = np.array(np.load(options.vectors, mmap_mode="r")[: options.n], np.float32)
        queries = np.load(options.queries)[:QUERIES].astype(np.float32)
        if "given" in wanted:
            yield "given", "cosine", vectors, queries
    long = [np.exp(rng.standard_normal((len(some), 1)) / 2) for some in (vectors, queries)]
    stretched, asked = (vectors * long[0]).astype(np.float32), (queries * long[1]).astype("f4")
    if "lengths" in wanted:
        yield "lengths", "ip", stretched, asked
        yield "lengths", "l2", stretched, asked
    if "unrelated" in wanted:
        random = rng.standard_normal(queries.shape).astype(np.float32)
        random /= np.linalg.norm(random, axis=1, keepdims=True)
        yield "unrelated", "cosine", vectors, random
        yield "unrelated, lengths", "l2", stretched, (random * long[1]).astype(np.float32)


def encoded(n: int) -> Array:
    """(n, dim) unit vectors of the first n sentences."""
    encoder = StaticEncoder().head("dense")
    out = np.empty((n, encoder.dim), np.float32)
    texts: list[str] = []
    at = 0
    for text in passages():
        texts.append(text)
        if len(texts) == 4096 or at + len(texts) == n:
            rows = encoder.encode_documents(texts)
            out[at : at + len(rows)] = rows
            at, texts = at + len(rows), []
        if at == n:
            return out
    return out[:at]


def asked_texts() -> list[str]:
    """1,000 questions, drawn from all sets."""
    texts = [text for name in SETS for text in load_set(name)[1].values()]
    chosen = np.random.default_rng(SEED).choice(len(texts), QUERIES, replace=False)
    return [texts[i] for i in chosen]


def questions() -> Array:
    """(1000, dim) unit vectors of them."""
    return np.asarray(StaticEncoder().head("dense").encode_queries(asked_texts()), np.float32)


def lsa(texts: list[str], questions: list[str]) -> tuple[Array, Array]:
    """(vectors, queries): sums of word vectors, the leading singular vectors of TF-IDF.

    Randomised subspace iteration (Halko, Martinsson & Tropp, SIAM Review 2011).
    """
    from scipy import sparse

    word = re.compile(r"\w+")
    documents, asked = ([word.findall(t.lower()) for t in some] for some in (texts, questions))
    seen = Counter(w for words in documents for w in set(words))
    column = {w: i for i, (w, _) in enumerate(seen.most_common(WORDS))}
    idf = np.log(len(texts) / np.array([seen[w] for w in column]))

    def table(lists: list[list[str]]) -> Any:
        counts = [Counter(column[w] for w in words if w in column) for words in lists]
        rows = np.repeat(np.arange(len(lists)), [len(c) for c in counts])
        columns = np.array([i for c in counts for i in c])
        weights = 1 + np.log(np.array([v for c in counts for v in c.values()]))
        return sparse.csr_matrix(
            ((weights * idf[columns]).astype(np.float32), (rows, columns)), (len(lists), len(idf))
        )

    weighted = table(documents)
    rng = np.random.default_rng(SEED)
    basis = rng.standard_normal((len(idf), DIMENSIONS + 10)).astype(np.float32)
    for _ in range(ITERATIONS):
        basis = np.linalg.qr(weighted.T @ (weighted @ basis))[0]
    turned = np.linalg.eigh((weighted @ basis).T @ (weighted @ basis))[1][:, ::-1]
    leading = np.asarray(basis @ turned[:, :DIMENSIONS], np.float32)
    queries = table(asked) @ leading
    return weighted @ leading, queries[np.linalg.norm(queries, axis=1) > 0]


def neighbours(queries: Array, vectors: Array, metric: str) -> Array:
    """(queries, K) the true best."""
    found = []
    squares = np.einsum("ij,ij->i", vectors, vectors) if metric == "l2" else None
    for start in range(0, len(queries), 250):
        scores = queries[start : start + 250] @ vectors.T
        if squares is not None:
            scores = 2 * scores - squares
        found.append(np.argpartition(-scores, K, axis=1)[:, :K])
    return np.concatenate(found)


def measured(path: Path, metric: str, vectors: Array, queries: Array) -> dict[str, Any]:
    """Build, ask, audit, ask again."""
    field = bigrain.DenseField(dim=vectors.shape[1], metric=metric)
    began = time.process_time()
    with bigrain.create(path, {"vec": field}, memory_budget_bytes=2 << 30) as col:
        for start in range(0, len(vectors), 50_000):
            part = vectors[start : start + 50_000]
            col.add_vectors("vec", [str(i) for i in range(start, start + len(part))], part)
        col.commit()
    build = round(time.process_time() - began, 1)
    held, audited = queries[::2], queries[1::2]
    truth = neighbours(held, vectors, metric)
    with bigrain.open(path, read_only=True, memory_budget_bytes=2 << 30) as col:
        asked = {str(recall): ask(col, held, truth, recall) for recall in ASKED}
        for recall in ASKED:
            told = asked[str(recall)]
            report = col.audit(queries=list(audited), recall=recall)
            told["audit says it holds"] = report.holds
            told["after an audit"] = ask(col, held, truth, recall)
    return {"build_cpu_s": build, "asked": asked}


def ask(col: bigrain.Collection, queries: Array, truth: Array, recall: float) -> dict[str, Any]:
    """Reached recall and time at one asked recall; ids and scores, no texts."""
    seconds = []
    for _ in range(3):
        began = time.process_time()
        found, _ = col.search_many(list(queries), k=K, recall=recall, arrays=True)
        seconds.append(time.process_time() - began)
    pairs = zip(found.tolist(), truth.tolist(), strict=True)
    hits = np.array([len({*map(int, row)} & {*best}) for row, best in pairs]) / K
    return {
        "reached": round(float(hits.mean()), 4),
        "standard error": round(float(hits.std()) / len(hits) ** 0.5, 4),
        "within": bool(hits.mean() >= recall - ALLOWED),
        "batch_cpu_us": round(1e6 * min(seconds) / len(queries)),
    }


if __name__ == "__main__":
    main()
