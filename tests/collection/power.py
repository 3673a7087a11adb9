"""Workloads to cut the power of, and the judgement of what is found afterwards."""

import os
import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from shutil import rmtree
from typing import Any

import numpy as np

import bigrain
from bigrain.storage.files import Disk
from bigrain.storage.segment import SegmentFile
from bigrain.testing import Model, QuickDisk, check_invariants
from bigrain.testing.power import Event, Image, RecordingFiles, images
from tests.collection import making

NAME, SOURCE = "docs.grain", "source.grain"
# One family more is one file more that is written and synced like the others.
FIELDS = {name: field for name, field in making.FIELDS.items() if name != "sub"}


@dataclass
class Story:
    """A recorded workload: state n is what its n-th commit made; None is no collection."""

    start: dict[str, bytes | None]
    events: list[Event]
    states: list[Model | None]
    broken: bool = False  # every image is repaired before it is opened

    def allowed(self, image: Image) -> set[int]:
        """The last acknowledged state, and those that had been begun since."""
        done = max((int(m.split()[1]) for m in image.marks if m.startswith("done")), default=0)
        begun = {int(m.split()[1]) for m in image.marks if m.startswith("begin")}
        return {done} | {n for n in begun if n > done}


class Teller:
    """Does the work on recording files, marking the beginning and the end of each commit."""

    def __init__(
        self, files: RecordingFiles, states: list[Model | None], source: Model | None
    ) -> None:
        self.files, self.states, self.source = files, states, source
        self.path = files.root / NAME

    def begin(self) -> None:
        self.files.mark(f"begin {len(self.states)}")

    def done(self, model: Model) -> None:
        self.files.mark(f"done {len(self.states)}")
        self.states.append(model.copy())

    def commit(self, col: Any, model: Model) -> None:
        self.begin()
        making.commit(col, model)
        self.done(model)


def create(tell: Teller) -> None:
    tell.begin()
    col, model = making.make(tell.path, FIELDS, files=tell.files)
    tell.done(model)
    making.fill(col, model, ["a", "b"])
    tell.commit(col, model)
    col.close()


def change(tell: Teller) -> None:
    """Add, replace, delete, vectors alone, with a reader that holds the log, compact, again."""
    model = tell.states[0]
    assert model is not None
    model = model.copy()
    col = bigrain.open(tell.path, files=tell.files)
    making.fill(col, model, ["d1", "e1"], seed=1)
    col.delete(["d0"])
    model.delete(["d0"])
    tell.commit(col, model)
    reader = bigrain.open(tell.path, read_only=True, files=tell.files)
    for name in ("vec", "imp", "tok"):
        making.give_vectors(col, model, name, ["d2", "e1"], np.random.default_rng(2))
    tell.commit(col, model)
    col.close()
    reader.close()
    col = bigrain.open(tell.path, files=tell.files)
    making.fill(col, model, ["lost"], seed=4)
    col.rollback()
    model.rollback()
    col.compact()
    making.fill(col, model, ["d1", "f1"], seed=3)
    tell.commit(col, model)
    col.compact()
    col.close()


def merge(tell: Teller) -> None:
    """Commits until segments are merged, without a close in between."""
    model = tell.states[0]
    assert model is not None
    model = model.copy()
    col = bigrain.open(tell.path, files=tell.files)
    for i in range(9):
        making.fill(col, model, [f"m{i}", f"d{i}"], seed=i)
        tell.commit(col, model)
    col.close()


def checkpoint(tell: Teller) -> None:
    """Commits that move the log into the catalogue while it is in use, and begin the log anew."""
    model = tell.states[0]
    assert model is not None
    model = model.copy()
    col = bigrain.open(tell.path, files=tell.files)
    for i in range(4):
        making.fill(col, model, [f"c{i}", f"d{i}"], seed=i)
        if i:
            col.delete([f"c{i - 1}"])
            model.delete([f"c{i - 1}"])
        tell.commit(col, model)
    col.compact()
    col.close()


def backup(tell: Teller) -> None:
    """A second collection, out of one that is safe; the one judged is the second."""
    model = tell.source
    assert model is not None
    with bigrain.open(tell.files.root / SOURCE, files=tell.files) as col:
        tell.begin()
        col.backup(tell.path)
        tell.done(model)


def repair(tell: Teller) -> None:
    """Codes and the catalogue are made again; a cut leaves what can be repaired once more."""
    model = tell.states[0]
    assert model is not None
    tell.begin()
    bigrain.repair(tell.path, files=tell.files)
    tell.done(model)


