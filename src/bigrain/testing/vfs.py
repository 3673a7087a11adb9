"""SQLite's own input and output, call by call: to fail it, tear it, delay it or write it down.

A VFS is the table of functions through which SQLite reaches files. Here it is the system's table
with some entries led through Python, so what runs is the `sqlite3` of this Python with its real
log, locks and shared memory, and several connections at once see what they would see anyway.
(`apsw` can hold a VFS too, but raises an error also where SQLite went on in spite of it.)

Needs an SQLite whose C functions can be reached (`available`), as in a Python that uses the
system's library.
"""

from __future__ import annotations

import _sqlite3
import ctypes
import errno
import os
import sqlite3
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ctypes import CFUNCTYPE, POINTER, Structure, c_char_p, c_int, c_int64, c_void_p
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol, cast

from bigrain.storage.files import Disk, Files, Lock, Readable, Writable, storage_errors
from bigrain.testing.faults import Faults

__all__ = ["Call", "FaultySqlite", "Proceed", "WatchedFiles", "available", "folders_synced"]

OK = 0


@dataclass(frozen=True, slots=True)
class Call:
    """One call of SQLite, before it is carried out.

    `name` is SQLite's own ("xWrite"; all are in `CALLS`). `path` is "" for a temporary file. `size`
    is in bytes: to read, to write, to cut to. `flags` are those of xOpen, the level of xLock, and
    of xDelete whether the folder is to be synced.
    """

    name: str
    path: str
    offset: int = 0
    size: int = 0
    data: bytes = b""
    flags: int = 0


CALLS: dict[str, Callable[..., dict[str, Any]]] = {
    "xOpen": lambda flags: {"flags": flags},
    "xDelete": lambda sync: {"flags": sync},
    "xAccess": lambda flags: {"flags": flags},
    "xClose": lambda: {},
    "xRead": lambda _, n, offset: {"offset": offset, "size": n},
    "xWrite": lambda at, n, offset: {
        "offset": offset, "size": n, "data": ctypes.string_at(at, n)
    },
    "xTruncate": lambda n: {"size": n},
    "xSync": lambda flags: {"flags": flags},
    "xFileSize": lambda _: {},
    "xLock": lambda level: {"flags": level},
    "xShmMap": lambda region, n, extend, _: {"offset": region, "size": n, "flags": extend},
    "xShmLock": lambda offset, n, flags: {"offset": offset, "size": n, "flags": flags},
}  # fmt: skip
"""The calls that are led through Python, and what their arguments say."""


class Proceed(Protocol):
    """Carries a call out; gives SQLite's code, 0 if it went well. `size` cuts a write short."""

    def __call__(self, size: int | None = None) -> int: ...


# -- SQLite's tables, as in sqlite3.h -----------------------------------------------------------


class _Methods(Structure):
    """sqlite3_io_methods, version 3. The first word of a `sqlite3_file` points to one."""

    _fields_ = (
        ("iVersion", c_int),
        ("xClose", CFUNCTYPE(c_int, c_void_p)),
        ("xRead", CFUNCTYPE(c_int, c_void_p, c_void_p, c_int, c_int64)),
        ("xWrite", CFUNCTYPE(c_int, c_void_p, c_void_p, c_int, c_int64)),
        ("xTruncate", CFUNCTYPE(c_int, c_void_p, c_int64)),
        ("xSync", CFUNCTYPE(c_int, c_void_p, c_int)),
        ("xFileSize", CFUNCTYPE(c_int, c_void_p, c_void_p)),
        ("xLock", CFUNCTYPE(c_int, c_void_p, c_int)),
        ("xUnlock", c_void_p),
        ("xCheckReservedLock", c_void_p),
        ("xFileControl", c_void_p),
        ("xSectorSize", c_void_p),
        ("xDeviceCharacteristics", c_void_p),
        ("xShmMap", CFUNCTYPE(c_int, c_void_p, c_int, c_int, c_int, c_void_p)),
        ("xShmLock", CFUNCTYPE(c_int, c_void_p, c_int, c_int, c_int)),
        ("xShmBarrier", c_void_p),
        ("xShmUnmap", c_void_p),
        ("xFetch", c_void_p),
        ("xUnfetch", c_void_p),
    )


class _Table(Structure):
    """sqlite3_vfs, version 3."""

    _fields_ = (
        ("iVersion", c_int),
        ("szOsFile", c_int),
        ("mxPathname", c_int),
        ("pNext", c_void_p),
        ("zName", c_char_p),
        ("pAppData", c_void_p),
        ("xOpen", CFUNCTYPE(c_int, c_void_p, c_void_p, c_void_p, c_int, c_void_p)),
        ("xDelete", CFUNCTYPE(c_int, c_void_p, c_void_p, c_int)),
        ("xAccess", CFUNCTYPE(c_int, c_void_p, c_void_p, c_int, c_void_p)),
        ("xFullPathname", c_void_p),
        ("xDlOpen", c_void_p),
        ("xDlError", c_void_p),
        ("xDlSym", c_void_p),
        ("xDlClose", c_void_p),
        ("xRandomness", c_void_p),
        ("xSleep", c_void_p),
        ("xCurrentTime", c_void_p),
        ("xGetLastError", c_void_p),
        ("xCurrentTimeInt64", c_void_p),
        ("xSetSystemCall", CFUNCTYPE(c_int, c_void_p, c_char_p, c_void_p)),
        ("xGetSystemCall", CFUNCTYPE(c_void_p, c_void_p, c_char_p)),
        ("xNextSystemCall", c_void_p),
    )


