"""Vectors on the command line: files of them by field, vocabularies, and vectors as queries."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from bigrain import Collection
    from bigrain.config import Field

__all__ = [
    "field_for",
    "named",
    "queries_by_field",
    "query_vectors",
    "read_file",
    "read_terms",
    "rows_of",
    "vocabulary_option",
]


def vocabulary_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """--vocabulary."""
    return click.option(
        "--vocabulary", type=click.Path(path_type=Path), metavar="FILE",
        help="The terms of sparse vectors, one a line: that of column 0 first.",
    )(function)  # fmt: skip


def read_terms(path: Path | None) -> list[str] | None:
    """The lines of a file, such as vocab.txt of BERT."""
    from bigrain.text.sources import read_lines

    return None if path is None else [line.rstrip("\r\n") for _, line in read_lines(path)]


def named(values: Sequence[str], option: str) -> dict[str, str]:
    """NAME=VALUE by name."""
    found: dict[str, str] = {}
    for value in values:
        name, equals, rest = value.partition("=")
        if not (name and equals and rest):
            raise click.BadParameter(f"{value!r} is not NAME=VALUE", param_hint=option)
        if name in found:
            raise click.BadParameter(f"{name!r} is given twice", param_hint=option)
        found[name] = rest
    return found


def read_file(
    path: Path, terms: Sequence[str] | None, ids: Path | None = None
) -> tuple[list[str], Any]:
    """(ids, vectors) of a file, at least one."""
    from bigrain import InvalidVectorsError
    from bigrain.text import read_vectors

    found = read_vectors(path, ids=read_terms(ids), vocabulary=terms)
    if not found[0]:
        raise InvalidVectorsError(f"{path}: no vectors in it")
    return found


def field_for(name: str, vectors: Any, terms: Sequence[str] | None) -> Field:
    """The field that holds vectors as `read_file` gives them."""
    from bigrain import DenseField, InvalidVectorsError, MultiVectorField, SparseField
    from bigrain.types import SparseMatrix

    if isinstance(vectors, SparseMatrix):
        return SparseField(vocabulary_size=None if terms is None else len(terms))
    values = vectors[0] if isinstance(vectors, tuple) else vectors
    if values.ndim != 2:
        raise InvalidVectorsError(f"vectors of field {name!r}: an array of shape {values.shape}")
    dim = int(values.shape[1])
    return MultiVectorField(dim=dim) if isinstance(vectors, tuple) else DenseField(dim=dim)


def query_vectors(
    given: Mapping[str, str], terms: Sequence[str] | None
) -> list[tuple[str | None, dict[str, Any]]]:
    """(id, vectors by field) of each query; one without an id where no file gives any.

    Several files hold the same queries in the same order.
    """
    from bigrain import InvalidQueryError
    from bigrain.text.sources import decode, read_bytes

    single: dict[str, Any] = {}
    ids: list[str] | None = None
    files: dict[str, list[Any]] = {}
    for name, value in given.items():
        if value.lstrip().startswith(("{", "[")):
            single[name] = _vector(value, f"--vector {name}", terms)
            continue
        if value.lower().endswith(".json"):
            single[name] = _vector(decode(read_bytes(Path(value)), value), value, terms)
            continue
        found, vectors = read_file(Path(value), terms)
        if ids is not None and found != ids:
            raise InvalidQueryError(f"{value}: its queries are not those of the other files")
        ids, files[name] = found, rows_of(vectors)
    if ids is None:
        return [(None, single)]
    return [
        (identifier, {**single, **{name: rows[i] for name, rows in files.items()}})
        for i, identifier in enumerate(ids)
    ]


def queries_by_field(
    col: Collection, texts: Mapping[str, str], brought: Sequence[tuple[str | None, dict[str, Any]]]
) -> dict[str, Any]:
    """A query for each field by id: the text where fields read text, and the vectors."""
    reading = [name for name, field in col.fields.items() if field.reads_text]
    found = {}
    for identifier, vectors in brought:
        if identifier is None:
            raise click.BadParameter("name a file with the ids of queries", param_hint="--vector")
        if not texts:
            found[identifier] = vectors
        elif identifier in texts:
            found[identifier] = {**dict.fromkeys(reading, texts[identifier]), **vectors}
    return found


def _vector(text: str, where: str, terms: Sequence[str] | None) -> Any:
    """A vector of JSON: numbers, lists of them for tokens, or column or term -> weight."""
    import numpy as np

    from bigrain import InvalidQueryError
    from bigrain.text.sparse_vectors import columns_of, parsed_json, sparse_row
    from bigrain.text.vectors import dense_row

    value = parsed_json(text, where)
    if isinstance(value, dict):
        return sparse_row(value, where, None if terms is None else columns_of(terms), None)
    if isinstance(value, list) and value and all(isinstance(row, list) for row in value):
        rows = [dense_row(row, where) for row in value]
        if len({len(row) for row in rows}) > 1:
            raise InvalidQueryError(f"{where}: token vectors of unequal length")
        return np.stack(rows)
    return dense_row(value, where)


def queries_in(path: Path) -> list[Any]:
    """Texts of a JSONL or TSV file, or the vectors of a .npy or .npz file, one by one."""
    from bigrain.evaluation import load_queries

    if path.suffix.lower() in (".npy", ".npz"):
        return rows_of(read_file(path, None)[1])
    return list(load_queries(path).values())


def rows_of(vectors: Any) -> list[Any]:
    """Queries one by one."""
    from bigrain.search.asked import one_by_one
    from bigrain.types import SparseMatrix

    if isinstance(vectors, tuple) and not isinstance(vectors, SparseMatrix):
        values, offsets = vectors
        return [values[a:b] for a, b in zip(offsets[:-1], offsets[1:], strict=True)]
    return one_by_one(vectors)
