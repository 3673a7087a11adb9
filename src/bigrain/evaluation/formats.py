"""Queries, judgments and runs in files, as trec_eval, BEIR and MS MARCO write them.

    queries    JSONL  {"_id": "q1", "text": "..."}    TSV   q1 <tab> text
    judgments  TREC   q1 0 d7 2                       BEIR  query-id <tab> corpus-id <tab> score
    runs       TREC   q1 Q0 d7 1 12.5 tag             MS MARCO (read only)  q1 <tab> d7 <tab> 1

Reading looks at the first line to tell the formats apart and unpacks gzip by itself; writing
chooses by the file's name (`.gz` packs). What is written reads back equal. A file appears
complete or not at all.
"""

from __future__ import annotations

import gzip
import io
import json
import math
import os
import re
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO, TypeAlias

from bigrain.errors import InvalidInputError
from bigrain.evaluation.ranking import Judgments, Queries, Run, distinct_scores, ranked

__all__ = [
    "load_judgments",
    "load_queries",
    "load_run",
    "save_judgments",
    "save_queries",
    "save_run",
]

PathLike: TypeAlias = "str | os.PathLike[str]"

# trec_eval separates columns by ASCII white space, which is what bytes.split() does; str.split()
# would also cut at U+00A0 and others.
_TREC_SEPARATORS = re.compile(r"[ \t\v\f\r\n]+")
_TSV_SEPARATORS = re.compile(r"[\t\r\n]+")
_BEIR_HEADER = ("query-id", "corpus-id", "score")
_HEADER_STARTS = {"query-id", "query_id", "qid"}
_ID_KEYS = ("_id", "id", "query_id", "qid")
_TEXT_KEYS = ("text", "query")
MAX_LINE = 1 << 26
MAX_GRADE = 2**31 - 1  # of a judgment, and the last rank
MAX_ID_DIGITS = 500


# ---------------------------------------------------------------------------------------- queries


def load_queries(path: PathLike) -> Queries:
    """Queries of a JSONL or TSV file, in the file's order."""
    queries: Queries = {}
    as_json: bool | None = None
    for number, line in _lines(path):
        if as_json is None:
            as_json = line.lstrip().startswith("{")
        qid, text = (_json_query if as_json else _tsv_query)(path, number, line)
        if qid in queries:
            raise _bad(path, number, "a query id not seen before", f"{qid!r} again")
        queries[qid] = text
    if not queries:
        raise InvalidInputError(f'{path}: no queries found; expected {{"_id": ..., "text": ...}}')
    return queries


def save_queries(path: PathLike, queries: Mapping[str, str]) -> None:
    """Write queries as TSV where the name ends in `.tsv` (or `.tsv.gz`), as JSONL otherwise."""
    as_tsv = _suffix(path) == ".tsv"
    with _writing(path) as out:
        for qid, text in queries.items():
            if not as_tsv:
                out.write(json.dumps({"_id": qid, "text": text}, ensure_ascii=False) + "\n")
                continue
            _check_id(path, qid, separators=_TSV_SEPARATORS)
            if "\n" in text or "\r" in text or qid.lstrip().startswith("{"):
                raise InvalidInputError(
                    f"{path}: query {qid!r} has a line break or an id that looks like JSON, "
                    "which TSV cannot hold; write queries.jsonl instead"
                )
            out.write(f"{qid}\t{text}\n")


def _json_query(path: PathLike, number: int, line: str) -> tuple[str, str]:
    expected = 'a JSON object with "_id" and "text"'
    try:
        row = json.loads(line)
    except (RecursionError, ValueError) as error:
        raise _bad(path, number, expected, line) from error
    if not isinstance(row, dict):
        raise _bad(path, number, expected, line)
    qid = next((row[key] for key in _ID_KEYS if key in row), None)
    text = next((row[key] for key in _TEXT_KEYS if key in row), None)
    if isinstance(qid, int) and not isinstance(qid, bool) and abs(qid) < 10**MAX_ID_DIGITS:
        qid = str(qid)
    if not isinstance(qid, str) or not qid or not isinstance(text, str):
        raise _bad(path, number, expected, line)
    return qid, text


def _tsv_query(path: PathLike, number: int, line: str) -> tuple[str, str]:
    qid, tab, text = line.partition("\t")
    if not tab or not qid:
        raise _bad(path, number, "a query id, a tab and the text", line)
    return qid, text


