"""A field's codes made anew in another size: one commit, or nothing."""

import os
import shutil
import warnings
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bigrain
from bigrain.errors import BigrainError
from bigrain.progress import reporting
from bigrain.testing import QuickDisk, vfs
from bigrain.testing.vfs import FaultySqlite
from tests.collection.faulting import WAYS, copy_killed, faulty

DIM, N = 32, 40
VECTORS = np.random.default_rng(0).normal(size=(N, DIM)).astype(np.float32)
ALL = bool(os.environ.get("BIGRAIN_TEST_ALL_FAULTS"))
needs_vfs = pytest.mark.skipif(
    not vfs.available(), reason="the functions of this Python's SQLite cannot be reached"
)


def made(path: Path) -> Path:
    """Two segments of full codes, and one document deleted."""
    fields = {"vec": bigrain.DenseField(dim=DIM), "lex": bigrain.LexicalField()}
    with bigrain.create(path, fields, files=QuickDisk()) as col:
        for part in (range(N // 2), range(N // 2, N)):
            ids = [str(i) for i in part]
            col.add({"id": i, "text": f"text {i}"} for i in ids)
            col.add_vectors("vec", ids, VECTORS[part.start : part.stop])
            col.commit()
        col.delete(["3"])
        col.commit()
    return path


def recode(col: Any, light_bytes: int) -> None:
    family = col._opened.families["vec"]
    with reporting(None) as reporter:
        col._recode(family.recoded(bigrain.DenseField(dim=DIM, light_bytes=light_bytes)), reporter)


def truth(col: Any) -> list[Any]:
    return [(h.id, h.score) for v in VECTORS[:5] for h in col.search(v, k=5, recall=1.0)]


def widths(col: Any) -> set[int]:
    return {view.segment.codec.frame.width for view in col._view.fields["vec"].index.views}


def test_codes_change_and_nothing_else(tmp_path: Path) -> None:
    path = made(tmp_path / "a.grain")
    with bigrain.open(path) as col, bigrain.open(path, read_only=True) as reader:
        before, documents = truth(col), list(col.documents())
        light = col.stats()["fields"]["vec"]["light_bytes_in_memory"]
        recode(col, 1)
        assert col.fields["vec"].light_bytes == 1 and widths(col) == {8}
        assert truth(col) == before and list(col.documents()) == documents
        assert col.stats()["fields"]["vec"]["light_bytes_in_memory"] < light
        assert truth(reader) == before and widths(reader) == {32}  # the snapshot it opened
        reader.refresh()
        assert reader.fields["vec"].light_bytes == 1 and widths(reader) == {8}
        col.add_vectors("vec", ["5"], VECTORS[:1])  # new codes are of the new size
        col.commit()
        assert widths(col) == {8}
        col.compact()
        assert col.verify().ok
    with bigrain.open(path) as col:
        assert col.fields["vec"].light_bytes == 1


def test_an_open_handle_that_writes_next_follows_the_definition(tmp_path: Path) -> None:
    path = made(tmp_path / "a.grain")
    with bigrain.open(path) as late:
        with bigrain.open(path) as col:
            recode(col, 2)
        late.add_vectors("vec", ["5"], VECTORS[:1])
        late.commit()
        assert late.fields["vec"].light_bytes == 2 and widths(late) == {16}


def test_an_empty_field_is_redefined(tmp_path: Path) -> None:
    path = tmp_path / "a.grain"
    with bigrain.create(path, {"vec": bigrain.DenseField(dim=DIM)}, files=QuickDisk()) as col:
        recode(col, 2)
        assert col.fields["vec"].light_bytes == 2
        col.add_vectors("vec", ["5"], VECTORS[:1])
        col.commit()
        assert widths(col) == {16}


def test_only_codes_may_change(tmp_path: Path) -> None:
    with bigrain.open(made(tmp_path / "a.grain")) as col:
        for field in (
            bigrain.DenseField(dim=DIM, metric="l2"),
            bigrain.DenseField(dim=DIM, heavy="float32"),
            bigrain.DenseField(dim=16),
        ):
            with pytest.raises(bigrain.ConfigError, match="only light_bytes"):
                col._opened.families["vec"].recoded(field)
        col.add(["pending"])
        with pytest.raises(bigrain.PendingChangesError):
            recode(col, 2)


@pytest.mark.parametrize("kind", ["file", pytest.param("sqlite", marks=needs_vfs)])
def test_a_failing_disk_leaves_the_old_codes_or_the_new(tmp_path: Path, kind: str) -> None:
    original = made(tmp_path / "original.grain")
    with bigrain.open(original, read_only=True) as col:
        expected = truth(col)
    path, failed, seen = tmp_path / "docs.grain", 0, set()
    for point, n in enumerate(count(1, 1 if ALL else 10 if kind == "file" else 13)):
        shutil.copytree(original, path)
        files = faulty(kind, WAYS[point % len(WAYS)], n)
        col = None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                col = bigrain.open(path, files=files)
                recode(col, 1)
            except (BigrainError, OSError) as error:
                assert files.tripped, error
                failed += 1
            copy_killed(path)
            if col is not None:
                with suppress(BigrainError):
                    col.close()
            if isinstance(files, FaultySqlite):
                files.let_go()
        operation = files.log[n - 1] if files.tripped else "nothing"
        for left in (path, tmp_path / "killed"):
            with bigrain.open(left, files=QuickDisk()) as col:
                size = col.fields["vec"].light_bytes
                assert widths(col) == {8 * size}, (operation, left.name)
                assert truth(col) == expected, (operation, left.name)
                seen.add(size)
                col.add_vectors("vec", ["5"], VECTORS[5:6])
                col.commit()
                assert col.verify().ok, (operation, left.name)
                assert widths(col) == {8 * size}
            shutil.rmtree(left)
        if not files.tripped:
            break
    assert failed > 4 and seen == {1, 4}


def test_a_damaged_catalogue_is_repaired_to_the_new_definition(tmp_path: Path) -> None:
    path = made(tmp_path / "a.grain")
    with bigrain.open(path) as col:
        recode(col, 1)
        expected = truth(col)
    file = path / "catalogue.sqlite"
    data = bytearray(file.read_bytes())
    at = data.rindex(b"snapshot INTEGER PRIMARY KEY")  # a table can no longer be read
    data[at : at + 20] = bytes(20)
    file.write_bytes(data)
    report = bigrain.repair(path)
    assert report.catalogue_rebuilt
    with bigrain.open(path) as col:
        assert col.fields["vec"].light_bytes == 1 and widths(col) == {8}
        assert truth(col) == expected and col.verify().ok
