"""Drafts: a folder beside its final place, locked by whoever makes it, renamed when it is whole.

A draft is called `.NAME.xxxxxxxx.new`. Its maker holds `writer.lock` in it, which ends with the
process; so a draft of the same name that nobody holds was left by one that was killed, and the next
maker removes it.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bigrain.errors import LockedError, StorageError
from bigrain.storage.files import Files, Lock

__all__ = ["drafting"]

LOCK = "writer.lock"
ATTEMPTS = 16


@contextmanager
def drafting(files: Files, target: Path) -> Iterator[Path]:
    """A new locked folder beside `target`; unless it is renamed, it is gone at the end."""
    _remove_abandoned(files, target)
    draft, lock = _make(files, target)
    try:
        yield draft
    finally:
        _remove(draft)
        lock.release()


def _make(files: Files, target: Path) -> tuple[Path, Lock]:
    for _ in range(ATTEMPTS):
        draft = target.parent / f".{target.name}.{uuid.uuid4().hex[:8]}.new"
        files.make_folder(draft)
        try:
            lock = files.lock(draft / LOCK)
        except LockedError:
            continue  # another maker took it for abandoned before it was locked, and removes it
        except BaseException as error:
            if isinstance(error, StorageError) and not draft.exists():
                continue
            _remove(draft)
            raise
        if draft.exists():
            return draft, lock
        lock.release()
    raise StorageError(f"cannot make a folder beside {target}: others keep removing it")


def _remove_abandoned(files: Files, target: Path) -> None:
    """Remove drafts of `target` that nobody holds; what cannot be looked at stays."""
    name = re.compile(re.escape(f".{target.name}.") + r"[0-9a-f]{8}\.new")
    with suppress(StorageError):
        for draft in (target.parent / n for n in files.names(target.parent) if name.fullmatch(n)):
            if not _is_own_folder(draft):
                continue
            with suppress(LockedError, StorageError):
                lock = files.lock(draft / LOCK)
                _remove(draft)
                lock.release()


def _is_own_folder(path: Path) -> bool:
    """A lock is written to, so it is not taken through links or in a stranger's folder."""
    try:
        found = path.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()


def _remove(draft: Path) -> None:
    if draft.exists():
        shutil.rmtree(draft, ignore_errors=True)