# -------------------------------------------------------------------------------------- judgments


def load_judgments(path: PathLike) -> Judgments:
    """Judgments of a TREC qrels file or a BEIR qrels TSV (with or without its header)."""
    judgments: Judgments = {}
    as_beir: bool | None = None
    for number, line in _lines(path):
        if as_beir is None:
            columns = line.split("\t")
            as_beir = len(columns) == len(_BEIR_HEADER)
            if as_beir and columns[0].strip().lower() in _HEADER_STARTS:
                continue
        qid, doc, grade = (_beir_judgment if as_beir else _trec_judgment)(path, number, line)
        grades = judgments.setdefault(qid, {})
        if grades.setdefault(doc, grade) != grade:
            raise _bad(
                path, number, f"one grade for query {qid!r} and document {doc!r}",
                f"{grade} after {grades[doc]}",
            )  # fmt: skip
    if not judgments:
        raise InvalidInputError(
            f"{path}: no judgments found; expected lines such as 'q1 0 d7 1' (TREC) "
            "or 'q1 <tab> d7 <tab> 1' (BEIR)"
        )
    return judgments


def save_judgments(path: PathLike, judgments: Mapping[str, Mapping[str, int]]) -> None:
    """Write BEIR TSV where the name ends in `.tsv` (or `.tsv.gz`), TREC qrels otherwise.

    A query without any judged document has no line to stand on and is left out.
    """
    as_beir = _suffix(path) == ".tsv"
    separators = _TSV_SEPARATORS if as_beir else _TREC_SEPARATORS
    with _writing(path) as out:
        if as_beir:
            out.write("\t".join(_BEIR_HEADER) + "\n")
        for qid, grades in judgments.items():
            _check_id(path, qid, separators=separators)
            for doc, grade in grades.items():
                _check_id(path, doc, separators=separators)
                if int(grade) != grade:
                    raise InvalidInputError(f"{path}: {qid!r}, {doc!r}: grade {grade} is not whole")
                row = f"{qid}\t{doc}\t{int(grade)}" if as_beir else f"{qid} 0 {doc} {int(grade)}"
                out.write(row + "\n")


def _beir_judgment(path: PathLike, number: int, line: str) -> tuple[str, str, int]:
    columns = line.split("\t")
    grade = _whole(columns[-1])
    if len(columns) != 3 or not columns[0] or not columns[1] or grade is None:
        raise _bad(path, number, "query-id <tab> corpus-id <tab> whole-number score", line)
    return columns[0], columns[1], grade


def _trec_judgment(path: PathLike, number: int, line: str) -> tuple[str, str, int]:
    columns = _columns(line)
    grade = _whole(columns[-1])
    if len(columns) != 4 or grade is None:
        raise _bad(
            path, number,
            "4 columns 'query 0 document grade' (TREC) or 3 tab-separated columns (BEIR)", line,
        )  # fmt: skip
    return columns[0], columns[2], grade


# ------------------------------------------------------------------------------------------- runs


def load_run(path: PathLike) -> Run:
    """A TREC run, or an MS MARCO run (its ranks become the scores -1, -2, ...).

    As in trec_eval the rank column is ignored and the scores decide.
    """
    run: Run = {}
    width: int | None = None
    for number, line in _lines(path):
        columns = _columns(line)
        if width is None:
            width = 3 if len(columns) == 3 else 6
        score = None
        if len(columns) == width:
            score = _number(columns[4]) if width == 6 else _negative_rank(columns[2])
        if score is None:
            expected = (
                "6 columns 'query Q0 document rank score tag' with a finite score"
                if width == 6
                else "3 columns 'query document rank' with a rank from 1"
            )
            raise _bad(path, number, expected, line)
        qid, doc = columns[0], columns[2 if width == 6 else 1]
        results = run.setdefault(qid, {})
        if doc in results:
            raise _bad(path, number, "each document once a query", f"{doc!r} again for {qid!r}")
        results[doc] = score
    return run


