"""Sparse vectors in files: JSON lines as encoders of the SPLADE kind write them, and CSR archives.

    {"id": "d1", "vector": {"7": 1.5, "9": 0.5}}      column numbers, or with a vocabulary
    {"id": "d1", "vector": {"river": 1.5}}            its terms (Anserini's JsonVectorCollection)

A `.npz` is what `scipy.sparse.save_npz` writes, the ids in one more array `ids` or the numbers of
the rows.
"""

from __future__ import annotations

import gzip
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bigrain.errors import InvalidVectorsError
from bigrain.types import SparseMatrix

__all__ = ["read_sparse_vectors", "write_sparse_vectors"]

MAX_COLUMNS = 2**32
ARRAYS = ("data", "indices", "indptr", "shape")


def read_sparse_vectors(
    path: str | Path, *, vocabulary: Sequence[str] | None = None
) -> tuple[list[str], SparseMatrix]:
    """(ids, matrix) of a file, as `Collection.add_vectors` takes them.

    `path`: `.npz`, `.jsonl` or `.jsonl.gz`. `vocabulary`: the term of each column, where vectors
    name terms. Rows of queries are read in the same way. Raises `InvalidVectorsError` naming the
    line and the term.
    """
    path = Path(path)
    if path.suffix == ".npz":
        return _read_archive(path)
    columns = None if vocabulary is None else {term: i for i, term in enumerate(vocabulary)}
    ids: list[str] = []
    indices: list[int] = []
    data: list[float] = []
    ends = [0]
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rt", encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                if not line.strip():
                    continue
                where = f"{path.name}, line {number}"
                identifier, vector = _parsed(line, where)
                for term, weight in vector.items():
                    indices.append(_column(term, columns, where))
                    if isinstance(weight, bool) or not isinstance(weight, int | float):
                        raise InvalidVectorsError(
                            f"{where}: the weight of {term!r} is {weight!r}; weights are numbers"
                        )
                    data.append(weight)
                ids.append(identifier)
                ends.append(len(indices))
    except (UnicodeDecodeError, gzip.BadGzipFile, EOFError) as error:
        raise InvalidVectorsError(f"{path.name}: not JSON lines in UTF-8 ({error})") from None
    width = len(columns) if columns is not None else max(indices, default=-1) + 1
    with np.errstate(over="ignore"):
        weights = np.array(data, np.float64).astype(np.float32)
    shape = (len(ids), width)
    return ids, SparseMatrix(weights, np.array(indices, np.int64), np.array(ends, np.int64), shape)


def _parsed(line: str, where: str) -> tuple[str, dict[str, Any]]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InvalidVectorsError(f"{where}: not JSON ({error})") from None
    identifier = found.get("id") if isinstance(found, dict) else None
    vector = found.get("vector") if isinstance(found, dict) else None
    if isinstance(identifier, bool) or not isinstance(identifier, str | int):
        raise InvalidVectorsError(
            f'{where}: expected {{"id": ..., "vector": {{...}}}}, no id found'
        )
    if not isinstance(vector, dict):
        raise InvalidVectorsError(
            f'{where}: "vector" must map columns or terms to weights, got {type(vector).__name__}'
        )
    return str(identifier), vector


def _column(term: str, columns: dict[str, int] | None, where: str) -> int:
    if columns is not None:
        if term not in columns:
            raise InvalidVectorsError(
                f"{where}: {term!r} is not one of the {len(columns):,} terms of the vocabulary"
            )
        return columns[term]
    if not (term.isascii() and term.isdigit()) or (column := int(term)) >= MAX_COLUMNS:
        raise InvalidVectorsError(
            f"{where}: {term!r} is no column from 0 to {MAX_COLUMNS - 1}; where vectors name "
            "terms, pass vocabulary=[...], the term of each column"
        )
    return column


def _read_archive(path: Path) -> tuple[list[str], SparseMatrix]:
    try:
        with np.load(path, allow_pickle=False) as stored:
            kind = str(stored["format"].item().decode()) if "format" in stored else "csr"
            if kind != "csr":
                raise InvalidVectorsError(
                    f"{path.name}: a sparse matrix of format {kind}; save matrix.tocsr()"
                )
            data, indices, indptr, shape = (stored[name] for name in ARRAYS)
            n = len(indptr) - 1
            ids = stored["ids"].tolist() if "ids" in stored else list(range(n))
    except (KeyError, ValueError, AttributeError, TypeError, zipfile.BadZipFile) as error:
        raise InvalidVectorsError(
            f"{path.name}: not an archive of scipy.sparse.save_npz ({error})"
        ) from None
    if shape.shape != (2,) or len(ids) != n:
        raise InvalidVectorsError(
            f"{path.name}: {len(ids)} ids and a shape of {shape} for {n} rows"
        )
    return [str(i) for i in ids], SparseMatrix(data, indices, indptr, (n, int(shape[1])))


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
