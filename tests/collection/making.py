"""Collections and random changes for the tests of storage, collection and search."""

from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse

import bigrain
from bigrain.storage.files import Files
from bigrain.testing import Model, QuickDisk

FIELDS: dict[str, Any] = {
    "lex": bigrain.LexicalField(),
    "sub": bigrain.SubstringField(),
    "vec": bigrain.DenseField(dim=8, light_bytes=1),
    "imp": bigrain.SparseField(),
    "tok": bigrain.MultiVectorField(dim=4),
}
WORDS = "grain wheat silo moon orbit river stone light heavy paper ink letter".split()


def make(path: Path, fields: Any = None, files: Files | None = None, **kwargs: Any) -> Any:
    """A new collection with all five families, and its model."""
    fields = FIELDS if fields is None else fields
    return bigrain.create(path, fields, files=files or QuickDisk(), **kwargs), Model(fields)


def text(rng: np.random.Generator) -> str:
    return " ".join(rng.choice(WORDS, rng.integers(1, 8)))


def document(rng: np.random.Generator, identifier: str) -> bigrain.Document:
    metadata = {"year": int(rng.integers(1990, 2030)), "tags": [text(rng).split()[0]]}
    return bigrain.Document(text(rng), identifier, metadata=metadata)


def as_csr(rows: list[dict[int, float]], width: int = 2**32) -> Any:
    """Mappings column -> weight as a CSR matrix."""
    indptr = np.cumsum([0, *(len(row) for row in rows)])
    indices = np.array([c for row in rows for c in row], np.int64)
    data = np.array([w for row in rows for w in row.values()], np.float32)
    return scipy.sparse.csr_matrix((data, indices, indptr), shape=(len(rows), width))


def as_ragged(rows: list[Any], dim: int = 4) -> Any:
    """Arrays (m, dim) as (values, offsets)."""
    values = np.concatenate([np.empty((0, dim), np.float32), *rows])
    return values, np.cumsum([0, *(len(row) for row in rows)])


def rows_for(name: str, rng: np.random.Generator, n: int) -> list[Any]:
    """n random rows of one of FIELDS, in the model's form."""
    if name == "vec":
        return list(rng.standard_normal((n, 8)).astype(np.float32))
    if name == "imp":
        picks = (rng.choice(12, rng.integers(1, 5), replace=False) for _ in range(n))
        return [{int(c): float(rng.integers(1, 9)) / 4 for c in pick} for pick in picks]
    shapes = ((int(rng.integers(1, 4)), 4) for _ in range(n))
    return [rng.standard_normal(shape).astype(np.float32) for shape in shapes]


def as_vectors(name: str, rows: list[Any]) -> Any:
    """The model's rows in the form that `add_vectors` takes."""
    if name == "vec":
        return np.stack(rows) if rows else np.empty((0, 8), np.float32)
    return as_csr(rows) if name == "imp" else as_ragged(rows)


def give_vectors(col: Any, model: Model, name: str, ids: list[str], rng: Any) -> None:
    rows = rows_for(name, rng, len(ids))
    col.add_vectors(name, ids, as_vectors(name, rows))
    model.add_vectors(name, dict(zip(ids, rows, strict=True)))


def fill(col: Any, model: Model, ids: list[str], seed: int = 0) -> None:
    """Documents with a row in every field; pending."""
    rng = np.random.default_rng(seed)
    documents = [document(rng, identifier) for identifier in ids]
    col.add(documents)
    model.add(documents)
    for name in ("vec", "imp", "tok"):
        if name in model.fields:
            give_vectors(col, model, name, ids, rng)


def commit(col: Any, model: Model) -> None:
    col.commit()
    model.commit()
