"""Workloads on a disk that fails, and the judgement of what is left."""

import errno
import os
import shutil
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

import bigrain
from bigrain.errors import BigrainError
from bigrain.testing import FaultyFiles, Model, QuickDisk, check_invariants
from bigrain.testing.vfs import FaultySqlite
from tests.collection import making

OLD = [f"d{i}" for i in range(6)]
VECTORS = ("vec", "imp", "tok")

WAYS: list[dict[str, Any]] = [
    {"forever": False, "code": errno.EIO},
    {"forever": True, "code": errno.ENOSPC},
    {"forever": False, "code": errno.ENOSPC, "tear": True},
    {"forever": True, "code": errno.EIO, "tear": True},
]


def faulty(kind: str, way: dict[str, Any], fail_at: int) -> Any:
    """Files that fail: "file" at an operation of `Files` or a statement, "sqlite" inside it."""
    if kind == "sqlite":
        return FaultySqlite(QuickDisk(), fail_at=fail_at, syncs=False, **way)
    return FaultyFiles(QuickDisk(), fail_at=fail_at, rolls_back=not way.get("tear"), **way)


@dataclass
class Work:
    """A handle on failing files, the model, and the states that may be found afterwards.

    The model moves only with what succeeded.
    """

    col: Any
    model: Model
    forever: bool
    states: list[Model] = field(default_factory=list)

    def commit(self) -> None:
        """A commit that fails is tried once more: it is still pending, or said to be lost."""
        after = self.model.copy()
        after.commit()
        self.states.append(after)
        try:
            self.col.commit()
        except BigrainError:
            if self.forever:
                raise
            self.col.commit()
        self.model.commit()
        self.states[:] = [after]


def change(work: Work) -> None:
    """Add, replace, delete, commit, compact."""
    making.fill(work.col, work.model, ["d2", "f1", "f2"], seed=2)
    work.col.delete(["d0", "f2"])
    work.model.delete(["d0", "f2"])
    work.commit()
    work.col.compact()
    work.col.compact()


def vectors(work: Work) -> None:
    """New vectors of every family for documents that are there."""
    for name in VECTORS:
        making.give_vectors(work.col, work.model, name, ["d1", "e1"], np.random.default_rng(4))
    work.commit()


def spill(work: Work) -> None:
    """More than the builders keep in memory: rows and runs in staging, written and read again."""
    for part in range(2):
        making.fill(work.col, work.model, [f"s{part}{i}" for i in range(3)], seed=5 + part)
    work.commit()


def merge(work: Work) -> None:
    """The commit that makes the eighth segment of every field."""
    making.fill(work.col, work.model, ["m8"], seed=8)
    work.commit()


WORKLOADS: dict[str, Callable[[Work], None]] = {
    "change": change, "vectors": vectors, "spill": spill, "merge": merge
}  # fmt: skip


def prepared(path: Path, workload: str) -> Model:
    """A collection of two segments a field (seven before a merge), made on a sound disk."""
    col, model = making.make(path)
    making.fill(col, model, OLD)
    making.commit(col, model)
    for i in range(6 if workload == "merge" else 1):
        making.fill(col, model, ["d1", f"e{i + 1}"], seed=1 + i)
        making.commit(col, model)
    col.close()
    return model


@contextmanager
def small_buffers(workload: str) -> Iterator[None]:
    """Builders that spill after a few rows."""
    if workload != "spill":
        yield
        return
    with (
        mock.patch("bigrain.storage.spill.BUFFER_BYTES", 48),
        mock.patch("bigrain.index.builder.BYTES_PER_KEY", 1 << 40),
    ):
        yield


def run(path: Path, files: Any, model: Model, workload: str) -> list[Model]:
    """Do the work; after a failure roll back, change something else, and never commit it.

    Leaves two disks: `path`, closed in order, and beside it `killed`, as a process killed before
    that would have left it. Returns the states that either may hold.
    """
    states, col = [model.copy()], None
    try:
        with small_buffers(workload), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "the snapshot is durable, but tidying up failed"
            try:
                col = bigrain.open(path, files=files)
                WORKLOADS[workload](Work(col, model, files.forever, states))
            except (BigrainError, OSError) as error:
                assert files.tripped, error
                with suppress(BigrainError):
                    if col is not None:
                        col.rollback()
                        making.fill(col, model, ["never"], seed=7)
        copy_killed(path)
    finally:
        if col is not None:
            col.close()
        if isinstance(files, FaultySqlite):
            files.let_go()
            assert not files.errors, files.errors
    return states


def copy_killed(path: Path) -> None:
    """What is on the disk now. SQLite's shared memory does not outlive the last process."""
    shutil.copytree(path, path.with_name("killed"), ignore=shutil.ignore_patterns("*-shm"))


def holds_one_of(path: Path, states: list[Model], *, write: bool = True) -> None:
    """The collection, opened on a sound disk, is one of these states and can be written."""
    with bigrain.open(path, files=QuickDisk()) as col:
        found = {d.id: d for d in col.documents()}
        matching = [state for state in states if state.documents == found]
        assert matching, f"found {sorted(found)}, not one of the states expected"
        model = the_one_that_holds(col, matching).copy()
        if write:
            making.fill(col, model, ["g1"], seed=3)
            making.commit(col, model)
            col.compact()
            check_invariants(col, model)
            assert sorted(os.listdir(path / "staging")) == []


def the_one_that_holds(col: Any, states: list[Model]) -> Model:
    """Of states with the same documents, the one with the vectors that are there."""
    for state in states[:-1]:
        with suppress(AssertionError):
            check_invariants(col, state)
            return state
    check_invariants(col, states[-1])
    return states[-1]


class Explorer:
    """Fails one operation of a workload after another; `failed` lists them.

    Every `write_every`-th disk is written to afterwards.
    """

    def __init__(self, scratch: Path, kind: str, workload: str, *, write_every: int = 1) -> None:
        self.kind, self.workload, self.write_every = kind, workload, write_every
        self.failed: list[str] = []
        self._original = scratch / f"{kind}-{workload}.grain"
        self._path, self._killed = scratch / "docs.grain", scratch / "killed"
        self._model = prepared(self._original, workload)

    def failures(
        self, ways: Sequence[dict[str, Any]] = WAYS, *, every: int = 1
    ) -> Iterator[BaseException]:
        """Fail operation 1, 1 + every, ... until the work is done untouched; what was not right.

        Each point is tried in one of the ways, in turn.
        """
        for point, n in enumerate(count(1, every)):
            shutil.copytree(self._original, self._path)
            files = faulty(self.kind, ways[point % len(ways)], n)
            states = run(self._path, files, self._model.copy(), self.workload)
            operation = files.log[n - 1] if files.tripped else "nothing"
            for left in (self._path, self._killed):
                try:
                    holds_one_of(left, states, write=point % self.write_every == 0)
                except Exception as error:
                    way = ways[point % len(ways)]
                    error.add_note(
                        f"{self.kind} operation {n} failed: {operation}, {way}; {left.name}"
                    )
                    yield error
                shutil.rmtree(left)
            if not files.tripped:
                return
            self.failed.append(operation)
