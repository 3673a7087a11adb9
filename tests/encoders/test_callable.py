"""CallableEncoder: every form a function may give, and what is said of a wrong one."""

import numpy as np
import pytest

import bigrain
from tests.encoders.letters import DIM, alone

TEXTS = ["grain in silos", "the moon"]


def encoder(given, dim=3, family="dense"):
    return bigrain.CallableEncoder("mine", lambda texts: given, dim, family=family)


def test_sparse_rows_are_mappings_or_a_matrix():
    scipy = pytest.importorskip("scipy.sparse")
    found = encoder([{2: 0.5, 0: 1}, {}], family="sparse").encode_documents(TEXTS)
    assert found.shape == (2, 3) and found.indptr.tolist() == [0, 2, 2]
    assert found.indices.tolist() == [2, 0] and found.data.tolist() == [0.5, 1.0]
    given = scipy.csr_matrix(np.eye(2, 3))
    assert encoder(given, family="sparse").encode_documents(TEXTS) is given
    assert encoder([{7: 1}], None, "sparse").encode_queries(["a"]).shape == (1, 8)


def test_token_vectors_are_ragged_or_a_list():
    parts = [np.ones((2, 3)), np.zeros((1, 3))]
    values, offsets = encoder(parts, family="multivector").encode_documents(TEXTS)
    assert values.shape == (3, 3) and offsets.tolist() == [0, 2, 3]
    again = encoder((values, offsets), family="multivector").encode_documents(TEXTS)
    assert np.array_equal(again[0], values) and again[1].tolist() == [0, 2, 3]


def test_family_is_part_of_the_fingerprint_but_of_dense_ones():
    assert alone("dense").fingerprint() == {"name": "letters", "version": "1", "dim": DIM}
    assert alone("sparse").fingerprint()["family"] == "sparse"


@pytest.mark.parametrize(
    ("given", "dim", "family", "said"),
    [
        (np.ones((1, 3)), 3, "dense", "gave 1 rows for 2 texts"),
        (3.0, 3, "dense", "gave 0 rows for 2 texts"),
        ([[1, 2], [1]], 2, "dense", "no array of numbers"),
        ([{}], 3, "sparse", "gave 1 rows for 2 texts"),
        ([{}, 5], 3, "sparse", r"text 1 \('the moon'\): 5 is no mapping"),
        ([{}, {3: 1.0}], 3, "sparse", r"text 1 \('the moon'\): 3 is no column.*below 3"),
        ([{"a": 1}, {}], 3, "sparse", r"text 0 \('grain in silos'\): 'a' is no column"),
        ([{1: "x"}, {}], 3, "sparse", "no array of numbers"),
        (np.ones((2, 3)), 3, "sparse", "gave a ndarray"),
        ([np.ones((2, 3))], 3, "multivector", "gave 1 rows for 2 texts"),
        ([np.ones((2, 3)), np.ones((0, 3))], 3, "multivector", r"text 1 .*at least one a text"),
        ([np.ones((2, 3)), np.ones((2, 4))], 3, "multivector", r"text 1 \('the moon'\).*\(2, 4\)"),
        ((np.ones((3, 3)), [0, 3]), 3, "multivector", "gave 1 rows for 2 texts"),
        (7, 3, "multivector", "gave a int"),
    ],
)
def test_what_a_function_must_not_give(given, dim, family, said):
    with pytest.raises(bigrain.InvalidVectorsError, match=said):
        encoder(given, dim, family).encode_documents(TEXTS)


def test_a_matrix_wider_than_the_vocabulary_is_refused():
    scipy = pytest.importorskip("scipy.sparse")
    with pytest.raises(bigrain.InvalidVectorsError, match="gave 5 columns; its vocabulary is 3"):
        encoder(scipy.csr_matrix(np.eye(2, 5)), family="sparse").encode_documents(TEXTS)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"dim": None}, "dim=None must be a whole number"),
        ({"dim": 0}, "dim=0"),
        ({"dim": 2, "family": "words"}, "family='words' is not one of dense, sparse"),
        ({"dim": 2, "encode_queries": 5}, "must be a function"),
    ],
)
def test_settings_that_make_no_encoder(arguments, said):
    with pytest.raises(bigrain.ConfigError, match=said):
        bigrain.CallableEncoder("mine", lambda texts: texts, **arguments)


def test_a_bad_number_names_the_document_and_changes_nothing(tmp_path):
    def encode(texts):
        return [{0: np.nan if "bad" in text else 1.0} for text in texts]

    bigrain.register_encoder(
        "odd", lambda: bigrain.CallableEncoder("odd", encode, 4, family="sparse")
    )
    with bigrain.create(tmp_path / "c.grain", {"s": bigrain.SparseField(encoder="odd")}) as col:
        with pytest.raises(bigrain.InvalidVectorsError, match="document 'b'"):
            col.add([{"id": "a", "text": "good"}, {"id": "b", "text": "bad"}])
        assert col.add(["good"]).added == 1
        col.commit()
        assert len(col.search("any")) == 1
