"""Sparse vectors from files, and back."""

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse

import bigrain
from bigrain.errors import (
    ConfigError,
    DuplicateIdError,
    InvalidVectorsError,
    StorageError,
    UnknownFieldError,
)
from bigrain.text import read_sparse_vectors, write_sparse_vectors


def lines(path: Path, *rows: Any) -> Path:
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "wt", encoding="utf-8") as file:
        file.writelines(f"{r if isinstance(r, str) else json.dumps(r)}\n" for r in rows)
    return path


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])
def test_lines_with_columns_or_terms(tmp_path: Path, name: str) -> None:
    path = lines(
        tmp_path / name, {"id": "d1", "vector": {"7": 1.5, "0": 2}}, "", {"id": 2, "vector": {}}
    )
    ids, matrix = read_sparse_vectors(path)
    assert ids == ["d1", "2"] and matrix.shape == (2, 8)
    assert matrix.indices.tolist() == [7, 0] and matrix.data.tolist() == [1.5, 2]
    named = lines(tmp_path / name, {"id": "d", "contents": "x", "vector": {"sea": 1, "tea": 3}})
    ids, matrix = read_sparse_vectors(named, vocabulary=["tea", "lee", "sea"])
    assert matrix.indices.tolist() == [2, 0] and matrix.shape == (1, 3)


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("{", "line 2: not JSON"),
        ("[1]", "line 2: .*no id found"),
        ({"vector": {}}, "line 2: .*no id found"),
        ({"id": "a", "vector": [1]}, 'line 2: "vector" must map .* got list'),
        ({"id": "a", "vector": {"sea": 1}}, "line 2: 'sea' is no column .*vocabulary="),
        ({"id": "a", "vector": {"4294967296": 1}}, "line 2: '4294967296' is no column"),
        ({"id": "a", "vector": {"-1": 1}}, "line 2: '-1' is no column"),
        ({"id": "a", "vector": {"1": "much"}}, "line 2: the weight of '1' is 'much'"),
        ({"id": "a", "vector": {"1": None}}, "line 2: the weight of '1' is None"),
        ({"id": "a", "vector": {"1": True}}, "line 2: the weight of '1' is True"),
        ({"id": "a", "vector": {"1": -0.5}}, "line 2: the weight of '1' is -0.5; .* 0 or more"),
        ({"id": "a", "vector": {"1": 1e39}}, "line 2: the weight of '1' is 1e.39; .* float32"),
        ('{"id": "a", "vector": {"1": NaN}}', "line 2: not JSON .NaN is no number"),
        ('{"id": "a", "vector": {"1": -Infinity}}', "line 2: not JSON .-Infinity is no number"),
        ('{"id": "a", "vector": {"1": 1e999}}', "line 2: the weight of '1' is inf"),
        ('{"id": "a", "vector": {"1": 1, "1": 2}}', "line 2: not JSON .'1' is named twice"),
        ('{"id": "a", "vector": {"1": 1, "01": 2}}', "line 2: column 1 is named twice"),
        ('{"id": "a", "id": "b", "vector": {}}', "line 2: not JSON .'id' is named twice"),
        ({"id": "a", "_id": "b", "vector": {}}, "line 2: id is 'a' and _id is 'b'"),
        ({"id": "a"}, "line 2: .*no vector found"),
    ],
)
def test_bad_lines_are_named(tmp_path: Path, row: Any, told: str) -> None:
    path = lines(tmp_path / "a.jsonl", {"id": "good", "vector": {}}, row)
    with pytest.raises(InvalidVectorsError, match=f"a.jsonl, {told}"):
        read_sparse_vectors(path)


def test_an_id_given_twice_is_named(tmp_path: Path) -> None:
    path = lines(tmp_path / "a.jsonl", *({"id": i, "vector": {}} for i in ("a", "b", "a")))
    with pytest.raises(DuplicateIdError, match="a.jsonl, line 3: id 'a' again; line 1 has it"):
        read_sparse_vectors(path)
    matrix = scipy.sparse.csr_matrix(np.eye(3))
    write_sparse_vectors(tmp_path / "a.npz", ["x", "y", "y"], matrix)
    with pytest.raises(DuplicateIdError, match="a.npz, row 2: id 'y' again; row 1 has it"):
        read_sparse_vectors(tmp_path / "a.npz")


