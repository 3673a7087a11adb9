"""Fixed vectors made smaller after training: what is found at how many bytes.

    python benchmarks/tables/vectors.py [--vectors X.npy --queries Q.npy] [--n 100000]

Without files: generated vectors whose lengths vary log-normally. Truth: the ten largest inner
products in float32. The codes of dense fields are asked by the engine's own scan, at its default
rotation; every other method by the inner products of what it decodes. Bytes count factors, places,
codebooks and projections. Magnitude groups ("by length"), where lengths vary, follow the idea of
MagPQ: four groups of equal total length, and the longer the vectors of a group are, the more bytes
they have. Vectors are read in parts, so a million of them need no more memory than ten thousand.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import save

from bigrain import kernels
from bigrain.codecs.dense import CodeSettings, DenseCodec
from bigrain.codecs.frame import Frame
from bigrain.codecs.nibbles import blocks_of, packed_bytes
from bigrain.codecs.product import Product
from bigrain.evaluation.plot import require_matplotlib

SEED, K, SAMPLE, STEP, GROUPS = 5, 10, 20_000, 10_000, 4
SIZES = (16, 32, 48, 64, 96)
SHARES = (0.5, 0.8, 1.2, 1.5)  # of the bytes, by group, shortest vectors first
FACTOR_BYTES = 2
ENGINE = (
    ("sign", 1), ("rabitq", 1), ("rabitq", 2), ("rabitq", 4), ("recurrent", 2), ("scalar", 4),
    ("scalar", 8), ("pq", 4), ("opq", 4), ("additive", 4),
)  # fmt: skip


@dataclass
class Coder:
    """A fitted method: vectors (n, dim) -> what is decoded of their codes."""

    decoded: Callable[[Any], Any]
    bytes_each: float
    bytes_learned: int


Fit = Callable[[Any, int], Coder]


def product(sample: Any, size: int) -> Coder:
    quantiser = Product.fit(sample, sample.shape[1], size, 4, SEED).quantiser

    def decoded(vectors: Any) -> Any:
        packed, factors = quantiser.encode(vectors)
        return quantiser.decode(packed) * factors[:, None].astype(np.float16)

    packed, _ = quantiser.encode(sample[:1])
    learned = sum(array.nbytes for array in quantiser.arrays().values())
    return Coder(decoded, packed.nbytes + FACTOR_BYTES, learned)


def low_rank(sample: Any, size: int) -> Coder:
    """The first principal directions (no centre, so that inner products are those of the SVD)."""
    rank = max(1, size // 2)  # float16
    _, axes = np.linalg.eigh((sample.T @ sample).astype(np.float64))
    kept = axes[:, ::-1][:, :rank].astype(np.float32)
    return Coder(
        lambda vectors: (vectors @ kept).astype(np.float16).astype(np.float32) @ kept.T,
        2 * rank,
        kept.nbytes,
    )


def pruned(sample: Any, size: int) -> Coder:
    """The largest numbers of each vector, 2 bytes each and 2 (or 1) for its place."""
    place = 1 if sample.shape[1] <= 256 else 2
    kept = max(1, size // (2 + place))

    def decoded(vectors: Any) -> Any:
        least = -np.partition(-np.abs(vectors), kept - 1, axis=1)[:, kept - 1 : kept]
        found = np.where(np.abs(vectors) >= least, vectors, 0)
        return found.astype(np.float16).astype(np.float32)

    return Coder(decoded, kept * (2 + place), 0)


def integers(sample: Any, bits: int) -> Coder:
    """As int8.v1 and int16.v1 round, a scale for each vector."""
    top = (1 << (bits - 1)) - 1

    def decoded(vectors: Any) -> Any:
        scale = np.abs(vectors).max(axis=1, keepdims=True) / top
        scale[scale == 0] = 1
        return np.round(vectors / scale) * scale

    return Coder(decoded, sample.shape[1] * bits // 8 + 4, 0)


def by_length(method: Fit) -> Fit:
    def fit(sample: Any, size: int) -> Coder:
        lengths = np.linalg.norm(sample, axis=1)
        rising = np.sort(lengths)
        total = np.cumsum(rising)
        edges = rising[np.searchsorted(total, total[-1] * np.arange(1, GROUPS) / GROUPS)]
        group = np.searchsorted(edges, lengths)
        coders = [
            method(sample[group == g], max(1, round(size * SHARES[g]))) for g in range(GROUPS)
        ]

        def decoded(vectors: Any) -> Any:
            mine = np.searchsorted(edges, np.linalg.norm(vectors, axis=1))
            found = np.empty_like(vectors)
            for g, coder in enumerate(coders):
                found[mine == g] = coder.decoded(vectors[mine == g])
            return found

        each = np.bincount(group, minlength=GROUPS) @ [coder.bytes_each for coder in coders]
        learned = sum(coder.bytes_learned for coder in coders)
        return Coder(decoded, 4 + float(each) / len(sample), learned)  # 4: the order

    return fit


METHODS: dict[str, Fit] = {"low rank": low_rank, "pruned": pruned}
BY_LENGTH: dict[str, Fit] = {
    "pq": product,
    "pq by length": by_length(product),
    "low rank by length": by_length(low_rank),
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


def parts(vectors: Any) -> Iterator[Any]:
    for start in range(0, len(vectors), STEP):
        yield np.asarray(vectors[start : start + STEP], np.float32)


def top(vectors: Any, queries: Any, decoded: Callable[[Any], Any]) -> Any:
    """(Q, K) ids of the largest inner products with decoded vectors."""
    best = np.full((len(queries), K), -np.inf, np.float32)
    ids = np.zeros((len(queries), K), np.int64)
    start = 0
    for part in parts(vectors):
        scores = queries @ decoded(part).T
        query, place = np.nonzero(scores > best.min(axis=1, keepdims=True))
        for q in np.unique(query):
            new = place[query == q]
            found = np.concatenate([best[q], scores[q, new]])
            order = np.argpartition(-found, K - 1)[:K]
            best[q], ids[q] = found[order], np.concatenate([ids[q], start + new])[order]
        start += len(part)
    return ids


def engine(vectors: Any, queries: Any, code: str, bits: int, size: int) -> tuple[Any, float] | None:
    """((Q, K) ids, bytes a vector) by a code of dense fields; None where it needs fewer bytes."""
    n, dim = vectors.shape
    settings = CodeSettings(size, code, bits, "pca")
    n_bytes = packed_bytes(settings.groups(dim))
    if n_bytes < size:
        return None
    sample = np.asarray(vectors[:: max(1, n // SAMPLE)], np.float32)
    frame = Frame.fit([sample], dim, settings.width(dim), metric="ip", reduction="pca")
    residuals = frame.reduced(sample - frame.centre) if settings.learned else None
    codec = DenseCodec.fit(frame, settings, residuals)
    encoded = [codec.encode(part - codec.centre, None) for part in parts(vectors)]
    scale = np.concatenate([part.scale for part in encoded])
    unit = np.float32(scale.max() or 1)
    blocks = blocks_of(np.concatenate([part.symbols for part in encoded]), codec.groups)
    prepared = codec.prepare(queries)
    m = len(queries)
    found, _, _ = kernels.scan_lists(
        blocks, np.array([0, n]), prepared.luts, prepared.scale * unit, prepared.bias * unit,
        (scale / unit).astype(np.float16), None, None,
        np.arange(m + 1), np.zeros(m, np.int32), np.zeros(m, np.float32), K,
    )  # fmt: skip
    return found, n_bytes + FACTOR_BYTES


def plot(rows: list[dict[str, Any]], path: Path, title: str) -> None:
    figure = require_matplotlib()(8.0, 5.0)
    axes = figure.subplots()
    for number, name in enumerate(dict.fromkeys(row["method"] for row in rows)):
        mine = [row for row in rows if row["method"] == name]
        axes.plot(
            [row["bytes"] for row in mine], [row["recall@10"] for row in mine],
            "ovs^D"[number % 5], ls="-" if number < 10 else "--", ms=4, lw=1, label=name,
        )  # fmt: skip
    best = [row for row in rows if row["pareto"]]
    axes.plot(
        [row["bytes"] for row in best], [row["recall@10"] for row in best], "o", mfc="none",
        mec="#222222", ms=11, label="Pareto set",
    )  # fmt: skip
    axes.set(xscale="log", xlabel="bytes a vector", ylabel="recall@10", title=title)
    axes.grid(alpha=0.25)
    figure.legend(loc="outside right upper", fontsize=8)
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vectors", type=Path)
    parser.add_argument("--queries", type=Path)
    parser.add_argument("--n", type=int, default=100_000)
    parser.add_argument("--asked", type=int, default=200, help="how many queries")
    parser.add_argument("--to", type=Path, default=Path(__file__).parent / "results/vectors.json")
    given = parser.parse_args()
    if given.vectors is None:
        vectors, queries = made(given.n)
    else:
        vectors = np.load(given.vectors, mmap_mode="r")[: given.n]
        queries = np.asarray(np.load(given.queries), np.float32)
    queries = np.ascontiguousarray(queries[:: max(1, len(queries) // given.asked)][: given.asked])
    n, dim = vectors.shape
    sample = np.asarray(vectors[:: max(1, n // SAMPLE)], np.float32)
    truth = top(vectors, queries, lambda part: part)
    rows: list[dict[str, Any]] = []

    def note(name: str, n_bytes: float, ids: Any, began: float) -> None:
        recall = np.mean([len(np.intersect1d(a, b)) for a, b in zip(ids, truth, strict=True)]) / K
        taken = time.process_time() - began
        rows.append({"method": name, "bytes": n_bytes, "recall@10": float(recall)})
        print(f"{name:20} {n_bytes:8.1f} bytes  {recall:.4f}  {taken:.0f} s", flush=True)

    for code, bits in ENGINE:
        for size in SIZES:
            began = time.process_time()
            found = engine(vectors, queries, code, bits, size)
            if found is not None:
                many = f" {bits} bits" if code in ("rabitq", "recurrent", "scalar") else ""
                note(f"field: {code}{many}", found[1], found[0], began)
    lengths = np.linalg.norm(sample, axis=1)
    methods = METHODS | (BY_LENGTH if lengths.std() > 0.01 * lengths.mean() else {})
    for name, size, method in [
        *((name, size, method) for name, method in methods.items() for size in SIZES),
        *((f"int{bits}", bits, integers) for bits in (8, 16)),
    ]:
        began = time.process_time()
        coder = method(sample, size)
        n_bytes = coder.bytes_each + coder.bytes_learned / n
        note(name, n_bytes, top(vectors, queries, coder.decoded), began)
    best = 0.0
    for row in sorted(rows, key=lambda row: row["bytes"]):
        row["pareto"] = row["recall@10"] > best
        best = max(best, row["recall@10"])
    data = "generated" if given.vectors is None else "sentence vectors"
    shape = {"vectors": data, "n": n, "dim": dim, "queries": len(queries)}
    given.to.parent.mkdir(exist_ok=True)
    save(given.to, {**shape, "rows": rows})
    plot(rows, given.to.with_suffix(".png"), f"{n:,} {data}, {dim} dimensions")


if __name__ == "__main__":
    main()
