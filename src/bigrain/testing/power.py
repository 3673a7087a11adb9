"""What a power cut may leave: a workload is recorded once, then laid out as it may be found after.

The model of the disk. Whatever was synced is there. Of everything else each part may be there or
not, in any order: a write in any of its 512-byte sectors (what is missing reads as before, or as
zeros beyond the old end), a cut or growth of a file, a name that was made, renamed or removed. A
name is safe when its folder was synced, a content when its file was; one does not bring the other.
A rename happens or does not.

Not recorded: SQLite's `-shm` (made anew after a crash) and its unnamed temporary files.
"""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from bigrain.storage.files import Disk, Lock, Writable
from bigrain.testing.vfs import OK, Call, Proceed, WatchedFiles, folders_synced

__all__ = ["SECTOR", "Event", "Image", "RecordingFiles", "images"]

SECTOR = 512


@dataclass(frozen=True, slots=True)
class Event:
    """One change or sync, in the order of happening; paths relative to the recording's root.

    `kind`: "create", "write" (data at offset), "truncate" (to offset), "sync", "rename" (to `to`),
    "remove", "make_folder", "sync_folder", or "mark" (`path` is what the workload had to say).
    """

    kind: str
    path: str
    to: str = ""
    offset: int = 0
    data: bytes = b""


@dataclass(frozen=True)
class Image:
    """A disk as it may be found: contents by path, and all folders.

    `point` is how many events came before the power went, `choice` what became of those not
    synced: "none", "all", "one dropped", "one alone" or "torn" (a random part of each); `marks`
    is what the workload had said by then.
    """

    point: int
    choice: str
    files: dict[str, bytes]
    folders: frozenset[str]
    marks: tuple[str, ...]

    @property
    def digest(self) -> bytes:
        """Equal for images with equal files and folders."""
        hashed = hashlib.blake2b(digest_size=16)
        for path in sorted(self.folders):
            hashed.update(path.encode() + b"/\0")
        for path, data in sorted(self.files.items()):
            hashed.update(path.encode() + b"\0%d\0" % len(data) + data)
        return hashed.digest()

    def lay_out(self, root: Path) -> None:
        """Write it into a folder, which is made."""
        for folder in ["", *sorted(self.folders)]:
            (root / folder).mkdir()
        for path, data in self.files.items():
            (root / path).write_bytes(data)


class RecordingFiles(WatchedFiles):
    """A disk that writes down what is done below `root`, SQLite's own calls included.

    `with` begins the recording: what is in the folder then counts as safe on the disk.
    """

    def __init__(self, root: Path) -> None:
        super().__init__(Disk())
        self.root = root
        self.events: list[Event] = []
        self.start: dict[str, bytes | None] = {}  # None: a folder
        self._synced: list[str] = []
        self._stack = ExitStack()

    def __enter__(self) -> RecordingFiles:
        for path in sorted(self.root.rglob("*")):
            self.start[self._name(path)] = None if path.is_dir() else path.read_bytes()
        self._stack.enter_context(folders_synced(self._synced.append))
        return self

    def __exit__(self, *_: object) -> None:
        self.let_go()
        self._stack.close()

    def mark(self, text: str) -> None:
        """Note how far the workload has come."""
        self.events.append(Event("mark", text))

    def _name(self, path: Path | str) -> str:
        return Path(path).relative_to(self.root).as_posix()

    def _note(self, kind: str, path: Path | str, **more: object) -> None:
        self.events.append(Event(kind, self._name(path), **more))  # type: ignore[arg-type]

    # -- SQLite's calls -------------------------------------------------------------------------

    def around(self, call: Call, proceed: Proceed) -> int:
        there = bool(call.path) and os.path.exists(call.path)
        self._synced.clear()
        code = super().around(call, proceed)
        if code == OK and call.path:
            match call.name:
                case "xOpen" if not there and os.path.exists(call.path):
                    self._note("create", call.path)
                case "xWrite":
                    self._note("write", call.path, offset=call.offset, data=call.data)
                case "xTruncate":
                    self._note("truncate", call.path, offset=call.size)
                case "xSync":
                    self._note("sync", call.path)
                case "xDelete" if there:
                    self._note("remove", call.path)
            for path in self._synced:
                self._note("sync_folder", Path(path).parent)
        return code

    # -- the other files ------------------------------------------------------------------------

    def create(self, path: Path) -> Writable:
        inner = self.inner.create(path)
        self._note("create", path)
        return _RecordingWriter(self, inner, path)

    def overwrite(self, path: Path, data: bytes) -> None:
        self.inner.overwrite(path, data)
        self._note("write", path, data=data)
        self._note("sync", path)

    def rename(self, source: Path, target: Path) -> None:
        self.inner.rename(source, target)
        self._note("rename", source, to=self._name(target))

    def link(self, source: Path, target: Path) -> None:
        """Another name for a finished file: its content is safe, the name not yet."""
        self.inner.link(source, target)
        self._note("create", target)
        self._note("write", target, data=target.read_bytes())
        self._note("sync", target)

    def remove(self, path: Path) -> None:
        there = path.exists()
        self.inner.remove(path)
        if there:
            self._note("remove", path)

    def make_folder(self, path: Path) -> None:
        there = path.exists()
        self.inner.make_folder(path)
        if not there:
            self._note("make_folder", path)

    def sync_folder(self, path: Path) -> None:
        self.inner.sync_folder(path)
        self._note("sync_folder", path)

    def lock(self, path: Path, *, shared: bool = False) -> Lock:
        there = path.exists()
        lock = self.inner.lock(path, shared=shared)
        if not there:
            self._note("create", path)
        return lock


