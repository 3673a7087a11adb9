"""The model of a disk that loses power."""

from pathlib import Path

import pytest

from bigrain.testing import vfs
from bigrain.testing.power import SECTOR, Event, Image, RecordingFiles, images

pytestmark = pytest.mark.skipif(
    not vfs.available(), reason="the functions of this Python's SQLite cannot be reached"
)


def last(
    events: list[Event], start: dict[str, bytes | None] | None = None, **kwargs: int
) -> list[Image]:
    """What may be found after the whole of it."""
    found = list(images(start or {}, events, **kwargs))
    return [image for image in found if image.point == len(events)]


def contents(found: list[Image], path: str) -> set[bytes | None]:
    return {image.files.get(path) for image in found}


def test_what_was_synced_is_there_and_only_that_is_certain() -> None:
    events = [Event("create", "a"), Event("write", "a", data=b"x" * 9)]
    assert contents(last(events), "a") == {None, b"", b"x" * 9, *contents(last(events), "a")}
    assert None in contents(last([*events, Event("sync", "a")]), "a"), "its name is not safe yet"
    assert b"" in contents(last([*events, Event("sync_folder", ".")]), "a"), "its content is not"
    safe = [*events, Event("sync", "a"), Event("sync_folder", ".")]
    assert contents(last(safe), "a") == {b"x" * 9}


def test_a_write_is_torn_at_sectors_and_a_hole_reads_as_zeros() -> None:
    events = [Event("write", "a", offset=100, data=b"n" * (3 * SECTOR))]
    start: dict[str, bytes | None] = {"a": b"o" * 200}
    found = {bytes(f) for f in contents(last(events, start, torn=200), "a") if f is not None}
    edges = [0, 100, 200, SECTOR, 2 * SECTOR, 3 * SECTOR, 100 + 3 * SECTOR]
    for image in found:
        pieces = [image[a:b] for a, b in zip(edges, edges[1:], strict=False)]
        assert all(len(set(piece)) <= 1 for piece in pieces), "torn inside a sector"
        assert set(image) <= set(b"on\0") and image[:100] == b"o" * 100
    assert len(found) > 8
    assert any(b"\0" in image and image.endswith(b"n") for image in found), "later sectors alone"


def test_a_rename_happens_or_not_and_may_come_before_its_content() -> None:
    start: dict[str, bytes | None] = {"f": None, "f/new": b"old"}
    events = [
        Event("create", "f/new.part"),
        Event("write", "f/new.part", data=b"fresh"),
        Event("rename", "f/new.part", to="f/new"),
    ]
    found = last(events, start)
    assert contents(found, "f/new") == {b"old", b"", b"fresh"}
    assert all("f/new" in image.files for image in found), "neither the old nor the new"


def test_a_folder_can_be_renamed_with_what_is_in_it() -> None:
    events = [
        Event("make_folder", "draft"),
        Event("create", "draft/a"),
        Event("sync_folder", "draft"),
        Event("rename", "draft", to="final"),
        Event("sync_folder", "."),
        Event("write", "final/a", data=b"1"),
        Event("sync", "final/a"),
        Event("remove", "final/a"),
    ]
    assert {tuple(sorted(image.files)) for image in last(events)} == {(), ("final/a",)}
    assert all(image.folders == {"final"} for image in last(events))


def test_recording_sees_what_sqlite_does(tmp_path: Path) -> None:
    """Its log, and the sync of the folder that makes the log's name safe."""
    with RecordingFiles(tmp_path) as files:
        db = files.connect(tmp_path / "a.sqlite", read_only=False)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("CREATE TABLE t (x)")
        files.mark("before")
        db.execute("INSERT INTO t VALUES (1)")
        files.mark("after")
        db.close()
    assert not files.errors
    at = [e.path if e.kind == "mark" else e.kind for e in files.events]
    between = files.events[at.index("before") + 1 : at.index("after")]
    assert [e.kind for e in between if e.kind != "write"] == ["sync"]
    assert {e.path for e in between} == {"a.sqlite-wal"}
    log = [e for e in files.events if e.path in ("a.sqlite-wal", ".")]
    kinds = [e.kind for e in log]
    assert kinds.index("sync_folder", kinds.index("create")) < at.index("before")
    assert files.events[-1].kind == "remove", "the last to close removes the log"
