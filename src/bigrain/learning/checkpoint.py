"""What a call of `learn` has reached, in one file of the collection until the call ends.

A call that is killed or cancelled leaves the file; the next one with the same key goes on from
there, and one with another key removes it. The key is a digest of the snapshot and of all that was
asked, so that nothing is taken up for a collection or a question that has changed.

The file is BLAKE2b-128 of the rest, and an npz of arrays and one JSON text. It is written beside
its place, synced and renamed; nothing that `learn` promises depends on it, so that a file which
cannot be written or read is as good as none.
"""

from __future__ import annotations

import hashlib
import io
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bigrain.errors import LockedError, StorageError
from bigrain.storage.files import Files

__all__ = ["Checkpoint", "State", "key_of", "one_at_a_time"]

State = Mapping[str, Any]  # arrays, and values that JSON has
NAME, LOCK = "learning.checkpoint", "learning.lock"
DIGEST = 16


@contextmanager
def one_at_a_time(files: Files, folder: Path) -> Iterator[None]:
    """`LockedError` if another call learns: what it has reached is its own until it ends."""
    try:
        lock = files.lock(folder / LOCK)
    except LockedError as error:
        raise LockedError(
            f"another call of learn is at work on {folder}; wait until it ends"
        ) from error
    try:
        yield
    finally:
        lock.release()


class Checkpoint:
    """States by part. `seconds`: how long calls that were stopped have worked."""

    def __init__(self, files: Files, folder: Path, key: str) -> None:
        """Takes up what is there under the same key, and removes what is there under another."""
        self._files, self._path, self._key = files, folder / NAME, key
        self._states: dict[str, State] = {}
        self.seconds = 0.0
        self.writable = True
        self._began = time.monotonic()
        self._take_up()

    def __bool__(self) -> bool:
        """Whether there is anything to go on from."""
        return bool(self._states)

    def state(self, part: str) -> State | None:
        """What `keep` was given for a part, or None."""
        return self._states.get(part)

    def keep(self, part: str, state: State) -> None:
        """Have a part's state on disk before anything else happens, unless the disk refuses."""
        self._states[part] = state
        try:
            self._write()
        except StorageError:
            self.writable = False

    def remove(self) -> None:
        """The call has ended: there is nothing to go on from."""
        self._states = {}
        with suppress(StorageError):
            self._files.remove(self._path)

    def _write(self) -> None:
        spent = self.seconds + time.monotonic() - self._began
        arrays: dict[str, Any] = {}
        told = {}
        for part, state in self._states.items():
            told[part] = {k: v for k, v in state.items() if not isinstance(v, np.ndarray)}
            arrays |= {f"{part}/{k}": v for k, v in state.items() if isinstance(v, np.ndarray)}
        text = json.dumps({"key": self._key, "seconds": spent, "parts": told})
        buffer = io.BytesIO()
        np.savez(buffer, told=np.array(text), **arrays)
        raw = buffer.getvalue()
        draft = self._path.with_name(NAME + ".new")
        self._files.remove(draft)
        file = self._files.create(draft)
        try:
            file.write(hashlib.blake2b(raw, digest_size=DIGEST).digest() + raw)
            file.sync()
        finally:
            file.close()
        self._files.rename(draft, self._path)
        self._files.sync_folder(self._path.parent)

    def _take_up(self) -> None:
        if not self._path.exists():
            return
        with suppress(StorageError):
            file = self._files.open(self._path)
            try:
                raw = file.read_at(0, file.size)
            finally:
                file.close()
            if raw[:DIGEST] == hashlib.blake2b(raw[DIGEST:], digest_size=DIGEST).digest():
                with np.load(io.BytesIO(raw[DIGEST:]), allow_pickle=False) as loaded:
                    told = json.loads(str(loaded["told"]))
                    arrays = {name: loaded[name] for name in loaded.files if name != "told"}
                if told["key"] == self._key:
                    self.seconds = float(told["seconds"])
                    self._states = {
                        part: values | _under(part, arrays)
                        for part, values in told["parts"].items()
                    }
                    return
        self.remove()


def _under(part: str, arrays: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
    prefix = f"{part}/"
    return {name[len(prefix) :]: a for name, a in arrays.items() if name.startswith(prefix)}


def key_of(*values: Any) -> str:
    """BLAKE2b-128, in hex, of texts, numbers, arrays, and lists and mappings of these."""
    digest = hashlib.blake2b(digest_size=DIGEST)
    _add(digest, values)
    return digest.hexdigest()


def _add(digest: Any, value: Any) -> None:
    if isinstance(value, Mapping):
        digest.update(f"mapping {len(value)}:".encode())
        for key in sorted(value, key=repr):
            _add(digest, key)
            _add(digest, value[key])
    elif isinstance(value, np.ndarray):
        digest.update(f"array {value.dtype} {value.shape}:".encode())
        digest.update(np.ascontiguousarray(value).tobytes())
    elif isinstance(value, Sequence) and not isinstance(value, str):
        digest.update(f"list {len(value)}:".encode())
        for one in value:
            _add(digest, one)
    else:
        text = repr(value).encode()
        digest.update(f"value {len(text)}:".encode() + text)
