"""What feedback, hypothetical answers and other wordings do to effectiveness.

    python benchmarks/sparse/feedback.py [--sets cisi,npl] [--out feedback.json]

Collections of the default fields; nDCG@10, recall at 100 and average precision over the judged
queries, at most 400 of a set drawn at random, for words alone, vectors alone and both. Sets that
the file has and that are not asked for stay as they are.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import load_set, save

import bigrain
from bigrain import Feedback, HyDE, MultiQuery

SETS = ("cranfield", "npl", "cisi", "scifact", "medquad")
MEASURES = ("nDCG@10", "R@100", "AP")
MOST_QUERIES, SEED = 400, 7
CHANGES = {
    "": None,
    "rm3": Feedback("rm3"),
    "rm3 share=.5": Feedback("rm3", share=0.5),
    "rm3 documents=5": Feedback("rm3", documents=5),
    "rm3 terms=10": Feedback("rm3", terms=10),
    "rocchio": Feedback("rocchio"),
    "rocchio share=.5": Feedback("rocchio", share=0.5),
    "average": Feedback("average", documents=3),
    "rocchio before": Feedback("rocchio", interpolation="before"),
    "rocchio after": Feedback("rocchio", interpolation="after"),
    "average after": Feedback("average", documents=3, interpolation="after"),
}
LEXICAL = ("", "rm3", "rm3 share=.5", "rm3 documents=5", "rm3 terms=10", "rocchio")
LEXICAL += ("rocchio share=.5",)
DENSE = ("", "rocchio", "rocchio share=.5", "average")
FUSED = ("", "rm3", "rocchio", "rocchio before", "rocchio after", "average", "average after")


class Extracts:
    """Stands in for a language model: what the words of a query find answers it.

    The first three sentences of the three best documents are the hypothetical answers, and the
    query with the rarest words of each its other wordings. It shows that the hooks work and what
    they cost; a model that knows more than the collection does more.
    """

    def __init__(self, col: bigrain.Collection) -> None:
        self._col = col

    def answers(self, query: str) -> list[str]:
        hits = self._col.search(query, k=3, fields=["lexical"])
        return [". ".join(f"{hit.title} {hit.text}".split(". ")[:3]) for hit in hits]

    def wordings(self, query: str) -> list[str]:
        return [f"{query} {' '.join(sorted(answer.split(), key=len)[-5:])}"
                for answer in self.answers(query)]  # fmt: skip


def systems(col: bigrain.Collection) -> dict[str, dict[str, Any]]:
    """Every way to ask, beginning with words alone."""
    found: dict[str, dict[str, Any]] = {}
    for field, changes in (("lexical", LEXICAL), ("dense", DENSE), ("fused", FUSED)):
        asked = {} if field == "fused" else {"fields": [field]}
        for change in changes:
            found[f"{field} {change}".strip()] = {**asked, "feedback": CHANGES[change]}
    extracts = Extracts(col)
    for field in ("dense", "fused"):
        asked = {} if field == "fused" else {"fields": [field]}
        found[f"{field} HyDE"] = {**asked, "expand": HyDE(extracts.answers)}
        found[f"{field} MultiQuery"] = {**asked, "expand": MultiQuery(extracts.wordings)}
    return found


def judge(name: str) -> dict[str, Any]:
    """All systems on one set."""
    documents, queries, judgments = load_set(name)
    documents = [d for d in documents if d.text.strip() or d.title.strip()]
    if len(judgments) > MOST_QUERIES:
        drawn = random.Random(SEED).sample(sorted(judgments), MOST_QUERIES)
        judgments = {query: judgments[query] for query in drawn}
        queries = {query: queries[query] for query in drawn}
    with tempfile.TemporaryDirectory() as folder:
        col = bigrain.create(Path(folder) / "set.grain")
        col.add(documents)
        col.commit()
        rows: dict[str, Any] = {}
        for system, options in systems(col).items():
            found = col.evaluate(queries, judgments, measures=MEASURES, systems={system: options})
            measured = found.systems[system].measures
            rows[system] = {m: round(measured[m].mean, 4) for m in MEASURES}
        col.close()
    return {"documents": len(documents), "queries": len(judgments), "systems": rows}


def main() -> None:
    """Run, print a table, save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("feedback.json"))
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    rows = json.loads(options.out.read_text())["sets"] if options.out.exists() else {}
    for name in options.sets.split(","):
        rows[name] = judge(name)
        for system, row in rows[name]["systems"].items():
            print(f"{name:10} {system:28}", *(f"{m} {row[m]:.4f}" for m in MEASURES), flush=True)
        save(options.out, {"sets": rows})


if __name__ == "__main__":
    main()