_OpenFolder = CFUNCTYPE(c_int, c_char_p, POINTER(c_int))


@cache
def _library() -> Any:
    """The SQLite that this Python's `sqlite3` runs on; None if its functions cannot be reached."""
    try:
        library = ctypes.CDLL(getattr(_sqlite3, "__file__", None))
        find, register = library.sqlite3_vfs_find, library.sqlite3_vfs_register
    except (OSError, AttributeError):
        return None
    find.argtypes, find.restype = [c_char_p], POINTER(_Table)
    register.argtypes = [c_void_p, c_int]
    return library


def available() -> bool:
    """Whether SQLite's calls can be watched in this Python."""
    return _library() is not None and bool(_library().sqlite3_vfs_find(None))


class _Vfs:
    """SQLite's default VFS under another name, its calls led through some `WatchedFiles`.

    SQLite knows it until the process ends; when its files are forgotten it serves others.
    """

    _made = 0
    _free: list[_Vfs] = []

    @classmethod
    def serving(cls, files: WatchedFiles) -> _Vfs:
        vfs = cls._free.pop() if cls._free else cls()
        vfs._files = weakref.ref(files)
        weakref.finalize(files, cls._free.append, vfs)
        return vfs

    def __init__(self) -> None:
        if not available():
            raise RuntimeError("the C functions of this Python's SQLite cannot be reached")
        type(self)._made += 1
        self.name = f"bigrain-{self._made}"
        self._files: Callable[[], WatchedFiles | None] = lambda: None
        self._base = _library().sqlite3_vfs_find(None).contents
        self._paths: dict[int, str] = {}  # address of a sqlite3_file -> path
        self._methods: dict[int, _Methods] = {}  # address of the system's -> ours
        self._kept: list[Any] = []  # Python functions that C points to
        table = self._table = _Table.from_buffer_copy(self._base)
        table.pNext, table.zName = None, self.name.encode()
        kinds: dict[str, Any] = dict(_Table._fields_)
        for name, own in (("xOpen", self._open), ("xDelete", self._delete), ("xAccess", self._ask)):
            self._kept.append(kinds[name](own))
            setattr(table, name, self._kept[-1])
        _library().sqlite3_vfs_register(ctypes.addressof(table), 0)

    def _lead(self, call: Call, proceed: Proceed) -> int:
        files = self._files()
        if files is None:
            return proceed()
        try:
            return files.around(call, proceed)
        except BaseException as error:  # nothing can be raised through C
            files.errors.append(error)
            return sqlite3.SQLITE_IOERR

    def _open(self, _: int, name: int | None, file: int, flags: int, out: int | None) -> int:
        path = _text(name)
        methods = c_void_p.from_address(file)
        methods.value = None  # what was not opened is not closed

        def proceed(size: int | None = None) -> int:
            code = int(self._base.xOpen(ctypes.addressof(self._base), name, file, flags, out))
            if code == OK and methods.value:
                self._paths[file] = path
                methods.value = ctypes.addressof(self._watched(methods.value))
            return code

        return self._lead(Call("xOpen", path, flags=flags), proceed)

    def _delete(self, _: int, name: int, sync: int) -> int:
        def proceed(size: int | None = None) -> int:
            return int(self._base.xDelete(ctypes.addressof(self._base), name, sync))

        return self._lead(Call("xDelete", _text(name), flags=sync), proceed)

    def _ask(self, _: int, name: int, flags: int, out: int) -> int:
        def proceed(size: int | None = None) -> int:
            return int(self._base.xAccess(ctypes.addressof(self._base), name, flags, out))

        return self._lead(Call("xAccess", _text(name), flags=flags), proceed)

    def _watched(self, address: int) -> _Methods:
        """Our copy of a table of file methods."""
        if address not in self._methods:
            system = _Methods.from_address(address)
            ours = _Methods.from_buffer_copy(system)
            kinds: dict[str, Any] = dict(_Methods._fields_)
            for name, kind in kinds.items():
                if name in CALLS and getattr(system, name):
                    self._kept.append(kind(self._watching(name, getattr(system, name))))
                    setattr(ours, name, self._kept[-1])
            self._methods[address] = ours
        return self._methods[address]

    def _watching(self, name: str, original: Callable[..., int]) -> Callable[..., int]:
        describe = CALLS[name]

        def method(file: int, *arguments: Any) -> int:
            def proceed(size: int | None = None) -> int:
                if size is not None:
                    return original(file, arguments[0], size, *arguments[2:])
                return original(file, *arguments)

            path = self._paths.pop(file, "") if name == "xClose" else self._paths.get(file, "")
            return self._lead(Call(name, path, **describe(*arguments)), proceed)

        return method


