"""A backup is another collection with the same content, or nothing at all."""

import errno
import os
import shutil
import sqlite3
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bigrain
from bigrain.progress import Reporter
from bigrain.storage.folder import Folder
from bigrain.testing import FaultyFiles, QuickDisk, check_invariants, vfs
from bigrain.testing.power import RecordingFiles, images
from bigrain.writing.backup import back_up
from tests.collection import making

LINK = pytest.mark.parametrize("link", [False, True])


@pytest.fixture
def world(tmp_path: Path) -> Any:
    """Two commits, replaced and deleted documents, all families; still open."""
    col, model = making.make(tmp_path / "docs.grain")
    making.fill(col, model, [f"d{i}" for i in range(30)])
    making.commit(col, model)
    making.fill(col, model, [f"d{i}" for i in range(25, 40)], seed=1)
    col.delete(["d3", "d4"])
    model.delete(["d3", "d4"])
    making.commit(col, model)
    yield col, model
    col.close()


@LINK
def test_a_backup_is_an_ordinary_collection(world: Any, tmp_path: Path, link: bool) -> None:
    col, model = world
    assert col.backup(tmp_path / "copy.grain", link=link) == col.snapshot == 2
    with bigrain.open(tmp_path / "copy.grain", files=QuickDisk()) as copy:
        check_invariants(copy, model)
        assert copy.snapshot == 2
        twin = model.copy()
        making.fill(copy, twin, ["d0", "new"], seed=2)
        making.commit(copy, twin)
        copy.compact()
        check_invariants(copy, twin)
    check_invariants(col, model)  # the source has not noticed
    assert sorted(os.listdir(tmp_path)) == ["copy.grain", "docs.grain"]


def test_files_of_a_copy_are_others_those_of_a_link_the_same(world: Any, tmp_path: Path) -> None:
    col, _ = world
    col.backup(tmp_path / "copy.grain")
    col.backup(tmp_path / "link.grain", link=True)
    for name in os.listdir(tmp_path / "docs.grain/segments"):
        nodes = {
            kind: os.stat(tmp_path / f"{kind}.grain/segments" / name).st_ino
            for kind in ("docs", "copy", "link")
        }
        assert nodes["docs"] == nodes["link"] != nodes["copy"]
    databases = {os.stat(p).st_ino for p in tmp_path.glob("*/catalogue.sqlite")}
    assert len(databases) == 3


@LINK
def test_a_linked_or_copied_backup_outlives_its_source(
    world: Any, tmp_path: Path, link: bool
) -> None:
    col, model = world
    col.backup(tmp_path / "copy.grain", link=link)
    col.delete(list(model.documents))
    col.commit()
    col.compact()
    assert os.listdir(tmp_path / "docs.grain/segments") == []
    with bigrain.open(tmp_path / "copy.grain") as copy:
        check_invariants(copy, model)


def test_a_backup_leaves_former_snapshots_and_their_files_behind(
    world: Any, tmp_path: Path
) -> None:
    col, model = world
    with bigrain.open(tmp_path / "docs.grain", read_only=True):  # keeps the files of snapshot 2
        col.compact()
        col.backup(tmp_path / "copy.grain")
        kept = os.listdir(tmp_path / "docs.grain/segments")
        copied = os.listdir(tmp_path / "copy.grain/segments")
        assert set(copied) < set(kept) and len(copied) == col.stats()["segments"]
    with bigrain.open(tmp_path / "copy.grain") as copy:
        check_invariants(copy, model)


def test_pending_changes_stay_out_of_a_backup(world: Any, tmp_path: Path) -> None:
    col, model = world
    col.add([{"id": "pending", "text": "not yet"}])
    col.backup(tmp_path / "copy.grain")
    with bigrain.open(tmp_path / "copy.grain") as copy:
        check_invariants(copy, model)
    assert col.stats()["pending_changes"]
    col.rollback()


def test_a_handle_that_is_behind_backs_up_what_is_newest(world: Any, tmp_path: Path) -> None:
    col, model = world
    with bigrain.open(tmp_path / "docs.grain", read_only=True) as behind:
        making.fill(col, model, ["late"])
        making.commit(col, model)
        assert behind.snapshot == 2
        assert behind.backup(tmp_path / "copy.grain") == 3
    with bigrain.open(tmp_path / "copy.grain") as copy:
        check_invariants(copy, model)


