"""What the stored tokens lose, and what the codes in memory find, by bytes.

    python benchmarks/multivector/storage.py FOLDER/selqa-128.npz FOLDER/scifact-128.npz ...

Heavy: for every type of token vectors, bytes a document on disk; searched exhaustively
(`recall=1`), the share of the ten best by MaxSim of the given vectors, nDCG@10, and how far scores
are from it. Light: for every surrogate and code size, the share of the ten best among the first 50,
100 and 200 candidates that the codes propose, over all lists, beside the bytes that stand in memory
(codes, places of records, lists). CPU seconds of the builds. Writes `results/storage.json` and the
tables in `benchmarks/README.md`.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import maxsim
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import save
from peers import ndcg, true_scores
from reporting import into_page, markdown_table

import bigrain
from bigrain.config import SURROGATES, TOKEN_TYPES
from bigrain.index.effort import Effort

HERE = Path(__file__).parent
Array = np.ndarray[Any, Any]
BEGIN = "<!-- multivector-storage: written by multivector/storage.py -->"
END = "<!-- end of multivector-storage -->"
K = 10
DEPTHS = (50, 100, 200)
BYTES = (32, 48, 64, 96, 128)
BATCH = 5_000


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("vectors", type=Path, nargs="+", help="files of token_vectors.py")
    parser.add_argument("--n", type=int, help="the first n documents of each")
    parser.add_argument("--asked", type=int, default=300, help="queries of each")
    parser.add_argument("--heavy", default=",".join(TOKEN_TYPES), help="by commas; '' for none")
    parser.add_argument("--light", default=",".join(SURROGATES), help="by commas; '' for none")
    parser.add_argument("--bytes", default=",".join(map(str, BYTES)), help="of light codes")
    parser.add_argument("--cache", type=Path, help="folder of exact scores, kept")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "storage.json")
    parser.add_argument("--readme", type=Path, default=HERE.parent / "README.md")
    options = parser.parse_args()
    result: dict[str, Any] = {"k": K, "sets": {}}
    with tempfile.TemporaryDirectory(prefix="bigrain-storage-") as temporary:
        options.cache = options.cache or Path(temporary)
        for path in options.vectors:
            result["sets"][path.stem] = measured(path, options)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    save(options.out, result)
    text = f"{heavy_table(result)}\n\n{light_table(result)}"
    print(text)
    into_page(options.readme, BEGIN, END, text)


def measured(path: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Every heavy type and every light code of one set."""
    given = maxsim.documents(path, options.n)
    asked = maxsim.queries(path, options.asked)
    judged = maxsim.judgments(path, given.n, asked.n)
    truth = true_scores(path.stem, given, asked, options.cache)
    queries = [asked.row(i) for i in range(asked.n)]
    best = [maxsim.top(row, K).tolist() for row in truth]
    found: dict[str, Any] = {
        "documents": given.n,
        "tokens": len(given.values),
        "dim": given.dim,
        "queries": asked.n,
        "heavy": {},
        "light": {},
    }
    if judged:
        found["nDCG@10"] = ndcg(best, judged)
    for heavy in filter(None, options.heavy.split(",")):
        with tempfile.TemporaryDirectory(prefix="bigrain-heavy-") as folder:
            col, seconds = built(Path(folder), given, {"heavy": heavy})
            with col:
                told = of_heavy(col, queries, truth, judged) | {"build cpu s": seconds}
        found["heavy"][heavy] = told
        print(path.stem, heavy, told, flush=True)
    for light in filter(None, options.light.split(",")):
        for size in map(int, filter(None, options.bytes.split(","))):
            with tempfile.TemporaryDirectory(prefix="bigrain-light-") as folder:
                col, seconds = built(Path(folder), given, {"light": light, "light_bytes": size})
                with col:
                    told = of_light(col, queries, truth) | {"build cpu s": seconds}
            found["light"].setdefault(light, {})[str(size)] = told
            print(path.stem, light, size, told, flush=True)
    return found


