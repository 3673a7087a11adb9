"""Reading the data folder: retrieval sets, plain passages, the texts and pairs to train on.

Only training material is built here: documents and *train* judgments of medquad, arxiv and
scifact, and unlabelled passages. The held-out sets are read by `evaluate.py` alone.
"""

from __future__ import annotations

import gzip
import json
import random
from dataclasses import dataclass
from pathlib import Path

TRAIN_SETS = ("medquad", "arxiv", "scifact")
PASSAGE_FILES = tuple(f"arxiv-{i:02d}.txt.gz" for i in range(9))
GLOSS_FILE = "wordnet-glosses.txt.gz"


@dataclass(frozen=True)
class RetrievalSet:
    """Documents, queries and judgments (query id -> document id -> grade) of one split."""

    name: str
    document_ids: list[str]
    documents: list[str]
    query_ids: list[str]
    queries: list[str]
    judgments: dict[str, dict[str, int]]


def read_jsonl(path: Path) -> list[dict[str, str]]:
    """All rows of a gzipped JSON-lines file."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def read_lines(path: Path) -> list[str]:
    """All non-empty lines of a gzipped text file."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [line.strip() for line in lines if line.strip()]


def corpus(data: Path, name: str) -> list[dict[str, str]]:
    """The documents of a retrieval set."""
    return read_jsonl(data / name / "corpus.jsonl.gz")


def document_text(row: dict[str, str]) -> str:
    """Title and text as one field; an empty title is skipped."""
    title = row.get("title", "")
    return f"{title} {row['text']}" if title else row["text"]


def read_set(data: Path, name: str, split: str) -> RetrievalSet:
    """One split of a retrieval set; only judged queries are kept."""
    folder, rows = data / name, corpus(data, name)
    judgments: dict[str, dict[str, int]] = {}
    with open(folder / "qrels" / f"{split}.tsv", encoding="utf-8") as lines:
        next(lines)
        for line in lines:
            query, document, grade = line.rstrip("\n").split("\t")
            if int(grade) > 0:
                judgments.setdefault(query, {})[document] = int(grade)
    queries = [row for row in read_jsonl(folder / "queries.jsonl.gz") if row["_id"] in judgments]
    return RetrievalSet(
        name=name,
        document_ids=[row["_id"] for row in rows],
        documents=[document_text(row) for row in rows],
        query_ids=[row["_id"] for row in queries],
        queries=[row["text"] for row in queries],
        judgments=judgments,
    )


def train_pairs(data: Path, name: str) -> list[tuple[str, str]]:
    """(query, relevant document) pairs of the train split."""
    split = read_set(data, name, "train")
    text = dict(zip(split.document_ids, split.documents, strict=True))
    return [
        (query, text[document])
        for key, query in zip(split.query_ids, split.queries, strict=True)
        for document in sorted(split.judgments[key])
    ]


def passages(data: Path) -> list[str]:
    """All sentences of the abstracts in file order (neighbours often share an abstract)."""
    return [line for name in PASSAGE_FILES for line in read_lines(data / "passages" / name)]


def glosses(data: Path) -> list[str]:
    """All WordNet definitions and examples."""
    return read_lines(data / "passages" / GLOSS_FILE)


def word_groups(words: list[str], count: int, seed: int) -> list[str]:
    """Random groups of 2 to 5 vocabulary words: they cover rare words the passages lack."""
    rng = random.Random(seed)
    return [" ".join(rng.sample(words, rng.randint(2, 5))) for _ in range(count)]


def distillation_parts(data: Path, words: list[str], seed: int = 7) -> dict[str, list[str]]:
    """The texts the teacher encodes for training, by part, in the order of their use."""
    rng = random.Random(seed)
    all_glosses, sentences = glosses(data), passages(data)
    rng.shuffle(all_glosses)
    picked = rng.sample(range(len(sentences)), 150_000)
    medquad, arxiv = train_pairs(data, "medquad"), train_pairs(data, "arxiv")
    rng.shuffle(arxiv)
    return {
        "glosses": all_glosses[:60_000],
        "titles": [query for query, _ in arxiv],
        "questions": sorted({query for query, _ in medquad}),
        "claims": sorted({query for query, _ in train_pairs(data, "scifact")}),
        "sentences": [sentences[i] for i in picked[:70_000]],
        "held out": [sentences[i] for i in picked[-4_000:]] + all_glosses[-4_000:],
        "groups": word_groups(words, 40_000, seed),
        "scifact documents": [document_text(row) for row in corpus(data, "scifact")],
        "medquad documents": [document_text(row) for row in corpus(data, "medquad")],
        "abstracts": [document for _, document in arxiv[:8_000]],
        "more sentences": [sentences[i] for i in picked[70_000:110_000]],
        "more glosses": all_glosses[60_000:90_000],
    }
