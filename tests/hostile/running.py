"""How a case is put to a collection, and what must hold afterwards."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

import bigrain
from bigrain.text import read_documents
from tests.hostile import cases


def make(path: Path) -> bigrain.Collection:
    """A collection with every family of field, filled and committed."""
    col = bigrain.create(path, cases.FIELDS)
    col.add(cases.DOCUMENTS)
    ids = [row["id"] for row in cases.DOCUMENTS]
    rng = np.random.default_rng(5)
    for name in ("vec", "far", "ip"):
        col.add_vectors(name, ids, rng.normal(size=(3, 8)))
    col.commit()
    return col


def state(col: bigrain.Collection) -> Any:
    """What a reader sees of it."""
    return [(d.id, d.title, d.text, d.metadata) for d in col.documents()]


def lay(folder: Path, tree: dict[str, bytes | str]) -> Path:
    """Write the files of a case: bytes, "-> target" for a link, "|" for a pipe."""
    for name, content in tree.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if content == "|":
            os.mkfifo(path)
        elif isinstance(content, str):
            path.symlink_to(content.removeprefix("-> "))
        else:
            path.write_bytes(content)
    return folder


def attempt(col: bigrain.Collection, kind: str, payload: Any, folder: Path) -> None:
    """Do what the case asks for; changes stay pending."""
    if kind == "document":
        col.add(payload)
    elif kind == "vectors":
        col.add_vectors(*payload)
    elif kind == "search":
        query, options = payload
        col.search(query, **options)
    elif kind == "delete":
        col.delete(payload)
    elif kind == "create":
        path, fields = payload
        made = fields() if callable(fields) else fields
        bigrain.create(place(path, folder), made).close()
    elif kind == "files":
        col.add(read_documents(lay(folder, payload)))
    else:
        raise AssertionError(kind)


def place(path: Any, folder: Path) -> Any:
    """The path of a `create` case, below a folder with a few obstacles."""
    (folder / "file").write_text("a file")
    (folder / "sub").mkdir()
    (folder / "full").mkdir()
    (folder / "full" / "kept.txt").write_text("kept")
    (folder / "loop").symlink_to("loop")
    (folder / "link-to-empty").symlink_to("full")
    return f"{folder}/{path}" if isinstance(path, str) and path else path
