"""Fixed vectors made smaller after training: what is found at how many bytes.

    python benchmarks/tables/vectors.py [--passages | --vectors X.npy --queries Q.npy] [--n 100000]

--passages: passages of the shared data and the judged queries of QUERIES, by the bundled encoder.
Without files: generated vectors whose lengths vary log-normally. Truth: the ten largest inner
products in float32. The codes of dense fields are asked by the engine's own scan, at its default
rotation; every other method by the inner products of what it decodes. Bytes count factors, places,
codebooks and projections. Magnitude groups ("by length"), where lengths vary, follow the idea of
MagPQ: four groups of equal total length, and the longer the vectors of a group are, the more bytes
they have. Vectors in files are read in parts, so a million of them need no more memory than ten
thousand. The result is written after every code; a later call does what is missing. --picture draws
what is there.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import load_set, passages, save

from bigrain import kernels
from bigrain.codecs.dense import CodeSettings, DenseCodec
from bigrain.codecs.frame import Frame
from bigrain.codecs.nibbles import blocks_of, packed_bytes
from bigrain.codecs.product import Product
from bigrain.evaluation.plot import require_matplotlib
from bigrain.registry import make_encoder

SEED, K, SAMPLE, STEP, GROUPS = 5, 10, 20_000, 10_000, 4
SIZES = (16, 32, 48, 64, 96)
QUERIES = ("scifact", "npl", "cisi", "cranfield")
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


def encoded(n: int) -> tuple[Any, Any]:
    """n passages, spread over the whole set, and the judged queries."""
    encoder = make_encoder("bigrain/static-v1", "dense")
    lines = list(passages())
    every = np.linspace(0, len(lines) - 1, min(n, len(lines))).astype(int)
    vectors = np.empty((len(every), encoder.dim), np.float32)
    for start in range(0, len(every), STEP):
        some = [lines[i] for i in every[start : start + STEP]]
        vectors[start : start + STEP] = encoder.encode_documents(some)
    queries = [text for name in QUERIES for text in load_set(name)[1].values()]
    return vectors, encoder.encode_queries(queries)


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


def data(given: argparse.Namespace) -> tuple[str, Any, Any]:
    """(what they are, vectors, queries), as many as are asked for."""
    if given.passages:
        name, (vectors, queries) = "passages by the bundled encoder", encoded(given.n)
    elif given.vectors is None:
        name, (vectors, queries) = "generated", made(given.n)
    else:
        name, vectors = given.vectors.stem, np.load(given.vectors, mmap_mode="r")[: given.n]
        queries = np.asarray(np.load(given.queries), np.float32)
    every = max(1, len(queries) // given.asked)
    return name, vectors, np.ascontiguousarray(queries[::every][: given.asked])


def measured(vectors: Any, queries: Any, done: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """A row for each code and size that has none yet."""
    n = len(vectors)
    sample = np.asarray(vectors[:: max(1, n // SAMPLE)], np.float32)
    lengths = np.linalg.norm(sample, axis=1)
    methods = METHODS | (BY_LENGTH if lengths.std() > 0.01 * lengths.mean() else {})
    truth = top(vectors, queries, lambda part: part)

    def by_scan(code: str, bits: int, size: int) -> tuple[Any, float] | None:
        return engine(vectors, queries, code, bits, size)

    def decoded(method: Fit, size: int) -> tuple[Any, float]:
        coder = method(sample, size)
        ids = top(vectors, queries, coder.decoded)
        return ids, coder.bytes_each + coder.bytes_learned / n

    todo: list[tuple[str, int, Callable[[], tuple[Any, float] | None]]] = []
    for name, method in methods.items():
        todo += [(name, size, partial(decoded, method, size)) for size in SIZES]
    todo += [(f"int{bits}", bits, partial(decoded, integers, bits)) for bits in (8, 16)]
    for code, bits in ENGINE:
        many = f" {bits} bits" if code in ("rabitq", "recurrent", "scalar") else ""
        todo += [
            (f"field: {code}{many}", size, partial(by_scan, code, bits, size)) for size in SIZES
        ]
    known = {(row["method"], row["size"]) for row in done}
    for name, size, method in todo:
        if (name, size) in known:
            continue
        began = time.process_time()
        found = method()
        if found is None:
            continue
        ids, n_bytes = found
        recall = np.mean([len(np.intersect1d(a, b)) for a, b in zip(ids, truth, strict=True)]) / K
        yield {
            "method": name, "size": size, "bytes": n_bytes, "recall@10": float(recall),
            "seconds": round(time.process_time() - began, 1),
        }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--passages", action="store_true")
    parser.add_argument("--vectors", type=Path)
    parser.add_argument("--queries", type=Path)
    parser.add_argument("--n", type=int, default=100_000)
    parser.add_argument("--asked", type=int, default=200, help="how many queries")
    parser.add_argument("--to", type=Path, default=Path(__file__).parent / "results/vectors.json")
    parser.add_argument("--picture", action="store_true")
    given = parser.parse_args()
    if given.picture:
        return picture(given.to)
    name, vectors, queries = data(given)
    n, dim = vectors.shape
    shape = {"vectors": name, "n": n, "dim": dim, "queries": len(queries)}
    rows: list[dict[str, Any]] = []
    if given.to.exists():
        before = json.loads(given.to.read_text())
        if any(before[key] != value for key, value in shape.items()):
            raise SystemExit(f"{given.to} is of other data: choose another --to")
        rows = before["rows"]
    given.to.parent.mkdir(exist_ok=True)
    for row in measured(vectors, queries, rows):
        print(row, flush=True)
        rows.append(row)
        best = 0.0
        for one in sorted(rows, key=lambda row: (row["bytes"], -row["recall@10"])):
            one["pareto"] = one["recall@10"] > best
            best = max(best, one["recall@10"])
        save(given.to, {**shape, "rows": rows})
    picture(given.to)


def picture(path: Path) -> None:
    found = json.loads(path.read_text())
    title = f"{found['n']:,} {found['vectors']}, {found['dim']} dimensions"
    plot(found["rows"], path.with_suffix(".png"), title)


if __name__ == "__main__":
    main()
