"""Segment files that lie: their contents are changed at will, and every checksum is right again.

What bit rot can do is found by checksums; what these do must be found by what is behind them.
"""

from __future__ import annotations

import json
import random
import struct
import tempfile
import zlib
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse

import bigrain
from bigrain import kernels
from bigrain.errors import BigrainError
from bigrain.families import make_family
from bigrain.index.base import View
from bigrain.index.blocks import sealed
from bigrain.index.effort import Effort
from bigrain.index.postings import ListCache
from bigrain.index.token_records import CRC_BYTES, unsealed
from bigrain.index.token_records import sealed as sealed_tokens
from bigrain.storage.files import Disk
from bigrain.storage.segment import HEADER, SegmentFile, _trailer
from bigrain.testing import QuickDisk

FIELDS: dict[str, Any] = {
    "lexical": bigrain.LexicalField(),
    "substring": bigrain.SubstringField(),
    "dense": bigrain.DenseField(dim=24, light_bytes=2),
    "l2": bigrain.DenseField(dim=9, metric="l2", heavy="float32"),
    "bf16": bigrain.DenseField(dim=9, metric="ip", heavy="bfloat16"),
    "int8": bigrain.DenseField(dim=9, metric="l2", heavy="int8"),
    "three": bigrain.DenseField(dim=12, bits=3, light_bytes=3, reduction="prefix"),
    "sign": bigrain.DenseField(dim=12, code="sign", metric="l2"),
    "opq": bigrain.DenseField(dim=12, code="opq", light_bytes=2, metric="ip"),
    "additive": bigrain.DenseField(dim=12, code="additive", light_bytes=5),
    "sparse": bigrain.SparseField(),
    "multivector": bigrain.MultiVectorField(dim=5, light_bytes=4),
    "residual": bigrain.MultiVectorField(dim=5, light_bytes=4, heavy="residual2", light="mean"),
}
CODES = ("three", "sign", "opq", "additive")
N = 40
NUMBERS = (0, 1, -1, 2, 31, 32, 33, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**40, 2**53, 2**63 - 1,
           -(2**63), 2**64 - 1, 2**70, 10**400, 0.5, 1e308, True, None, "1", [], {})  # fmt: skip


@cache
def scratch() -> Path:
    return Path(tempfile.mkdtemp(prefix="bigrain-fuzz-"))


@cache
def valid(name: str) -> bytes:
    """The bytes of a good segment of a field; its units have a gap."""
    rng = np.random.default_rng(3)
    fields = {"words": bigrain.LexicalField(), **FIELDS}
    path = Path(tempfile.mkdtemp(dir=scratch())) / "docs.grain"
    with bigrain.create(path, fields, files=QuickDisk()) as col:
        ids = [str(i) for i in range(N)]
        texts = [" ".join(f"w{int(w)}" for w in rng.zipf(1.6, 12)) for _ in ids]
        col.add([{"id": i, "text": t} for i, t in zip(ids, texts, strict=True)])
        some = [i for i in ids if i != "7"]
        m = len(some)
        col.add_vectors("dense", some, rng.normal(size=(m, 24)))
        for nine in ("l2", "bf16", "int8"):
            col.add_vectors(nine, some, rng.normal(size=(m, 9)))
        for code in CODES:
            col.add_vectors(code, some, rng.normal(size=(m, 12)))
        weights = scipy.sparse.random(m, 30, 0.3, "csr", random_state=5)
        col.add_vectors("sparse", some, abs(weights))
        offsets = np.arange(0, 3 * m + 1, 3)
        for kind in ("multivector", "residual"):
            col.add_vectors(kind, some, (rng.normal(size=(3 * m, 5)), offsets))
        col.commit()
        (file,) = (path / "segments").glob(f"*{name}*.seg*") or [None]
        return file.read_bytes()


def take_apart(data: bytes) -> tuple[dict[str, Any], dict[str, dict[str, Any]], dict[str, bytes]]:
    """(meta, table of sections, bytes of sections) of a good file."""
    offset, length = struct.unpack("<QQ", data[-32:-16])
    table = json.loads(data[offset : offset + length])
    sections = table["sections"]
    blobs = {}
    for name, s in sections.items():
        size = np.dtype(s["dtype"]).itemsize * int(np.prod(s["shape"]))
        blobs[name] = data[s["offset"] : s["offset"] + size]
    return table["meta"], sections, blobs