def test_a_byte_order_mark_and_the_other_name_of_ids(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"_id": 7, "vector": {"2": 1}}\n', encoding="utf-8-sig")
    ids, matrix = read_sparse_vectors(path)
    assert ids == ["7"] and matrix.indices.tolist() == [2]


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.npz"])
def test_a_file_that_cannot_be_read_is_told(tmp_path: Path, name: str) -> None:
    with pytest.raises(StorageError, match=f"{name} cannot be read: No such file"):
        read_sparse_vectors(tmp_path / name)
    (tmp_path / name).write_bytes(b"\xff\xfe\x00\xd8 no text, no archive")
    with pytest.raises(InvalidVectorsError, match=name):
        read_sparse_vectors(tmp_path / name)


def test_the_width_is_what_is_asked_for(tmp_path: Path) -> None:
    path = lines(tmp_path / "a.jsonl", {"id": "a", "vector": {"2": 1}})
    write_sparse_vectors(tmp_path / "a.npz", *read_sparse_vectors(path))
    for file in (path, tmp_path / "a.npz"):
        assert read_sparse_vectors(file)[1].shape == (1, 3)
        assert read_sparse_vectors(file, vocabulary_size=9)[1].shape == (1, 9)
        with pytest.raises(InvalidVectorsError, match="2.* from 0 to 1"):
            read_sparse_vectors(file, vocabulary_size=2)
        for bad in (0, True, 1.5, 2**33):
            with pytest.raises(ConfigError, match="vocabulary"):
                read_sparse_vectors(file, vocabulary_size=bad)
    with pytest.raises(ConfigError, match="the vocabulary has 2 terms"):
        read_sparse_vectors(path, vocabulary=["a", "b"], vocabulary_size=3)
    with pytest.raises(ConfigError, match="'a' is there twice"):
        read_sparse_vectors(path, vocabulary=["a", "a"])


def test_a_term_outside_the_vocabulary_is_named(tmp_path: Path) -> None:
    path = lines(tmp_path / "a.jsonl", {"id": "a", "vector": {"sea": 1}})
    with pytest.raises(InvalidVectorsError, match="'sea' is not one of the 1 terms"):
        read_sparse_vectors(path, vocabulary=["tea"])


def test_what_is_no_archive_of_rows_is_refused(tmp_path: Path) -> None:
    matrix = scipy.sparse.random(4, 9, 0.5, dtype=np.float32, random_state=1)
    scipy.sparse.save_npz(tmp_path / "c.npz", matrix.tocsc())
    with pytest.raises(InvalidVectorsError, match="format csc"):
        read_sparse_vectors(tmp_path / "c.npz")
    (tmp_path / "d.npz").write_bytes(b"PK no")
    with pytest.raises(InvalidVectorsError, match="not an archive"):
        read_sparse_vectors(tmp_path / "d.npz")
    np.savez(tmp_path / "e.npz", other=np.arange(3))
    with pytest.raises(InvalidVectorsError, match="not an archive"):
        read_sparse_vectors(tmp_path / "e.npz")


def test_what_a_collection_holds_goes_out_and_in_again(tmp_path: Path) -> None:
    matrix = scipy.sparse.random(60, 90, 0.1, "csr", np.float32, random_state=3)
    scipy.sparse.save_npz(tmp_path / "in.npz", matrix)
    ids, read = read_sparse_vectors(tmp_path / "in.npz")
    assert ids == [str(i) for i in range(60)]
    with bigrain.create(tmp_path / "a.grain", fields={"s": bigrain.SparseField()}) as col:
        col.add_vectors("s", ids[30:], matrix[30:])
        col.commit()
        col.add_vectors("s", ids[:40], matrix[:40])  # ten of them again
        col.delete(["5"])
        col.commit()
        kept, vectors = col.sparse_vectors("s")
        assert len(kept) == 59 and "5" not in kept
        write_sparse_vectors(tmp_path / "out.npz", kept, vectors)
        with pytest.raises(UnknownFieldError, match="it has s"):
            col.sparse_vectors("t")
    back_ids, back = read_sparse_vectors(tmp_path / "out.npz")
    assert back_ids == kept
    found = scipy.sparse.csr_matrix(back[:3], (59, 90))
    wanted = matrix[[int(i) for i in kept]]
    assert (found != wanted).nnz == 0 and read.shape == (60, 90)
    np.testing.assert_array_equal(
        scipy.sparse.load_npz(tmp_path / "out.npz").toarray(), found[:, : back.shape[1]].toarray()
    )
