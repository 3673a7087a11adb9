"""Documents out of rows: JSON lines, JSON arrays, CSV and TSV tables.

A row has its text under `text`, `contents` or `body`, its id under `_id` or `id`, and may have a
`title` and a `metadata` mapping; whatever else it has becomes metadata.
"""

from __future__ import annotations

import csv
import json
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NoReturn

from bigrain.errors import InvalidDocumentError, shown
from bigrain.storage.attributes import normalise_metadata
from bigrain.text.normalise import clean_text
from bigrain.types import MAX_ID_CHARS, Document

__all__ = ["Columns", "json_documents", "json_lines", "parse_json", "table_documents"]

Fail = Callable[[InvalidDocumentError], None]

PLAIN_WHOLE = re.compile(r"-?(?:0|[1-9][0-9]*)")
PLAIN_DECIMAL = re.compile(r"-?(?:0|[1-9][0-9]*)\.[0-9]+")


@dataclass(frozen=True, slots=True)
class Columns:
    """Where rows keep text and id, if not under the usual names."""

    text: str | None = None
    id: str | None = None


def json_lines(
    lines: Iterable[tuple[int, str]], name: str, label: str, columns: Columns, fail: Fail
) -> Iterator[Document]:
    """One document for each line that is not blank. `fail` gets the error of a bad line.

    `name` is the file for messages; `label` makes ids, `label:line`, for rows without one.
    """
    for number, line in lines:
        if line.isspace():
            continue
        try:
            where = f"{name}, line {number}"
            row = parse_json(line, where)
            yield document_of(row, where, f"{label}:{number}", columns)
        except InvalidDocumentError as error:
            fail(error)


def json_documents(
    text: str, name: str, label: str, columns: Columns, fail: Fail
) -> Iterator[Document]:
    """The documents of a JSON file: one object, or an array of them."""
    value = parse_json(text, name)
    if not isinstance(value, list):
        yield document_of(value, name, label, columns)
        return
    for number, row in enumerate(value, start=1):
        try:
            yield document_of(row, f"{name}, item {number}", f"{label}:{number}", columns)
        except InvalidDocumentError as error:
            fail(error)


def table_documents(
    lines: Iterable[tuple[int, str]],
    name: str,
    label: str,
    columns: Columns,
    fail: Fail,
    *,
    tabs: bool,
) -> Iterator[Document]:
    """One document for each row of a table whose first line names the columns.

    CSV may quote fields with `"` and be divided by commas, semicolons or tabs; in TSV quotation
    marks are ordinary characters. Raises the limit of the csv module on the length of a field.
    """
    csv.field_size_limit(max(csv.field_size_limit(), min(sys.maxsize, 2**31 - 1)))
    numbered = iter(lines)
    first = next(((number, line) for number, line in numbered if not line.isspace()), None)
    if first is None:
        return
    delimiter = "\t" if tabs else max(",;\t", key=first[1].count)
    skipped = first[0] - 1
    rows = csv.reader(
        _with_first(first[1], numbered),
        delimiter=delimiter,
        quoting=csv.QUOTE_NONE if tabs else csv.QUOTE_MINIMAL,
        strict=True,
    )
    header = _next_row(rows, name, skipped)
    assert header is not None
    header = [column.strip() for column in header]
    ((column, count),) = Counter(header).most_common(1)
    if count > 1:
        raise InvalidDocumentError(f"{name}, line {first[0]}: column {shown(column)} occurs twice")
    _find(header, columns.text, TEXT_KEYS, "text", "text_column", f"{name}, line {first[0]}")
    while (row := _next_row(rows, name, skipped)) is not None:
        if not row:
            continue
        number = skipped + rows.line_num
        where = f"{name}, line {number}"
        try:
            if len(row) > len(header):
                raise InvalidDocumentError(
                    f"{where}: {len(row)} fields, but the header names {len(header)} columns; "
                    "put a field that contains the delimiter in quotation marks"
                )
            filled = dict(zip(header, row + [""] * (len(header) - len(row)), strict=True))
            document = document_of(filled, where, f"{label}:{number}", columns)
        except InvalidDocumentError as error:
            fail(error)
            continue
        cells = {key: _cell(value) for key, value in document.metadata.items() if value != ""}
        yield replace(document, metadata=cells)


