"""The folder of a collection, and who is using it.

docs.grain/
  catalogue.sqlite   the catalogue (and SQLite's -wal and -shm beside it)
  segments/          write-once segment files
  staging/           what a writer has spilled; emptied by the next writer
  damaged/           what `repair` has set aside, for people to look at
  learning.checkpoint  what a call of `learn` that was stopped had trained
  learning.lock      held while a call of `learn` is at work
  readers/           one locked file for every open handle, named by its snapshot
  writer.lock        held while somebody writes; says who
"""

from __future__ import annotations

import errno
import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bigrain.errors import (
    DamagedError,
    LockedError,
    NotACollectionError,
    ReadOnlyError,
    StorageError,
)
from bigrain.storage.catalogue import CATALOGUE
from bigrain.storage.files import Files, Lock

__all__ = ["Folder", "missing_is_damage"]

PIN_ATTEMPTS = 16


class Folder:
    """Paths, locks and pins of one collection folder."""

    def __init__(self, files: Files, path: Path) -> None:
        self.files, self.path = files, path

    @property
    def segments(self) -> Path:
        return self.path / "segments"

    @property
    def staging(self) -> Path:
        return self.path / "staging"

    @property
    def readers(self) -> Path:
        return self.path / "readers"

    def make(self) -> None:
        for folder in (self.path, self.segments, self.staging, self.readers):
            self.files.make_folder(folder)

    def require(self) -> None:
        """Refuse a path that holds no collection."""
        if not self.path.exists():
            raise NotACollectionError(
                f"{self.path} does not exist; bigrain.create(path) makes a collection"
            )
        if not (self.path / CATALOGUE).is_file():
            raise NotACollectionError(f"{self.path} is not a collection: it holds no {CATALOGUE}")

    def new_segment(self, field: str) -> Path:
        return self.segments / f"{field}-{uuid.uuid4().hex[:16]}.seg"

    def lock_for_writing(self) -> Lock:
        """The writer's lock, or `LockedError` naming its holder."""
        try:
            return self.files.lock(self.path / "writer.lock")
        except StorageError as error:
            if not os.access(self.path, os.W_OK):
                raise ReadOnlyError(f"{self.path} cannot be written: {error}") from error
            raise

    def sweep(self, listed: set[str], settle: Callable[[], None]) -> list[str]:
        """Remove staging files and segments that the catalogue does not list; their names.

        Before the first segment goes, `settle` makes sure that the catalogue will never list it.
        """
        stale = [self.staging / name for name in self.files.names(self.staging)]
        unlisted = [name for name in self.files.names(self.segments) if name not in listed]
        if unlisted:
            settle()
        stale += [self.segments / name for name in unlisted]
        for path in stale:
            self.files.remove(path)
        return [path.name for path in stale]

    def pin(self, snapshot: int) -> Pin | None:
        """Tell writers that this snapshot is in use; None where the folder cannot be written."""
        if not os.access(self.readers, os.W_OK):
            return None
        for _ in range(PIN_ATTEMPTS):
            path = self.readers / f"{snapshot}-{os.getpid()}-{uuid.uuid4().hex[:8]}.pin"
            try:
                lock = self.files.lock(path, shared=True)
            except LockedError:
                continue  # a writer came between making the file and locking it
            except StorageError:
                return None
            if path.exists():
                return Pin(self.files, path, lock)
            lock.release()  # a writer took it for a pin of the dead and removed it
        return None

    def pin_newest(self, newest: Callable[[], tuple[int, int]]) -> tuple[int, int, Pin | None]:
        """What `newest` says, (snapshot, documents), pinned before another one took its place."""
        while True:
            snapshot, documents = newest()
            pin = self.pin(snapshot)
            try:
                if newest()[0] == snapshot:
                    held, pin = pin, None
                    return snapshot, documents, held
            finally:
                if pin is not None:
                    pin.release()

    def oldest_pinned(self, newest: int) -> int:
        """The oldest snapshot that some handle still reads; removes pins of the dead."""
        oldest = newest
        for name in self.files.names(self.readers):
            path = self.readers / name
            try:
                lock = self.files.lock(path)
            except LockedError:
                oldest = min(oldest, int(name.split("-", 1)[0]))
            else:
                self.files.remove(path)
                lock.release()
        return oldest


class Pin:
    """A snapshot in use, until `release` or the end of the process."""

    def __init__(self, files: Files, path: Path, lock: Lock) -> None:
        self._files, self._path, self._lock = files, path, lock

    def release(self) -> None:
        try:
            with suppress(StorageError):  # unlocked, the file is removed by the next writer
                self._files.remove(self._path)
        finally:
            self._lock.release()


@contextmanager
def missing_is_damage(listed: Path) -> Iterator[None]:
    """A file that the catalogue lists and that is not there was taken away by somebody."""
    try:
        yield
    except StorageError as error:
        if error.errno == errno.ENOENT and not listed.exists():
            raise DamagedError(
                listed.name, "the whole file", "a file that the catalogue lists", "no such file"
            ) from error
        raise
