"""Collections written by every released format still open, answer the same, and can be written."""

import json
import shutil
import sqlite3
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import pytest

import bigrain
from bigrain.errors import BigrainError, FormatError
from bigrain.storage.catalogue import CATALOGUE
from bigrain.storage.files import Disk
from bigrain.storage.schema import FORMAT_VERSION
from bigrain.storage.segment import SegmentFile
from bigrain.testing import FaultyFiles, QuickDisk
from tests.compat import making

HERE = Path(__file__).parent
FIXTURES = sorted(path.stem for path in HERE.glob("*.zip"))


def unpacked(name: str, folder: Path) -> tuple[Path, dict[str, Any]]:
    path = folder / "docs.grain"
    with zipfile.ZipFile(HERE / f"{name}.zip") as archive:
        archive.extractall(path)
    return path, json.loads((HERE / f"{name}.json").read_text(encoding="utf-8"))


def contents(path: Path) -> dict[str, bytes]:
    """Every file but SQLite's shared memory and empty logs."""
    return {
        str(file.relative_to(path)): file.read_bytes()
        for file in path.rglob("*")
        if file.is_file()
        and not file.name.endswith("-shm")
        and not (file.name.endswith("-wal") and not file.stat().st_size)
    }


def version(path: Path) -> int:
    db = sqlite3.connect(path / CATALOGUE)
    (found,) = db.execute("PRAGMA user_version").fetchone()
    db.close()
    return int(found)


def test_there_is_a_fixture_of_every_format() -> None:
    found = {int(name.rpartition("format")[2]) for name in FIXTURES}
    assert found == set(range(1, FORMAT_VERSION + 1))


@pytest.mark.parametrize("name", FIXTURES)
def test_an_old_collection_is_read_without_changing_a_byte(name: str, tmp_path: Path) -> None:
    path, expected = unpacked(name, tmp_path)
    before = contents(path)
    with bigrain.open(path, read_only=True) as col:
        answers = json.loads(json.dumps(making.answers(col)))
        assert answers["snapshot"] == expected["snapshot"]
        assert answers["segments"] == expected["segments"]
        making.same_answers(answers, expected)
        report = col.verify()
        assert report.ok, report.summary()
        assert bool(report.notes) == (version(path) == 1)
        for condition in (None, "year >= 2010"):
            told = col.search("grain", k=50, fields="words", filter=condition)
            found = col.search_many(["grain"], 50, "words", arrays=True, filter=condition)
            assert [i for i in found[0][0] if i is not None] == [hit.id for hit in told]
    assert contents(path) == before


@pytest.mark.parametrize("name", FIXTURES)
def test_an_old_collection_can_be_written_compacted_and_opened_again(
    name: str, tmp_path: Path
) -> None:
    path, expected = unpacked(name, tmp_path)
    old = bigrain.open(path, read_only=True)  # reads the old snapshot all the while
    with bigrain.open(path) as col:
        col.add([bigrain.Document("A new document on silos.", "new", metadata={"year": 3000})])
        col.delete("d20")
        col.add([{"id": "d21", "text": "Replaced.", "metadata": {"fresh": 1}}])
        col.commit()
        assert col.verify().ok, col.verify().summary()
        col.delete(["new", "d21"])
        col.commit()
        making.same_answers(json.loads(json.dumps(making.answers(old))), expected)
        col.compact()
        assert col.verify().ok, col.verify().summary()
        making.same_answers(json.loads(json.dumps(making.answers(old))), expected)
        old.close()
        col.compact()
    assert version(path) == FORMAT_VERSION
    with bigrain.open(path) as col:
        report = col.verify()
        assert report.ok and not report.notes, report.summary()
        kept = [d for d in expected["documents"] if d[0] not in ("d20", "d21")]
        found = json.loads(json.dumps(making.answers(col)))["documents"]
        assert found == kept
        assert col.stats()["deleted_documents_kept"] == 0


@pytest.mark.parametrize("name", FIXTURES)
def test_a_write_that_is_given_up_leaves_the_old_format(name: str, tmp_path: Path) -> None:
    path, expected = unpacked(name, tmp_path)
    before = version(path)
    with bigrain.open(path) as col:
        col.add(["Never committed."])
        col.rollback()
        col.add(["Never committed either."])
    assert version(path) == before
    with bigrain.open(path) as col:
        making.same_answers(json.loads(json.dumps(making.answers(col))), expected)
        assert col.verify().ok


@pytest.mark.filterwarnings("ignore:snapshot")
def test_an_upgrade_that_fails_leaves_the_old_format_or_the_new(tmp_path: Path) -> None:
    """Every few operations of the first write to format 1, the disk refuses one."""
    original, expected = unpacked(FIXTURES[0], tmp_path / "first")
    n, seen = 1, set()
    while True:
        path = tmp_path / "docs.grain"
        shutil.copytree(original, path)
        files = FaultyFiles(QuickDisk(), fail_at=n)
        try:
            with bigrain.open(path, files=files) as col:
                col.add([{"id": "new", "text": "Something new."}])
                col.delete("d20")
                col.commit()
                col.compact()
        except BigrainError:
            assert files.tripped
        with bigrain.open(path) as col:
            ids = {d.id for d in col.documents()}
            old = {d[0] for d in expected["documents"]}
            assert ids in (old, old - {"d20"} | {"new"})
            assert version(path) == 2 or ids == old
            assert col.verify().ok, col.verify().summary()
        seen.add(version(path))
        shutil.rmtree(path)
        if not files.tripped:
            break
        n += 17
    assert seen == {1, 2}


def test_the_newest_fixture_is_what_this_version_writes(tmp_path: Path) -> None:
    """When this fails, the format has changed: it needs another version and another fixture."""
    newest = max(FIXTURES, key=lambda name: int(name.rpartition("format")[2]))
    path, expected = unpacked(newest, tmp_path / "old")
    fresh = tmp_path / "docs.grain"
    making.build(fresh)
    with bigrain.open(fresh, read_only=True) as col:
        making.same_answers(json.loads(json.dumps(making.answers(col))), expected)
    assert tables(fresh) == tables(path)
    assert sections(fresh) == sections(path)


def tables(path: Path) -> dict[str, str]:
    db = sqlite3.connect(path / CATALOGUE)
    found = dict(db.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall())
    db.close()
    return found


def sections(path: Path) -> set[tuple[str, tuple[tuple[str, str], ...]]]:
    """Each field's sections and their types."""
    found = set()
    for file in sorted((path / "segments").iterdir()):
        segment = SegmentFile(Disk(), file)
        told = tuple(sorted((s.name, s.dtype.str) for s in segment.sections.values()))
        found.add((file.name.rsplit("-", 1)[0], told))
        segment.close()
    return found


def test_a_segment_of_a_newer_format_is_refused_with_advice(tmp_path: Path) -> None:
    path, _ = unpacked(FIXTURES[-1], tmp_path)
    file = sorted((path / "segments").iterdir())[0]
    data = bytearray(file.read_bytes())
    data[8:12] = struct.pack("<I", 99)
    data[60:64] = struct.pack("<I", zlib.crc32(data[:60]))
    file.write_bytes(data)
    with pytest.raises(FormatError, match="99.*upgrade bigrain"):
        bigrain.open(path)