def parse_json(text: str, where: str) -> Any:
    """The value of a JSON text; InvalidDocumentError says where it is none."""
    try:
        return json.loads(text, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        place = (
            f"{where}, column {error.colno}"
            if error.lineno == 1
            else (f"{where}: line {error.lineno}, column {error.colno} of the value")
        )
        raise InvalidDocumentError(
            f"{place}: not JSON ({error.msg}); expected an object such as "
            '{"id": "1", "text": "..."}; found ' + repr(text[:60])
        ) from None
    except ValueError as error:
        raise InvalidDocumentError(f"{where}: not JSON ({error})") from None
    except RecursionError:
        raise InvalidDocumentError(f"{where}: JSON nested too deeply to read") from None


TEXT_KEYS = ("text", "contents", "body")
ID_KEYS = ("_id", "id")


def document_of(row: Any, where: str, default_id: str, columns: Columns) -> Document:
    """The document a row describes; InvalidDocumentError names `where` and what is wrong."""
    if not isinstance(row, Mapping):
        raise InvalidDocumentError(
            f"{where}: expected a JSON object with a text, found {_kind(row)}"
        )
    text_key = _find(row, columns.text, TEXT_KEYS, "text", "text_column", where)
    if columns.id is not None:
        id_key: str | None = _find(row, columns.id, (), "id", "id_column", where)
    else:
        id_key = next((key for key in ID_KEYS if key in row), None)
    text, title = row[text_key], row.get("title")
    for key, value in ((text_key, text), ("title", title)):
        if not isinstance(value, str) and not (value is None and key == "title"):
            raise InvalidDocumentError(f"{where}: {key!r} must be a string, found {_kind(value)}")
    given = row.get("metadata")
    nested = isinstance(given, Mapping)
    taken = {text_key, id_key, "title", *(["metadata"] if nested or given is None else [])}
    metadata = {key: value for key, value in row.items() if key not in taken}
    for key, value in given.items() if nested else ():  # type: ignore[union-attr]
        if key in metadata and metadata[key] != value:
            raise InvalidDocumentError(
                f"{where}: {shown(key)} is {shown(metadata[key])} in the row and {shown(value)} "
                "in its metadata; leave one out"
            )
        metadata[key] = value
    metadata = normalise_metadata(metadata, where)
    try:
        return Document(
            text=clean_text(text),
            id=_id_of(row[id_key] if id_key is not None else None, default_id),
            title=clean_text(title or ""),
            metadata=metadata,
        )
    except InvalidDocumentError as error:
        raise InvalidDocumentError(f"{where}: {error}") from None


def _find(
    keys: Iterable[str],
    wanted: str | None,
    usual: tuple[str, ...],
    what: str,
    option: str,
    where: str,
) -> str:
    keys = list(keys)
    for key in (wanted,) if wanted is not None else usual:
        if key in keys:
            return key
    expected = repr(wanted) if wanted is not None else ", ".join(map(repr, usual))
    found = ", ".join(map(shown, keys[:20])) or "nothing"
    raise InvalidDocumentError(
        f"{where}: no {what}: looked for {expected}; found {found}; name the right one with "
        f"{option}="
    )


def _cell(text: Any) -> Any:
    """A cell as a number or truth value where it is plainly one ("007" stays text)."""
    if not isinstance(text, str) or len(text) > 18:
        return text
    if PLAIN_WHOLE.fullmatch(text):
        return int(text)
    if PLAIN_DECIMAL.fullmatch(text):
        return float(text)
    return {"true": True, "false": False}.get(text.lower(), text)


def _id_of(value: Any, default: str) -> str:
    if value is None or value == "":
        return default
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**MAX_ID_CHARS:
        value = str(value)
    if not isinstance(value, str):
        raise InvalidDocumentError(
            f"an id must be a string or a whole number, found {_kind(value)}"
        )
    if len(value) > MAX_ID_CHARS:
        raise InvalidDocumentError(f"the id has {len(value):,} characters; at most {MAX_ID_CHARS}")
    return clean_text(value)


def _with_first(first: str, numbered: Iterator[tuple[int, str]]) -> Iterator[str]:
    yield first
    for _, line in numbered:
        yield line


def _next_row(rows: Any, name: str, skipped: int) -> list[str] | None:
    began = skipped + rows.line_num + 1
    try:
        row: list[str] | None = next(rows, None)
    except csv.Error as error:
        raise InvalidDocumentError(
            f"{name}, row that begins on line {began}: not CSV ({error}); a field that contains "
            'quotation marks is written "like ""this"""'
        ) from None
    return row


def _no_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is not a JSON value; use null or leave it out")


def _kind(value: Any) -> str:
    kinds = {dict: "an object", list: "an array", str: "a string", bool: "true or false"}
    return "null" if value is None else kinds.get(type(value), f"a number ({shown(value)})")
