"""Every code of dense vectors at equal bytes: what a flat scan of it finds, and what it costs.

    python benchmarks/dense/codes.py [--vectors X.npy --queries Q.npy] [--n 100000]

Without files: sentences of `passages` and questions of other sets, encoded with the bundled
encoder. Half of the questions are shown to the reduction that looks at queries; the other half
asks. Truth: inner products in float32. Times are processor time of one thread.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))
from common import machine
from recall import encoded, questions

from bigrain import kernels
from bigrain.codecs.dense import QUANTISERS, CodeSettings, DenseCodec
from bigrain.codecs.frame import Frame
from bigrain.codecs.nibbles import blocks_of, packed_bytes

SEED = 5
SIZES = (16, 32, 48, 64, 96)
CODES = (
    ("sign", 1, "pca"), ("rabitq", 1, "pca"), ("rabitq", 2, "pca"), ("rabitq", 3, "pca"),
    ("rabitq", 4, "pca"), ("rabitq", 2, "prefix"), ("rabitq", 2, "leanvec"),
    ("rabitq", 1, "leanvec"), ("rabitq", 2, "sphering"),
    ("recurrent", 2, "pca"), ("scalar", 4, "pca"), ("scalar", 8, "pca"),
    ("pq", 4, "pca"), ("opq", 4, "pca"), ("additive", 4, "pca"),
)  # fmt: skip
LOOKED_AT = (20, 50, 100, 200)
K, FITTED_ON, STEP, REPEATS = 10, 20_000, 682, 3
FACTOR_BYTES = 2  # inner product and cosine; Euclidean distance takes 4 more


def name_of(code: str, bits: int, reduction: str) -> str:
    many = f" {bits} bit" if code in ("rabitq", "recurrent", "scalar") else ""
    return code + many + ("" if reduction == "pca" else f", {reduction}")


def measured(
    vectors: Any, asked: Any, shown: Any, truth: Any, light_bytes: int,
    code: str, bits: int, reduction: str,
) -> dict[str, Any] | None:  # fmt: skip
    """What one code of one size finds and costs; None where all dimensions take fewer bytes."""
    n, dim = vectors.shape
    settings = CodeSettings(light_bytes, code, bits, reduction)
    width, n_bytes = settings.width(dim), packed_bytes(settings.groups(dim))
    if n_bytes < light_bytes or (width == dim and reduction != "pca"):
        return None
    began = time.process_time()
    sample = np.asarray(vectors[:: max(1, n // FITTED_ON)])
    frame = Frame.fit([sample], dim, width, metric="ip", reduction=reduction, queries=shown)
    residuals = frame.reduced(sample - frame.centre) if settings.learned else None
    codec = DenseCodec.fit(frame, settings, residuals)
    fitted = time.process_time() - began

    began = time.process_time()
    parts = [codec.encode(vectors[i : i + STEP] - codec.centre, None) for i in range(0, n, STEP)]
    taken = time.process_time() - began
    scale = np.concatenate([part.scale for part in parts])
    unit = np.float32(scale.max() or 1)
    blocks = blocks_of(np.concatenate([part.symbols for part in parts]), codec.groups)
    del parts
    began = time.process_time()
    prepared = codec.prepare(asked)
    preparing = time.process_time() - began

    m = len(asked)
    whole = (np.array([0, n]), prepared.luts, prepared.scale * unit, prepared.bias * unit)
    everywhere = (np.arange(m + 1), np.zeros(m, np.int32), np.zeros(m, np.float32))
    times = []
    for _ in range(REPEATS):
        began = time.process_time()
        found, _, _ = kernels.scan_lists(
            blocks, *whole, (scale / unit).astype(np.float16), None, None, *everywhere,
            max(LOOKED_AT),
        )  # fmt: skip
        times.append(time.process_time() - began)
    shares = {
        str(depth): round(float(np.mean([len(np.intersect1d(row[:depth], best)) / K
                                         for row, best in zip(found, truth, strict=True)])), 4)
        for depth in LOOKED_AT
    }  # fmt: skip
    return {
        "code": name_of(code, bits, reduction),
        "bytes": n_bytes,
        "factor bytes": FACTOR_BYTES,
        "dimensions": width,
        "found": shares,
        "scan ns": round(min(times) / n / m * 1e9, 2),
        "encode us": round(taken / n * 1e6, 1),
        "fit s": round(fitted, 1),
        "prepare us": round(preparing / m * 1e6, 1),
    }


def table(rows: list[dict[str, Any]]) -> str:
    """The results as a table in Markdown."""
    depths = [str(depth) for depth in LOOKED_AT]
    lines = [
        f"| bytes | code | dimensions | {' | '.join(f'first {d}' for d in depths)} "
        "| scan ns | encode µs | fit s |",
        "|---:|---|---:|" + "---:|" * (len(depths) + 3),
    ]
    for row in rows:
        cells = [row["bytes"], row["code"], row["dimensions"]]
        cells += [f"{row['found'][d]:.3f}" for d in depths]
        cells += [row["scan ns"], row["encode us"], row["fit s"]]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def draw(rows: list[dict[str, Any]], path: Path, title: str) -> None:
    """Share of the true neighbours missed among the first 100, against bytes."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 5), layout="constrained")
    for i, name in enumerate(dict.fromkeys(row["code"] for row in rows)):
        own = [row for row in rows if row["code"] == name]
        missed = [max(1 - row["found"]["100"], 1e-4) for row in own]
        sizes = [row["bytes"] for row in own]
        look = {"color": f"C{i % 10}", "ls": "--" if i > 9 else "-", "marker": "ovs^D"[i % 5]}
        axes.plot(sizes, missed, ms=4, label=name, **look)
    axes.set(yscale="log", xticks=SIZES, xlabel="bytes of a code",
             ylabel="share of the true 10 not among the first 100", title=title)  # fmt: skip
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, ncols=2)
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vectors", type=Path, help="(n, dim) float32, .npy")
    parser.add_argument("--queries", type=Path, help="(m, dim) float32, .npy")
    parser.add_argument("--n", type=int, default=100_000)
    parser.add_argument("--only", help="codes whose name holds this; others keep their rows")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "codes.json")
    options = parser.parse_args()
    if (options.vectors is None) != (options.queries is None):
        parser.error("give --vectors and --queries together")
    rng = np.random.default_rng(SEED)
    if options.vectors:
        every = np.load(options.vectors, mmap_mode="r")
        some = np.sort(rng.choice(len(every), min(options.n, len(every)), replace=False))
        vectors = np.ascontiguousarray(every[some], np.float32)
        queries = np.load(options.queries).astype(np.float32)
        data = options.vectors.name
    else:
        vectors, queries, data = encoded(options.n), questions(), "passages, bundled encoder"
    queries = queries[rng.permutation(len(queries))]
    shown, asked = queries[: len(queries) // 2], queries[len(queries) // 2 :][:1000]
    truth = np.empty((len(asked), K), np.int64)
    for i in range(0, len(asked), 100):
        scores = asked[i : i + 100] @ vectors.T
        truth[i : i + 100] = np.argpartition(-scores, K, axis=1)[:, :K]
    result: dict[str, Any] = {
        "machine": machine(), "seed": SEED, "data": data, "vectors": len(vectors),
        "dim": vectors.shape[1], "queries": len(asked), "rows": [],
    }  # fmt: skip
    if options.only and options.out.exists():
        kept = json.loads(options.out.read_text())["rows"]
        result["rows"] = [row for row in kept if options.only not in row["code"]]
    for light_bytes in SIZES:
        for code, bits, reduction in CODES:
            if options.only and options.only not in name_of(code, bits, reduction):
                continue
            if light_bytes > 4 * vectors.shape[1] // 8 and code in QUANTISERS and bits == 4:
                continue
            row = measured(vectors, asked, shown, truth, light_bytes, code, bits, reduction)
            if row is not None:
                result["rows"].append(row)
                print(table([row]).splitlines()[-1], flush=True)
    order = [name_of(*one) for one in CODES]
    result["rows"].sort(key=lambda row: (row["bytes"], order.index(row["code"])))
    options.out.write_text(json.dumps(result, indent=2) + "\n")
    title = f"{len(vectors):,} x {vectors.shape[1]} vectors, {data}"
    draw(result["rows"], options.out.with_suffix(".png"), title)
    print(table(result["rows"]))


if __name__ == "__main__":
    main()
