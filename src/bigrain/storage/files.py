"""The one door to the disk: what touches a file or opens the catalogue goes through `Files`.

`Disk` is the real thing. A test puts another implementation in its place and lets the n-th call
fail, tear or wait (`bigrain.testing.faults`).
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Protocol
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from bigrain import kernels
from bigrain.errors import LockedError, StorageError

__all__ = ["Disk", "Files", "Lock", "Readable", "Writable", "storage_errors"]


class Writable(Protocol):
    """A file being written from start to end."""

    def write(self, data: bytes | memoryview) -> None: ...
    def sync(self) -> None: ...
    def close(self) -> None: ...


class Readable(Protocol):
    """A file that is complete; reads name their offset and may run in many threads at once."""

    @property
    def size(self) -> int: ...
    def read_at(self, offset: int, length: int) -> bytes: ...
    def read_into(self, offset: int, buffer: memoryview) -> int: ...
    def gather(self, stretches: npt.NDArray[np.int64], buffer: npt.NDArray[np.uint8]) -> int:
        """Read stretches (n, 2) of (offset, length) into `buffer`, one after another.

        Returns the bytes read up to the first stretch that the file does not hold. All reads are
        announced to the system before the first one is waited for.
        """
        ...

    def close(self) -> None: ...


class Lock(Protocol):
    """An advisory lock that ends with `release` or with the process."""

    def release(self) -> None: ...


class Files(Protocol):
    """What the engine asks of a disk."""

    def create(self, path: Path) -> Writable: ...
    def open(self, path: Path) -> Readable: ...
    def overwrite(self, path: Path, data: bytes) -> None:
        """Write and sync the first bytes of a catalogue that is there, in place."""
        ...

    def rename(self, source: Path, target: Path) -> None: ...
    def link(self, source: Path, target: Path) -> None:
        """Give a finished file a second name on the same file system."""
        ...

    def remove(self, path: Path) -> None: ...
    def make_folder(self, path: Path) -> None: ...
    def names(self, folder: Path) -> list[str]: ...
    def sync_folder(self, path: Path) -> None: ...
    def lock(self, path: Path, *, shared: bool = False) -> Lock: ...
    def connect(self, path: Path, *, read_only: bool) -> sqlite3.Connection: ...


class Disk:
    """`Files` on the operating system's file system."""

    _kept: ClassVar[list[int]] = []  # see open_kept

    def create(self, path: Path) -> Writable:
        with storage_errors(f"cannot create {path.name}"):
            return _DiskWriter(path)

    def open(self, path: Path) -> Readable:
        with storage_errors(f"cannot open {path.name}"):
            return _DiskReader(path)

    def overwrite(self, path: Path, data: bytes) -> None:
        with storage_errors(f"cannot write {path.name}"):
            self._kept.append(os.open(path, os.O_WRONLY | os.O_CLOEXEC))
            os.pwrite(self._kept[-1], data, 0)
            os.fsync(self._kept[-1])

    def rename(self, source: Path, target: Path) -> None:
        with storage_errors(f"cannot rename {source.name} to {target.name}"):
            os.rename(source, target)

    def link(self, source: Path, target: Path) -> None:
        with storage_errors(f"cannot link {source.name} into {target.parent}"):
            os.link(source, target)

    def remove(self, path: Path) -> None:
        with storage_errors(f"cannot remove {path.name}"), contextlib.suppress(FileNotFoundError):
            os.unlink(path)

    def make_folder(self, path: Path) -> None:
        with storage_errors(f"cannot make the folder {path}"):
            path.mkdir(exist_ok=True)

    def names(self, folder: Path) -> list[str]:
        with storage_errors(f"cannot list {folder}"):
            return sorted(os.listdir(folder))

    def sync_folder(self, path: Path) -> None:
        with storage_errors(f"cannot sync {path.name}"):
            fd = os.open(path, os.O_RDONLY)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)

    def lock(self, path: Path, *, shared: bool = False) -> Lock:
        """Take the lock at once or raise `LockedError` naming who holds it."""
        return _DiskLock(path, shared=shared)

    def connect(self, path: Path, *, read_only: bool) -> sqlite3.Connection:
        with storage_errors(f"cannot open {path.name}"):
            uri = path.absolute().as_uri()
            if read_only:
                uri += "?mode=ro"
                # A folder that nobody may write has no writer: WAL's shared memory is not needed.
                if not os.access(path.parent, os.W_OK) and not _has_wal(path):
                    uri += "&immutable=1"
            return sqlite3.connect(
                uri, uri=True, isolation_level=None, check_same_thread=False, timeout=60
            )


