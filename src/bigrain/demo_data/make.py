"""How the data of `bigrain demo` was made from two BEIR folders.

    python make.py SCIFACT_FOLDER MEDQUAD_FOLDER

Each folder has corpus.jsonl, queries.jsonl (both may be .gz) and qrels/test.tsv. From SciFact all
documents are kept, from MedQuAD the pages of four institutes; of both, only the test questions and
their judgments. See LICENCES.md. Running it again gives the same bytes.
"""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from bigrain.evaluation import save_judgments, save_queries
from bigrain.text import beir_corpus, beir_judgments, beir_queries

# The first number of a MedQuAD id is its source: cancer.gov (NCI), NIDDK, NINDS, NHLBI.
MEDQUAD_SOURCES = frozenset(["1", "5", "6", "8"])


def main() -> None:
    """Write `scifact` and `medquad` beside this file."""
    scifact, medquad = map(Path, sys.argv[1:])
    here = Path(__file__).parent
    take(scifact, here / "scifact", lambda identifier: True)
    take(medquad, here / "medquad", lambda identifier: identifier.split("-")[0] in MEDQUAD_SOURCES)


def take(source: Path, target: Path, wanted: Callable[[str], bool]) -> None:
    """Documents with a wanted id, and the test questions judged on such documents only."""
    documents = [document for document in beir_corpus(source) if wanted(document.id or "")]
    judgments = {
        query: grades
        for query, grades in beir_judgments(source, "test").items()
        if all(map(wanted, grades))
    }
    queries = beir_queries(source)
    write_lines(
        target / "corpus.jsonl.gz",
        (
            json.dumps({"_id": d.id, "title": d.title, "text": d.text}, ensure_ascii=False)
            for d in documents
        ),
    )
    save_queries(target / "queries.jsonl.gz", {query: queries[query] for query in judgments})
    save_judgments(target / "qrels" / "test.tsv", judgments)
    print(f"{target.name}: {len(documents)} documents, {len(judgments)} questions")


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Gzipped lines, without name or time inside."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with (
        path.open("wb") as raw,
        gzip.GzipFile("", "wb", compresslevel=9, fileobj=raw, mtime=0) as out,
    ):
        for line in lines:
            out.write(line.encode() + b"\n")


if __name__ == "__main__":
    main()
