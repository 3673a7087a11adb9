"""How far the dense search is from what the machine can do.

    python benchmarks/dense/limits.py [--collection C.grain --queries Q.npy]

Two limits of one core are measured by a small C program, compiled here with `cc`: how fast it reads
memory in order (1 GiB, 64 bytes a load), and how fast it executes the instructions that a scan
cannot do without (for 32 codes and 4 symbols: two table look-ups and two sums of four, tables from
the first cache, nothing else). Beside them the kernel: codes that lie in the second cache and codes
that come from memory, one query and batches. CPU time of one thread, the best of several runs, as
the machine may be shared. With a collection (one dense field, one segment): the parts of a batch,
and what its codes and lists would take at the speed of the kernels alone.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import save

import bigrain
from bigrain import kernels
from bigrain.index.effort import GRID

SEED, GROUPS, CODE_BYTES = 1, 96, 48
SMALL, LARGE = 16_000, 4_000_000  # codes: 0.8 MB, 192 MB
BATCHES = (1, 8, 16, 100)
RUNS, K, TOGETHER = 7, 10, 250
PROGRAM = r"""
#include <immintrin.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return t.tv_sec + 1e-9 * t.tv_nsec;
}
int main(void) {
  const size_t bytes = 1ull << 30;
  char* memory = aligned_alloc(64, bytes);
  memset(memory, 1, bytes);
  double best = 1e9, least = 1e9;
  __m512i sum = _mm512_setzero_si512();
  for (int run = 0; run < 7; ++run) {
    const double began = now();
    __m512i a = sum, b = sum, c = sum, d = sum;
    for (size_t i = 0; i < bytes; i += 256) {
      a = _mm512_xor_si512(a, _mm512_load_si512(memory + i));
      b = _mm512_xor_si512(b, _mm512_load_si512(memory + i + 64));
      c = _mm512_xor_si512(c, _mm512_load_si512(memory + i + 128));
      d = _mm512_xor_si512(d, _mm512_load_si512(memory + i + 192));
    }
    sum = _mm512_xor_si512(_mm512_xor_si512(a, b), _mm512_xor_si512(c, d));
    const double taken = now() - began;
    if (taken < best) best = taken;
  }
  /* 8 queries: steps of 32 codes x 4 symbols, tables of 96 symbols from the first cache */
  enum { Q = 8, STEPS = 24, BLOCKS = 20000 };
  const __m512i one = _mm512_set1_epi8(1);
  for (int run = 0; run < 7; ++run) {
    __m512i low[Q], high[Q];
    for (int q = 0; q < Q; ++q) low[q] = high[q] = sum;
    const double began = now();
    for (int block = 0; block < BLOCKS; ++block)
      for (int step = 0; step < STEPS; ++step) {
        const __m512i x = _mm512_load_si512(memory + 64 * step);
        const __m512i y = _mm512_load_si512(memory + 64 * (step + STEPS));
#pragma GCC unroll 8
        for (int q = 0; q < Q; ++q) {
          const __m512i table = _mm512_load_si512(memory + 4096 + 64 * (STEPS * q + step));
          low[q] = _mm512_dpbusd_epi32(low[q], _mm512_permutexvar_epi8(x, table), one);
          high[q] = _mm512_dpbusd_epi32(high[q], _mm512_permutexvar_epi8(y, table), one);
        }
      }
    const double taken = now() - began;
    for (int q = 0; q < Q; ++q) sum = _mm512_xor_si512(sum, _mm512_xor_si512(low[q], high[q]));
    if (taken < least) least = taken;
  }
  printf("%.4f %.4f %d\n", bytes / best / 1e9, 1e9 * least / (32.0 * BLOCKS * Q),
         _mm512_reduce_add_epi32(sum));
  return 0;
}
"""
Array = np.ndarray[Any, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--collection", type=Path)
    parser.add_argument("--queries", type=Path)
    here = Path(__file__).parent / "results" / "limits.json"
    parser.add_argument("--out", type=Path, default=here)
    options = parser.parse_args()
    limits = machine_limits()
    result: dict[str, Any] = {"load_before": round(os.getloadavg()[0], 1), **limits}
    rng = np.random.default_rng(SEED)
    result["scan"] = [
        scan(n, q, keep, rng, limits)
        for n, keep in ((SMALL, 1), (SMALL, 100), (LARGE, 100))
        for q in BATCHES
    ]
    result["rows"] = rows(rng, limits)
    result["lists"] = lists(rng)
    if options.collection and options.queries:
        queries = np.load(options.queries)[:1000].astype(np.float32)
        result["search"] = search(options.collection, queries, result)
    save(options.out, result)


def machine_limits() -> dict[str, float | None]:
    """GB/s read in order, and ns a code and query of the instructions alone."""
    compiler = shutil.which("cc")
    if compiler is None or kernels.level() not in ("avx512", "amx"):
        return {"read GB/s": None, "instructions ns": None}
    with tempfile.TemporaryDirectory() as folder:
        source, program = Path(folder) / "limits.c", Path(folder) / "limits"
        source.write_text(PROGRAM)
        flags = ["-O3", "-march=native", "-o", str(program), str(source)]
        subprocess.run([compiler, *flags], check=True)
        done = subprocess.run([str(program)], stdout=subprocess.PIPE, text=True, check=True)
    read, instructions = done.stdout.split()[:2]
    return {"read GB/s": round(float(read), 1), "instructions ns": round(float(instructions), 3)}


def seconds(run: Callable[..., Any], *arguments: Any) -> float:
    """CPU time of the best of some runs."""
    run(*arguments)
    taken = []
    for _ in range(RUNS):
        began = time.process_time()
        run(*arguments)
        taken.append(time.process_time() - began)
    return min(taken)


def scan(
    n: int, n_queries: int, keep: int, rng: Any, limits: dict[str, float | None]
) -> dict[str, Any]:
    """The scan of n random codes for the best `keep` of every query."""
    blocks = rng.integers(0, 256, (n // 32, GROUPS, 16), dtype=np.uint8)
    tables = kernels.build_luts(rng.normal(size=(n_queries, 4 * GROUPS)).astype(np.float32))
    scale = rng.random(n).astype(np.float16)
    probes = np.arange(n_queries + 1), np.zeros(n_queries, np.int32)
    bases = np.zeros(n_queries, np.float32)
    repeats = max(1, 2_000_000 // (n * n_queries))

    def run() -> None:
        for _ in range(repeats):
            kernels.scan_lists(
                blocks, np.array([0, n]), *tables, scale, None, None, *probes, bases, keep
            )

    each = seconds(run) / repeats / n
    read, least = limits["read GB/s"], limits["instructions ns"]
    rate = (CODE_BYTES + 2) / each / 1e9
    return {
        "codes": n,
        "queries": n_queries,
        "kept": keep,
        "ns a code and query": round(1e9 * each / n_queries, 3),
        "GB/s of codes": round(rate, 1),
        "of reading": round(rate / read, 2) if read else None,
        "of the instructions": round(least * n_queries / (1e9 * each), 2) if least else None,
    }


def rows(rng: Any, limits: dict[str, float | None]) -> dict[str, float]:
    """ns to score and to check a float16 row of 384 dimensions that is in the cache."""
    n = 1000
    records = rng.normal(size=(n, 384)).astype(np.float16).view(np.uint8)
    query = rng.normal(size=384).astype(np.float32)
    score = seconds(
        lambda: [kernels.score_rows(records, 384, "float16", query, "ip") for _ in range(50)]
    )
    check = seconds(lambda: [kernels.row_checksums(records) for _ in range(50)])
    told = {"score ns": score / 50 / n * 1e9, "checksum ns": check / 50 / n * 1e9}
    if limits["read GB/s"]:
        told["read ns"] = 768 / limits["read GB/s"]
    return {name: round(value, 1) for name, value in told.items()}


def lists(rng: Any) -> dict[str, float]:
    """ns of a product with a centroid."""
    n, together = 4000, 64
    table = rng.integers(-127, 128, (n, 384), dtype=np.int8)
    panels = kernels.pack_table(table)
    each = seconds(lambda: kernels.dot_table(panels, n, table[:together])) / (n * together)
    return {"product ns": round(1e9 * each, 2), "GMAC/s": round(384 / each / 1e9)}


def search(path: Path, queries: Array, known: dict[str, Any]) -> list[dict[str, Any]]:
    """Parts of a batch, microseconds of CPU a query."""
    per_code = next(s for s in known["scan"] if s["codes"] == LARGE and s["queries"] == 16)
    points = []
    with bigrain.open(path, read_only=True, memory_budget_bytes=2 << 30) as col:
        (field,) = col._view.fields.values()
        index = field.index
        segment = index.views[0].segment
        some = list(queries[:TOGETHER])
        n, n_lists = segment.units.n_rows, segment.partition.n_lists
        for asked in (0.75, 0.95, 0.99):
            effort = index.effort(asked, K)
            share = 1.0
            if effort.margin < GRID[-1]:
                share = float(np.interp(effort.margin, GRID, segment.calibration.probed))
            found = index.candidates(some, effort, None)
            units = [ranked.units for ranked in found]
            asked_by = np.repeat(np.arange(len(some), dtype=np.int32), list(map(len, units)))
            pairs = np.concatenate(units), asked_by
            told = {
                "search_many": seconds(ask, col, some, asked),
                "candidates": seconds(index.candidates, some, effort, None),
                "rows read, checked and scored": seconds(index.score_pairs, some, *pairs),
            }
            told = {name: round(1e6 * value / len(some), 1) for name, value in told.items()}
            needed = share * n * per_code["ns a code and query"]
            needed += n_lists * known["lists"]["product ns"]
            points.append(
                {
                    "asked": asked,
                    "codes looked at": round(share * n),
                    "rows": round(len(asked_by) / len(some), 1),
                    "us": told,
                    "us of codes and lists by their kernels": round(needed / 1e3, 1),
                }
            )
            print(points[-1], flush=True)
    return points


def ask(col: bigrain.Collection, queries: list[Array], recall: float) -> None:
    col.search_many(queries, k=K, recall=recall, arrays=True)


if __name__ == "__main__":
    main()
