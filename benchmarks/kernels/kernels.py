"""Time of every kernel at every level, in nanoseconds per code, row, posting or token.

    python benchmarks/kernels/kernels.py            # writes results.json beside this file

Random data from a fixed seed; one thread; the best of several runs, because the machine may be
shared (`load_average` says how busy it was). The NumPy reference runs on fewer items.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bigrain.kernels import available_levels, pack_table, token_bytes
from bigrain.kernels.levels import Kernels, kernels
from bigrain.kernels.token_records import CODE_BITS, KINDS

SEED = 0
Case = tuple[str, int, Callable[[Kernels], Any]]  # name, number of items, what to run


def codes(n: int, dim: int, n_queries: int, rng: np.random.Generator) -> Case:
    blocks = rng.integers(0, 256, (n // 32, dim // 4, 16), dtype=np.uint8)
    tables = kernels("reference").build_luts(rng.normal(size=(n_queries, dim)).astype("f4"))
    scale = rng.random(n).astype(np.float16)
    everything = (np.array([0, n]), np.arange(n_queries + 1), np.zeros(n_queries, np.int32))

    def run(level: Kernels) -> Any:
        starts, probes, lists = everything
        bases = np.zeros(n_queries, np.float32)
        return level.scan_lists(
            blocks, starts, *tables, scale, None, None, probes, lists, bases, 100
        )

    return f"scan_lists: {dim} dimensions, {n_queries} queries [code]", n * n_queries, run


def token_pairs(kind: str, t: int, m: int, dim: int, n: int, rng: np.random.Generator) -> Case:
    """Records of random bytes, scored for one query."""
    k = 4096 if kind.startswith("residual") else 0
    bits = CODE_BITS.get(kind)
    tables: tuple[Any, ...] = (None, None, None, 0.0)
    if bits:
        weights = rng.integers(-127, 128, 1 << bits).astype(np.int8)
        rows = rng.integers(-127, 128, (k, dim)).astype(np.int8) if k else None
        tables = (rows, np.full(k, 0.01, np.float32) if k else None, weights, 0.01)
    record = t * token_bytes(kind, dim, k)
    if kind in ("float32", "float16"):
        numbers = rng.normal(size=n * t * dim).astype("<f4" if kind == "float32" else "<f2")
        records = numbers.view(np.uint8)
    else:
        records = rng.integers(0, 256, (n, record), dtype=np.uint8)
        width = 4 if kind == "int8" else 2
        ones = np.ones((n, t), np.float32 if width == 4 else np.float16)
        records[:, : t * width] = ones.view(np.uint8)
        if k:
            numbers = rng.integers(0, k, (n, t)).astype("<u2")
            records[:, t * width : t * (width + 2)] = numbers.view(np.uint8)
        records = records.reshape(-1)
    given = (
        records,
        np.arange(n, dtype=np.int64) * record,
        np.full(n, t, np.int32),
        np.zeros(n, np.int32),
        rng.normal(size=(m, dim)).astype(np.float32),
        np.array([0, m]),
        kind,
        *tables,
    )
    name = f"maxsim_pairs: {kind}, {t} x {m} tokens, {dim} dimensions [pair]"
    return name, n, lambda level: level.maxsim_pairs(*given)


def cases(small: bool, rng: np.random.Generator) -> list[Case]:
    n = 3_200 if small else 320_000
    found = [
        codes(n if queries < 100 or not small else 320, dim, queries, rng)
        for dim in (256, 384)
        for queries in (1, 16, 100)
    ]
    rows = n // 32
    x = rng.normal(size=(rows, 384)).astype(np.float32)
    signs = rng.choice(np.array([-1, 1], np.int8), (4, 384))
    half = x.astype(np.float16).view(np.uint8)
    small_numbers = rng.integers(-127, 128, (rows, 384), dtype=np.int8)
    panels, ones = pack_table(small_numbers), np.ones(rows, np.float32)
    found += [
        ("rotate: 384 dimensions [row]", rows, lambda k: k.rotate(x, signs)),
        ("sign_encode: 384 dimensions [row]", rows, lambda k: k.sign_encode(x)),
        ("build_luts: 384 dimensions [query]", rows // 10, lambda k: k.build_luts(x[: rows // 10])),
        (
            "score_rows: 384 float16, ip [row]",
            rows,
            lambda k: k.score_rows(half, 384, "float16", x[0], "ip"),
        ),
        (
            "dot_table: 384 dimensions, 64 vectors [pair]",
            64 * rows,
            lambda k: k.dot_table(panels, rows, small_numbers[:64]),
        ),
        (
            "nearest: 384 dimensions [pair]",
            64 * rows,
            lambda k: k.nearest(panels, ones, ones, small_numbers[:64], ones[:64]),
        ),
        ("row_checksums: 768 bytes [row]", rows, lambda k: k.row_checksums(half)),
    ]
    ids = np.sort(rng.choice(10 * n, n, replace=False)).astype(np.uint32)
    norms = rng.random(10 * n, dtype=np.float32)
    lengths = rng.integers(9, 99, 10 * n).astype(np.uint8)
    counts = rng.geometric(0.8, n).astype(np.uint32)
    impacts = np.ceil(255 * counts / (counts + (0.3 + 0.01 * lengths[ids]))).astype(np.uint8)
    packed = (ids, impacts, counts - np.uint32(1), np.array([0, n]))
    data = kernels(available_levels()[-1]).encode_lists(*packed)[0]
    found += [
        ("encode_lists [posting]", n, lambda k: k.encode_lists(*packed)),
        ("PostingList [posting]", n, lambda k: k.PostingList(data, n, 10 * n)),
        (
            "search_lists: three lists [posting]",
            3 * n,
            lambda k: k.search_lists(
                [k.PostingList(data, n, 10 * n)] * 3,
                np.ones(3),
                np.full(3, 1 / 255),
                lengths,
                0.3,
                0.01,
                None,
                10 * n,
                10,
                0.0,
            ),
        ),
        ("top_k: 100 best [score]", 10 * n, lambda k: k.top_k(norms, 100, None, -np.inf)),
    ]
    texts = rows
    offsets = np.arange(texts + 1, dtype=np.int64) * 40
    tokens = rng.integers(0, 30_000, texts * 40, dtype=np.int32)
    table = rng.integers(-128, 128, (30_000, 256), dtype=np.int8)
    scales = rng.random(30_000, dtype=np.float32)
    query = rng.normal(size=(32, 128)).astype(np.float32)
    documents = rng.normal(size=(n // 16, 128)).astype(np.float32)
    ends = np.linspace(0, n // 16, n // 1600 + 1).astype(np.int64)
    vocabulary, lines = words(rng, texts)
    found += [
        (
            "pool_tokens: 40 tokens, 256 dimensions [text]",
            texts,
            lambda k: k.pool_tokens(tokens, offsets, table, scales, 0.5, True),
        ),
        (
            "maxsim: 32 query tokens, 128 dimensions [document token]",
            n // 16,
            lambda k: k.maxsim(query, documents, ends),
        ),
    ]
    for t, m, dim in ((15, 15, 128), (80, 32, 128), (300, 32, 384)):
        pairs = max(1, n // (20 * t))
        found += [token_pairs(kind, t, m, dim, pairs, rng) for kind in KINDS]
    made: dict[int, Any] = {}

    def encode(k: Kernels) -> Any:
        if id(k) not in made:
            made[id(k)] = k.WordPiece(vocabulary, "[UNK]", "##", 100)
        return made[id(k)].encode(lines)

    found.append(("WordPiece: 175 characters [text]", texts, encode))
    return found


def words(rng: np.random.Generator, n: int) -> tuple[list[str], list[str]]:
    """A vocabulary of 30,000 pieces, and texts of words of which some must be split."""
    letters = np.array(list("etaoinshrdlucmfwypvbgkqjxz"))

    def word() -> str:
        return "".join(letters[np.minimum(rng.geometric(0.12, rng.integers(2, 10)), 26) - 1])

    whole = list(dict.fromkeys(word() for _ in range(30_000)))
    pieces = ["##" + w for w in dict.fromkeys(w[: rng.integers(1, 5)] for w in whole[:20_000])]
    vocabulary = ["[UNK]", ".", ",", *(f"##{c}" for c in letters), *letters]
    vocabulary = list(dict.fromkeys([*vocabulary, *pieces, *whole]))[:30_000]
    frequency = 1 / np.arange(1, len(whole) + 1)
    chosen = rng.choice(len(whole), (n, 40), p=frequency / frequency.sum())
    return vocabulary, [" ".join(whole[i] for i in line)[:174] + "." for line in chosen]


def nanoseconds(run: Callable[[], Any], items: int) -> float:
    run()
    times: list[float] = []
    while len(times) < 3 or (sum(times) < 1.0 and len(times) < 200):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times) / items * 1e9


def main() -> None:
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else -1.0
    results: dict[str, dict[str, float]] = {}
    for level in available_levels():
        implementation = kernels(level)
        for name, items, run in cases(level == "reference", np.random.default_rng(SEED)):
            taken = nanoseconds(partial(run, implementation), items)
            results.setdefault(name, {})[level] = float(f"{taken:.3g}")
    width = max(map(len, results))
    print(" " * width, *(f"{level:>10}" for level in available_levels()))
    for name, by_level in results.items():
        print(name.ljust(width), *(f"{value:10.4g}" for value in by_level.values()))
    report = {
        "unit": "nanoseconds per item in brackets, one thread, best of several runs",
        "seed": SEED,
        "machine": {
            "processor": processor(),
            "load_average": round(load, 1),
            "python": platform.python_version(),
            "numpy": np.__version__,
        },
        "results": results,
    }
    output = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("results.json")
    output.write_text(json.dumps(report, indent=2) + "\n")


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{names[0]}, {len(names)} cores" if names else platform.processor()


if __name__ == "__main__":
    main()
