"""A disk that fails on purpose, at the operation that you name.

Every operation counts: files created, written, synced, closed, opened, read, renamed, removed;
folders made, listed, synced; locks; catalogue connections and every SQL statement on them. Run a
workload once to learn how many there are, then once for each of them with `fail_at=n`. What SQLite
does inside a statement is counted by `bigrain.testing.vfs`.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from bigrain.storage.files import Disk, Files, Lock, Readable, Writable, storage_errors

__all__ = ["Faults", "FaultyFiles", "QuickDisk"]

SQLITE_SAYS = {
    errno.EIO: ("disk I/O error", "SQLITE_IOERR"),
    errno.ENOSPC: ("database or disk is full", "SQLITE_FULL"),
}


class Faults:
    """Counts operations and says which of them fail. See `FaultyFiles` for the arguments."""

    def __init__(
        self,
        *,
        fail_at: int | None = None,
        forever: bool = False,
        code: int = errno.EIO,
        tear: bool = False,
        delay: float = 0.0,
        only: str = "",
    ) -> None:
        self.fail_at, self.forever, self.code = fail_at, forever, code
        self.tear, self.delay, self.only = tear, delay, only
        self.count = 0
        self.log: list[str] = []
        self._lock = threading.Lock()

    @property
    def tripped(self) -> bool:
        """Whether the fault has happened."""
        return self.fail_at is not None and self.count >= self.fail_at

    def heal(self) -> None:
        """No more faults from here on."""
        self.fail_at = None

    def fails(self, operation: str) -> bool:
        """Count an operation; whether it is to fail. Waits here if it is only to be late."""
        if self.only not in operation:
            return False
        with self._lock:
            self.count += 1
            self.log.append(operation)
            if self.fail_at is None:
                return False
            due = self.count >= self.fail_at if self.forever else self.count == self.fail_at
        if due and self.delay:
            time.sleep(self.delay)
            return False
        return due


class FaultyFiles(Faults):
    """`Files` that fails its `fail_at`-th operation (from 1), or from then on.

    `code` is what the system says (`errno.EIO`, `errno.ENOSPC`). `tear` lets a failing write leave
    half of its bytes behind. With `delay` the operation does not fail but is that many seconds
    late. `rolls_back` lets a failing COMMIT lose the whole transaction, as SQLite does when it
    cannot write its log; otherwise the transaction stays open. `only` restricts counting to
    operations whose name contains it: "write", "sync", "COMMIT".

    >>> files = FaultyFiles(fail_at=3)
    >>> files.count, files.tripped
    (0, False)
    """

    def __init__(
        self,
        inner: Files | None = None,
        *,
        fail_at: int | None = None,
        forever: bool = False,
        code: int = errno.EIO,
        tear: bool = False,
        delay: float = 0.0,
        rolls_back: bool = True,
        only: str = "",
    ) -> None:
        super().__init__(
            fail_at=fail_at, forever=forever, code=code, tear=tear, delay=delay, only=only
        )
        self.inner: Files = inner or Disk()
        self.rolls_back = rolls_back

    def step(self, operation: str) -> None:
        """Count an operation and fail it if its turn has come, as `Disk` would."""
        if self.fails(operation):
            with storage_errors(f"fault injected: {operation}"):
                raise OSError(self.code, os.strerror(self.code))

    # -- Files ------------------------------------------------------------------------------

    def create(self, path: Path) -> Writable:
        self.step(f"create {path.name}")
        return _FaultyWriter(self, self.inner.create(path), path.name)

    def open(self, path: Path) -> Readable:
        self.step(f"open {path.name}")
        return _FaultyReader(self, self.inner.open(path), path.name)

    def overwrite(self, path: Path, data: bytes) -> None:
        self.step(f"overwrite {path.name}")
        self.inner.overwrite(path, data)

    def rename(self, source: Path, target: Path) -> None:
        self.step(f"rename {source.name}")
        self.inner.rename(source, target)

    def link(self, source: Path, target: Path) -> None:
        self.step(f"link {source.name}")
        self.inner.link(source, target)

    def remove(self, path: Path) -> None:
        self.step(f"remove {path.name}")
        self.inner.remove(path)

    def make_folder(self, path: Path) -> None:
        self.step(f"make_folder {path.name}")
        self.inner.make_folder(path)

    def names(self, folder: Path) -> list[str]:
        self.step(f"names {folder.name}")
        return self.inner.names(folder)

    def sync_folder(self, path: Path) -> None:
        self.step(f"sync_folder {path.name}")
        self.inner.sync_folder(path)

    def lock(self, path: Path, *, shared: bool = False) -> Lock:
        self.step(f"lock {path.name}")
        return self.inner.lock(path, shared=shared)

    def connect(self, path: Path, *, read_only: bool) -> sqlite3.Connection:
        self.step(f"connect {path.name}")
        db = self.inner.connect(path, read_only=read_only)
        return cast(sqlite3.Connection, _FaultyConnection(self, db))


class QuickDisk(Disk):
    """A disk that does not wait until bytes are safe from a power cut: for tests in a hurry."""

    def create(self, path: Path) -> Writable:
        writer = super().create(path)
        writer.sync = lambda: None  # type: ignore[method-assign]
        return writer

    def sync_folder(self, path: Path) -> None:
        pass

    def connect(self, path: Path, *, read_only: bool) -> sqlite3.Connection:
        db = super().connect(path, read_only=read_only)
        return cast(sqlite3.Connection, _QuickConnection(db))


class _QuickConnection:
    def __init__(self, inner: sqlite3.Connection) -> None:
        self._inner = inner

    def execute(self, sql: str, parameters: Any = ()) -> sqlite3.Cursor:
        if sql.startswith("PRAGMA synchronous"):
            sql = "PRAGMA synchronous = OFF"
        return self._inner.execute(sql, parameters)

    def backup(self, target: Any) -> None:
        self._inner.backup(_inmost(target))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def _inmost(db: Any) -> sqlite3.Connection:
    """SQLite's own connection, which `backup` needs."""
    while isinstance(db, _QuickConnection | _FaultyConnection):
        db = db._inner
    return cast(sqlite3.Connection, db)


