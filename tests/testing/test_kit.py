"""The test kit itself: it must notice what it is there to notice."""

import errno
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import bigrain
from bigrain.index.dense import DenseIndex
from bigrain.index.effort import Effort
from bigrain.testing import (
    FaultyFiles,
    QuickDisk,
    check_encoders,
    check_fused,
    check_grains,
    check_invariants,
    check_ranking,
    check_recall,
)
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


def test_a_code_that_is_not_its_originals_is_noticed(tmp_path: Path) -> None:
    fields = {"vec": bigrain.DenseField(dim=40)}
    col, model = making.make(tmp_path / "docs.grain", fields)
    vectors = np.random.default_rng(0).standard_normal((100, 40))
    col.add_vectors("vec", [f"d{i}" for i in range(100)], vectors)
    col.commit()
    check_grains(col)
    codes = col._view.fields["vec"].index.views[0].segment
    blocks, scale = codes.blocks.copy(), codes.scale.copy()
    codes.blocks[2, 3, 4] ^= 1  # dimension 12 of row 68
    with pytest.raises(AssertionError, match=r"field 'vec'.*rows \[68\]"):
        check_grains(col)
    codes.blocks[:] = blocks
    codes.scale[7] *= np.float16(1.02)
    with pytest.raises(AssertionError, match=r"rows \[7\]"):
        check_grains(col)
    codes.scale[:] = scale
    check_grains(col)
    col.close()


def test_a_recall_that_falls_short_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the default light_bytes the calibration holds; without it a field would be caught."""
    fields = {"vec": bigrain.DenseField(dim=64)}
    col, _ = making.make(tmp_path / "docs.grain", fields)
    rng = np.random.default_rng(1)
    col.add_vectors("vec", [f"d{i}" for i in range(1500)], rng.standard_normal((1500, 64)))
    col.commit()
    queries = list(rng.standard_normal((40, 64)))
    for asked in (0.8, 0.95):
        assert check_recall(col, "vec", queries, recall=asked) < 1.0
    monkeypatch.setattr(DenseIndex, "effort", lambda self, recall, k: Effort(k))
    with pytest.raises(AssertionError, match=r"recall 0\.\d+ where 0\.95"):
        check_recall(col, "vec", queries, recall=0.95)
    col.close()


def test_an_encoder_that_has_changed_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    col, _ = making.make(tmp_path / "docs.grain")
    check_encoders(col)
    family = col._opened.families["vec"]
    monkeypatch.setattr(family, "fingerprint", lambda: {"name": "another"}, raising=False)
    with pytest.raises(AssertionError, match="field 'vec' was built with"):
        check_encoders(col)
    col.close()


def test_a_part_that_is_not_the_exact_score_is_noticed(tmp_path: Path) -> None:
    col, model = making.make(tmp_path / "docs.grain", {"lex": bigrain.LexicalField()})
    making.fill(col, model, ["a", "b", "c"])
    making.commit(col, model)
    query = model.documents["a"].text
    check_fused(col.search(query), model, query)
    model.add([bigrain.Document(f"{query} {query}", "b")])
    model.commit()
    with pytest.raises(AssertionError, match="in 'lex', expected"):
        check_fused(col.search(query), model, query)
    col.close()