class _RecordingWriter:
    def __init__(self, files: RecordingFiles, inner: Writable, path: Path) -> None:
        self._files, self._inner, self._path, self._end = files, inner, path, 0

    def write(self, data: bytes | memoryview) -> None:
        self._inner.write(data)
        self._files._note("write", self._path, offset=self._end, data=bytes(data))
        self._end += len(memoryview(data).cast("B"))

    def sync(self) -> None:
        self._inner.sync()
        self._files._note("sync", self._path)

    def close(self) -> None:
        self._inner.close()


# -- the disk -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Change:
    """Something not synced yet, of one file's content or of one folder's names.

    Content: `data` at `offset`, or with `data=None` the length `offset`. Names: `gone` and `come`.
    """

    node: int
    offset: int = 0
    data: bytes | None = None
    gone: str = ""
    come: str = ""
    target: int = -1  # what the name stands for
    names: bool = False


@dataclass
class _Tree:
    """Contents of files and names in folders, by number; folder 0 is the root."""

    files: dict[int, bytes] = field(default_factory=dict)
    folders: dict[int, dict[str, int]] = field(default_factory=lambda: {0: {}})

    def copy(self) -> _Tree:
        return _Tree(dict(self.files), {n: dict(names) for n, names in self.folders.items()})

    def apply(self, change: _Change) -> None:
        if change.names:
            names = self.folders[change.node]
            if change.gone and names.get(change.gone) == change.target:
                del names[change.gone]
            if change.come:
                names[change.come] = change.target
            return
        old = self.files[change.node]
        if change.data is None:
            self.files[change.node] = old[: change.offset].ljust(change.offset, b"\0")
        else:
            end = change.offset + len(change.data)
            head = old[: change.offset].ljust(change.offset, b"\0")
            self.files[change.node] = head + change.data + old[end:]

    def find(self, path: str) -> int:
        node = 0
        for part in PurePosixPath(path).parts:
            node = self.folders[node][part]
        return node

    def paths(self) -> tuple[dict[str, bytes], frozenset[str]]:
        files, folders = {}, set()
        waiting = [("", 0)]
        while waiting:
            at, node = waiting.pop()
            for name, inner in self.folders[node].items():
                path = f"{at}{name}"
                if inner in self.folders:
                    folders.add(path)
                    waiting.append((f"{path}/", inner))
                else:
                    files[path] = self.files[inner]
        return files, frozenset(folders)