class _FaultyWriter:
    def __init__(self, files: FaultyFiles, inner: Writable, name: str) -> None:
        self._files, self._inner, self._name = files, inner, name

    def write(self, data: bytes | memoryview) -> None:
        if self._files.fails(f"write {self._name}"):
            if self._files.tear:
                self._inner.write(memoryview(data).cast("B")[: len(data) // 2])
            with storage_errors(f"fault injected: write {self._name}"):
                raise OSError(self._files.code, os.strerror(self._files.code))
        self._inner.write(data)

    def sync(self) -> None:
        self._files.step(f"sync {self._name}")
        self._inner.sync()

    def close(self) -> None:
        self._inner.close()
        self._files.step(f"close {self._name}")


class _FaultyReader:
    def __init__(self, files: FaultyFiles, inner: Readable, name: str) -> None:
        self._files, self._inner, self._name = files, inner, name

    @property
    def size(self) -> int:
        return self._inner.size

    def read_at(self, offset: int, length: int) -> bytes:
        self._files.step(f"read {self._name}")
        return self._inner.read_at(offset, length)

    def read_into(self, offset: int, buffer: memoryview) -> int:
        self._files.step(f"read {self._name}")
        return self._inner.read_into(offset, buffer)

    def gather(self, stretches: npt.NDArray[np.int64], buffer: npt.NDArray[np.uint8]) -> int:
        self._files.step(f"read {self._name}")
        return self._inner.gather(stretches, buffer)

    def close(self) -> None:
        self._inner.close()
        self._files.step(f"close {self._name}")


class _FaultyConnection:
    """The parts of a `sqlite3.Connection` that the catalogue uses."""

    def __init__(self, files: FaultyFiles, inner: sqlite3.Connection) -> None:
        self._files, self._inner = files, inner

    def execute(self, sql: str, parameters: Any = ()) -> sqlite3.Cursor:
        self._step(sql)
        return self._inner.execute(sql, parameters)

    def executemany(self, sql: str, parameters: Iterable[Any]) -> sqlite3.Cursor:
        self._step(sql)
        return self._inner.executemany(sql, parameters)

    def backup(self, target: Any) -> None:
        self._step("BACKUP")
        self._inner.backup(_inmost(target))

    @property
    def in_transaction(self) -> bool:
        return self._inner.in_transaction

    def close(self) -> None:
        self._inner.close()

    def _step(self, sql: str) -> None:
        if self._files.fails(f"sql {sql}"):
            if sql == "COMMIT" and self._files.rolls_back and self._inner.in_transaction:
                self._inner.execute("ROLLBACK")
            text, name = SQLITE_SAYS.get(self._files.code, SQLITE_SAYS[errno.EIO])
            error = sqlite3.OperationalError(f"{text} (fault injected: {sql[:40]})")
            error.sqlite_errorname = name
            raise error
