"""The table against the Python interface: found again, or refused and nothing changed."""

import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import bigrain
from bigrain.text.normalise import clean_text
from tests.hostile import cases, running

CASES = cases.build()
CHANGING = [case for case in CASES if case.kind != "search"]
SEARCHES = [case for case in CASES if case.kind == "search"]


@pytest.fixture(scope="module")
def col(tmp_path_factory: pytest.TempPathFactory) -> Iterator[bigrain.Collection]:
    with running.make(tmp_path_factory.mktemp("hostile") / "docs.grain") as made:
        yield made


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory) -> Iterator[bigrain.Collection]:
    """A collection for searches only, so that its metadata keys are known."""
    with running.make(tmp_path_factory.mktemp("still") / "docs.grain") as made:
        before = running.state(made)
        yield made
        assert running.state(made) == before
        assert made.verify().ok


def test_there_are_many() -> None:
    assert len(CASES) >= 300


@pytest.mark.parametrize("case", SEARCHES, ids=lambda case: case.name)
def test_searches(still: bigrain.Collection, tmp_path: Path, case: cases.Case) -> None:
    if case.error is None:
        running.attempt(still, case.kind, case.make(), tmp_path)
    else:
        refused(still, case, tmp_path)
    assert [hit.id for hit in still.search("moon", fields="lex")] == ["c"]


@pytest.mark.parametrize("case", CHANGING, ids=lambda case: case.name)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_changes(col: bigrain.Collection, tmp_path: Path, case: cases.Case) -> None:
    before, snapshot = running.state(col), col.snapshot
    if case.error is None:
        payload = case.make()
        running.attempt(col, case.kind, payload, tmp_path)
        col.commit()
        found_again(col, case, payload, {row[0] for row in before})
        assert col.verify().ok
        restore(col, before)
    else:
        refused(col, case, tmp_path)
        assert col.commit() == snapshot, "a refused change left something pending"
    assert running.state(col) == before


def test_after_all_of_them_the_collection_is_sound(col: bigrain.Collection) -> None:
    col.compact()
    report = col.verify()
    assert report.ok, report.summary()
    assert {row[0] for row in running.state(col)} == {"a", "b", "c"}


def refused(col: bigrain.Collection, case: cases.Case, folder: Path) -> None:
    """The case gives its error, and a message that can be shown."""
    payload = case.make()
    with warnings.catch_warnings(), pytest.raises(bigrain.BigrainError) as caught:
        warnings.simplefilter("ignore", RuntimeWarning)  # NumPy's, about NaN
        running.attempt(col, case.kind, payload, folder)
    error = caught.value
    assert type(error).__name__ == case.error, repr(error)[:500]
    assert re.search(case.says, str(error), re.DOTALL), str(error)[:500]
    assert len(str(error)) < 2500, "a message, not the input again"


def found_again(col: bigrain.Collection, case: cases.Case, payload: Any, former: set[str]) -> None:
    """What was accepted reads back as it was given."""
    if case.kind == "files":
        assert {row[0] for row in running.state(col)} - former == set(case.says.split())
    if case.kind != "document" or not isinstance(payload, list):
        return
    for row in payload:
        if isinstance(row, dict):
            (document,) = col.get([str(row["id"])])
            assert document is not None
            assert document.text == clean_text(str(row["text"]))
            assert document.metadata.keys() == row.get("metadata", {}).keys()
    if payload and isinstance(payload[0], dict) and payload[0].get("text") == "fine":
        assert "good" in [hit.id for hit in col.search("fine", fields="lex")]


def restore(col: bigrain.Collection, before: Any) -> None:
    """The documents of before, and no others, in their order."""
    if running.state(col) == before:
        return
    col.delete([d.id for d in col.documents()])
    col.add(cases.DOCUMENTS)
    col.commit()
