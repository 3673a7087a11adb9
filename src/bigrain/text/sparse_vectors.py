"""Sparse vectors in files: JSON lines as encoders of the SPLADE kind write them, and CSR archives.

    {"id": "d1", "vector": {"7": 1.5, "9": 0.5}}      column numbers, or with a vocabulary
    {"id": "d1", "vector": {"river": 1.5}}            its terms (Anserini's JsonVectorCollection)

The id may stand under `_id` too. A `.npz` is what `scipy.sparse.save_npz` writes, the ids in one
more array `ids` or the numbers of the rows.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from bigrain.errors import (
    ConfigError,
    DuplicateIdError,
    InvalidDocumentError,
    InvalidVectorsError,
    StorageError,
    shown,
)
from bigrain.text.sources import DEFAULT_MAX_BYTES, read_lines
from bigrain.types import SparseMatrix

__all__ = ["read_sparse_vectors", "write_sparse_vectors"]

MAX_COLUMNS = 2**32
LARGEST = float(np.finfo(np.float32).max)
ARRAYS = ("data", "indices", "indptr", "shape")


def read_sparse_vectors(
    path: str | Path,
    *,
    vocabulary: Sequence[str] | None = None,
    vocabulary_size: int | None = None,
    max_bytes: int | None = DEFAULT_MAX_BYTES,
) -> tuple[list[str], SparseMatrix]:
    """(ids, matrix) of a file, as `Collection.add_vectors` takes them.

    `path`: `.npz`, or JSON lines, also with `.gz`. `vocabulary`: the term of each column, where
    vectors name terms. `vocabulary_size`: the width of the matrix, otherwise the vocabulary's, or
    one more than the largest column. Rows of queries are read in the same way, and
    `Collection.search_many` takes the matrix. `max_bytes`: of a line, and of what is unpacked.
    Raises `InvalidVectorsError` or `DuplicateIdError` naming the line, `ConfigError`, and
    `StorageError` where the file cannot be read.
    """
    path = Path(path)
    columns = None if vocabulary is None else columns_of(vocabulary)
    width = _width(columns, vocabulary_size)
    if path.suffix.lower() == ".npz":
        return _read_archive(path, width)
    ids: list[str] = []
    indices: list[int] = []
    data: list[float] = []
    ends = [0]
    for identifier, vector, where in json_vectors(path, max_bytes):
        if not isinstance(vector, dict):
            raise InvalidVectorsError(
                f'{where}: "vector" must map columns or terms to weights, got '
                f"{type(vector).__name__}"
            )
        row = sparse_row(vector, where, columns, width)
        ids.append(identifier)
        indices += row
        data += row.values()
        ends.append(len(indices))
    shape = (len(ids), width or max(indices, default=-1) + 1)
    return ids, SparseMatrix(
        np.array(data, np.float32), np.array(indices, np.int64), np.array(ends, np.int64), shape
    )


def columns_of(vocabulary: Sequence[str]) -> dict[str, int]:
    """The column of each term."""
    columns = {term: i for i, term in enumerate(vocabulary)}
    if len(columns) < len(vocabulary):
        twice = next(term for i, term in enumerate(vocabulary) if columns[term] != i)
        raise ConfigError(f"vocabulary: {shown(twice)} is there twice; each term has one column")
    return columns


def _width(columns: Mapping[str, int] | None, size: int | None) -> int | None:
    if columns is None and size is None:
        return None
    width = len(columns) if columns is not None else size
    if size is not None and (isinstance(size, bool) or not isinstance(size, int) or size != width):
        raise ConfigError(
            f"vocabulary_size={shown(size)} must be a whole number"
            + ("" if columns is None else f", and the vocabulary has {width:,} terms")
        )
    if not 1 <= width <= MAX_COLUMNS:  # type: ignore[operator]
        raise ConfigError(f"a vocabulary has 1 to {MAX_COLUMNS} columns, not {shown(width)}")
    return width


def json_vectors(path: Path, max_bytes: int | None) -> Iterator[tuple[str, Any, str]]:
    """(id, vector as it is written, the place for messages) of every line that is not blank."""
    seen: dict[str, int] = {}
    for number, line in _lines(path, max_bytes):
        if not line.strip():
            continue
        where = f"{path.name}, line {number}"
        identifier, vector = _parsed(line, where)
        if (first := seen.setdefault(identifier, number)) != number:
            raise DuplicateIdError(f"{where}: id {shown(identifier)} again; line {first} has it")
        yield identifier, vector, where


def _lines(path: Path, max_bytes: int | None) -> Iterator[tuple[int, str]]:
    try:
        yield from read_lines(path, max_bytes)
    except InvalidDocumentError as error:  # not text, or too much of it
        raise InvalidVectorsError(str(error)) from None


def _parsed(line: str, where: str) -> tuple[str, Any]:
    found = parsed_json(line, where)
    given = [found[key] for key in ("id", "_id") if key in found] if isinstance(found, dict) else []
    if len(given) == 2 and given[0] != given[1]:
        raise InvalidVectorsError(
            f"{where}: id is {shown(given[0])} and _id is {shown(given[1])}; give one"
        )
    if not given or isinstance(given[0], bool) or not isinstance(given[0], str | int):
        raise InvalidVectorsError(
            f'{where}: expected {{"id": ..., "vector": {{...}}}}, no id found'
        )
    if "vector" not in found:
        raise InvalidVectorsError(
            f'{where}: expected {{"id": ..., "vector": {{...}}}}, no vector found'
        )
    return str(given[0]), found["vector"]


def parsed_json(text: str, where: str) -> Any:
    """The value of a JSON text in which nothing is named twice, or `InvalidVectorsError`."""
    try:
        return json.loads(text, object_pairs_hook=_without_doubles, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise InvalidVectorsError(f"{where}: not JSON ({error})") from None


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{shown(twice)} is named twice")
    return found


def _no_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number; weights are finite")


def sparse_row(
    vector: Mapping[str, Any], where: str, columns: Mapping[str, int] | None, width: int | None
) -> dict[int, float]:
    """Column -> weight of a JSON object of terms or column numbers, or `InvalidVectorsError`."""
    row: dict[int, float] = {}
    for term, weight in vector.items():
        column = _column(term, columns, width or MAX_COLUMNS, where)
        if isinstance(weight, bool) or not isinstance(weight, int | float):
            raise InvalidVectorsError(
                f"{where}: the weight of {shown(term)} is {shown(weight)}; weights are numbers"
            )
        if not 0 <= weight <= LARGEST:
            raise InvalidVectorsError(
                f"{where}: the weight of {shown(term)} is {shown(weight)}; weights are 0 or more, "
                "and finite float32 numbers"
            )
        if column in row:
            raise InvalidVectorsError(f"{where}: column {column} is named twice")
        row[column] = float(weight)
    return row


def _column(term: str, columns: Mapping[str, int] | None, width: int, where: str) -> int:
    if columns is not None:
        if term not in columns:
            raise InvalidVectorsError(
                f"{where}: {shown(term)} is not one of the {len(columns):,} terms of the vocabulary"
            )
        return columns[term]
    if not (term.isascii() and term.isdigit() and len(term) <= 20) or int(term) >= width:
        raise InvalidVectorsError(
            f"{where}: {shown(term)} is no column from 0 to {width - 1}; where vectors name "
            "terms, pass vocabulary=[...], the term of each column"
        )
    return int(term)


def _read_archive(path: Path, width: int | None) -> tuple[list[str], SparseMatrix]:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            kind = stored["format"].item() if "format" in stored else "csr"
            kind = kind.decode() if isinstance(kind, bytes) else str(kind)
            if kind != "csr":
                raise InvalidVectorsError(
                    f"{path.name}: a sparse matrix of format {kind}; save matrix.tocsr()"
                )
            data, indices, indptr, shape = (stored[name] for name in ARRAYS)
            n = len(indptr) - 1
            ids = stored["ids"].tolist() if "ids" in stored else list(range(n))
    except InvalidVectorsError:
        raise
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {error.strerror or error}") from error
    except (KeyError, ValueError, AttributeError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise InvalidVectorsError(
            f"{path.name}: not an archive of scipy.sparse.save_npz ({error})"
        ) from None
    if shape.shape != (2,) or len(ids) != n:
        raise InvalidVectorsError(
            f"{path.name}: {len(ids)} ids and a shape of {shape} for {n} rows"
        )
    names = [str(i) for i in ids]
    require_distinct(names, path.name)
    if width is not None and indices.size and indices.dtype.kind in "iu" and indices.max() >= width:
        raise InvalidVectorsError(
            f"{path.name}: column {indices.max()}; columns run from 0 to {width - 1}"
        )
    return names, SparseMatrix(data, indices, indptr, (n, int(width or shape[1])))


def require_distinct(ids: Sequence[str], name: str) -> None:
    """No id twice, or `DuplicateIdError` naming the rows."""
    seen: dict[str, int] = {}
    for row, identifier in enumerate(ids):
        if (first := seen.setdefault(identifier, row)) != row:
            raise DuplicateIdError(
                f"{name}, row {row}: id {shown(identifier)} again; row {first} has it"
            )


def write_sparse_vectors(path: str | Path, ids: Sequence[str], matrix: Any) -> None:
    """Write a `.npz` that `scipy.sparse.load_npz` and `read_sparse_vectors` read.

    `matrix`: a CSR matrix, a row for each id.
    """
    if Path(path).suffix.lower() != ".npz":
        raise InvalidVectorsError(f"{path}: the name must end in .npz, which is what is written")
    if len(ids) != matrix.shape[0]:
        raise InvalidVectorsError(f"{len(ids)} ids for {matrix.shape[0]} rows")
    with Path(path).open("wb") as file:
        np.savez_compressed(
            file,
            format=np.array(b"csr"),
            shape=np.array(matrix.shape, np.int64),
            data=np.asarray(matrix.data),
            indices=np.asarray(matrix.indices),
            indptr=np.asarray(matrix.indptr),
            ids=np.array(list(ids), np.str_),
        )
