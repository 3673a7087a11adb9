"""Vectors of every kind in files.

.npy             a dense array (n, dim); the ids are the numbers of the rows
.npz             `vectors` (n, dim), or `values` (T, dim) and `offsets` (n + 1,) of tokens, or
                 what `scipy.sparse.save_npz` writes; with `ids` (n,) if there is such an array
.jsonl(.gz)      {"id": "d1", "vector": [0.1, 0.7]}, or sparse ones (see `sparse_vectors`)
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bigrain.errors import ConfigError, InvalidVectorsError, StorageError
from bigrain.text.sources import DEFAULT_MAX_BYTES
from bigrain.text.sparse_vectors import json_vectors, read_sparse_vectors, require_distinct

__all__ = ["dense_row", "read_vectors"]


def read_vectors(
    path: str | os.PathLike[str],
    *,
    ids: Sequence[str] | None = None,
    vocabulary: Sequence[str] | None = None,
    vocabulary_size: int | None = None,
    max_bytes: int | None = DEFAULT_MAX_BYTES,
) -> tuple[list[str], Any]:
    """(ids, vectors) of a file, as `Collection.add_vectors` takes them.

    Dense: (n, dim) array, that of a `.npy` left on disk. Sparse: a matrix of rows, see
    `read_sparse_vectors` for `vocabulary`, `vocabulary_size` and `max_bytes`. Multi-vector: (values
    (T, dim), offsets (n + 1,)). `ids`: for a file without ids of its own. Raises
    `InvalidVectorsError` or `DuplicateIdError` naming line or row, `ConfigError`, `StorageError`.
    """
    path = Path(path)
    kind = path.suffix.lower()
    if kind not in (".npy", ".npz"):
        first = next(json_vectors(path, max_bytes), None)
        if ids is not None:
            raise ConfigError(f"{path.name}: its lines have ids; leave ids out")
        if first is not None and isinstance(first[1], list):
            return _json_lines(path, max_bytes)
        return read_sparse_vectors(
            path, vocabulary=vocabulary, vocabulary_size=vocabulary_size, max_bytes=max_bytes
        )
    own, vectors = _load(path)
    if vectors is None:
        own, vectors = read_sparse_vectors(
            path, vocabulary=vocabulary, vocabulary_size=vocabulary_size
        )
        n = len(own)
    elif isinstance(vectors, tuple):
        n = len(vectors[1]) - 1
    else:
        n = len(vectors) if vectors.ndim else -1
    names = list(ids) if ids is not None else own if own is not None else [str(i) for i in range(n)]
    if len(names) != n:
        raise InvalidVectorsError(f"{path.name}: {len(names)} ids for {n} vectors")
    require_distinct(names, path.name)
    return names, vectors


def _load(path: Path) -> tuple[list[str] | None, Any]:
    """The ids, if the file has any, and dense arrays; None for sparse ones."""
    try:
        if path.suffix.lower() == ".npy":
            return None, np.load(path, mmap_mode="r", allow_pickle=False)
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            ids = [str(i) for i in stored["ids"].tolist()] if "ids" in stored else None
            if "vectors" in stored:
                return ids, stored["vectors"]
            if "values" in stored and "offsets" in stored:
                return ids, (stored["values"], stored["offsets"])
            if "indptr" in stored or "format" in stored:
                return None, None
            raise InvalidVectorsError(
                f"{path.name}: arrays {', '.join(stored) or 'none'}; expected `vectors`, `values` "
                "and `offsets`, or those of scipy.sparse.save_npz"
            )
    except InvalidVectorsError:
        raise
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {error.strerror or error}") from error
    except (ValueError, TypeError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise InvalidVectorsError(f"{path.name}: no arrays that NumPy reads ({error})") from None


def _json_lines(path: Path, max_bytes: int | None) -> tuple[list[str], npt.NDArray[np.float32]]:
    ids: list[str] = []
    rows: list[npt.NDArray[np.float32]] = []
    for identifier, vector, where in json_vectors(path, max_bytes):
        row = dense_row(vector, where)
        if rows and len(row) != len(rows[0]):
            raise InvalidVectorsError(
                f"{where}: {len(row)} numbers, those before have {len(rows[0])}"
            )
        ids.append(identifier)
        rows.append(row)
    return ids, np.stack(rows)


def dense_row(vector: Any, where: str) -> npt.NDArray[np.float32]:
    """A JSON array of numbers as (dim,), or `InvalidVectorsError`."""
    try:
        row = np.array(vector if isinstance(vector, list) else None)
    except (ValueError, OverflowError):  # lists of unequal lengths in it
        row = np.array(None)
    numbers = row.ndim == 1 and len(row) and row.dtype.kind in "fiu"
    if not numbers or any(isinstance(number, bool) for number in vector):
        raise InvalidVectorsError(f'{where}: "vector" must be an array of numbers')
    with np.errstate(over="ignore"):
        row = row.astype(np.float32)
    if not np.isfinite(row).all():
        raise InvalidVectorsError(f"{where}: the vector holds a number that is no finite float32")
    return row
