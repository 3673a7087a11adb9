"""The catalogue: documents by snapshot, checksums, damage, connections."""

import os
import shutil
import sqlite3
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bigrain
from bigrain.errors import (
    DamagedError,
    FormatError,
    NotACollectionError,
    StorageError,
)
from bigrain.storage.catalogue import (
    CATALOGUE,
    Catalogue,
    SegmentRow,
    Stored,
    pack_text,
    unpack_text,
)
from bigrain.storage.files import Disk, Files
from bigrain.testing import FaultyFiles, QuickDisk
from tests.collection import making


def catalogue(folder: Path, files: Files | None = None) -> Catalogue:
    Catalogue.create(
        QuickDisk(), folder, settings={"next_docno": 0}, fields={}, cache_bytes=1 << 20
    )
    return Catalogue(files or QuickDisk(), folder, cache_bytes=1 << 20)


def stored(number: int, identifier: str, passages: int = 1) -> Stored:
    spans = None if passages == 1 else np.zeros((passages, 2), np.int32)
    return Stored(number, identifier, "title", "text " * 100, {"a": [1, "x"]}, spans)


def test_a_document_belongs_to_the_snapshots_between_birth_and_death(tmp_path: Path) -> None:
    cat = catalogue(tmp_path)
    cat.begin_writing()
    cat.insert_documents([stored(0, "a"), stored(1, "b", 3)], born=1)
    assert cat.snapshot() == (0, 0) and not cat.documents_by_id(["a"], 1)  # pending
    cat.commit(1, next_docno=4, documents_delta=2)
    cat.begin_writing()
    cat.kill_documents([0], died=2)
    cat.insert_documents([stored(4, "a")], born=2)
    assert cat.find_live(["a", "b", "c"]) == {"a": 4, "b": 1}
    cat.commit(2, next_docno=5, documents_delta=0)
    for snapshot, number in ((1, 0), (2, 4)):
        assert cat.documents_by_id(["a"], snapshot)["a"].docno == number
        assert [d.docno for d in cat.live_documents(snapshot)] == sorted({number, 1})
    assert cat.dead_documents(1).tolist() == [] and cat.dead_documents(2).tolist() == [[0, 1]]
    assert cat.long_documents(2).tolist() == [[1, 3]]
    assert cat.ids([0, 1, 9]) == {0: "a", 1: "b"}
    cat.close()


def test_two_live_documents_of_one_id_are_impossible(tmp_path: Path) -> None:
    cat = catalogue(tmp_path)
    cat.begin_writing()
    with pytest.raises(sqlite3.IntegrityError), cat.savepoint():
        cat.insert_documents([stored(0, "a"), stored(1, "a")], born=1)
    assert cat.find_live(["a"]) == {}
    cat.close()


def test_a_savepoint_undoes_its_block_and_no_other(tmp_path: Path) -> None:
    cat = catalogue(tmp_path)
    cat.begin_writing()
    cat.insert_documents([stored(0, "a")], born=1)
    with pytest.raises(KeyboardInterrupt), cat.savepoint():
        cat.insert_documents([stored(1, "b")], born=1)
        raise KeyboardInterrupt
    assert cat.find_live(["a", "b"]) == {"a": 0}
    cat.close()


def test_older_snapshots_are_read_and_verified_after_later_commits_and_purges(
    tmp_path: Path,
) -> None:
    cat, rng = catalogue(tmp_path), np.random.default_rng(5)
    live: list[int] = []
    files: list[str] = []
    states: dict[int, tuple[list[int], list[str]]] = {0: ([], [])}
    docno = oldest = 0
    for snapshot in range(1, 40):
        cat.begin_writing()
        new = []
        for _ in range(rng.integers(0, 4)):
            new.append(stored(docno, f"d{docno}", int(rng.integers(1, 4))))
            docno += new[-1].n_passages
        cat.insert_documents(new, born=snapshot)
        candidates = live + [d.docno for d in new]
        gone = [n for n in candidates if rng.random() < 0.2]
        cat.kill_documents(gone, died=snapshot)
        live = [n for n in candidates if n not in gone]
        file = f"f-{snapshot}.seg"
        cat.add_segment(SegmentRow(file, "f", len(new), 100, snapshot))
        for other in files:
            units = np.unique(rng.integers(0, docno + 1, 3))
            cat.supersede(other, units, since=snapshot)
            cat.supersede(other, units[:1], since=snapshot)  # already there
        files.append(file)
        if len(files) > 4:
            cat.retire_segments(files[:3], died=snapshot)
            files = files[3:]
        delta = len(new) - len(gone)
        assert cat.commit(snapshot, next_docno=docno, documents_delta=delta) == len(live)
        states[snapshot] = (list(live), list(files))
        if snapshot % 7 == 0:
            oldest = snapshot - int(rng.integers(0, 4))
            cat.begin_writing()
            cat.purge(oldest, documents=snapshot % 2 == 0)
        for seen in range(oldest, snapshot + 1):
            numbers, listed = states[seen]
            assert cat.live_docnos(seen).tolist() == numbers
            assert [d.docno for d in cat.live_documents(seen)] == numbers
            assert sorted(row.file for row in cat.segments(seen)) == sorted(listed)
            assert set(cat.superseded(seen)) <= set(listed)
            assert not set(cat.dead_documents(seen)[:, 0].tolist()) & set(numbers)
            cat.long_documents(seen)
    assert cat.complaints() == []
    cat.close()