def put_together(
    header: bytes, meta: Any, sections: dict[str, Any], blobs: dict[str, bytes]
) -> bytes:
    """A file of these parts in which all checksums of sections, table and trailer are right."""
    out = bytearray(header)
    for name, blob in blobs.items():
        out += bytes(-len(out) % 64)
        if name in sections and "offset" not in sections[name].get("kept", ()):
            sections[name] = {**sections[name], "offset": len(out), "crc32": zlib.crc32(blob)}
        out += blob
    out += bytes(-len(out) % 64)
    table = json.dumps({"meta": meta, "sections": sections}).encode()
    return bytes(out + table + _trailer(len(out), len(table), zlib.crc32(table)))


def forged(name: str, seed: bytes) -> bytes:
    """A good segment with a few lies in it, chosen by `seed`."""
    chance = random.Random(seed)
    data = valid(name)
    meta, sections, blobs = take_apart(data)
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        what = chance.randrange(8)
        victim = chance.choice(sorted(sections))
        if what == 0:
            _change_meta(chance, meta)
        elif what == 1:
            shape = list(sections[victim]["shape"])
            shape[chance.randrange(len(shape))] = chance.choice(NUMBERS)
            sections[victim]["shape"] = shape
        elif what == 2:
            dtypes = ["|u1", "<u2", "<u4", "<u8", "<i4", "<i8", "<f2", "<f4", "<f8", "|O", "<U4"]
            sections[victim]["dtype"] = chance.choice(dtypes)
        elif what == 3 and chance.random() < 0.4:
            sections.pop(victim)
            blobs.pop(victim, None)
            if not sections:
                break
        elif what == 4:
            blob = blobs.get(victim, b"")
            blobs[victim] = blob[: chance.randrange(len(blob) + 1)] * chance.choice((1, 1, 2))
            _fit_shape(sections[victim], blobs[victim])
        else:
            blobs[victim] = _change_numbers(chance, sections[victim], blobs.get(victim, b""))
    _mend_checksums(name, sections, blobs)
    return put_together(data[: HEADER.size], meta, sections, blobs)


def _change_meta(chance: random.Random, meta: dict[str, Any]) -> None:
    target = meta
    if isinstance(meta.get("codec"), dict) and chance.random() < 0.5:
        target = meta["codec"]
    key = chance.choice(sorted(target))
    if chance.random() < 0.2:
        del target[key]
    else:
        target[key] = chance.choice((*NUMBERS, "|u1", "<u2", "<u4", "<f4", "<f8", "O", "l2", "ip",
                                     "pq", "rabitq", "leanvec"))  # fmt: skip


