"""Several processes: one writer, many readers, and processes that are killed."""

import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bigrain
from bigrain.storage.files import Disk
from bigrain.testing import QuickDisk
from tests.collection import making
from tests.storage.killing import Arena

KILLS = int(os.environ.get("BIGRAIN_TEST_KILLS", "50"))
SECONDS = float(os.environ.get("BIGRAIN_TEST_SECONDS", "3"))
SOURCE = Path(bigrain.__file__).parents[1]


def start(script: str, *arguments: object, **options: Any) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(SOURCE), os.getcwd()])}
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, **options,
    )  # fmt: skip


def finish(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    return out


@pytest.fixture
def path(tmp_path: Path) -> Path:
    col, model = making.make(tmp_path / "docs.grain")
    making.fill(col, model, [f"d{i}" for i in range(20)])
    making.commit(col, model)
    col.close()
    return tmp_path / "docs.grain"


HOLD = """
import bigrain, sys, time
col = bigrain.open(sys.argv[1])
col.add(["held"])
print("ready", flush=True)
time.sleep(60)
"""


def test_a_second_writer_is_told_who_the_first_is_until_it_dies(path: Path) -> None:
    child = start(HOLD, path)
    try:
        assert child.stdout and child.stdout.readline() == "ready\n"
        with bigrain.open(path) as col:
            with pytest.raises(bigrain.LockedError) as told:
                col.add(["x"])
            assert str(child.pid) in str(told.value) and socket.gethostname() in str(told.value)
            assert len(col) == 20 and col.search("grain", fields="lex")
            child.send_signal(signal.SIGKILL)
            child.wait()
            col.add(["x"])
            col.commit()
            assert len(col) == 21
    finally:
        child.kill()
        child.communicate()


def test_a_second_writer_in_this_process_is_told_so(path: Path) -> None:
    with bigrain.open(path) as first, bigrain.open(path) as second:
        first.delete(["d0"])
        with pytest.raises(bigrain.LockedError, match="this process"):
            second.delete(["d1"])
        first.commit()
        first.close()
        second.delete(["d1"])  # it sees what the first has done
        second.commit()
        assert len(second) == 18


def test_a_stale_handle_compacts_what_is_there_now(path: Path) -> None:
    with bigrain.open(path) as stale:
        with bigrain.open(path) as other:
            other.delete(["d3"])
            other.add([{"id": "d4", "text": "replaced meanwhile"}])
            other.add_vectors("vec", ["d5"], np.ones((1, 8)))
            other.commit()
        stale.compact()
        assert stale.verify().ok, stale.verify().summary()
        assert len(stale) == 19
        assert [h.id for h in stale.search("replaced meanwhile", k=1, fields="lex")] == ["d4"]
        assert stale.search(np.ones(8), k=1)[0].id == "d5"


def test_everything_deleted_stays_deleted_after_compaction(path: Path) -> None:
    with bigrain.open(path) as col:
        col.delete([f"d{i}" for i in range(20)])
        col.commit()
        col.compact()
    with bigrain.open(path) as col:
        assert len(col) == 0 and col.search("grain", fields="lex") == []
        assert col.stats()["segments"] == 0 and col.verify().ok


def test_orphans_and_staging_are_swept_when_writing_begins_again(path: Path) -> None:
    orphans = [path / "segments" / n for n in ("vec-0123.seg", "lex-4567.seg.part")]
    orphans += [path / "staging" / "vec.rows"]
    for orphan in orphans:
        orphan.write_bytes(b"left by a dead writer")
    with bigrain.open(path) as col:
        assert col.verify().ok and all(o.exists() for o in orphans)
        col.add(["x"])
        assert not any(o.exists() for o in orphans)
        col.commit()
        assert col.verify().ok
    assert os.listdir(path / "staging") == []


def test_a_snapshot_stays_readable_while_a_writer_compacts(path: Path) -> None:
    with bigrain.open(path) as reader, bigrain.open(path) as writer:
        before = {d.id: d for d in reader.documents()}
        hits = reader.search("grain moon", k=30, fields="lex")
        writer.delete([f"d{i}" for i in range(15)])
        writer.commit()
        writer.compact()
        assert reader.search("grain moon", k=30, fields="lex") == hits
        assert {d.id: d for d in reader.documents()} == before and len(reader) == 20
        vectors = reader.search(np.ones(8), k=30)
        assert len(vectors) == 20
        assert reader.refresh() == writer.snapshot and len(reader) == 5
        writer.compact()
        assert len(os.listdir(path / "segments")) == len(making.FIELDS)
        assert reader.verify().ok


def test_pins_of_the_dead_do_not_last(path: Path) -> None:
    with bigrain.open(path):
        pass
    assert os.listdir(path / "readers") == []
    (path / "readers" / "1-1-dead.pin").touch()
    with bigrain.open(path) as col:
        col.add(["x"])
        col.commit()
        col.compact()
        assert len(os.listdir(path / "readers")) == 1
        assert len(os.listdir(path / "segments")) == len(making.FIELDS)


def test_a_writer_that_races_a_new_pin_does_not_break_open(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between making the pin's file and locking it, the writer looks for pins of the dead."""
    original, races = Disk.lock, [0]

    def lock(self: Disk, target: Path, *, shared: bool = False) -> Any:
        held = original(self, target, shared=shared)
        if shared and races[0] < 3:
            races[0] += 1
            target.unlink()  # as the writer does with a file that nobody has locked yet
        return held

    monkeypatch.setattr(Disk, "lock", lock)
    with bigrain.open(path) as col:
        assert races[0] == 3
        assert len(os.listdir(path / "readers")) == 1 and len(col) == 20


def test_threads_search_while_another_commits_and_compacts(path: Path) -> None:
    """Every answer is that of one snapshot: ids of one round are all there or none."""
    stop, errors, searches = threading.Event(), [], [0]

    def read() -> None:
        try:
            newest = 0
            with bigrain.open(path, read_only=True) as col:
                while not stop.is_set():
                    assert newest <= col.refresh() == col.snapshot
                    newest = col.snapshot
                    rounds = {h.metadata["round"] for h in col.search("every", k=50, fields="lex")}
                    found = [h.id for h in col.search("every", k=50, fields="lex")]
                    assert len(found) == len(set(found)) and len(rounds) <= 1, rounds
                    assert len(found) in (0, 10)
                    assert len(col.search(np.ones(8), k=50)) == 20
                    for document in col.get(["r0", "r9"]):
                        assert {document.metadata["round"] if document else None} == (
                            rounds or {None}
                        )
                    if rounds:
                        where = f"round = {min(rounds)}"
                        many = col.search_many(["every", "round"], k=50, fields="lex", filter=where)
                        assert all(sorted(h.id for h in hits) == sorted(found) for hits in many)
                    searches[0] += 1
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=read) for _ in range(2)]
    with bigrain.open(path, files=QuickDisk()) as col:
        shared = threading.Thread(target=lambda: search_one_handle(col, stop, errors))
        threads.append(shared)
        for thread in threads:
            thread.start()
        end = time.monotonic() + SECONDS
        number = 0
        while (time.monotonic() < end or searches[0] < 4 or number < 4) and not errors:
            number += 1
            col.add(
                {"id": f"r{i}", "text": "every round", "metadata": {"round": number}}
                for i in range(10)
            )
            col.commit()
            if number % 4 == 0:
                col.compact()
        stop.set()
        for thread in threads:
            thread.join()
        assert not errors, errors
        assert searches[0] > 3 and number > 3
        assert col.verify().ok


