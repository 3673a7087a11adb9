"""What lists of centroids would find, byte for byte beside the codes and sketches of the engine.

    python benchmarks/multivector/light.py FOLDER/selqa-128.npz FOLDER/scifact-128.npz ...

Two light grains that bigrain does not have, as plain NumPy models; both are lists of documents, one
for each of K centroids of the tokens.

    postings   a document is in the list of each centroid that one of its tokens lies nearest to. Of
               each token of a query the `nprobe` best lists are looked into; what is in none of
               them counts as if it had the next best centroid: imputed as in WARP (Scheerer et al.,
               SIGIR 2025), in PLAID's centroid interaction (Santhanam et al., CIKM 2022). The sum
               over tokens of the best product ranks documents. "all": no list is left out.
    sparse     each token of a document is in the lists of its k best centroids, with its product;
               of a document the largest counts. A query has the k' best centroids of each of its
               tokens, summed, and the score is the product of both: the sparse first stage of SLIM
               (Li et al., SIGIR 2023) without its trained head. "k and k'".

Bytes: 2 + log2(n / m) bits (Elias-Fano) for each of m documents of n in a list, and one byte for
the weight of a sparse entry; beside them stands a table of K x d bytes, and of the engine's codes
all that is in memory. Seen is the share of the entries of all lists that a query looks at. Writes
`results/light.json` and the table in `benchmarks/README.md`.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import maxsim
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import machine, save
from peers import true_scores
from reporting import into_page, markdown_table
from storage import DEPTHS, K, built, of_light

from bigrain.codecs.partition import Partition, quantise

HERE = Path(__file__).parent
Array = np.ndarray[Any, Any]
BEGIN = "<!-- multivector-light: written by multivector/light.py -->"
END = "<!-- end of multivector-light -->"
SAMPLE = 100_000  # tokens that centroids are fitted to
CENTROIDS = (1024, 4096)
PROBES = (1, 2, 4, 8, None)
SPARSE = ((1, 1), (1, 4), (2, 4), (4, 8))  # centroids of a token of a document, of a query
OURS = (
    *(("mean", n, 0) for n in (16, 32, 64)),
    *(("regression", n, 0) for n in (32, 64)),
    ("fde", 64, 0),
    *(("mean", n, 64) for n in (16, 32, 64)),
)


class Lists:
    """Which centroids each document has, document by document, and with what weight."""

    def __init__(self, owner: Array, centroid: Array, weight: Array, n: int, k: int) -> None:
        keys, first = np.unique(owner * k + centroid, return_inverse=True)
        self.weight = np.zeros(len(keys), np.float32)
        np.maximum.at(self.weight, first, weight)
        self.centroid, self.n, self.k = keys % k, n, k
        self.starts = np.searchsorted(keys // k, np.arange(n))
        self.sizes = np.bincount(self.centroid, minlength=k)

    def bytes_a_document(self, of_weights: int) -> float:
        """Elias-Fano's bits, and the bytes of weights."""
        some = self.sizes[self.sizes > 0]
        bits = (some * (2 + np.log2(self.n / some))).sum()
        return float((bits / 8 + of_weights * some.sum()) / self.n)


def postings(lists: Lists, products: Array, nprobe: int | None) -> tuple[Array, float]:
    """Scores (n,) of all documents for a query's products (m, K), and the share of entries seen."""
    scores, seen = np.zeros(lists.n, np.float32), np.zeros(lists.k, bool)
    for own in products:
        values, probed = own, np.arange(lists.k)
        if nprobe is not None:
            order = np.argsort(-own)[: nprobe + 1]
            probed = order[:nprobe]
            values = np.full(lists.k, own[order[-1]], np.float32)
            values[probed] = own[probed]
        seen[probed] = True
        scores += np.maximum.reduceat(values[lists.centroid], lists.starts)
    return scores, float(lists.sizes[seen].sum() / lists.sizes.sum())


def sparse(lists: Lists, products: Array, kept: int) -> tuple[Array, float]:
    """The same for the `kept` best centroids of each token."""
    terms = np.zeros(lists.k, np.float32)
    for own in products:
        best = np.argpartition(-own, kept - 1)[:kept]
        terms[best] += np.maximum(own[best], 0)
    added = lists.weight * terms[lists.centroid]
    return np.add.reduceat(added, lists.starts), float(
        lists.sizes[terms > 0].sum() / lists.sizes.sum()
    )


