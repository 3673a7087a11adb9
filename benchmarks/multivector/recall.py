"""What multi-vector fields find: among so many candidates, and where a recall is asked.

    python benchmarks/multivector/recall.py FOLDER/selqa-128.npz ... [--texts selqa]

For every size of code and of sketch, with 200 queries of the set: bytes a document in memory; the
share of the ten best by MaxSim of the stored tokens among 20, 50, 100 and 200 candidates; and for
each asked recall what was reached, by how many candidates on average, in how much processor time a
query, in a batch. What scores as the tenth best is one of the ten. `--texts` takes sets whose texts
and questions the bundled encoder turns into tokens, `--mixtures FILE` documents as in `scale.py`,
made of tokens of that file and asked with its queries. Writes `results/recall.json` and the tables
in `benchmarks/README.md`.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import maxsim
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import load_set, machine, save
from reporting import into_page, markdown_table
from scale import SAMPLE, made

import bigrain

HERE = Path(__file__).parent
Source = Callable[[Path, dict[str, int]], tuple[bigrain.Collection, list[Any]]]
BEGIN = "<!-- multivector-recall: written by multivector/recall.py -->"
END = "<!-- end of multivector-recall -->"
K, ASKED = 10, 200
MIXTURES = 30_000
DEPTHS = (20, 50, 100, 200)
RECALLS = (0.85, 0.9, 0.95, 0.98, 0.99)
SETTINGS = ((64, 0), (128, 0), (16, 64), (32, 64), (64, 64), (32, 32))  # light_bytes, sketch


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("vectors", type=Path, nargs="*", help="files of token_vectors.py")
    parser.add_argument("--texts", default="", help="sets by commas, for the bundled encoder")
    parser.add_argument("--mixtures", type=Path, help="a file of token_vectors.py")
    parser.add_argument("--readme", type=Path, default=HERE.parent / "README.md")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "recall.json")
    options = parser.parse_args()
    result: dict[str, Any] = {"machine": machine(), "sets": {}}
    sources = {path.stem: of_vectors(path) for path in options.vectors}
    for name in filter(None, options.texts.split(",")):
        sources[f"{name}, bundled encoder"] = of_texts(name)
    if options.mixtures is not None:
        sources[f"{MIXTURES:,} mixtures"] = of_mixtures(options.mixtures)
    for name, source in sources.items():
        for light_bytes, sketch in SETTINGS:
            with tempfile.TemporaryDirectory(prefix="bigrain-recall-") as folder:
                setting = {"light_bytes": light_bytes, "sketch": sketch}
                began = time.process_time()
                col, queries = source(Path(folder) / "a.grain", setting)
                seconds = round(time.process_time() - began, 1)
                with col:
                    told = {"build cpu s": seconds, **measured(col, queries)}
            print(name, light_bytes, sketch, told, flush=True)
            result["sets"].setdefault(name, {})[f"{light_bytes}, {sketch}"] = told
            save(options.out, result)
    text = f"{table_of_depths(result)}\n\n{table_of_recalls(result)}"
    print(text)
    into_page(options.readme, BEGIN, END, text)


def of_vectors(path: Path) -> Source:
    """The documents and the first queries of a file of `token_vectors.py`."""

    def built(folder: Path, setting: dict[str, int]) -> tuple[bigrain.Collection, list[Any]]:
        given, asked = maxsim.documents(path, None), maxsim.queries(path, ASKED)
        col = bigrain.create(folder, {"tok": bigrain.MultiVectorField(dim=given.dim, **setting)})
        col.add_vectors("tok", [str(i) for i in range(given.n)], tuple(given.part(0, given.n)))
        col.commit()
        return col, [asked.row(i) for i in range(asked.n)]

    return built


def of_texts(name: str) -> Source:
    """A set of texts, by the bundled encoder."""

    def built(folder: Path, setting: dict[str, int]) -> tuple[bigrain.Collection, list[Any]]:
        documents, questions, _ = load_set(name)
        field = bigrain.MultiVectorField(encoder="bigrain/static-v1", **setting)
        col = bigrain.create(folder, {"tok": field}, chunking=None)
        col.add(documents)
        col.commit()
        return col, list(questions.values())[:ASKED]

    return built


def of_mixtures(path: Path) -> Source:
    """Documents of 80 tokens of unrelated stretches, as in `scale.py`."""

    def built(folder: Path, setting: dict[str, int]) -> tuple[bigrain.Collection, list[Any]]:
        values = maxsim.documents(path, None).values[:SAMPLE].astype(np.float32)
        asked = maxsim.queries(path, ASKED)
        field = bigrain.MultiVectorField(dim=values.shape[1], **setting)
        col = bigrain.create(folder, {"tok": field})
        n = 0
        for part in made(values, MIXTURES):
            col.add_vectors("tok", [str(n + i) for i in range(len(part))], part)
            n += len(part)
        col.commit()
        return col, [asked.row(i) for i in range(asked.n)]

    return built


def found(col: bigrain.Collection, queries: list[Any], **how: Any) -> Any:
    """The ten best scores of every query, NaN where there are fewer."""
    return col.search_many(queries, k=K, arrays=True, **how)[1]


def measured(col: bigrain.Collection, queries: list[Any]) -> dict[str, Any]:
    last = found(col, queries, recall=1.0)[:, -1:]

    def share(scores: Any) -> float:
        return round(float((scores >= last - maxsim.TIE * np.abs(last)).mean()), 4)

    light = col.stats()["fields"]["tok"]["light_bytes_in_memory"]
    told: dict[str, Any] = {"bytes a document": round(light / len(col), 1)}
    told["among"] = {str(n): share(found(col, queries, n_candidates=n)) for n in DEPTHS}
    told["asked"] = {}
    field = col._view.fields["tok"]
    index, asked = field.index, field.family.queries(queries)
    for recall in RECALLS:
        effort = index.effort(recall, K)
        n = np.mean([index.effort_for(query, effort, K, index.n_rows).n for query in asked])
        scores = found(col, queries, recall=recall)
        began = time.process_time()
        found(col, queries, recall=recall)
        told["asked"][str(recall)] = {
            "reached": share(scores),
            "candidates": round(float(n)),
            "cpu us a query": round((time.process_time() - began) / len(queries) * 1e6),
        }
    return told


def table_of_depths(result: dict[str, Any]) -> str:
    """The share of the ten best among the first candidates."""
    head = ("set", "light_bytes, sketch", "memory B/document", *(f"@{n}" for n in DEPTHS))
    rows = []
    for name, settings in result["sets"].items():
        for setting, told in settings.items():
            shares = [f"{told['among'][str(n)]:.3f}" for n in DEPTHS]
            rows.append([name, setting, f"{told['bytes a document']:,.0f}", *shares])
    return markdown_table(head, rows)


def table_of_recalls(result: dict[str, Any]) -> str:
    """What was reached where a recall was asked: candidates, processor time a query in a batch."""
    head = ("set", "light_bytes, sketch", *(f"asked {recall}" for recall in RECALLS))
    rows = []
    for name, settings in result["sets"].items():
        for setting, told in settings.items():
            cells = [
                f"{one['reached']:.3f}: {one['candidates']:,}, {one['cpu us a query'] / 1e3:.1f} ms"
                for one in told["asked"].values()
            ]
            rows.append([name, setting, *cells])
    return markdown_table(head, rows)


if __name__ == "__main__":
    main()
