"""BM25 against the formula computed in NumPy, and in many languages.

    python benchmarks/sparse/quality.py [--sets cranfield,scifact,npl] [--languages xquad-de,jaquad]

*Formula*: for every query of three judged sets the first 100 of a lexical field, beside exhaustive
scores in float64 (`reference.py`). A ranking is identical if at every rank stands a document whose
exhaustive score is that of the rank: documents within TIED of each other may swap. The script fails
if a ranking is not. *Languages*: nDCG@10 with the language's analyser beside the BM25 figure of the
data's own README (plain words; bigrams for Chinese and Japanese). English sets beside bm25s are in
`quality/quality.py`. Writes `results/quality.json` and the tables in `benchmarks/README.md`.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import DATA, load_set, save
from reference import Bm25
from reporting import into_page, markdown_table

import bigrain
from bigrain import evaluation

SETS = ("cranfield", "scifact", "npl")
LANGUAGES = {
    "xquad-ar": "ar", "xquad-de": "de", "xquad-el": "el", "xquad-es": "es", "xquad-ru": "ru",
    "xquad-vi": "vi", "xquad-zh": "zh", "drcd": "zh", "jaquad": "ja",
}  # fmt: skip
DEPTH = 100
TIED = 1e-5  # relative: stored scores are float32
BEGIN = "<!-- sparse-quality: written by sparse/quality.py -->"
END = "<!-- end of sparse-quality -->"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", default=",".join(SETS), help="by commas; '' for none")
    parser.add_argument("--languages", default=",".join(LANGUAGES), help="by commas; '' for none")
    here = Path(__file__).parent
    parser.add_argument("--out", type=Path, default=here / "results" / "quality.json")
    parser.add_argument("--readme", type=Path, default=here.parent / "README.md")
    options = parser.parse_args()
    result: dict[str, Any] = {"formula": {}, "languages": {}}
    for name in filter(None, options.sets.split(",")):
        result["formula"][name] = found = against_the_formula(name)
        print(name, found, flush=True)
    told = told_figures()
    for name in filter(None, options.languages.split(",")):
        ours = ndcg(*load_set(name), LANGUAGES[name])
        result["languages"][name] = {"nDCG@10": round(ours, 4), "told": told[name]}
        print(f"{name:10} {ours:.4f}, README {told[name]:.3f}", flush=True)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    save(options.out, result)
    into_page(options.readme, BEGIN, END, markdown(result))
    apart = [n for n, found in result["formula"].items() if found["identical"] < found["queries"]]
    if apart:
        raise SystemExit(f"rankings differ from the formula's on {', '.join(apart)}")


def against_the_formula(name: str) -> dict[str, Any]:
    """How many rankings are identical, and nDCG@10 of both."""
    listed, queries, judgments = load_set(name)
    documents = [d for d in listed if d.text.strip() or d.title.strip()]
    texts = [f"{d.title}\n{d.text}" if d.title else d.text for d in documents]
    ids = [str(d.id) for d in documents]
    place = {one: row for row, one in enumerate(ids)}
    scorer = Bm25(texts, "en")
    with tempfile.TemporaryDirectory() as folder:
        fields = {"words": bigrain.LexicalField()}
        with bigrain.create(Path(folder) / "set.grain", fields) as col:
            col.add(documents)
            col.commit()
            found = col.search_many(list(queries.values()), k=DEPTH, arrays=True)
    identical, largest = 0, 0.0
    runs: tuple[dict[str, Any], dict[str, Any]] = ({}, {})
    for i, (query, text) in enumerate(queries.items()):
        exhaustive = scorer.scores(text)
        order = np.argsort(-exhaustive, kind="stable")[:DEPTH]
        order = order[exhaustive[order] > 0]
        rows = np.array([place[one] for one in found[0][i] if one is not None], np.int64)
        wanted = exhaustive[order]
        same = len(rows) == len(order) and np.allclose(exhaustive[rows], wanted, rtol=TIED, atol=0)
        identical += same
        if same and len(rows):
            apart = np.abs(found[1][i][: len(rows)] - wanted) / wanted
            largest = max(largest, float(apart.max()))
        for run, some in zip(runs, (rows, order), strict=True):
            run[query] = {ids[row]: 1 / (rank + 1) for rank, row in enumerate(some.tolist())}
    ours, exact = (
        evaluation.score({q: r for q, r in run.items() if r}, judgments, ("nDCG@10",)).means()
        for run in runs
    )
    return {
        "queries": len(queries),
        "identical": identical,
        "largest relative difference of scores": largest,
        "nDCG@10": round(ours["nDCG@10"], 4),
        "exhaustive nDCG@10": round(exact["nDCG@10"], 4),
    }


def ndcg(
    documents: list[bigrain.Document], queries: dict[str, str], judgments: Any, language: str
) -> float:
    """nDCG@10 of a lexical field of a language."""
    with tempfile.TemporaryDirectory() as folder:
        fields = {"words": bigrain.LexicalField(language=language)}
        with bigrain.create(Path(folder) / "set.grain", fields) as col:
            col.add(documents)
            col.commit()
            found = col.evaluate(
                queries, judgments, k=10, measures=("nDCG@10",), systems={"words": {}}
            )
    return float(found.systems["words"].measures["nDCG@10"].mean)


def told_figures() -> dict[str, float]:
    """{set: BM25 nDCG@10} as the table of the data's README has it."""
    rows = (DATA / "README.md").read_text(encoding="utf-8").splitlines()
    head = next(row for row in rows if row.startswith("| set |"))
    column = [cell.strip() for cell in head.split("|")].index("BM25 nDCG@10")
    cells = ([cell.strip() for cell in row.split("|")] for row in rows if row.startswith("|"))
    return {
        row[1]: float(row[column])
        for row in cells
        if len(row) > column and re.fullmatch(r"\d\.\d+", row[column])
    }


def markdown(result: dict[str, Any]) -> str:
    """Both tables."""
    head = ("set", "queries", "identical rankings", "largest difference", "nDCG@10", "exhaustive")
    rows = [
        [
            name, str(found["queries"]), str(found["identical"]),
            f"{found['largest relative difference of scores']:.0e}",
            f"{found['nDCG@10']:.4f}", f"{found['exhaustive nDCG@10']:.4f}",
        ]
        for name, found in result["formula"].items()
    ]  # fmt: skip
    several = [
        [name, f"{found['nDCG@10']:.3f}", f"{found['told']:.3f}"]
        for name, found in result["languages"].items()
    ]
    tables = (markdown_table(head, rows), markdown_table(("set", "nDCG@10", "told"), several))
    return "\n\n".join(tables)


if __name__ == "__main__":
    main()