def search_one_handle(col: Any, stop: threading.Event, errors: list[Any]) -> None:
    try:
        while not stop.is_set():
            hits = col.search("every", k=50, fields="lex")
            assert len(hits) in (0, 10) and len({h.metadata["round"] for h in hits}) <= 1
    except BaseException as error:
        errors.append(error)


READ = """
import bigrain, sys, time
end, n = time.monotonic() + float(sys.argv[2]), 0
col = bigrain.open(sys.argv[1], read_only=n == 0)
while n == 0 or time.monotonic() < end:
    col.refresh()
    hits = col.search("every", k=50, fields="lex")
    assert len(hits) in (0, 10), hits
    assert len({h.metadata["round"] for h in hits}) <= 1, hits
    documents = list(col.documents())
    assert len(documents) == len(col), (len(documents), len(col))
    n += 1
    if n % 5 == 0:
        report = col.verify()
        assert report.ok, report.summary()
        col.close()
        col = bigrain.open(sys.argv[1], read_only=True)
print(n)
"""


def test_two_processes_read_while_a_third_writes(path: Path) -> None:
    readers = [start(READ, path, SECONDS) for _ in range(2)]
    number = 0
    with bigrain.open(path) as col:
        while any(reader.poll() is None for reader in readers):
            number += 1
            documents = [
                {"id": f"r{i}", "text": "every round", "metadata": {"round": number}}
                for i in range(10)
            ]
            col.add(documents)
            if number % 5 == 0:
                col.delete([f"r{i}" for i in range(10)])
            col.commit()
            if number % 3 == 0:
                col.compact()
        assert col.verify().ok
    assert all(int(finish(reader)) > 0 for reader in readers)
    assert number > 2


