"""Fixed vectors made smaller after training: what is found at how many bytes.

    python benchmarks/tables/vectors.py [--vectors X.npy --queries Q.npy] [--n 100000]

Without files: generated vectors whose lengths vary log-normally. Truth: the ten largest inner
products in float32. Every method is judged by the inner products of what it decodes; bytes count
codebooks and projections too. Magnitude groups ("by length") follow the idea of MagPQ: vectors are
sorted by length and cut into four groups of equal total length, and the longer a group's vectors
are, the more bytes they have.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import save

from bigrain.codecs.optimised import OptimisedProduct
from bigrain.codecs.product import Product

SEED, K, SAMPLE, GROUPS = 5, 10, 20_000, 4
SIZES = (8, 16, 32, 48, 64, 96)
SHARES = (0.5, 0.8, 1.2, 1.5)  # of the bytes, by group, shortest vectors first
FACTOR_BYTES = 2

Decoded = tuple[Any, int]  # vectors again, bytes of all that is stored


def product(kind: type[Product]) -> Callable[[Any, int], Decoded]:
    def code(vectors: Any, size: int) -> Decoded:
        sample = vectors[:: max(1, len(vectors) // SAMPLE)]
        fitted = kind.fit(sample, vectors.shape[1], size, 4, SEED)
        turned = vectors if fitted.rotation is None else vectors @ fitted.rotation.T
        packed, factors = fitted.quantiser.encode(turned)
        found = fitted.quantiser.decode(packed) * factors[:, None].astype(np.float16)
        learned = sum(array.nbytes for array in fitted.quantiser.arrays().values())
        if fitted.rotation is not None:
            found, learned = found @ fitted.rotation, learned + fitted.rotation.nbytes
        return found, packed.nbytes + FACTOR_BYTES * len(vectors) + learned

    return code


def low_rank(vectors: Any, size: int) -> Decoded:
    """The first principal directions (no centre, so that inner products are those of the SVD)."""
    rank = max(1, size // 2)  # float16
    _, axes = np.linalg.eigh((vectors.T @ vectors).astype(np.float64))
    kept = axes[:, ::-1][:, :rank].astype(np.float32)
    found = (vectors @ kept).astype(np.float16)
    return found.astype(np.float32) @ kept.T, found.nbytes + kept.nbytes


def pruned(vectors: Any, size: int) -> Decoded:
    """The largest numbers of each vector, 2 bytes each and 2 (or 1) for its place."""
    place = 1 if vectors.shape[1] <= 256 else 2
    kept = max(1, size // (2 + place))
    least = -np.partition(-np.abs(vectors), kept - 1, axis=1)[:, kept - 1 : kept]
    found = np.where(np.abs(vectors) >= least, vectors, 0)
    return found.astype(np.float16).astype(np.float32), kept * (2 + place) * len(vectors)


def integers(vectors: Any, bits: int) -> Decoded:
    """As int8.v1 and int16.v1 round, a scale for each vector."""
    top = (1 << (bits - 1)) - 1
    scale = np.abs(vectors).max(axis=1, keepdims=True) / top
    scale[scale == 0] = 1
    found = np.round(vectors / scale) * scale
    return found, vectors.size * bits // 8 + 4 * len(vectors)


def by_length(code: Callable[[Any, int], Decoded]) -> Callable[[Any, int], Decoded]:
    def coded(vectors: Any, size: int) -> Decoded:
        lengths = np.linalg.norm(vectors, axis=1)
        order = np.argsort(lengths, kind="stable")
        total = np.cumsum(lengths[order])
        group = np.minimum((total / total[-1] * GROUPS).astype(int), GROUPS - 1)
        found, n_bytes = np.empty_like(vectors), 4 * len(vectors)  # the order
        for g in range(GROUPS):
            mine = order[group == g]
            found[mine], used = code(vectors[mine], max(1, round(size * SHARES[g])))
            n_bytes += used
        return found, n_bytes

    return coded


METHODS: dict[str, Callable[[Any, int], Decoded]] = {
    "pq": product(Product),
    "opq": product(OptimisedProduct),
    "pq by length": by_length(product(Product)),
    "low rank": low_rank,
    "low rank by length": by_length(low_rank),
    "pruned": pruned,
}


def made(n: int) -> tuple[Any, Any]:
    """Vectors around 200 directions, in 128 dimensions of falling variance."""
    rng = np.random.default_rng(SEED)
    widths = np.arange(1, 129) ** -0.5
    middles = rng.standard_normal((200, 128)) * widths
    vectors = (
        middles[rng.integers(0, 200, n + 500)] + 0.6 * rng.standard_normal((n + 500, 128)) * widths
    )
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[:n] *= rng.lognormal(0, 0.3, (n, 1))
    vectors = vectors.astype(np.float32)
    return vectors[:n], vectors[n:]


def top(vectors: Any, queries: Any) -> Any:
    """(Q, K) ids of the largest inner products"""
    scores = np.concatenate(
        [vectors[i : i + 20_000] @ queries.T for i in range(0, len(vectors), 20_000)]
    )
    return np.argpartition(-scores, K, axis=0)[:K].T


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vectors", type=Path)
    parser.add_argument("--queries", type=Path)
    parser.add_argument("--n", type=int, default=100_000)
    parser.add_argument("--to", type=Path, default=Path(__file__).parent / "results/vectors.json")
    given = parser.parse_args()
    if given.vectors is None:
        vectors, queries = made(given.n)
    else:
        vectors = np.array(np.load(given.vectors, mmap_mode="r")[: given.n], np.float32)
        queries = np.array(np.load(given.queries)[:500], np.float32)
    truth = top(vectors, queries)
    rows = []
    for name, size, code in [
        *((name, size, code) for name, code in METHODS.items() for size in SIZES),
        *((f"int{bits}", bits, integers) for bits in (8, 16)),
    ]:
        found, n_bytes = code(vectors, size)
        ids = top(found, queries)
        recall = np.mean([len(np.intersect1d(a, b)) for a, b in zip(ids, truth, strict=True)]) / K
        rows.append({"method": name, "bytes": n_bytes / len(vectors), "recall@10": float(recall)})
        print(f"{name:20} {rows[-1]['bytes']:8.1f} bytes  recall@10 {recall:.4f}", flush=True)
    best = 0.0
    for row in sorted(rows, key=lambda row: row["bytes"]):
        row["pareto"] = row["recall@10"] > best
        best = max(best, row["recall@10"])
    data = "generated" if given.vectors is None else "sentence vectors"
    shape = {"vectors": data, "n": len(vectors), "dim": vectors.shape[1], "queries": len(queries)}
    given.to.parent.mkdir(exist_ok=True)
    save(given.to, {**shape, "rows": rows})


if __name__ == "__main__":
    main()
