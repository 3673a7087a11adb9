"""SQLite's calls, failing on purpose."""

import errno
import gc
import sqlite3
import threading
import time
from pathlib import Path

import pytest

from bigrain.errors import StorageError
from bigrain.testing import FaultyFiles, vfs
from bigrain.testing.vfs import Call, FaultySqlite, Proceed, WatchedFiles

pytestmark = pytest.mark.skipif(
    not vfs.available(), reason="the functions of this Python's SQLite cannot be reached"
)


def table(path: Path) -> None:
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("CREATE TABLE t (x)")
    db.close()


@pytest.mark.parametrize(
    ("only", "code", "says"),
    [
        ("xWrite", errno.EIO, "SQLITE_IOERR_WRITE"),
        ("xWrite", errno.ENOSPC, "SQLITE_FULL"),
        ("xSync", errno.EIO, "SQLITE_IOERR_FSYNC"),
        ("xRead", errno.EIO, "SQLITE_IOERR_READ"),
        ("xShmLock", errno.EIO, "SQLITE_IOERR_SHMLOCK"),
        ("xOpen catalogue", errno.EIO, "SQLITE_CANTOPEN"),
    ],
)
def test_sqlite_says_what_the_system_would_make_it_say(
    tmp_path: Path, only: str, code: int, says: str
) -> None:
    table(tmp_path / "catalogue.sqlite")
    files = FaultySqlite(only=only, code=code, fail_at=1)
    with pytest.raises((sqlite3.OperationalError, StorageError)) as told:
        db = files.connect(tmp_path / "catalogue.sqlite", read_only=False)
        db.execute("PRAGMA synchronous = FULL")
        db.execute("INSERT INTO t VALUES (1)")
    error = told.value.__cause__ or told.value
    assert isinstance(error, sqlite3.Error) and error.sqlite_errorname == says and files.tripped
    files.let_go()
    db = sqlite3.connect(tmp_path / "catalogue.sqlite")
    assert db.execute("SELECT count(*) FROM t").fetchone() == (0,)
    db.close()
    assert not files.errors


def test_what_sqlite_can_do_without_is_no_error(tmp_path: Path) -> None:
    """Cutting the log to size is a courtesy: a commit does not fail for it."""
    table(tmp_path / "a")
    files = FaultySqlite(only="xTruncate a-wal")
    db = files.connect(tmp_path / "a", read_only=False)
    db.execute("PRAGMA journal_size_limit = 100")
    db.execute("INSERT INTO t VALUES (randomblob(100000))")
    db.execute("PRAGMA wal_checkpoint(RESTART)")
    files.fail_at, files.forever = files.count + 1, True
    db.execute("INSERT INTO t VALUES (1)")
    assert files.tripped
    assert db.execute("SELECT count(*) FROM t").fetchone() == (2,)
    db.close()


def test_readers_and_a_writer_see_what_they_would_see_anyway(tmp_path: Path) -> None:
    table(tmp_path / "a")
    files = WatchedFiles()
    writer = files.connect(tmp_path / "a", read_only=False)
    reader = files.connect(tmp_path / "a", read_only=True)
    count = "SELECT count(*) FROM t"
    writer.execute("BEGIN IMMEDIATE")
    writer.execute("INSERT INTO t VALUES (1)")
    assert reader.execute(count).fetchone() == (0,)
    writer.execute("COMMIT")
    assert reader.execute(count).fetchone() == (1,)
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader.execute("DELETE FROM t")
    files.let_go()


def test_a_torn_write_leaves_half(tmp_path: Path) -> None:
    table(tmp_path / "a")
    files = FaultySqlite(only="xWrite", fail_at=3, tear=True)  # log header, frame header, page
    db = files.connect(tmp_path / "a", read_only=False)
    with pytest.raises(sqlite3.OperationalError):
        db.execute("INSERT INTO t VALUES (1)")
    assert (tmp_path / "a-wal").stat().st_size == 32 + 24 + 4096 // 2
    db.close()


def test_a_call_can_be_late(tmp_path: Path) -> None:
    table(tmp_path / "a")
    files = FaultySqlite(only="xSync", fail_at=1, delay=0.3)
    writer = files.connect(tmp_path / "a", read_only=False)
    writer.execute("PRAGMA synchronous = FULL")
    thread = threading.Thread(target=writer.execute, args=("INSERT INTO t VALUES (1)",))
    began = time.monotonic()
    thread.start()
    while not files.tripped:
        time.sleep(0.001)
    other = sqlite3.connect(tmp_path / "a", timeout=0, isolation_level=None)
    assert other.execute("SELECT count(*) FROM t").fetchone() == (0,), "not committed yet"
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        other.execute("BEGIN IMMEDIATE")
    thread.join()
    assert time.monotonic() - began >= 0.3
    assert other.execute("SELECT count(*) FROM t").fetchone() == (1,)
    other.close()
    writer.close()


def test_a_file_operation_can_be_late(tmp_path: Path) -> None:
    files = FaultyFiles(only="write", fail_at=1, delay=0.2)
    writer = files.create(tmp_path / "x")
    began = time.monotonic()
    writer.write(b"all of it")
    assert time.monotonic() - began >= 0.2 and files.tripped
    writer.close()
    assert (tmp_path / "x").read_bytes() == b"all of it"


def test_an_error_in_the_watching_is_kept(tmp_path: Path) -> None:
    class Broken(WatchedFiles):
        def around(self, call: Call, proceed: Proceed) -> int:
            if call.name == "xOpen":
                raise KeyError(call.path)
            return proceed()

    files = Broken()
    with pytest.raises(StorageError):
        files.connect(tmp_path / "a", read_only=False)
    assert isinstance(files.errors[0], KeyError)


def test_tables_are_used_again(tmp_path: Path) -> None:
    def use() -> int:
        files = WatchedFiles(syncs=False)
        db = files.connect(tmp_path / "a", read_only=False)
        db.execute("PRAGMA user_version")
        db.close()
        return vfs._Vfs._made

    first = use()
    gc.collect()
    assert use() == first