def save_run(
    path: PathLike,
    run: Mapping[str, Mapping[str, float]],
    *,
    tag: str = "bigrain",
    distinct: bool = True,
) -> None:
    """Write a TREC run, best document first.

    Reading it back gives the same scores and in any tool the same order. Where scores tie as
    32-bit floats, `distinct` lowers the later ones by the smallest step, so that tools with another
    rule for ties still see this order; `distinct=False` writes every score as it is. A query
    without results has no line to stand on and is left out.
    """
    _check_id(path, tag, separators=_TREC_SEPARATORS, what="tag")
    with _writing(path) as out:
        for qid, scores in run.items():
            _check_id(path, qid, separators=_TREC_SEPARATORS)
            ranking = ranked(scores, query=qid)
            written = (
                distinct_scores(ranking, query=qid) if distinct else [score for _, score in ranking]
            )
            for rank, ((doc, _), score) in enumerate(zip(ranking, written, strict=True), start=1):
                _check_id(path, doc, separators=_TREC_SEPARATORS)
                out.write(f"{qid} Q0 {doc} {rank} {score!r} {tag}\n")


# ------------------------------------------------------------------------------------ lines, files


def _lines(path: PathLike) -> Iterator[tuple[int, str]]:
    """Numbered lines that are not blank, without their line ends."""
    number = 0
    try:
        with open(path, "rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            stream = gzip.GzipFile(fileobj=raw) if packed else raw
            for number, line in enumerate(iter(lambda: stream.readline(MAX_LINE), b""), start=1):
                if len(line) == MAX_LINE:
                    raise InvalidInputError(
                        f"{path}, line {number}: longer than {MAX_LINE:,} bytes"
                    )
                text = line.decode("utf-8-sig" if number == 1 else "utf-8")
                text = text.removesuffix("\n").removesuffix("\r")
                if line.strip():
                    yield number, text
    except FileNotFoundError as error:
        raise InvalidInputError(f"{path}: no such file") from error
    except IsADirectoryError as error:
        raise InvalidInputError(
            f"{path} is a folder; give one file, such as queries.jsonl or qrels/test.tsv"
        ) from error
    except UnicodeDecodeError as error:
        raise InvalidInputError(
            f"{path}, line {number}: not UTF-8 text: byte {error.start} of the line"
        ) from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InvalidInputError(
            f"{path}, after line {number}: not a whole gzip file: {error}"
        ) from error
    except OSError as error:
        raise InvalidInputError(f"{path} cannot be read: {error.strerror or error}") from error


@contextmanager
def _writing(path: PathLike) -> Iterator[TextIO]:
    """A text file that takes its name only when all of it has been written."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with open(draft, "wb") as raw:
            if target.suffix == ".gz":
                # No name and no time inside: the same content gives the same bytes.
                with (
                    gzip.GzipFile(
                        filename="", mode="wb", fileobj=raw, compresslevel=6, mtime=0
                    ) as packed,
                    io.TextIOWrapper(packed, encoding="utf-8", newline="\n") as out,
                ):
                    yield out
            else:
                with io.TextIOWrapper(raw, encoding="utf-8", newline="\n") as out:
                    yield out
        os.replace(draft, target)
    except UnicodeEncodeError as error:
        raise InvalidInputError(f"{path}: text that UTF-8 cannot hold: {error}") from error
    finally:
        draft.unlink(missing_ok=True)


def _suffix(path: PathLike) -> str:
    return Path(Path(path).name.removesuffix(".gz")).suffix


def _columns(line: str) -> list[str]:
    return [column.decode() for column in line.encode().split()]


def _whole(text: str) -> int | None:
    number = _number(text)
    if number is None or abs(number) > MAX_GRADE or number != int(number):
        return None
    return int(number)


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _negative_rank(text: str) -> float | None:
    rank = _whole(text)
    return -float(rank) if rank is not None and rank >= 1 else None


def _check_id(path: PathLike, name: str, *, separators: re.Pattern[str], what: str = "id") -> None:
    if not isinstance(name, str) or not name.strip() or name[0] == "\ufeff":
        raise InvalidInputError(f"{path}: {what} {name!r}: expected a string such as 'q1'")
    if separators.search(name):
        better = separators.sub("_", name)
        raise InvalidInputError(
            f"{path}: {what} {name!r} has white space, which this format uses between columns; "
            f"rename it, for example to {better!r}"
        )


def _bad(path: PathLike, number: int, expected: str, found: str) -> InvalidInputError:
    shown = found if len(found) <= 80 else found[:77] + "..."
    return InvalidInputError(f"{path}, line {number}: expected {expected}, found {shown!r}")
