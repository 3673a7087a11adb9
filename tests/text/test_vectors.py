"""Vectors of every kind from files."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse

from bigrain.errors import ConfigError, DuplicateIdError, InvalidVectorsError, StorageError
from bigrain.text import read_vectors
from bigrain.types import SparseMatrix


def lines(path: Path, *rows: Any) -> Path:
    path.write_text("".join(f"{r if isinstance(r, str) else json.dumps(r)}\n" for r in rows))
    return path


def test_each_kind_of_file(tmp_path: Path) -> None:
    dense = np.arange(6, dtype=np.float32).reshape(3, 2)
    np.save(tmp_path / "d.npy", dense)
    np.savez(tmp_path / "d.npz", vectors=dense, ids=["x", "y", "z"])
    np.savez(tmp_path / "t.npz", values=dense, offsets=[0, 1, 3])
    scipy.sparse.save_npz(tmp_path / "s.npz", scipy.sparse.csr_matrix(dense))
    rows = [{"_id": i, "vector": row.tolist()} for i, row in zip("xyz", dense, strict=True)]
    lines(tmp_path / "d.jsonl", *rows)
    lines(tmp_path / "s.jsonl", {"id": "x", "vector": {"1": 1.0}})
    for name, ids in (("d.npy", ["0", "1", "2"]), ("d.npz", [*"xyz"]), ("d.jsonl", [*"xyz"])):
        found, vectors = read_vectors(tmp_path / name)
        assert found == ids
        np.testing.assert_array_equal(vectors, dense)
    found, (values, offsets) = read_vectors(tmp_path / "t.npz", ids=["p", "q"])
    assert found == ["p", "q"] and len(values) == 3 and offsets.tolist() == [0, 1, 3]
    found, sparse = read_vectors(tmp_path / "s.npz", ids=["p", "q", "r"])
    assert found == ["p", "q", "r"] and isinstance(sparse, SparseMatrix) and sparse.shape == (3, 2)
    found, sparse = read_vectors(tmp_path / "s.jsonl", vocabulary_size=7)
    assert found == ["x"] and isinstance(sparse, SparseMatrix) and sparse.shape == (1, 7)
    found, sparse = read_vectors(lines(tmp_path / "empty.jsonl"))
    assert found == [] and isinstance(sparse, SparseMatrix)


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"id": "b", "vector": [1]}, "line 2: 1 numbers, those before have 2"),
        ({"id": "b", "vector": []}, "line 2: .*array of numbers"),
        ({"id": "b", "vector": {"1": 2}}, "line 2: .*array of numbers"),
        ({"id": "b", "vector": ["1", "2"]}, "line 2: .*array of numbers"),
        ({"id": "b", "vector": [1, True]}, "line 2: .*array of numbers"),
        ({"id": "b", "vector": [[1, 2]]}, "line 2: .*array of numbers"),
        ({"id": "b", "vector": [[1], 2]}, "line 2: .*array of numbers"),
        ({"id": "b", "vector": [1, 10**400]}, "line 2: .*array of numbers"),
        ({"id": "b", "vector": [1, 1e39]}, "line 2: .*no finite float32"),
        ('{"id": "b", "vector": [1, NaN]}', "line 2: .*NaN is no number"),
    ],
)
def test_bad_lines_are_named(tmp_path: Path, row: Any, told: str) -> None:
    path = lines(tmp_path / "a.jsonl", {"id": "a", "vector": [1, 2]}, row)
    with pytest.raises(InvalidVectorsError, match=f"a.jsonl, {told}"):
        read_vectors(path)


def test_what_holds_no_vectors_is_refused(tmp_path: Path) -> None:
    for name in ("a.npy", "a.npz", "a.jsonl"):
        with pytest.raises(StorageError, match="No such file"):
            read_vectors(tmp_path / name)
        (tmp_path / name).write_bytes(b"\xff\xfe\x00\xd8")
        with pytest.raises(InvalidVectorsError, match=name):
            read_vectors(tmp_path / name)
    np.savez(tmp_path / "b.npz", other=np.ones(3))
    with pytest.raises(InvalidVectorsError, match="b.npz: arrays other; expected"):
        read_vectors(tmp_path / "b.npz")
    np.save(tmp_path / "o.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(InvalidVectorsError, match="o.npy"):
        read_vectors(tmp_path / "o.npy")


def test_ids_belong_to_the_vectors(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.ones((2, 3)))
    with pytest.raises(InvalidVectorsError, match="3 ids for 2 vectors"):
        read_vectors(tmp_path / "a.npy", ids=["a", "b", "c"])
    with pytest.raises(DuplicateIdError, match="row 1: id 'a' again; row 0 has it"):
        read_vectors(tmp_path / "a.npy", ids=["a", "a"])
    path = lines(tmp_path / "a.jsonl", {"id": "a", "vector": [1, 2]})
    with pytest.raises(ConfigError, match="leave ids out"):
        read_vectors(path, ids=["b"])
