"""The test kit itself: it must notice what it is there to notice."""

import errno
import subprocess
import sys
from pathlib import Path

import pytest

import bigrain
from bigrain.testing import FaultyFiles, QuickDisk, check_invariants, check_ranking
from tests.collection import making


def test_importing_the_kit_brings_no_hypothesis() -> None:
    code = "import sys, bigrain.testing.strategies; sys.exit('hypothesis' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(("tear", "left"), [(False, b"first"), (True, b"firstsec")])
def test_a_torn_write_leaves_half(tmp_path: Path, tear: bool, left: bytes) -> None:
    files = FaultyFiles(only="write", fail_at=2, tear=tear, code=errno.ENOSPC)
    writer = files.create(tmp_path / "x")
    writer.write(b"first")
    with pytest.raises(bigrain.StorageError) as told:
        writer.write(b"second")
    assert told.value.errno == errno.ENOSPC and files.tripped
    writer.close()
    assert (tmp_path / "x").read_bytes() == left


def test_every_kind_of_operation_is_counted(tmp_path: Path) -> None:
    files = FaultyFiles(QuickDisk())
    col, model = making.make(tmp_path / "docs.grain", files=files)
    making.fill(col, model, ["a", "b"])
    making.commit(col, model)
    making.fill(col, model, ["c"])
    making.commit(col, model)
    col.compact()
    check_invariants(col, model)
    col.close()
    kinds = {operation.split()[0] for operation in files.log}
    assert kinds == {
        "close", "connect", "create", "lock", "make_folder", "names", "open", "read", "remove",
        "rename", "sql", "sync", "sync_folder", "write",
    }  # fmt: skip


def test_invariants_notice_a_lost_and_a_wrong_document(tmp_path: Path) -> None:
    col, model = making.make(tmp_path / "docs.grain")
    making.fill(col, model, ["a", "b"])
    making.commit(col, model)
    check_invariants(col, model)
    model.add([bigrain.Document("other", "a")])
    model.commit()
    with pytest.raises(AssertionError, match="'a' differs"):
        check_invariants(col, model)
    col.delete("b")
    col.commit()
    with pytest.raises(AssertionError, match="1 documents, the model has 2"):
        check_invariants(col, model)
    col.close()


def test_a_wrong_ranking_is_noticed(tmp_path: Path) -> None:
    with bigrain.create(tmp_path / "docs.grain", {"lex": bigrain.LexicalField()}) as col:
        col.add([{"id": "a", "text": "grain grain"}, {"id": "b", "text": "grain moon"}])
        col.commit()
        hits = col.search("grain")
    right = {hit.id: hit.score for hit in hits}
    check_ranking(hits, right, 10)
    for wrong in ({**right, "c": 0.1}, {"a": right["a"]}, {**right, "a": right["a"] + 0.01}):
        with pytest.raises(AssertionError):
            check_ranking(hits, wrong, 10)
    with pytest.raises(AssertionError):
        check_ranking(hits[::-1], right, 10)