@pytest.mark.parametrize("statement", ["RELEASE change", "ROLLBACK TO change"])
def test_half_a_change_is_never_committed(tmp_path: Path, statement: str) -> None:
    files = FaultyFiles(only=statement)
    cat = catalogue(tmp_path, files)
    cat.begin_writing()
    files.fail_at, files.forever = 1, True
    with pytest.raises((StorageError, KeyError)), cat.savepoint():
        cat.insert_documents([stored(0, "a")], born=1)
        if statement.startswith("ROLLBACK"):
            raise KeyError
    assert not cat.transaction_alive or cat.find_live(["a"]) == {}
    cat.close()
    assert not Catalogue(Disk(), tmp_path, cache_bytes=1).documents([0])


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=400))
def test_texts_are_packed_without_loss(text: str) -> None:
    assert unpack_text(pack_text(text)) == text
    assert len(pack_text(text)) <= len(text.encode()) + 1


def test_threads_that_come_and_go_leave_no_connections(tmp_path: Path) -> None:
    col, model = making.make(tmp_path / "docs.grain")
    making.fill(col, model, ["a", "b"])
    col.commit()

    def open_files() -> int:
        return len(os.listdir("/proc/self/fd")) if os.path.exists("/proc/self/fd") else 0

    col.search_many(["grain"] * 70, threads=2)
    before = open_files()
    for _ in range(20):
        col.search_many(["grain"] * 70, threads=2)
        thread = threading.Thread(target=col.search, args=("grain",))
        thread.start()
        thread.join()
    assert open_files() <= before + 9  # a connection holds up to three files
    col.close()


def test_close_lets_go_of_every_file(tmp_path: Path) -> None:
    if not os.path.exists("/proc/self/fd"):
        pytest.skip("needs /proc")
    col, model = making.make(tmp_path / "docs.grain")
    making.fill(col, model, ["a", "b"])
    col.commit()
    col.search("grain")
    col.close()
    links = [os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if
             os.path.lexists(f"/proc/self/fd/{fd}")]  # fmt: skip
    assert [link for link in links if str(tmp_path) in link] == []


def test_verify_names_a_damaged_document(tmp_path: Path) -> None:
    path = tmp_path / "docs.grain"
    col, model = making.make(path)
    making.fill(col, model, ["a", "b"])
    col.commit()
    col.close()
    db = sqlite3.connect(path / CATALOGUE)
    db.execute("UPDATE documents SET title = 'forged' WHERE id = 'b'")
    db.commit()
    db.close()
    with bigrain.open(path) as col:
        assert col.get(["a"])[0] is not None
        with pytest.raises(DamagedError, match="document 'b'"):
            col.get(["b"])
        (problem,) = [p for p in col.verify().problems if "crc32" in p]
        assert "document 'b'" in problem


@pytest.mark.parametrize("value", ["x'6100ff'", "'b'", "cast(x'ff' as text)", "7"])
def test_an_id_that_is_another_now_is_damage(tmp_path: Path, value: str) -> None:
    cat = catalogue(tmp_path)
    cat.begin_writing()
    cat.insert_documents([stored(0, 'a\0\x1f"\\\u2028é😀'), stored(1, "c")], born=1)
    cat.commit(1, next_docno=2, documents_delta=2)
    assert cat.ids([0, 1, 5]) == {0: 'a\0\x1f"\\\u2028é😀', 1: "c"}
    assert cat.ids_and_metadata([1]) == {1: ("c", {"a": [1, "x"]})}
    with sqlite3.connect(tmp_path / CATALOGUE) as db:
        db.execute(f"UPDATE documents SET id = {value} WHERE docno = 1")
    with pytest.raises(DamagedError):
        cat.ids([0, 1])
    cat.close()


@pytest.mark.parametrize(
    ("pragma", "error"),
    [
        ("user_version = 99", FormatError),
        ("application_id = 5", DamagedError),
    ],
)
def test_other_and_newer_catalogues_are_refused(
    tmp_path: Path, pragma: str, error: type[Exception]
) -> None:
    path = tmp_path / "docs.grain"
    making.make(path)[0].close()
    db = sqlite3.connect(path / CATALOGUE)
    db.execute(f"PRAGMA {pragma}")
    db.close()
    with pytest.raises(error):
        bigrain.open(path)


@pytest.mark.parametrize("content", [b"", "application_id = 5"])
def test_an_empty_or_strange_catalogue_is_damage_only_beside_segments(
    tmp_path: Path, content: bytes | str
) -> None:
    path = tmp_path / "docs.grain"
    making.make(path)[0].close()
    if isinstance(content, bytes):
        (path / CATALOGUE).write_bytes(content)
    else:
        db = sqlite3.connect(path / CATALOGUE)
        db.execute(f"PRAGMA {content}")
        db.close()
    with pytest.raises(DamagedError, match="the header"):
        bigrain.open(path)
    shutil.rmtree(path / "segments")
    with pytest.raises(NotACollectionError):
        bigrain.open(path)


def test_garbage_in_place_of_the_catalogue_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "docs.grain"
    making.make(path)[0].close()
    (path / CATALOGUE).write_bytes(b"garbage" * 1000)
    with pytest.raises(DamagedError):
        bigrain.open(path)


def test_segments_in_each_others_place_are_damage(tmp_path: Path) -> None:
    path = tmp_path / "docs.grain"
    col, model = making.make(path)
    making.fill(col, model, ["a", "b", "c"])
    col.commit()
    col.close()
    files = sorted((path / "segments").iterdir())
    contents = [f.read_bytes() for f in files]
    for i, file in enumerate(files):
        for j, content in enumerate(contents):
            file.write_bytes(content)
            if i != j:
                with pytest.raises(DamagedError), bigrain.open(path) as col:
                    assert not col.verify().ok
                    raise DamagedError(file.name, "found by verify", "", "")
        file.write_bytes(contents[i])
    shutil.rmtree(path)
