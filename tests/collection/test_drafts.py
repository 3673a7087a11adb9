"""What a killed `create`, `index` or `backup` leaves beside its target, and who clears it away."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import bigrain
from bigrain.errors import StorageError
from bigrain.storage.drafts import drafting
from bigrain.storage.files import Disk

SOURCE = Path(bigrain.__file__).parents[1]
LEXICAL = {"lexical": bigrain.LexicalField()}

STALL = """
import sys, time, bigrain
from pathlib import Path
from bigrain.storage.files import Disk

class Stalling(Disk):
    def rename(self, source, target):
        if source.name.endswith(".new"):
            print("ready", flush=True)
            time.sleep(60)
        super().rename(source, target)

what, here = sys.argv[1], Path(sys.argv[2])
if what == "create":
    bigrain.create(here / "new.grain", {"lexical": bigrain.LexicalField()}, files=Stalling())
elif what == "backup":
    bigrain.open(here / "docs.grain", files=Stalling()).backup(here / "new.grain")
else:
    from bigrain.cli import main
    print("ready", flush=True)
    main(["index", "-", "--to", str(here / "new.grain"), "--no-dense"])
"""


def drafts(folder: Path) -> list[Path]:
    return sorted(folder.glob(".new.grain.*.new"))


def start(what: str, folder: Path) -> subprocess.Popen[str]:
    child = subprocess.Popen(
        [sys.executable, "-c", STALL, what, str(folder)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
    )  # fmt: skip
    assert child.stdout and child.stdout.readline() == "ready\n"
    while not drafts(folder) or not list(drafts(folder)[0].glob("**/catalogue.sqlite")):
        assert child.poll() is None  # it waits for documents, after its draft is made
        try:
            child.wait(0.05)
        except subprocess.TimeoutExpired:
            continue
    return child


@pytest.fixture
def here(tmp_path: Path) -> Path:
    with bigrain.create(tmp_path / "docs.grain", LEXICAL) as col:
        col.add(["grain"])
        col.commit()
    return tmp_path


@pytest.mark.parametrize("what", ["create", "backup", "index"])
def test_a_hidden_folder_left_by_a_killed_one_goes_with_the_next(here: Path, what: str) -> None:
    child = start(what, here)
    try:
        (held,) = drafts(here)
        bigrain.create(here / "new.grain", LEXICAL).close()  # the other is at work: its draft stays
        assert drafts(here) == [held]
        shutil.rmtree(here / "new.grain")
        child.send_signal(signal.SIGKILL)
    finally:
        child.kill()
        child.communicate()
    assert drafts(here) == [held]
    bigrain.create(here / "other.grain", LEXICAL).close()  # of another name: not its business
    assert drafts(here) == [held]
    with bigrain.open(here / "docs.grain") as col:
        col.backup(here / "new.grain")
    assert sorted(os.listdir(here)) == ["docs.grain", "new.grain", "other.grain"]


def test_a_killed_index_is_cleared_away_by_the_next_index(here: Path) -> None:
    child = start("index", here)
    child.kill()
    child.communicate()
    (here / "text.txt").write_text("grain")
    done = subprocess.run(
        [sys.executable, "-m", "bigrain", "index", "text.txt", "--to", "new.grain", "--no-dense"],
        cwd=here, env={**os.environ, "PYTHONPATH": str(SOURCE)}, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert sorted(os.listdir(here)) == ["docs.grain", "new.grain", "text.txt"]


def test_what_only_looks_like_a_draft_is_left_alone(here: Path) -> None:
    mine, elsewhere = here / ".new.grain.mine.new", here / "elsewhere"
    for folder in (mine, elsewhere):
        folder.mkdir()
        (folder / "file").write_text("mine")
    (here / ".new.grain.0123abcd.new").symlink_to(elsewhere)
    (here / ".new.grain.0123abce.new").write_text("a file")
    bigrain.create(here / "new.grain", LEXICAL).close()
    assert os.listdir(mine) == os.listdir(elsewhere) == ["file"]
    assert len(drafts(here)) == 3


def test_a_draft_swept_before_it_was_locked_is_made_again(tmp_path: Path) -> None:
    """Another maker may come between making the folder and locking it, at either moment."""

    class Overtaken(Disk):
        times = 0

        def lock(self, path: Path, *, shared: bool = False) -> Any:
            self.times += 1
            if self.times == 1:
                shutil.rmtree(path.parent)
            elif self.times == 2:
                self.other = super().lock(path)
            elif self.times == 3:
                lock = super().lock(path)
                shutil.rmtree(path.parent)
                return lock
            return super().lock(path, shared=shared)

    files = Overtaken()
    with drafting(files, tmp_path / "new.grain") as draft:
        assert files.times == 4 and draft.is_dir()
        (draft / "file").write_text("whole")
        files.rename(draft, tmp_path / "new.grain")
    assert sorted(os.listdir(tmp_path / "new.grain")) == ["file", "writer.lock"]


def test_a_folder_that_cannot_be_listed_still_takes_a_collection(tmp_path: Path) -> None:
    class Unlisted(Disk):
        def names(self, folder: Path) -> list[str]:
            if folder == tmp_path:
                raise StorageError(13, "cannot list: Permission denied")
            return super().names(folder)

    bigrain.create(tmp_path / "new.grain", LEXICAL, files=Unlisted()).close()
    assert os.listdir(tmp_path) == ["new.grain"]
