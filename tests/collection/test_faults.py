"""Every single operation on the disk fails once, and once for good; nothing else may be lost."""

import errno
import os
import shutil
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any

import pytest

import bigrain
from bigrain.errors import BigrainError
from bigrain.testing import FaultyFiles, QuickDisk, check_invariants, vfs
from bigrain.testing.vfs import FaultySqlite
from tests.collection import making
from tests.collection.faulting import (
    WAYS,
    WORKLOADS,
    Explorer,
    copy_killed,
    faulty,
    holds_one_of,
    prepared,
    run,
)

ALL = bool(os.environ.get("BIGRAIN_TEST_ALL_FAULTS"))
EVERY = {"change": 11, "vectors": 7, "spill": 7, "merge": 23}
SEEN = {  # operations that a workload must have met, or it tests less than it says
    "change": {"file": "rename lex-", "sqlite": "xSync catalogue.sqlite-wal"},
    "vectors": {"file": "rename tok-", "sqlite": "xWrite catalogue.sqlite-wal"},
    "spill": {"file": "read vec.rows", "sqlite": "xRead catalogue.sqlite"},
    "merge": {"file": "sql DELETE FROM segments", "sqlite": "xSync catalogue.sqlite-wal"},
}
needs_vfs = pytest.mark.skipif(
    not vfs.available(), reason="the functions of this Python's SQLite cannot be reached"
)


@pytest.mark.parametrize("workload", WORKLOADS)
@pytest.mark.parametrize("kind", ["file", pytest.param("sqlite", marks=needs_vfs)])
def test_a_failing_disk_leaves_the_old_or_the_new_state(
    tmp_path: Path, kind: str, workload: str
) -> None:
    """A share of the operations, in the four ways by turns; BIGRAIN_TEST_ALL_FAULTS=1: all."""
    explorer = Explorer(tmp_path, kind, workload, write_every=1 if ALL else 4)
    for ways, every in [([way], 1) for way in WAYS] if ALL else [(WAYS, EVERY[workload])]:
        for error in explorer.failures(ways, every=every):
            raise error
    assert len(explorer.failed) > 12


def test_the_workloads_reach_what_they_are_there_for(tmp_path: Path) -> None:
    for workload in WORKLOADS:
        for kind in ("file", "sqlite") if vfs.available() else ("file",):
            path = tmp_path / f"{kind}-{workload}" / "docs.grain"
            path.parent.mkdir()
            model = prepared(path, workload)
            files = faulty(kind, WAYS[0], 10**9)
            run(path, files, model, workload)
            assert any(o.startswith(SEEN[workload][kind]) for o in files.log), (kind, workload)


@needs_vfs
def test_a_commit_that_failed_and_was_rolled_back_does_not_return_as_damage(
    tmp_path: Path,
) -> None:
    """SQLite could not sync its log, so the commit failed; but the log holds all of it.

    Changing something else removed the files that this commit lists. Whoever opened the collection
    next found the commit in the log, and its files gone.
    """
    path = tmp_path / "docs.grain"
    model = prepared(path, "change")
    files = FaultySqlite(only="xSync catalogue.sqlite-wal", syncs=False)
    with bigrain.open(path, files=files) as col:
        making.fill(col, model, ["x1"], seed=5)
        files.fail_at = files.count + 2  # the log's header, then the transaction
        with pytest.raises(bigrain.StorageError, match="disk I/O error"):
            col.commit()
        col.rollback()
        model.rollback()
        col.add(["something else"])
        copy_killed(path)
    for left in (path, tmp_path / "killed"):
        holds_one_of(left, [model])


@pytest.mark.parametrize("forever", [False, True])
@pytest.mark.parametrize("kind", ["file", pytest.param("sqlite", marks=needs_vfs)])
def test_create_on_a_failing_disk_leaves_nothing_or_a_collection(
    tmp_path: Path, kind: str, forever: bool
) -> None:
    for n in count(1, 1 if ALL or kind == "file" else 3):
        path = tmp_path / f"{n}.grain"
        files = faulty(kind, {"forever": forever}, n)
        try:
            bigrain.create(path, making.FIELDS, files=files).close()
        except BigrainError:
            assert files.tripped
            if path.exists():
                bigrain.open(path).close()
            else:
                bigrain.create(path, making.FIELDS).close()
            assert [p.name for p in tmp_path.iterdir()] == [path.name], "a draft was left"
        shutil.rmtree(path)
        if not files.tripped:
            break
    assert n > 20


def test_a_full_disk_while_adding_can_be_rolled_back_and_tried_again(tmp_path: Path) -> None:
    model = prepared(tmp_path / "docs.grain", "change")
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
    model = prepared(tmp_path / "docs.grain", "change")
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


@pytest.mark.parametrize("kind", ["file", pytest.param("sqlite", marks=needs_vfs)])
def test_a_disk_that_cannot_be_read_gives_an_error_never_a_wrong_answer(
    tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "docs.grain"
    model = prepared(path, "change")

    def answers(files: Any) -> list[Any]:
        with bigrain.open(path, read_only=True, files=files) as col:
            found: list[Any] = [col.get(["d1", "e1", "none"]), list(col.documents())]
            for name in model.fields:
                text = model.fields[name].reads_text
                query = "grain wheat silo" if text else model.rows(name)["e1"]
                hits = col.search(query, k=4, fields=[name], filter="year > 2000", recall=1.0)
                found.append([(hit.id, hit.score, hit.text, hit.metadata) for hit in hits])
            return found

    expected, errors = answers(QuickDisk()), 0
    for n in count(1, 1 if ALL else 5):
        files = faulty(kind, WAYS[n % 2], n)
        try:
            assert answers(files) == expected, files.log[n - 1]
        except BigrainError:
            assert files.tripped
            errors += 1
        if isinstance(files, FaultySqlite):
            files.let_go()
        if not files.tripped:
            break
    assert errors > 5


@pytest.mark.parametrize("kind", ["file", pytest.param("sqlite", marks=needs_vfs)])
def test_a_slow_disk_holds_up_a_commit_but_no_reader(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "docs.grain"
    model = prepared(path, "change")
    only = "sql COMMIT" if kind == "file" else "xSync catalogue.sqlite-wal"
    files = faulty(kind, {"delay": 5.0, "only": only}, 1)
    with bigrain.open(path, files=files) as col, ThreadPoolExecutor(1) as pool:
        making.fill(col, model, ["x1"], seed=5)
        committing = pool.submit(col.commit)
        while not files.tripped:
            time.sleep(0.001)
        with bigrain.open(path, read_only=True, files=files) as reader:
            check_invariants(reader, model)
            assert not committing.done(), "the reader waited for the writer"
            assert committing.result() == 3
            assert "x1" not in reader
            model.commit()
            reader.refresh()
            check_invariants(reader, model)
