"""Exported tables on disk: a segment file (docs/format/segment.md) with the arrays of one form.

The segment's `meta` is {"table": 1, "form": kind, "rows": n, "dim": d, "knobs": {...}}. Arrays
begin at multiples of 64, so they can be mapped into memory as they lie there.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from importlib import import_module
from inspect import signature
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bigrain.errors import DamagedError, FormatError, shown
from bigrain.storage.files import DISK
from bigrain.storage.segment import ALIGNMENT, HEADER, TRAILER, SegmentFile, SegmentWriter
from bigrain.tables.forms.base import Form, Layout, aligned_sections
from bigrain.tables.spec import MAX_DIM, MAX_ROWS

__all__ = ["file_bytes", "load", "write"]

VERSION = 1
FORMS = {
    "blocks": "Blocks",
    "codes": "Codes",
    "compositional": "Compositional",
    "deep-hash": "DeepHash",
    "integers": "Integers",
    "multiplexed": "Multiplexed",
    "robe": "Robe",
    "rows": "Rows",
    "shared": "Shared",
    "sparse": "Sparse",
    "tensor-train": "TensorTrain",
    "widths": "Widths",
}
LONGEST_CRC = 0xFFFFFFFF
MAX_KNOB = 1 << 40


def file_bytes(form: type[Form], n: int, dim: int, knobs: Mapping[str, Any]) -> int:
    """The size of the file of such a form, a few bytes too many at most."""
    layout = form.layout(n, dim, **knobs)
    arrays = aligned_sections(layout, ALIGNMENT)
    sections = {
        name: {
            "dtype": _stored(dtype).str,
            "shape": list(shape),
            "offset": HEADER.size + arrays,
            "crc32": LONGEST_CRC,
        }
        for name, (dtype, shape) in layout.items()
    }
    table = len(json.dumps({"meta": _meta(form, n, dim, knobs), "sections": sections}))
    copy = table + TRAILER.size
    return HEADER.size + arrays + copy + -copy % ALIGNMENT + copy


def write(path: str | PathLike[str], form: Form) -> int:
    """Write a form; returns the size of the file. The path changes only when all is written."""
    target = Path(fspath(path))
    fresh = target.with_name(f".{target.name}.{uuid.uuid4().hex[:12]}")
    writer = SegmentWriter(DISK, fresh)
    n, dim = form.num_embeddings, form.embedding_dim
    try:
        for name, (dtype, _) in form.layout(n, dim, **form.knobs).items():
            writer.add(name, np.ascontiguousarray(form.arrays[name]).view(_stored(dtype)))
        size = writer.finish(_meta(type(form), n, dim, form.knobs))
        DISK.rename(fresh, target)
    except BaseException:
        writer.abandon()
        raise
    DISK.sync_folder(target.parent)
    return size


def load(path: str | PathLike[str], *, mmap: bool = True, verify: bool = True) -> Form:
    """Open an exported table; `lookup(ids)` gives rows. Needs only NumPy.

    Args:
        mmap: map the arrays into memory, so that only the rows that are asked for are read;
            False reads all of them.
        verify: read the whole file once and test its checksums.

    Raises StorageError where the file cannot be read, DamagedError where it is not what was
    written, FormatError where a newer bigrain wrote it.
    """
    target = Path(fspath(path))
    segment = SegmentFile(DISK, target)
    try:
        form, n, dim, knobs, layout = _described(segment)
        arrays: dict[str, npt.NDArray[Any]] = {}
        for name, (dtype, shape) in layout.items():
            section = segment.section(name, _stored(dtype), shape)
            if mmap and section.n_bytes:
                if verify:
                    for _ in segment.check(name):
                        pass
                arrays[name] = np.memmap(target, dtype, "r", section.offset, shape)
            else:
                arrays[name] = segment.read(name).view(dtype)
    finally:
        segment.close()
    found = form(n, dim, knobs, arrays)
    try:
        found.lookup([0, n - 1])  # settings that do not go together show here
    except (ArithmeticError, LookupError, MemoryError, TypeError, ValueError) as error:
        raise DamagedError(target.name, "table", f"settings of {form.kind}", error) from None
    return found


def _described(segment: SegmentFile) -> tuple[type[Form], int, int, dict[str, Any], Layout]:
    kind = segment.meta.get("form")
    if "table" not in segment.meta or kind not in FORMS:
        raise DamagedError(segment.name, "table", "an exported embedding table", kind)
    if segment.number("table") > VERSION:
        raise FormatError(f"{segment.name} was exported by a newer bigrain: upgrade bigrain")
    module = import_module(f"bigrain.tables.forms.{kind.replace('-', '_')}")
    form: type[Form] = getattr(module, FORMS[kind])
    n, dim = segment.number("rows", high=MAX_ROWS), segment.number("dim", high=MAX_DIM)
    knobs = segment.meta.get("knobs")
    try:
        knobs = _checked(form, knobs)
        layout = form.layout(n, dim, **knobs)
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise DamagedError(segment.name, "table", f"settings of {kind}", error) from None
    return form, n, dim, knobs, layout


def _checked(form: type[Form], knobs: Any) -> dict[str, Any]:
    """Knobs of the types that `layout` declares; ValueError where they are not."""
    declared = signature(form.layout).parameters
    for name, value in dict(knobs).items():
        kind = str(declared[name].annotation)
        numbers = value if kind == "list[int]" and isinstance(value, list) else [value]
        wanted = bool if kind == "bool" else int
        if not numbers or any(type(v) is not wanted or not 0 <= v < MAX_KNOB for v in numbers):
            raise ValueError(f"{name} is {shown(value)}, not {kind}")
    return dict(knobs)


def _meta(form: type[Form], n: int, dim: int, knobs: Mapping[str, Any]) -> dict[str, Any]:
    return {"table": VERSION, "form": form.kind, "rows": n, "dim": dim, "knobs": dict(knobs)}


def _stored(dtype: str) -> np.dtype[Any]:
    """Segments know no signed 16-bit numbers; those are stored as the same bits, unsigned."""
    return np.dtype(dtype.replace("<i2", "<u2"))