def test_backups_while_another_thread_writes_are_each_one_snapshot(tmp_path: Path) -> None:
    """All documents of a commit carry its number, in the text and in the exact vector."""
    fields = {"lex": bigrain.LexicalField(), "vec": bigrain.DenseField(dim=4, metric="ip")}
    stop, errors = threading.Event(), []

    def write() -> None:
        try:
            with bigrain.open(tmp_path / "docs.grain", files=QuickDisk()) as col:
                number = 0
                while not stop.is_set():
                    number += 1
                    col.add([{"id": f"d{i}", "text": f"round {number}"} for i in range(20)])
                    col.add_vectors("vec", [f"d{i}" for i in range(20)], [[number, 1, 0, 0]] * 20)
                    col.commit()
                    if number % 5 == 0:
                        col.compact()
        except BaseException as error:
            errors.append(error)

    bigrain.create(tmp_path / "docs.grain", fields).close()
    writer = threading.Thread(target=write)
    writer.start()
    try:
        with bigrain.open(tmp_path / "docs.grain", read_only=True, files=QuickDisk()) as col:
            seen = set()
            for attempt in range(12):
                number = col.backup(tmp_path / f"{attempt}.grain", link=attempt % 2 == 0)
                with bigrain.open(tmp_path / f"{attempt}.grain", read_only=True) as copy:
                    assert copy.snapshot == number and copy.verify().ok
                    texts = {d.text for d in copy.documents()}
                    assert len(copy) in (0, 20) and len(texts) <= 1
                    hits = copy.search([1.0, 0, 0, 0], k=50, fields="vec", recall=1.0)
                    assert [f"round {h.score:.0f}" for h in hits] == [*texts] * len(copy)
                    seen.add(number)
    finally:
        stop.set()
        writer.join()
    assert not errors and len(seen) > 2


# -- what is refused ------------------------------------------------------------------------------


def test_a_target_that_is_taken_is_left_alone(world: Any, tmp_path: Path) -> None:
    col, _ = world
    (tmp_path / "file").write_text("mine")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    before = sorted(os.listdir(tmp_path))
    for name in ("file", "dangling", "empty", "docs.grain"):
        with pytest.raises(bigrain.CollectionExistsError, match="already there"):
            col.backup(tmp_path / name)
    with pytest.raises(bigrain.ConfigError, match="not a folder"):
        col.backup(tmp_path / "no" / "copy.grain")
    with pytest.raises(bigrain.ConfigError, match="inside"):
        col.backup(tmp_path / "docs.grain" / "copy.grain")
    with pytest.raises(bigrain.ConfigError, match="not a path"):
        col.backup("")
    assert sorted(os.listdir(tmp_path)) == before and (tmp_path / "file").read_text() == "mine"


def test_a_closed_collection_makes_no_backup(world: Any, tmp_path: Path) -> None:
    col, _ = world
    col.close()
    with pytest.raises(bigrain.ClosedError):
        col.backup(tmp_path / "copy.grain")


def flip(path: Path, at: int) -> None:
    raw = bytearray(path.read_bytes())
    raw[at] ^= 0x10
    path.write_bytes(raw)


def test_a_damaged_segment_is_named_and_not_copied(world: Any, tmp_path: Path) -> None:
    col, _ = world
    for path in sorted((tmp_path / "docs.grain/segments").iterdir()):
        flip(path, 70)  # in its first section
        with pytest.raises(bigrain.DamagedError, match=path.name):
            col.backup(tmp_path / "copy.grain")
        flip(path, 70)
        assert sorted(os.listdir(tmp_path)) == ["docs.grain"]
    col.backup(tmp_path / "copy.grain")


def test_a_damaged_document_is_named_and_not_copied(world: Any, tmp_path: Path) -> None:
    col, _ = world
    col.close()
    db = sqlite3.connect(tmp_path / "docs.grain/catalogue.sqlite")
    db.execute("UPDATE documents SET title = 'forged' WHERE id = 'd7'")
    db.commit()
    db.close()
    with bigrain.open(tmp_path / "docs.grain", read_only=True) as damaged:
        with pytest.raises(bigrain.DamagedError, match="d7"):
            damaged.backup(tmp_path / "copy.grain")
    assert os.listdir(tmp_path) == ["docs.grain"]


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE attributes SET value = 1066 WHERE docno = (SELECT min(docno) FROM attributes)",
        "DELETE FROM documents WHERE id = 'd7'",
        "UPDATE segments SET rows = rows + 1",
        "UPDATE documents SET died = NULL WHERE id = 'd3'",
        "DELETE FROM superseded",
    ],
)
def test_a_catalogue_with_forged_rows_is_not_copied(world: Any, tmp_path: Path, sql: str) -> None:
    """Each table counts: what filters see, what lives, which files, which rows were replaced."""
    col, model = world
    making.give_vectors(col, model, "vec", ["d1", "d2"], np.random.default_rng(0))
    col.commit()
    col.close()
    db = sqlite3.connect(tmp_path / "docs.grain/catalogue.sqlite")
    assert db.execute(sql).rowcount > 0
    db.commit()
    db.close()
    with pytest.raises(bigrain.DamagedError, match="catalogue.sqlite"):
        back_up(
            Folder(QuickDisk(), tmp_path / "docs.grain"), tmp_path / "copy.grain", Reporter(None)
        )
    assert os.listdir(tmp_path) == ["docs.grain"]