def of_lists(given: maxsim.Tokens, asked: maxsim.Tokens, truth: Array) -> Iterator[dict[str, Any]]:
    rng = np.random.default_rng(0)
    some = np.sort(rng.choice(len(given.values), min(SAMPLE, len(given.values)), replace=False))
    queries = [asked.row(i) for i in range(asked.n)]
    for k in CENTROIDS:
        fitted = Partition.fit(*quantise(given.values[some].astype(np.float32)), k, 0)
        table = fitted.centroids(np.arange(k, dtype=np.int32))
        nearest = {most: best_centroids(given, table, most) for most in {one for one, _ in SPARSE}}
        products = [query @ table.T for query in queries]
        owner = np.repeat(np.arange(given.n), np.diff(given.offsets))
        lists = {
            most: Lists(np.repeat(owner, most), found.ravel(), weights.ravel(), given.n, k)
            for most, (found, weights) in nearest.items()
        }
        for nprobe in PROBES:
            told = [postings(lists[1], own, nprobe) for own in products]
            name = f"postings, {k:,}, {'all' if nprobe is None else f'nprobe {nprobe}'}"
            yield {"light": name, **shares(told, truth), "bytes": lists[1].bytes_a_document(0)}
        for most, kept in SPARSE:
            told = [sparse(lists[most], own, kept) for own in products]
            name = f"sparse, {k:,}, {most} and {kept}"
            yield {"light": name, **shares(told, truth), "bytes": lists[most].bytes_a_document(1)}


def best_centroids(given: maxsim.Tokens, table: Array, most: int) -> tuple[Array, Array]:
    """(T, most) the centroids of largest product of every token, and these products, above 0."""
    found = np.empty((len(given.values), most), np.int64)
    weights = np.empty(found.shape, np.float32)
    for start in range(0, len(found), 4096):
        own = given.values[start : start + 4096].astype(np.float32) @ table.T
        best = np.argpartition(-own, most - 1, axis=1)[:, :most]
        found[start : start + len(own)] = best
        weights[start : start + len(own)] = np.take_along_axis(own, best, axis=1)
    return found, np.maximum(weights, 0)


def shares(told: list[tuple[Array, float]], truth: Array) -> dict[str, float]:
    """The share of the ten best among the first candidates, and the share of entries seen."""
    rows = [maxsim.top(scores, max(DEPTHS)).tolist() for scores, _ in told]
    found = {f"recall@{n}": maxsim.recall(truth, [row[:n] for row in rows], K) for n in DEPTHS}
    return {**found, "seen": float(np.mean([seen for _, seen in told]))}


def of_engine(given: maxsim.Tokens, asked: maxsim.Tokens, truth: Array) -> Iterator[dict[str, Any]]:
    queries = [asked.row(i) for i in range(asked.n)]
    for light, size, sketch in OURS:
        setting = {"light": light, "light_bytes": size, "sketch": sketch}
        with tempfile.TemporaryDirectory(prefix="bigrain-light-") as folder:
            col, _ = built(Path(folder), given, setting)
            with col:
                told = of_light(col, queries, truth)
        name = f"{light}, {size}" + (f", sketch {sketch}" if sketch else "")
        yield {"light": name, "bytes": told.pop("bytes a document in memory"), **told}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("vectors", type=Path, nargs="+", help="files of token_vectors.py")
    parser.add_argument("--asked", type=int, default=200, help="queries of each")
    parser.add_argument("--cache", type=Path, help="folder of exact scores, kept")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "light.json")
    parser.add_argument("--readme", type=Path, default=HERE.parent / "README.md")
    options = parser.parse_args()
    result: dict[str, Any] = {"machine": machine(), "k": K, "sets": {}}
    with tempfile.TemporaryDirectory(prefix="bigrain-scores-") as temporary:
        for path in options.vectors:
            given, asked = maxsim.documents(path), maxsim.queries(path, options.asked)
            truth = true_scores(path.stem, given, asked, options.cache or Path(temporary))
            rows = result["sets"].setdefault(path.stem, [])
            for measured in (of_lists, of_engine):
                for told in measured(given, asked, truth):
                    rows.append(
                        {k: v if isinstance(v, str) else round(v, 4) for k, v in told.items()}
                    )
                    print(path.stem, rows[-1], flush=True)
                    save(options.out, result)
    text = table(result)
    print(text)
    into_page(options.readme, BEGIN, END, text)


def table(result: dict[str, Any]) -> str:
    """Sets side by side."""
    names = list(result["sets"])
    head = ["light grain"]
    for name in names:
        head += [f"{name} B/document", *(f"@{n}" for n in DEPTHS), "seen"]
    rows = []
    for told in zip(*result["sets"].values(), strict=True):
        row = [told[0]["light"]]
        for one in told:
            found = [f"{one[f'recall@{n}']:.3f}" for n in DEPTHS]
            row += [f"{one['bytes']:.0f}", *found, f"{one['seen']:.3f}" if "seen" in one else ""]
        rows.append(row)
    return markdown_table(tuple(head), rows)


if __name__ == "__main__":
    main()
