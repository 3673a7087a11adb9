"""What people met when they first used the library, each by what they saw."""

from __future__ import annotations

import datetime
from pathlib import Path

import numpy as np
import pytest

import bigrain
from bigrain.text import read_documents

LEXICAL = {"lexical": bigrain.LexicalField()}


def test_numbers_in_csv_columns_compare_as_numbers(tmp_path: Path) -> None:
    table = tmp_path / "y.csv"
    table.write_text("text,price,year,ok,zip\nmoon a,3.5,2020,true,007\nmoon b,,2021,false,010\n")
    with bigrain.create(tmp_path / "y.grain", LEXICAL) as col:
        col.add(read_documents(table))
        col.commit()
        for condition, texts in (
            ("year > 2020", ["moon b"]),
            ("price > 3", ["moon a"]),
            ("price > 10", []),
            ("price IS NULL", ["moon b"]),
            ("ok = true", ["moon a"]),
            ("zip = '007'", ["moon a"]),
        ):
            assert [h.text for h in col.search("moon", filter=condition)] == texts, condition


def test_the_same_instant_in_two_zones_is_one(tmp_path: Path) -> None:
    east = datetime.timezone(datetime.timedelta(hours=2))
    early = datetime.datetime(2024, 5, 1, 9, 30, tzinfo=east)
    late = datetime.datetime(2024, 5, 1, 9, 0, tzinfo=datetime.UTC)
    with bigrain.create(tmp_path / "t.grain", LEXICAL) as col:
        for name, at in (("early", early), ("late", late)):
            col.add([{"id": name, "text": "moon", "metadata": {"at": at}}])
        col.commit()
        between = datetime.datetime(2024, 5, 1, 8, 0, tzinfo=datetime.UTC)
        assert [h.id for h in col.search("moon", filter={"at": {"$gt": between}})] == ["late"]
        same = early.astimezone(datetime.UTC)
        assert [h.id for h in col.search("moon", filter={"at": same})] == ["early"]


def test_a_string_or_set_of_ids_is_refused(tmp_path: Path) -> None:
    with bigrain.create(tmp_path / "v.grain", {"v": bigrain.DenseField(dim=4)}) as col:
        for ids in ("xy", {"x", "y"}):
            with pytest.raises(bigrain.InvalidVectorsError, match="list of ids"):
                col.add_vectors("v", ids, np.ones((2, 4)))
        assert not col.stats()["pending_changes"]


def test_arguments_of_the_wrong_kind_are_named(tmp_path: Path) -> None:
    for fields in (bigrain.LexicalField(), [bigrain.LexicalField()]):
        with pytest.raises(bigrain.ConfigError, match="a name"):
            bigrain.create(tmp_path / "q.grain", fields)  # type: ignore[arg-type]
    with pytest.raises(bigrain.ConfigError, match="not a path"):
        bigrain.open(None)  # type: ignore[arg-type]
    assert not (tmp_path / "q.grain").exists()


def test_judgments_for_another_collection_are_noticed(tmp_path: Path) -> None:
    pytest.importorskip("ir_measures")
    with bigrain.create(tmp_path / "j.grain", LEXICAL) as col:
        col.add([{"id": "a", "text": "moon"}])
        col.commit()
        with pytest.raises(bigrain.InvalidInputError, match="another one"):
            col.evaluate({"q": "moon"}, {"q": {"nowhere": 1}})
        found = col.evaluate({"q": "moon"}, {"q": {"a": 1, "nowhere": 1}})
        assert "1 of 2 judged ids" in found.notes[0]


def test_weights_that_are_all_zero_are_refused(tmp_path: Path) -> None:
    with bigrain.create(tmp_path / "w.grain", LEXICAL) as col:
        col.add(["moon"])
        col.commit()
        with pytest.raises(bigrain.InvalidQueryError, match="weight 0"):
            col.search("moon", fields={"lexical": 0})


def test_a_matrix_of_another_vocabulary_is_refused(tmp_path: Path) -> None:
    sparse = pytest.importorskip("scipy.sparse")
    field = {"s": bigrain.SparseField(vocabulary_size=3000)}
    with (
        bigrain.create(tmp_path / "s.grain", field) as col,
        pytest.raises(bigrain.InvalidVectorsError, match="column 3000 .* the vocabulary has 3000"),
    ):
        col.add_vectors("s", ["a"], sparse.csr_matrix(np.ones((1, 3001))))


def test_a_budget_in_the_place_of_read_only_is_refused(tmp_path: Path) -> None:
    bigrain.create(tmp_path / "b.grain", LEXICAL).close()
    for given in ("256MB", 268_435_456, 1, None):
        with pytest.raises(bigrain.ConfigError, match="True or False.*memory_budget_bytes"):
            bigrain.open(tmp_path / "b.grain", given)  # type: ignore[arg-type]


def test_recall_as_text_is_told_to_be_text(tmp_path: Path) -> None:
    with bigrain.create(tmp_path / "r.grain", LEXICAL) as col:
        with pytest.raises(bigrain.InvalidQueryError, match=r"'0\.9' is text.*a number"):
            col.search("moon", recall="0.9")  # type: ignore[arg-type]