def spoil(path: Path) -> None:
    """Damage that loses nothing: codes, and the header of the catalogue."""
    with (path / "catalogue.sqlite").open("r+b") as file:
        file.seek(18)
        file.write(b"\7")
    segment = next((path / "segments").glob("vec-*"))
    with closing(SegmentFile(Disk(), segment)) as opened:
        at = opened.section("blocks").offset
    with segment.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 255]))


class EagerCheckpoints(RecordingFiles):
    """Connections that move the log into the catalogue after four pages instead of a thousand."""

    def connect(self, path: Path, *, read_only: bool) -> sqlite3.Connection:
        db = super().connect(path, read_only=read_only)
        if not read_only:
            db.execute("PRAGMA wal_autocheckpoint = 4")
        return db


WORKLOADS: dict[str, Callable[[Teller], None]] = {
    "create": create,
    "change": change,
    "merge": merge,
    "checkpoint": checkpoint,
    "backup": backup,
    "repair": repair,
}


def record(root: Path, name: str) -> Story:
    """Run a workload below `root`; all but "create" begin with a collection of six documents."""
    root.mkdir()
    source: Model | None = None
    if name != "create":
        col, source = making.make(root / (SOURCE if name == "backup" else NAME), FIELDS)
        making.fill(col, source, [f"d{i}" for i in range(6)])
        making.commit(col, source)
        col.close()
    if name == "repair":
        spoil(root / NAME)
    states = [None if name == "backup" else source]
    with (EagerCheckpoints if name == "checkpoint" else RecordingFiles)(root) as files:
        WORKLOADS[name](Teller(files, states, source))
        files.mark("end")
    assert not files.errors, files.errors
    return Story(files.start, files.events, states, broken=name == "repair")


@dataclass
class Judge:
    """Opens images and says which state each holds; equal images are opened once.

    Every `write_every`-th different image is also written to and compacted.
    """

    story: Story
    scratch: Path
    write_every: int = 1
    replayed: Counter[str] = field(default_factory=Counter)
    found: Counter[str] = field(default_factory=Counter)
    _known: dict[bytes, list[int]] = field(default_factory=dict)

    @property
    def opened(self) -> int:
        return len(self._known)

    def judge(self, image: Image) -> None:
        allowed = self.story.allowed(image)
        digest = image.digest
        try:
            if digest not in self._known:
                self._known[digest] = self._states_in(image)
            held = self._known[digest]
            assert set(held) & allowed, f"found state {held}, not one of {sorted(allowed)}"
        except BaseException as error:
            event = self.story.events[image.point - 1] if image.point else None
            where = f"{event.kind} {event.path}" if event else "nothing"
            error.add_note(f"after event {image.point} ({where}), {image.choice}, {allowed=}")
            raise
        self.replayed[image.choice] += 1
        self.found["old" if min(allowed) in held else "new"] += 1

    def _states_in(self, image: Image) -> list[int]:
        root = self.scratch / "disk"
        if root.exists():
            rmtree(root)
        image.lay_out(root)
        path = root / NAME
        if not path.exists():
            return [0] if self.story.states[0] is None else []
        shm = path / "catalogue.sqlite-shm"  # what it holds after a cut is anybody's guess
        if self.opened % 2:
            shm.write_bytes(os.urandom(32768))
        if self.story.broken:
            report = bigrain.repair(path, files=QuickDisk())
            assert not report.documents_lost and not report.documents_unnamed, report.summary()
        with bigrain.open(path, files=QuickDisk()) as col:
            documents = {d.id: d for d in col.documents()}
            held = []
            problem: AssertionError | None = None
            for n, state in enumerate(self.story.states):
                if state is not None and state.documents == documents:
                    try:
                        check_invariants(col, state)
                        held.append(n)
                    except AssertionError as error:
                        problem = error
            if not held:
                raise problem or AssertionError(f"documents {sorted(documents)} of no state")
            if self.opened % self.write_every == 0:
                model = self.story.states[held[0]]
                assert model is not None
                self._write(col, model.copy())
        return held

    def _write(self, col: Any, model: Model) -> None:
        making.fill(col, model, ["after"], seed=9)
        making.commit(col, model)
        col.compact()
        check_invariants(col, model)
        with suppress(FileNotFoundError):
            assert os.listdir(col.path / "staging") == [], "staging was not emptied"


def replay(story: Story, judge: Judge, **choices: Any) -> None:
    for image in images(story.start, story.events, **choices):
        judge.judge(image)
