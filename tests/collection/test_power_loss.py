"""The power goes at any moment: what was acknowledged is there, and nothing is half there.

`tests/soak/power.py` replays every prefix with many more choices.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bigrain.errors import DamagedError
from bigrain.testing import vfs
from bigrain.testing.power import RecordingFiles
from tests.collection import power

pytestmark = pytest.mark.skipif(
    not vfs.available(), reason="the functions of this Python's SQLite cannot be reached"
)
CHOICES: dict[str, dict[str, Any]] = {
    "create": {"every": 3, "singles": 3, "torn": 1},
    "change": {"every": 13, "singles": 2, "torn": 1},
    "merge": {"every": 61, "singles": 1, "torn": 1},
    "checkpoint": {"every": 23, "singles": 2, "torn": 1},
    "backup": {"every": 3, "singles": 3, "torn": 1},
    "repair": {"every": 19, "singles": 2, "torn": 1},
}


@pytest.mark.parametrize("name", power.WORKLOADS)
def test_after_a_power_cut_the_old_or_the_new_snapshot_is_there(tmp_path: Path, name: str) -> None:
    story = power.record(tmp_path / "recorded", name)
    judge = power.Judge(story, tmp_path, write_every=9)
    power.replay(story, judge, **CHOICES[name])
    assert judge.opened > 12
    assert story.broken or (judge.found["old"] and judge.found["new"]), judge.found
    assert set(judge.replayed) == {"none", "all", "one dropped", "one alone", "torn"}


@contextmanager
def without(sabotage: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Storage that leaves out one of the syncs that it needs."""
    with monkeypatch.context() as patch:
        if sabotage == "synchronous":
            original = vfs.WatchedFiles.connect

            def connect(self: Any, path: Path, *, read_only: bool) -> Any:
                db = original(self, path, read_only=read_only)
                return Careless(db)

            patch.setattr(vfs.WatchedFiles, "connect", connect)
        else:
            patch.setattr(RecordingFiles, "sync_folder", lambda *_: None)
        yield


class Careless:
    """A connection that does not wait for the log at a commit."""

    def __init__(self, db: Any) -> None:
        self._db = db

    def execute(self, sql: str, parameters: Any = ()) -> Any:
        return self._db.execute(
            sql.replace("synchronous = FULL", "synchronous = NORMAL"), parameters
        )

    def __getattr__(self, name: str) -> Any:
        return getattr(self._db, name)


@pytest.mark.parametrize(
    ("name", "sabotage"),
    [("create", "sync_folder"), ("change", "sync_folder"), ("change", "synchronous")],
)
def test_a_forgotten_sync_would_be_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, sabotage: str
) -> None:
    with without(sabotage, monkeypatch):
        story = power.record(tmp_path / "recorded", name)
    judge = power.Judge(story, tmp_path, write_every=10**9)
    with pytest.raises((AssertionError, OSError, DamagedError)):
        power.replay(story, judge, singles=0, torn=0)
