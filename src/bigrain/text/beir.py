"""BEIR folders: `corpus.jsonl`, `queries.jsonl` and `qrels/SPLIT.tsv`, each also with `.gz`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bigrain.errors import BigrainError, InvalidDocumentError, shown
from bigrain.text.readers import Source
from bigrain.text.rows import Columns, json_lines, parse_json
from bigrain.text.sources import DEFAULT_MAX_BYTES, read_lines
from bigrain.types import Document

__all__ = ["beir_corpus", "beir_judgments", "beir_queries"]

MAX_GRADE = 2**31 - 1


def beir_corpus(folder: Source, *, max_bytes: int | None = DEFAULT_MAX_BYTES) -> Iterator[Document]:
    """The documents of the set, as they stand in the file, those without text included."""
    path = _file(folder, "corpus.jsonl")
    return json_lines(read_lines(path, max_bytes), str(path), path.name, Columns(), _raise)


def beir_queries(folder: Source, *, max_bytes: int | None = DEFAULT_MAX_BYTES) -> dict[str, str]:
    """{query id: text} for all splits together."""
    path = _file(folder, "queries.jsonl")
    queries: dict[str, str] = {}
    for number, line in read_lines(path, max_bytes):
        if line.isspace():
            continue
        where = f"{path}, line {number}"
        row = parse_json(line, where)
        key, text = (row.get("_id"), row.get("text")) if isinstance(row, dict) else (None, None)
        if isinstance(key, int) and not isinstance(key, bool):
            key = str(key)
        if not isinstance(key, str) or not isinstance(text, str):
            raise InvalidDocumentError(f'{where}: expected {{"_id": "...", "text": "..."}}')
        if key in queries:
            raise InvalidDocumentError(f"{where}: query {shown(key)} occurs twice")
        queries[key] = text
    return queries


def beir_judgments(
    folder: Source, split: str | None = None, *, max_bytes: int | None = DEFAULT_MAX_BYTES
) -> dict[str, dict[str, int]]:
    """{query id: {document id: grade}} of a split; None takes test, else dev, else train.

    Lines are `query-id <tab> corpus-id <tab> score`, or the four columns of TREC; the header is
    optional. InvalidDocumentError names file and line of anything else.
    """
    path = _split_file(Path(folder), split)
    judgments: dict[str, dict[str, int]] = {}
    for number, line in read_lines(path, max_bytes):
        fields = line.split("\t") if "\t" in line else line.split()
        fields = [part.strip() for part in fields]
        if not any(fields):
            continue
        grade = _grade(fields[-1])
        if grade is None and number == 1:
            continue  # the header
        if grade is None or len(fields) not in (3, 4):
            raise InvalidDocumentError(
                f"{path}, line {number}: expected query-id, corpus-id and a whole number divided "
                f"by tabs, found {line.strip()[:60]!r}"
            )
        judgments.setdefault(fields[0], {})[fields[-2]] = grade
    return judgments


def _grade(text: str) -> int | None:
    try:
        value = float(text)
        return int(value) if value == int(value) and abs(value) <= MAX_GRADE else None
    except (ValueError, OverflowError):
        return None


def _split_file(folder: Path, split: str | None) -> Path:
    for name in (split,) if split is not None else ("test", "dev", "train"):
        for ending in (".tsv", ".tsv.gz"):
            path = folder / "qrels" / f"{name}{ending}"
            if path.is_file():
                return path
    qrels = folder / "qrels"
    there = sorted({p.name.partition(".")[0] for p in qrels.glob("*.tsv*")})
    wanted = f"split {split!r}" if split is not None else "test, dev or train split"
    raise InvalidDocumentError(
        f"{qrels}: no {wanted}; " + (f"there are {', '.join(there)}" if there else "no *.tsv there")
    )


def _file(folder: Source, name: str) -> Path:
    for candidate in (name, f"{name}.gz"):
        path = Path(folder) / candidate
        if path.is_file():
            return path
    raise InvalidDocumentError(
        f"{folder}: no {name} or {name}.gz; a BEIR folder has corpus.jsonl, queries.jsonl, qrels/"
    )


def _raise(error: BigrainError) -> None:
    raise error
