"""What new documents cost beside a build, and that scores are those of a fresh build.

    python benchmarks/sparse/incremental.py [--n 100000] [--rounds 4] [--cache FOLDER]

A collection of N passages (lexical field) and one of N learned vectors (sparse field) are built,
then 1 % is added and committed, several times over. The share of a build is in CPU seconds, beside
wall seconds, which hold the syncs of a commit. In the end the best 10 of 1,000 questions must have
the scores of a collection built afresh from all documents, to RELATIVE; the script fails if not.
Writes `results/incremental.json` and the table in `benchmarks/README.md`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import passages, save
from learned_vectors import learned_vectors, questions
from measuring import Clock, pin
from reporting import into_page, markdown_table

import bigrain

SHARE = 0.01
RELATIVE = 1e-5
ASKED = 1000
BEGIN = "<!-- sparse-incremental: written by sparse/incremental.py -->"
END = "<!-- end of sparse-incremental -->"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=4, help="commits of 1 %% each")
    parser.add_argument("--cache", type=Path, help="folder where learned vectors are kept")
    here = Path(__file__).parent
    parser.add_argument("--out", type=Path, default=here / "results" / "incremental.json")
    parser.add_argument("--readme", type=Path, default=here.parent / "README.md")
    options = parser.parse_args()
    pin(1)
    step = max(1, round(options.n * SHARE))
    total = options.n + options.rounds * step
    result: dict[str, Any] = {"n": options.n, "added_a_round": step, "queries": ASKED}
    with tempfile.TemporaryDirectory(prefix="bigrain-incremental-") as temporary:
        folder = Path(temporary)
        texts, asked = list(passages(total)), list(islice(questions(), ASKED))

        def add_texts(col: bigrain.Collection, start: int, end: int) -> None:
            col.add(bigrain.Document(texts[i], str(i)) for i in range(start, end))

        ends = [options.n + i * step for i in range(options.rounds + 1)]
        lexical = {"words": bigrain.LexicalField()}
        result["lexical"] = grown(folder / "lexical", lexical, add_texts, ends, asked)
        matrix, queries = vectors(total, options.cache or folder)

        def add_vectors(col: bigrain.Collection, start: int, end: int) -> None:
            col.add_vectors("vectors", [str(i) for i in range(start, end)], matrix[start:end])

        sparse = {"vectors": bigrain.SparseField(vocabulary_size=matrix.shape[1])}
        result["learned"] = grown(folder / "learned", sparse, add_vectors, ends, queries)
    rows = [
        [
            f"{name}, {options.n:,} documents",
            f"{found['build_cpu_s']:.1f}",
            ", ".join(f"{share:.1%}" for share in found["share_of_build"]),
            f"{found['largest_difference']:.0e}",
        ]
        for name, found in result.items()
        if isinstance(found, dict)
    ]
    head = ("field", "build, CPU s", "shares of a build", "largest relative difference")
    print(table := markdown_table(head, rows))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    save(options.out, result)
    into_page(options.readme, BEGIN, END, table)


def vectors(n: int, folder: Path) -> tuple[Any, list[dict[int, float]]]:
    """Learned vectors as a CSR matrix, and queries as mappings."""
    from scipy.sparse import csr_matrix

    documents, asked = learned_vectors(n, ASKED, folder)
    queries = [
        dict(zip(asked.indices[a:b].tolist(), asked.data[a:b].tolist(), strict=True))
        for a, b in zip(asked.indptr[:-1], asked.indptr[1:], strict=True)
    ]
    return csr_matrix(documents[:3], documents.shape), queries


def grown(
    folder: Path, fields: dict[str, Any], add: Callable[[bigrain.Collection, int, int], None],
    ends: list[int], queries: list[Any],
) -> dict[str, Any]:  # fmt: skip
    """Times of a build and of what was added; ValueError if scores differ from a fresh build."""
    folder.mkdir()

    def timed(col: bigrain.Collection, start: int, end: int) -> tuple[float, float]:
        clock = Clock()
        add(col, start, end)
        col.commit()
        return clock.read()

    with bigrain.create(folder / "grown.grain", fields) as col:
        wall, cpu = timed(col, 0, ends[0])
        rounds = [timed(col, a, b) for a, b in zip(ends[:-1], ends[1:], strict=True)]
        _, ours = col.search_many(queries, k=10, recall=1.0, arrays=True)
        segments = col.stats()["segments"]
    with bigrain.create(folder / "fresh.grain", fields) as col:
        timed(col, 0, ends[-1])
        _, fresh = col.search_many(queries, k=10, recall=1.0, arrays=True)
    return {
        "build_wall_s": round(wall, 2),
        "build_cpu_s": round(cpu, 2),
        "added_wall_s": [round(each, 3) for each, _ in rounds],
        "added_cpu_s": [round(each, 3) for _, each in rounds],
        "share_of_build": [round(each / cpu, 4) for _, each in rounds],
        "segments": segments,
        "largest_difference": difference(ours, fresh),
    }


def difference(ours: Any, fresh: Any) -> float:
    """The largest relative difference of sorted scores (n, k); ValueError above RELATIVE."""
    if not np.array_equal(np.isfinite(ours), np.isfinite(fresh)):
        raise ValueError("a grown collection and a fresh one answer different numbers of documents")
    there = np.isfinite(fresh)
    apart = np.abs(ours[there] - fresh[there]) / np.maximum(np.abs(fresh[there]), 1e-9)
    largest = float(apart.max(initial=0.0))
    if largest > RELATIVE:
        raise ValueError(f"scores differ by {largest:.1e} of a fresh build; at most {RELATIVE:g}")
    return largest


if __name__ == "__main__":
    main()