def _text(name: int | None) -> str:
    return os.fsdecode(ctypes.string_at(name)) if name else ""


@contextmanager
def folders_synced(told: Callable[[str], object]) -> Iterator[None]:
    """Call `told` with a path whenever SQLite syncs the folder that holds it, inside xSync.

    Process-wide while it lasts: SQLite has one place for this.
    """
    base = _library().sqlite3_vfs_find(None).contents
    at, name = ctypes.addressof(base), b"openDirectory"
    original = _OpenFolder(base.xGetSystemCall(at, name))

    def opened(path: bytes, descriptor: Any) -> int:
        told(os.fsdecode(path))
        return int(original(path, descriptor))

    replacement = _OpenFolder(opened)
    base.xSetSystemCall(at, name, ctypes.cast(replacement, c_void_p))
    try:
        yield
    finally:
        base.xSetSystemCall(at, name, None)


class _Connection(sqlite3.Connection):
    """Keeps the files, and so the VFS, as long as it lives."""

    files: WatchedFiles


class WatchedFiles:
    """`Files` where every call that SQLite makes for the catalogue passes `around`.

    Everything else goes to `inner`. `errors` holds what `around` itself raised. `syncs=False` does
    not wait until SQLite's bytes are safe from a power cut, though SQLite believes so.
    """

    def __init__(self, inner: Files | None = None, *, syncs: bool = True) -> None:
        self.inner: Files = inner or Disk()
        self.syncs = syncs
        self.errors: list[BaseException] = []
        self._vfs = _Vfs.serving(self)
        self._open: weakref.WeakSet[sqlite3.Connection] = weakref.WeakSet()

    def around(self, call: Call, proceed: Proceed) -> int:
        """Carry the call out, or not; what this returns is SQLite's code for it."""
        return OK if call.name == "xSync" and not self.syncs else proceed()

    def connect(self, path: Path, *, read_only: bool) -> sqlite3.Connection:
        with storage_errors(f"cannot open {path.name}"):
            mode = "ro" if read_only else "rwc"
            db = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode={mode}&vfs={self._vfs.name}", uri=True,
                isolation_level=None, check_same_thread=False, timeout=1, factory=_Connection,
            )  # fmt: skip
            db.files = self
            self._open.add(db)
            return db

    def let_go(self) -> None:
        """Close connections that are still open, as the end of a process would."""
        for db in list(self._open):
            db.close()

    def create(self, path: Path) -> Writable:
        return self.inner.create(path)

    def open(self, path: Path) -> Readable:
        return self.inner.open(path)

    def overwrite(self, path: Path, data: bytes) -> None:
        self.inner.overwrite(path, data)

    def rename(self, source: Path, target: Path) -> None:
        self.inner.rename(source, target)

    def link(self, source: Path, target: Path) -> None:
        self.inner.link(source, target)

    def remove(self, path: Path) -> None:
        self.inner.remove(path)

    def make_folder(self, path: Path) -> None:
        self.inner.make_folder(path)

    def names(self, folder: Path) -> list[str]:
        return self.inner.names(folder)

    def sync_folder(self, path: Path) -> None:
        self.inner.sync_folder(path)

    def lock(self, path: Path, *, shared: bool = False) -> Lock:
        return self.inner.lock(path, shared=shared)


SAYS = {
    "xOpen": "CANTOPEN",
    "xDelete": "IOERR_DELETE",
    "xAccess": "IOERR_ACCESS",
    "xRead": "IOERR_READ",
    "xWrite": "IOERR_WRITE",
    "xTruncate": "IOERR_TRUNCATE",
    "xSync": "IOERR_FSYNC",
    "xFileSize": "IOERR_FSTAT",
    "xLock": "IOERR_LOCK",
    "xShmMap": "IOERR_SHMMAP",
    "xShmLock": "IOERR_SHMLOCK",
}
FULL = {"xWrite": "FULL", "xShmMap": "IOERR_SHMSIZE"}  # what a full disk says instead


class FaultySqlite(WatchedFiles, Faults):
    """`Files` that fails inside SQLite, at its `fail_at`-th call (from 1) or from then on.

    Arguments as for `FaultyFiles`; `code` (EIO, ENOSPC) becomes the code that SQLite's own VFS
    gives for the call. A torn write leaves half of its bytes. Closing never fails.
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
        only: str = "",
        syncs: bool = True,
    ) -> None:
        WatchedFiles.__init__(self, inner, syncs=syncs)
        Faults.__init__(
            self, fail_at=fail_at, forever=forever, code=code, tear=tear, delay=delay, only=only
        )

    def around(self, call: Call, proceed: Proceed) -> int:
        if call.name in SAYS and self.fails(f"{call.name} {Path(call.path).name or 'temporary'}"):
            if self.tear and call.name == "xWrite":
                proceed(call.size // 2)
            says = FULL.get(call.name) if self.code == errno.ENOSPC else None
            return cast(int, getattr(sqlite3, f"SQLITE_{says or SAYS[call.name]}"))
        return super().around(call, proceed)