def built(
    folder: Path, given: maxsim.Tokens, settings: dict[str, Any]
) -> tuple[bigrain.Collection, float]:
    """A collection of all documents, and the CPU seconds that it took."""
    field = bigrain.MultiVectorField(dim=given.dim, **settings)
    col = bigrain.create(folder / "documents.grain", {"tok": field})
    began = time.process_time()
    for start in range(0, given.n, BATCH):
        part = given.part(start, min(start + BATCH, given.n))
        col.add_vectors("tok", [str(i) for i in range(start, start + part.n)], tuple(part))
    col.commit()
    return col, round(time.process_time() - began, 2)


def of_heavy(
    col: bigrain.Collection, queries: list[Array], truth: Array, judged: Any
) -> dict[str, Any]:
    """What exhaustive search over the stored tokens gives."""
    ids, scores = col.search_many(queries, k=K, recall=1.0, arrays=True)
    rows = np.array([[int(i) for i in row] for row in ids])
    exact = np.take_along_axis(truth, rows, axis=1)
    error = np.abs(scores - exact) / np.abs(exact)
    field = col.stats()["fields"]["tok"]
    (view,) = col._view.fields["tok"].index.views
    found = {
        "bytes a document": round(field["bytes_on_disk"] / len(col), 1),
        "vectors a document": round(
            float(view.segment.records.counts(np.arange(len(col))).mean()), 1
        ),
        "bytes a token": view.segment.records.codec.token_bytes,
        "recall": round(maxsim.recall(truth, rows.tolist(), K), 4),
        "mean relative error": float(f"{error.mean():.2e}"),
        "largest relative error": float(f"{error.max():.2e}"),
    }
    if judged:
        found["nDCG@10"] = ndcg(rows.tolist(), judged)
    return found


def of_light(col: bigrain.Collection, queries: list[Array], truth: Array) -> dict[str, Any]:
    """What the codes propose, lists and all."""
    index = col._view.fields["tok"].index
    proposed = index.candidates(queries, Effort(max(DEPTHS)), None).units
    unit_of = {unit: place for place, unit in enumerate(sorted_units(col))}
    rows = [[unit_of[unit] for unit in units if unit >= 0] for units in proposed.tolist()]
    (view,) = index.views
    found: dict[str, Any] = {
        "bytes a document in memory": round(view.segment.memory_bytes / len(col), 1),
    }
    for depth in DEPTHS:
        found[f"recall@{depth}"] = round(maxsim.recall(truth, [r[:depth] for r in rows], K), 4)
    return found


def sorted_units(col: bigrain.Collection) -> list[int]:
    """Units in the order in which documents were added."""
    (view,) = col._view.fields["tok"].index.views
    units: list[int] = view.segment.units.units(np.arange(view.segment.units.n_rows)).tolist()
    return units


def heavy_table(result: dict[str, Any]) -> str:
    head = (
        "tokens as",
        "set",
        "B/token",
        "B/document",
        "recall",
        "nDCG@10",
        "mean error",
        "largest error",
    )
    rows = []
    for name, one in result["sets"].items():
        if one["heavy"] and "nDCG@10" in one:
            rows.append(["as given", name, "", "", "1", f"{one['nDCG@10']:.4f}", "", ""])
        for heavy, told in one["heavy"].items():
            score = f"{told['nDCG@10']:.4f}" if "nDCG@10" in told else ""
            rows.append(
                [
                    heavy,
                    name,
                    str(told["bytes a token"]),
                    f"{told['bytes a document']:,.0f}",
                    f"{told['recall']:.4f}",
                    score,
                    f"{told['mean relative error']:.1e}",
                    f"{told['largest relative error']:.1e}",
                ]
            )
    return markdown_table(head, rows)


def light_table(result: dict[str, Any]) -> str:
    """Recall of the ten best among the first candidates, sets side by side."""
    names = list(result["sets"])
    head = ("light", "light_bytes", "memory B/document",
            *(f"{name} @{depth}" for name in names for depth in DEPTHS))  # fmt: skip
    rows = []
    for light, sizes in result["sets"][names[0]]["light"].items():
        for size, told in sizes.items():
            cells = [
                f"{result['sets'][name]['light'][light][size][f'recall@{depth}']:.3f}"
                for name in names
                for depth in DEPTHS
            ]
            rows.append([light, size, f"{told['bytes a document in memory']:,.0f}", *cells])
    return markdown_table(head, rows)


if __name__ == "__main__":
    main()