def test_nothing_acknowledged_is_lost_to_kill_9(tmp_path: Path) -> None:
    """A writer is killed at random moments under the eyes of two readers."""
    seed = int(os.environ.get("BIGRAIN_TEST_SEED", random.randrange(10**6)))
    print(f"BIGRAIN_TEST_SEED={seed} replays the moments")
    with Arena(tmp_path, seed) as arena:
        for _ in range(KILLS):
            arena.round()
        arena.clear_up()
    figures = arena.figures
    assert not figures.lost and not figures.torn and not figures.errors, figures
    assert figures.acknowledged > KILLS // 4 and figures.rounds == KILLS
    assert figures.looks > 10 and figures.snapshots_seen > 2


def test_without_the_right_to_write_a_change_is_refused(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a read-only mount, also for those whom permissions do not bind."""
    original = Disk.lock

    def lock(self: Disk, target: Path, *, shared: bool = False) -> Any:
        if target.name == "writer.lock":
            raise bigrain.StorageError(13, "cannot lock writer.lock: Permission denied")
        return original(self, target, shared=shared)

    monkeypatch.setattr(Disk, "lock", lock)
    monkeypatch.setattr(os, "access", lambda *_: False)
    with bigrain.open(path) as col:
        assert os.listdir(path / "readers") == []
        assert len(col) == 20 and col.search("grain", fields="lex") and col.verify().ok
        with pytest.raises(bigrain.ReadOnlyError, match="cannot be written"):
            col.add(["x"])


READ_ONLY = """
import os, sys
if os.getuid() == 0:
    os.setgid(65534); os.setuid(65534)
import bigrain
col = bigrain.open(sys.argv[1])
assert len(col) == 20 and col.search("grain", fields="lex") and col.verify().ok
try:
    col.add(["x"])
except bigrain.ReadOnlyError as error:
    print("refused")
col.close()
"""


def test_a_folder_that_cannot_be_written_can_be_read(path: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        target = Path(folder) / "docs.grain"
        os.rename(path, target)
        for entry in [target, *target.rglob("*")]:
            os.chmod(entry, 0o555 if entry.is_dir() else 0o444)
        child = start(READ_ONLY, target, cwd="/")
        out, err = child.communicate(timeout=60)
        for entry in [target, *target.rglob("*")]:
            os.chmod(entry, 0o755)
        if "ModuleNotFoundError" in err or "PermissionError: [Errno 13]" in err.splitlines()[0:1]:
            pytest.skip("another user cannot import the package here")
        assert out == "refused\n", err