DISK = Disk()


def open_kept(files: Files, path: Path) -> Readable:
    """A file that SQLite may have open too, opened once and left open.

    Closing it would end all locks that SQLite has on it in this process (POSIX says so), and
    another process could then take the log away from under us.
    """
    try:
        key = (path, path.stat().st_ino)
    except OSError:
        return files.open(path)
    readers = _kept_readers.setdefault(files, {})
    if key not in readers:
        readers[key] = files.open(path)
    return readers[key]


_kept_readers: WeakKeyDictionary[Files, dict[tuple[Path, int], Readable]] = WeakKeyDictionary()


def _has_wal(path: Path) -> bool:
    wal = path.with_name(path.name + "-wal")
    return wal.exists() and wal.stat().st_size > 0


class _DiskWriter:
    _fd = -1

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        self._name = path.name

    def write(self, data: bytes | memoryview) -> None:
        view = memoryview(data).cast("B")
        with storage_errors(f"cannot write {self._name}"):
            while len(view):
                view = view[os.write(self._fd, view) :]

    def sync(self) -> None:
        with storage_errors(f"cannot sync {self._name}"):
            os.fsync(self._fd)

    def close(self) -> None:
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            os.close(fd)

    def __del__(self) -> None:
        self.close()


class _DiskReader:
    _fd = -1
    _size = 0

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._name = path.name
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(self._fd, 0, 0, os.POSIX_FADV_RANDOM)

    @property
    def size(self) -> int:
        if self._fd >= 0:  # a catalogue grows while it is open
            self._size = os.fstat(self._fd).st_size
        return self._size

    def read_at(self, offset: int, length: int) -> bytes:
        with storage_errors(f"cannot read {self._name}"):
            data = os.pread(self._fd, length, offset)
            while 0 < len(data) < length:
                more = os.pread(self._fd, length - len(data), offset + len(data))
                if not more:
                    break
                data += more
            return data

    def read_into(self, offset: int, buffer: memoryview) -> int:
        with storage_errors(f"cannot read {self._name}"):
            done = 0
            while done < len(buffer):
                got = os.preadv(self._fd, [buffer[done:]], offset + done)
                if not got:
                    break
                done += got
            return done

    def gather(self, stretches: npt.NDArray[np.int64], buffer: npt.NDArray[np.uint8]) -> int:
        with storage_errors(f"cannot read {self._name}"):
            return kernels.read_stretches(self._fd, stretches, buffer)

    def close(self) -> None:
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            os.close(fd)

    def __del__(self) -> None:
        self.close()


class _DiskLock:
    _fd = -1

    def __init__(self, path: Path, *, shared: bool) -> None:
        with storage_errors(f"cannot lock {path.name}"):
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _describe_holder(os.pread(self._fd, 4096, 0))
            self.release()
            raise LockedError(
                f"{path.parent} is being written by {holder}; one writer at a time: wait until it "
                "closes the collection, or open with read_only=True"
            ) from None
        except OSError as error:
            self.release()
            raise StorageError(f"cannot lock {path.name}: {error}") from error
        if not shared:
            who = {"pid": os.getpid(), "host": socket.gethostname(), "since": time.time()}
            with storage_errors(f"cannot write {path.name}"):
                os.ftruncate(self._fd, 0)
                os.pwrite(self._fd, json.dumps(who).encode(), 0)

    def release(self) -> None:
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            os.close(fd)

    def __del__(self) -> None:
        self.release()


def _describe_holder(raw: bytes) -> str:
    try:
        who = json.loads(raw)
        pid, host, since = int(who["pid"]), str(who["host"]), float(who["since"])
    except (ValueError, KeyError, TypeError):
        return "another process"
    clock = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(since))
    here = "this process" if pid == os.getpid() and host == socket.gethostname() else "process"
    return f"{here} {pid} on {host} (since {clock})"


@contextlib.contextmanager
def storage_errors(doing: str) -> Iterator[None]:
    """Turn what the system says into a `StorageError` that says what was being done."""
    try:
        yield
    except StorageError:
        raise
    except sqlite3.Error as error:
        raise StorageError(f"{doing}: {error}") from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise StorageError(error.errno or 0, f"{doing}: {reason}") from error