def test_a_missing_segment_is_named(world: Any, tmp_path: Path) -> None:
    col, _ = world
    gone = min((tmp_path / "docs.grain/segments").iterdir())
    gone.unlink()
    for link in (False, True):
        with pytest.raises(bigrain.DamagedError, match=f"{gone.name}.*no such file"):
            col.backup(tmp_path / "copy.grain", link=link)
    assert os.listdir(tmp_path) == ["docs.grain"]


def test_a_link_over_file_systems_says_to_leave_link_out(
    world: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(source: Path, target: Path) -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), str(source), None, str(target))

    monkeypatch.setattr(os, "link", refuse)
    with pytest.raises(
        bigrain.StorageError, match="different file systems.*leave out link"
    ) as told:
        world[0].backup(tmp_path / "copy.grain", link=True)
    assert told.value.errno == errno.EXDEV and ".new" not in str(told.value)
    assert os.listdir(tmp_path) == ["docs.grain"]


@LINK
def test_whatever_fails_nothing_is_left_and_the_source_is_untouched(
    tmp_path: Path, link: bool
) -> None:
    """Every operation of a backup fails once."""
    source, target = tmp_path / "docs.grain", tmp_path / "copy.grain"
    fields = {name: making.FIELDS[name] for name in ("lex", "vec")}
    col, model = making.make(source, fields)
    making.fill(col, model, ["a", "b"])
    making.commit(col, model)
    col.close()
    n, tripped = 0, True
    while tripped:
        n += 1
        files = FaultyFiles(QuickDisk(), code=(errno.EIO, errno.ENOSPC)[n % 2], tear=True)
        with bigrain.open(source, read_only=True, files=files) as reader:
            files.fail_at = files.count + n
            try:
                reader.backup(target, link=link)
            except bigrain.StorageError:
                assert os.listdir(tmp_path) == ["docs.grain"], files.log[-1]
            else:
                shutil.rmtree(target)  # made in spite of what failed: letting go of a pin
            tripped = files.tripped
            files.heal()
    assert n > 20
    with bigrain.open(source, files=QuickDisk()) as again:
        check_invariants(again, model)


@pytest.mark.skipif(not vfs.available(), reason="this Python's SQLite cannot be watched")
@LINK
def test_a_power_cut_leaves_a_whole_backup_or_none(tmp_path: Path, link: bool) -> None:
    root = tmp_path / "recorded"
    root.mkdir()
    files = RecordingFiles(root)
    with bigrain.create(root / "docs.grain", {"lex": bigrain.LexicalField()}, files=files) as col:
        col.add([{"id": f"d{i}", "text": f"every {i}"} for i in range(5)])
        col.commit()
        with files:
            col.backup(root / "copy.grain", link=link)
            files.mark("done")
    whole = opened = 0
    for number, image in enumerate(images(files.start, files.events, every=9, singles=2, torn=1)):
        image.lay_out(tmp_path / str(number))
        copy = tmp_path / str(number) / "copy.grain"
        assert copy.exists() or "done" not in image.marks
        if copy.exists():
            opened += 1
            with bigrain.open(copy, read_only=True) as found:
                whole += found.verify().ok and len(found) == 5
        shutil.rmtree(tmp_path / str(number))
    assert whole == opened > 2 and number > opened + 10


def test_cancelling_leaves_nothing(world: Any, tmp_path: Path) -> None:
    col, _ = world
    stages = set()

    def cancel(update: bigrain.ProgressUpdate) -> None:
        stages.add(update.stage)
        if update.stage == "segments":
            raise bigrain.CancelledError("enough")

    with pytest.raises(bigrain.CancelledError):
        col.backup(tmp_path / "copy.grain", progress=cancel)
    assert {"catalogue", "documents", "segments"} <= stages
    assert os.listdir(tmp_path) == ["docs.grain"]


def test_a_damaged_backup_names_what_is_lost_as_the_original_would(tmp_path: Path) -> None:
    with bigrain.create(tmp_path / "docs.grain", {"lex": bigrain.LexicalField()}) as col:
        for i in range(4):
            col.add([{"id": f"{i}-{j}", "title": f"title {j:03d}", "text": "x"} for j in range(90)])
            col.commit()
        col.compact()
        col.backup(tmp_path / "copy.grain")
    for name in ("docs.grain", "copy.grain"):
        file = tmp_path / name / "catalogue.sqlite"
        data = bytearray(file.read_bytes())
        data[data.find(b"title 007")] ^= 255
        file.write_bytes(data)
        report = bigrain.repair(tmp_path / name)
        assert report.documents_lost == ["0-7"] and not report.documents_unnamed
        assert report.notes == []