class _Disk:
    """`now`: as the programs see it. `safe`: what a power cut cannot take. `loose`: the rest."""

    def __init__(self, start: dict[str, bytes | None]) -> None:
        self.now = _Tree()
        self._numbers = 0
        for path, data in start.items():
            self._make(path, folder=data is None, data=data or b"")
        self.safe = self.now.copy()
        self.loose: list[_Change] = []

    def _make(self, path: str, *, folder: bool, data: bytes = b"") -> _Change:
        self._numbers += 1
        number = self._numbers
        if folder:
            self.now.folders[number] = {}
        else:
            self.now.files[number] = data
        at, _, name = path.rpartition("/")
        change = _Change(self.now.find(at), come=name, target=number, names=True)
        self.now.apply(change)
        return change

    def happen(self, event: Event) -> None:
        match event.kind:
            case "create" | "make_folder":
                change = self._make(event.path, folder=event.kind == "make_folder")
                if event.kind == "make_folder":
                    self.safe.folders[change.target] = {}
                else:
                    self.safe.files[change.target] = b""
                self.loose.append(change)
            case "write":
                self._change(_Change(self.now.find(event.path), event.offset, event.data))
            case "truncate":
                self._change(_Change(self.now.find(event.path), event.offset))
            case "rename":
                (at, _, old), (to, _, new) = event.path.rpartition("/"), event.to.rpartition("/")
                if at != to:
                    raise NotImplementedError("a rename from one folder to another")
                target = self.now.find(event.path)
                self._change(_Change(self.now.find(at), 0, None, old, new, target, True))
            case "remove":
                at, _, old = event.path.rpartition("/")
                target = self.now.find(event.path)
                self._change(_Change(self.now.find(at), 0, None, old, "", target, True))
            case "sync" | "sync_folder":
                node = self.now.find("" if event.path == "." else event.path)
                for change in self.loose:
                    if change.node == node:
                        self.safe.apply(change)
                self.loose = [change for change in self.loose if change.node != node]

    def _change(self, change: _Change) -> None:
        self.now.apply(change)
        self.loose.append(change)

    def after(self, kept: Sequence[_Change]) -> tuple[dict[str, bytes], frozenset[str]]:
        tree = self.safe.copy()
        for change in kept:
            tree.apply(change)
        return tree.paths()


def _torn(changes: Sequence[_Change], rng: random.Random) -> list[_Change]:
    """A random part of the changes, writes in part of their sectors."""
    kept: list[_Change] = []
    share = rng.choice((0.2, 0.5, 0.8))
    for change in changes:
        if change.names or change.data is None:
            if rng.random() < share:
                kept.append(change)
            continue
        if rng.random() < 0.3:  # the file has grown, its new bytes have not come
            kept.append(_Change(change.node, change.offset + len(change.data), b""))
        start, end = change.offset, change.offset + len(change.data)
        while start < end:
            stop = min(end, (start // SECTOR + 1) * SECTOR)
            if rng.random() < share:
                piece = change.data[start - change.offset : stop - change.offset]
                kept.append(_Change(change.node, start, piece))
            start = stop
    return kept


def images(
    start: dict[str, bytes | None],
    events: Sequence[Event],
    *,
    every: int = 1,
    singles: int | None = None,
    torn: int = 2,
    seed: int = 0,
) -> Iterator[Image]:
    """The disks that a power cut after each event may leave, beginning before the first.

    At every `every`-th point, and beside each mark: nothing that was not synced; all of it; each
    part dropped and each alone (at most `singles` of each, drawn at random); `torn` random ones.
    """
    rng = random.Random(seed)
    disk, marks = _Disk(start), []
    for point in range(len(events) + 1):
        if point:
            event = events[point - 1]
            if event.kind == "mark":
                marks.append(event.path)
            else:
                disk.happen(event)
        around = events[max(0, point - 1) : point + 1]
        if point % every and all(event.kind != "mark" for event in around):
            continue
        loose = disk.loose
        choices: list[tuple[str, Sequence[_Change]]] = [("none", ())]
        if loose:
            choices.append(("all", loose))
        picked = list(range(len(loose))) if len(loose) > 1 else []
        if singles is not None and len(picked) > singles:
            picked = rng.sample(picked, singles)
        choices += [("one dropped", [*loose[:i], *loose[i + 1 :]]) for i in picked]
        choices += [("one alone", [loose[i]]) for i in picked]
        choices += [("torn", _torn(loose, rng)) for _ in range(torn if loose else 0)]
        for choice, kept in choices:
            files, folders = disk.after(kept)
            yield Image(point, choice, files, folders, tuple(marks))