def _fit_shape(section: dict[str, Any], blob: bytes) -> None:
    try:
        row = np.dtype(section["dtype"]).itemsize * int(np.prod(section["shape"][1:]))
        section["shape"] = [len(blob) // max(row, 1), *section["shape"][1:]]
    except (TypeError, ValueError, OverflowError):
        pass


def _change_numbers(chance: random.Random, section: dict[str, Any], blob: bytes) -> bytes:
    """Some of the numbers of a section replaced by extreme ones."""
    try:
        dtype = np.dtype(section["dtype"])
    except TypeError:
        return blob
    if dtype.hasobject or not len(blob) or len(blob) % dtype.itemsize:
        return blob
    array = np.frombuffer(blob, dtype).copy()
    if dtype.kind not in "iuf":
        return blob
    for _ in range(chance.choice((1, 1, 2, 9))):
        at = chance.randrange(len(array))
        kind = chance.randrange(4)
        with np.errstate(all="ignore"):
            if kind == 0 and len(array) > 1:
                array[at] = array[chance.randrange(len(array))]
            elif dtype.kind == "f":
                array[at] = chance.choice((0, -0.0, np.nan, np.inf, -np.inf, 3e38, -3e38, 1e-45))
            elif kind == 1:
                array[at] += dtype.type(1)
            else:
                low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
                array[at] = chance.choice((low, high, high - 1, 0, 1, N, min(high, 2**31)))
    return array.tobytes()


def _mend_checksums(
    name: str, sections: dict[str, dict[str, Any]], blobs: dict[str, bytes]
) -> None:
    """The checksums inside sections: of records, of lists, of rows of tokens, of blocks."""
    try:
        for block in ("blocks0", "rows0"):
            if name == "substring" and block in blobs:
                records = np.frombuffer(blobs[block], np.uint8)
                records = records.reshape(sections[block]["shape"]).copy()
                sealed(records)
                blobs[block] = records.tobytes()
        if isinstance(FIELDS[name], bigrain.DenseField) and "rows" in blobs:
            n, width = sections["rows"]["shape"]
            rows = np.frombuffer(blobs["rows"], np.uint8).reshape(n, width).copy()
            sums = kernels.row_checksums(np.ascontiguousarray(rows[:, :-4])).astype("<u4")
            rows[:, -4:] = sums.view(np.uint8).reshape(-1, 4)
            blobs["rows"] = rows.tobytes()
        elif name in ("lexical", "sparse"):
            ends = [0, *np.frombuffer(blobs["list_ends"], "<u8").tolist()]
            parts = [blobs["lists"][a:b] for a, b in zip(ends, ends[1:], strict=False)]
            blobs["list_crc"] = np.array([zlib.crc32(p) for p in parts], "<u4").tobytes()
        elif isinstance(FIELDS[name], bigrain.MultiVectorField):
            width = {"multivector": 4 + 5, "residual": 2 + 2 + 2}[name]
            counts = np.frombuffer(blobs["token_counts"], "<u4").astype(np.int64)
            places = np.concatenate(([0], np.cumsum(counts * width + CRC_BYTES)))
            payload = unsealed(np.frombuffer(blobs["tokens"], np.uint8), places)
            blobs["tokens"] = sealed_tokens(payload, counts, width).tobytes()
    except (LookupError, TypeError, ValueError, ArithmeticError, MemoryError):
        pass  # beyond mending: as good a lie as any


def _queries(name: str) -> list[Any]:
    rng = np.random.default_rng(9)
    return {
        "lexical": ["w1 w2 w3 w9"],
        "substring": ["w1 w1 w2 w1 w3"],
        "dense": [rng.normal(size=24), rng.normal(size=24)],
        "l2": [rng.normal(size=9)],
        "bf16": [rng.normal(size=9)],
        "int8": [rng.normal(size=9)],
        **{code: [rng.normal(size=12)] for code in CODES},
        "sparse": [{i: 1.0 for i in range(30)}],
        "multivector": [rng.normal(size=(3, 5))],
        "residual": [rng.normal(size=(3, 5))],
    }[name]


def use(name: str, data: bytes) -> bool:
    """Open a segment and do everything that a collection does with one; whether it held out.

    Only errors of the tree may come out. A collection compares the number of rows with its
    catalogue, so that much is known here too.
    """
    path = scratch() / f"{name}.seg"
    path.write_bytes(data)
    family = make_family(name, FIELDS[name])
    file = None
    try:
        file = SegmentFile(Disk(), path)
        if file.meta.get("family") != family.spec.family:
            return False
        if file.number("n_rows") > 2 * N:
            return False
        segment = family.open_segment(file)
        view = View(segment, None, segment.units.n_rows)
        index = family.index([view], ListCache(1 << 20))
        prepared = family.queries(_queries(name))
        for found in (
            *index.candidates(prepared, Effort(5), None),
            *index.exact(prepared, 5, None),
        ):
            assert len(found.units) <= 5
            index.score(prepared[0], found.units)
        family.explain(index, prepared[0], int(segment.units.first))
        merged = scratch() / f"{name}-merged.seg"
        if family.merge(QuickDisk(), merged, [view], 1 << 22):
            again = SegmentFile(Disk(), merged)
            family.open_segment(again)
            again.close()
        return True
    except BigrainError:
        return False
    finally:
        if file is not None:
            file.close()
