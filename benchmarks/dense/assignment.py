"""Which list a vector belongs to: other assignments than the nearest centroid, at equal memory.

    python benchmarks/dense/assignment.py --vectors X.npy --queries Q.npy [--n 100000]

Sets: the given vectors and queries, and sentences of `passages` with questions by the bundled
encoder (as in `recall.py`). Lists, 1-bit RaBitQ codes of residuals and the order in which lists are
looked into are bigrain's own; a scan looks at all codes of the lists within a margin, and VERIFIED
rows with the best estimates count as found. A copy of a vector in a second list is one more code.
Told is how many codes a query looks at until recall@10 is reached, interpolated between margins,
and the same with the ranking of lists counted in codes.

    lists xF      F times as many lists
    second        all vectors also in their second nearest list; or the share of them named, those
                  with the least difference between the distances to both
    soar          the same, the second list chosen by |x - c'|^2 + (<x - c', r> / |r|)^2, r = x - c
                  (Sun et al., SOAR, NeurIPS 2023)
    mixed         k-means on the vectors and as many sample queries as a share of them says
    router        lists ranked by products with vectors of their own, learned by gradient descent
                  so that a softmax of them tells the lists of the true neighbours (Vecchiato et
                  al., SIGIR 2024); from means of two and three stored vectors, or from questions
                  (half of them; the other half asks)
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import save
from recall import encoded, neighbours, questions

from bigrain.codecs.dense import CodeSettings, DenseCodec
from bigrain.codecs.frame import Frame
from bigrain.codecs.partition import Partition, list_count, quantise
from bigrain.index.coded import expected_best

SEED, K, VERIFIED = 3, 10, 250
DEEP = 4000  # the best estimates of a query among which those of its lists are found
MARGINS = np.linspace(0.02, 2, 100)
TARGETS = (0.9, 0.95, 0.98, 0.99)
FACTOR, ORDER = 2, 4  # bytes of a code beside its bits
PER_LIST = (
    2.7  # a product with a centroid takes 2.5 ns, a code in a batch 0.93 (benchmarks/kernels)
)
LEARNED, EPOCHS, TOGETHER = 10_000, 5, 250
STEEPNESS, STEPS = 20.0, (0.2, 1.0)
Array = np.ndarray[Any, Any]


@dataclass
class Assigned:
    """Copies of vectors in lists, and what lists are ranked by if it is not their centroids."""

    partition: Partition
    rows: Array  # (N,) which vector
    lists: Array  # (N,)
    router: Array | None = None  # (L, d)


@dataclass
class Study:
    """A set of vectors with its codec; queries that ask, and others to learn from."""

    centred: Array
    codec: DenseCodec
    queries: Array
    truth: Array
    asked_before: Array

    @cached_property
    def once(self) -> Assigned:
        """As bigrain does it."""
        partition = self.fit(list_count(len(self.centred)))
        return Assigned(partition, np.arange(len(self.centred)), partition.assign(self.centred))

    @property
    def dim(self) -> int:
        return self.centred.shape[1]

    def fit(self, n_lists: int, others: Array | None = None) -> Partition:
        """k-means on all vectors, and on `others`."""
        sample = self.centred if others is None else np.concatenate((self.centred, others))
        return Partition.fit(*quantise(sample), n_lists, SEED)

    def mixtures(self, n: int) -> Array:
        """Unit means of two and three stored vectors: what the calibration takes for queries."""
        rng = np.random.default_rng(SEED)
        stored = self.centred + self.codec.centre
        parts = [
            sum(stored[rng.integers(len(stored), size=n // 2)] for _ in range(m)) for m in (2, 3)
        ]
        means = np.concatenate(parts)
        return np.asarray(means / np.linalg.norm(means, axis=1, keepdims=True), np.float32)


def more_lists(study: Study, factor: float) -> Assigned:
    n = len(study.centred)
    partition = study.fit(int(factor * list_count(n)))
    return Assigned(partition, np.arange(n), partition.assign(study.centred))


def spilled(study: Study, soar: bool, share: float) -> Assigned:
    """A share of the vectors in a second list, too."""
    once = study.once
    table = once.partition.centroids(np.arange(once.partition.n_lists))
    half = 0.5 * np.einsum("ij,ij->i", table, table)
    second, gain = np.empty(len(once.rows), np.int64), np.empty(len(once.rows))
    for start in range(0, len(once.rows), 2000):
        part = slice(start, start + 2000)
        x, first = study.centred[part], once.lists[part]
        products = x @ table.T
        apart = half - products  # half of |x - c'|^2, less |x|^2 / 2
        own = np.arange(len(x)), first
        nearest = apart[own]
        cost = apart
        if soar:
            r = x - table[first]
            r /= np.linalg.norm(r, axis=1, keepdims=True) + 1e-9
            along = np.einsum("ij,ij->i", x, r)[:, None] - r @ table.T
            cost = apart + 0.5 * np.square(along)
        cost = cost.copy()
        cost[own] = np.inf
        second[part] = cost.argmin(axis=1)
        gain[part] = apart[np.arange(len(x)), second[part]] - nearest
    some = np.sort(np.argsort(gain, kind="stable")[: round(share * len(gain))])
    return Assigned(
        once.partition,
        np.concatenate((once.rows, some)),
        np.concatenate((once.lists, second[some])),
    )


def mixed(study: Study, share: float) -> Assigned:
    some = study.mixtures(int(share * len(study.centred)) // 2 * 2) - study.codec.centre
    partition = study.fit(list_count(len(study.centred)), some)
    n = len(study.centred)
    return Assigned(partition, np.arange(n), partition.assign(study.centred))


def routed(study: Study, from_questions: bool) -> Assigned:
    """Plain lists, ranked by learned vectors that begin as the centroids."""
    once = study.once
    queries = study.asked_before if from_questions else study.mixtures(LEARNED)
    near = neighbours(queries, study.centred, "ip")
    router = once.partition.centroids(np.arange(once.partition.n_lists))
    held = len(queries) // 10  # tells which step and how many epochs are right
    best, least = router, np.inf
    for step in STEPS:
        learnt = router.copy()
        rng, speed = np.random.default_rng(SEED), np.zeros_like(router)
        for _ in range(EPOCHS):
            for some in np.array_split(rng.permutation(np.arange(held, len(queries))), 60):
                error = softmax_error(learnt, queries[some], once.lists[near[some]])
                speed = 0.9 * speed + (error.T @ queries[some]) / len(some)
                learnt -= step * speed
            told = missed(learnt, queries[:held], once.lists[near[:held]])
            if told < least:
                best, least = learnt.copy(), told
    return Assigned(once.partition, once.rows, once.lists, best)


def softmax_error(router: Array, queries: Array, lists: Array) -> Array:
    """(q, L) softmax less what is wanted: the gradient of cross entropy by the scores."""
    scores = STEEPNESS * (queries @ router.T)
    scores -= scores.max(axis=1, keepdims=True)
    chance = np.exp(scores)
    chance /= chance.sum(axis=1, keepdims=True)
    wanted = np.zeros_like(chance)
    np.add.at(wanted, (np.arange(len(queries))[:, None], lists), 1 / lists.shape[1])
    return np.asarray(chance - wanted)


def missed(router: Array, queries: Array, lists: Array) -> float:
    """The mean logarithm of the place of the lists of true neighbours."""
    scores = queries @ router.T
    own = np.take_along_axis(scores, lists, axis=1)
    places = [(scores > own[:, [i]]).sum(axis=1) for i in range(own.shape[1])]
    return float(np.log1p(places).mean())


def measured(study: Study, made: Assigned) -> dict[str, Any]:
    """Codes looked at for every target, memory, and the most that was reached."""
    partition, n_lists = made.partition, made.partition.n_lists
    symbols, scale, squares = [], [], np.zeros(n_lists)
    for start in range(0, len(made.rows), 4096):
        x = study.centred[made.rows[start : start + 4096]]
        lists = made.lists[start : start + 4096]
        c = partition.centroids(lists)
        codes = study.codec.encode(x, c)
        symbols.append(codes.symbols)
        scale.append(codes.scale)
        squares += np.bincount(lists, np.square(x - c).sum(axis=1), n_lists)
    factor = np.concatenate(scale)
    packed = np.concatenate(symbols)
    sizes = np.bincount(made.lists, minlength=n_lists)
    spread = np.sqrt(squares / np.maximum(sizes, 1)).astype(np.float32)
    seen, found = np.zeros(len(MARGINS)), np.zeros(len(MARGINS))
    for start in range(0, len(study.queries), TOGETHER):
        queries = study.queries[start : start + TOGETHER]
        prepared = study.codec.prepare(queries)
        bases = partition.products(prepared.routed)
        routes = expected_best(prepared, bases, spread, None)
        if made.router is not None:
            routes = queries @ made.router.T
        best = routes.max(axis=1, keepdims=True)
        gaps = (best - routes) / (best - routes.mean(axis=1, keepdims=True))
        turned = study.codec.turned(prepared.routed)
        estimates = np.empty((len(queries), len(made.rows)), np.float32)
        for at in range(0, len(made.rows), 20_000):
            part = slice(at, at + 20_000)
            decoded = study.codec.quantiser.decode(packed[part])
            estimates[:, part] = factor[part] * (turned @ decoded.T) + bases[:, made.lists[part]]
        for q, true in enumerate(study.truth[start : start + TOGETHER]):
            top = np.argpartition(-estimates[q], DEEP)[:DEEP]
            top = top[np.argsort(-estimates[q, top])]
            gap = gaps[q, made.lists[top]]
            for i, margin in enumerate(MARGINS):
                rows = made.rows[top[gap <= margin][: 2 * VERIFIED]]
                distinct = rows[np.sort(np.unique(rows, return_index=True)[1])][:VERIFIED]
                found[i] += np.isin(true, distinct).sum()
                seen[i] += sizes[gaps[q] <= margin].sum()
    seen, found = seen / len(study.queries), found / study.truth.size
    n = len(study.centred)
    each = packed.shape[1] + FACTOR + ORDER
    n_bytes = each * len(made.rows) + n_lists * (study.dim + 12)
    if made.router is not None:
        n_bytes += n_lists * (study.dim + 4)
    needed = {str(t): at_recall(seen, found, t) for t in TARGETS}
    return {
        "lists": n_lists,
        "copies": round(len(made.rows) / n, 3),
        "bytes_per_vector": round(n_bytes / n, 1),
        "most": round(float(found.max()), 4),
        "codes": needed,
        "and lists": {t: c and round(c + PER_LIST * n_lists) for t, c in needed.items()},
    }


def at_recall(seen: Array, found: Array, recall: float) -> int | None:
    """Log-linear between the margins around it."""
    above = np.flatnonzero(found >= recall)
    if not len(above):
        return None
    i = above[0]
    if i == 0:
        return round(float(seen[0]))
    share = (recall - found[i - 1]) / (found[i] - found[i - 1])
    ends = np.log(np.maximum(seen[[i - 1, i]], 1))
    return round(float(np.exp(ends[0] + share * (ends[1] - ends[0]))))


VARIANTS: dict[str, Callable[[Study], Assigned]] = {
    "plain": lambda s: s.once,
    "lists x0.5": lambda s: more_lists(s, 0.5),
    "lists x2": lambda s: more_lists(s, 2),
    "lists x4": lambda s: more_lists(s, 4),
    "second 1.0": lambda s: spilled(s, False, 1.0),
    "second 0.2": lambda s: spilled(s, False, 0.2),
    "soar 1.0": lambda s: spilled(s, True, 1.0),
    "soar 0.3": lambda s: spilled(s, True, 0.3),
    "soar 0.1": lambda s: spilled(s, True, 0.1),
    "mixed 0.2": lambda s: mixed(s, 0.2),
    "mixed 1.0": lambda s: mixed(s, 1.0),
    "router of means": lambda s: routed(s, False),
    "router of questions": lambda s: routed(s, True),
}


def study_of(vectors: Array, queries: Array, n_asked: int) -> Study:
    dim = vectors.shape[1]
    frame = Frame.fit(
        iter([vectors[:20_000]]), dim, dim, metric="cosine", reduction="pca", queries=None
    )
    codec = DenseCodec.fit(frame, CodeSettings(dim // 8), None)
    asked, before = queries[::2][:n_asked], queries[1::2]
    return Study(vectors - frame.centre, codec, asked, neighbours(asked, vectors, "ip"), before)


def sets(options: argparse.Namespace) -> Iterator[tuple[str, Study]]:
    if options.only != "encoded" and options.vectors and options.queries:
        vectors = np.array(np.load(options.vectors, mmap_mode="r")[: options.n], np.float32)
        queries = np.load(options.queries).astype(np.float32)
        yield "given", study_of(vectors, queries, options.n_queries)
        del vectors
    if options.only != "given":
        yield "encoded", study_of(encoded(options.n), questions(), options.n_queries)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vectors", type=Path)
    parser.add_argument("--queries", type=Path)
    parser.add_argument("--n", type=int, default=100_000)
    parser.add_argument("--n-queries", type=int, default=500)
    parser.add_argument("--variants", default=",".join(VARIANTS))
    here = Path(__file__).parent / "results" / "assignment.json"
    parser.add_argument("--only", choices=("given", "encoded"))
    parser.add_argument("--update", action="store_true", help="keep the variants that --out has")
    parser.add_argument("--out", type=Path, default=here)
    options = parser.parse_args()
    result: dict[str, Any] = {"seed": SEED, "k": K, "verified": VERIFIED, "vectors": options.n}
    known = json.loads(options.out.read_text()) if options.update else {}
    for name, study in sets(options):
        told = result[name] = known.get(name, {}) | {
            "queries": len(study.queries),
            "dim": study.dim,
        }
        for variant in options.variants.split(","):
            told[variant] = measured(study, VARIANTS[variant](study))
            print(name, variant, told[variant], flush=True)
            save(options.out, {**known, **result})


if __name__ == "__main__":
    main()
