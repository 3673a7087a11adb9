"""Every single operation on the disk fails once, and once for good; nothing else may be lost."""

import errno
import os
import shutil
import warnings
from pathlib import Path
from typing import Any

import pytest

import bigrain
from bigrain.errors import BigrainError
from bigrain.testing import FaultyFiles, Model, QuickDisk, check_invariants
from tests.collection import making

EVERY = 1 if os.environ.get("BIGRAIN_TEST_ALL_FAULTS") else 4
WAYS = [
    (False, errno.EIO, False, True),
    (True, errno.ENOSPC, False, True),
    (False, errno.ENOSPC, True, False),
    (True, errno.EIO, True, False),
]
OLD = [f"d{i}" for i in range(6)]


def prepared(path: Path) -> Model:
    """A collection of two segments a field, made on a sound disk."""
    col, model = making.make(path)
    making.fill(col, model, OLD)
    making.commit(col, model)
    making.fill(col, model, ["d1", "e1"], seed=1)
    making.commit(col, model)
    col.close()
    return model


def workload(path: Path, files: FaultyFiles, model: Model) -> list[Model]:
    """Add, replace, delete, commit, compact; returns the states that may be found afterwards.

    A step that fails is tried once more, then given up. The model moves only with what succeeded.
    """
    states = [model.copy()]
    col = None
    try:
        col = bigrain.open(path, files=files)
        making.fill(col, model, ["d2", "f1", "f2"], seed=2)
        gone = ["d0", "f2"]
        col.delete(gone)
        model.delete(gone)
        after = model.copy()
        after.commit()
        states.append(after)
        try:
            col.commit()
        except BigrainError:
            if files.forever:
                raise
            col.commit()  # still pending, or said to be lost
        states[:] = [after]
        col.compact()
        col.compact()
    finally:
        if col is not None:
            col.close()
    return states


def run(path: Path, files: FaultyFiles, model: Model) -> list[Model]:
    old = model.copy()
    after = model.copy()
    try:
        return workload(path, files, model)
    except (BigrainError, OSError) as error:
        assert files.tripped, error
        if model.pending != old.pending:
            after = model.copy()
            after.commit()
        return [old, after]


def holds_one_of(path: Path, states: list[Model]) -> None:
    """The collection, opened on a sound disk, is one of these states and can be written."""
    with bigrain.open(path, files=QuickDisk()) as col:
        found = {d.id: d for d in col.documents()}
        matching = [state for state in states if state.documents == found]
        assert matching, f"found {sorted(found)}, not one of the states expected"
        check_invariants(col, matching[-1])
        model = matching[-1].copy()
        making.fill(col, model, ["g1"], seed=3)
        making.commit(col, model)
        col.compact()
        check_invariants(col, model)
        assert sorted(os.listdir(path / "staging")) == []


@pytest.mark.parametrize(
    ("forever", "code", "tear", "rolls_back"),
    WAYS,
)
@pytest.mark.filterwarnings("ignore:snapshot")
def test_a_failing_disk_leaves_the_old_or_the_new_state(
    tmp_path: Path, forever: bool, code: int, tear: bool, rolls_back: bool
) -> None:
    """By default each operation fails in one of the four ways, else in all of them."""
    model = prepared(tmp_path / "first.grain")
    n, tested = 1 + WAYS.index((forever, code, tear, rolls_back)) % EVERY, 0
    while True:
        path = tmp_path / "docs.grain"
        shutil.copytree(tmp_path / "first.grain", path)
        files = FaultyFiles(
            QuickDisk(), fail_at=n, forever=forever, code=code, tear=tear, rolls_back=rolls_back
        )
        states = run(path, files, model.copy())
        if not files.tripped:
            break
        try:
            holds_one_of(path, states)
        except BaseException as error:
            error.add_note(f"operation {n} failed: {files.log[n - 1]}")
            raise
        shutil.rmtree(path)
        n, tested = n + EVERY, tested + 1
    assert tested > 60


@pytest.mark.parametrize("forever", [False, True])
def test_create_on_a_failing_disk_leaves_nothing_or_a_collection(
    tmp_path: Path, forever: bool
) -> None:
    n = 1
    while True:
        path = tmp_path / f"{n}.grain"
        files = FaultyFiles(QuickDisk(), fail_at=n, forever=forever)
        try:
            bigrain.create(path, making.FIELDS, files=files).close()
        except BigrainError:
            if path.exists():
                bigrain.open(path).close()
            else:
                bigrain.create(path, making.FIELDS).close()
            assert [p.name for p in tmp_path.iterdir()] == [path.name], "a draft was left"
        shutil.rmtree(path)
        if not files.tripped:
            break
        n += 1
    assert n > 20


def test_a_full_disk_while_adding_can_be_rolled_back_and_tried_again(tmp_path: Path) -> None:
    model = prepared(tmp_path / "docs.grain")
    files = FaultyFiles(only="write ", code=errno.ENOSPC)
    with bigrain.open(tmp_path / "docs.grain", files=files) as col:
        files.fail_at, files.forever = 1, True
        making.fill(col, model, ["x1"], seed=5)
        with pytest.raises(bigrain.StorageError, match="No space left"):
            col.commit()
        assert "x1" not in col
        files.heal()
        making.commit(col, model)  # still pending
        check_invariants(col, model)


def test_a_commit_that_cannot_be_shown_is_a_warning_not_a_failure(tmp_path: Path) -> None:
    model = prepared(tmp_path / "docs.grain")
    files = FaultyFiles()
    with bigrain.open(tmp_path / "docs.grain", files=files) as col:
        making.fill(col, model, ["x1"], seed=5)
        at: list[Any] = []

        def fail_after_commit(operation: str) -> bool:
            at.append(operation)
            return "sql COMMIT" in at and operation != "sql COMMIT"

        files.fails = fail_after_commit  # type: ignore[method-assign]
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            assert col.commit() == 3
        assert "durable" in str(told[0].message)
        del files.fails
        model.commit()
        col.refresh()
        check_invariants(col, model)
