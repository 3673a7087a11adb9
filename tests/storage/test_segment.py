"""Segment files: what goes in comes out, or the damage is named."""

import json
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bigrain.errors import BigrainError, DamagedError, FormatError, StorageError
from bigrain.storage import segment
from bigrain.storage.files import Disk
from bigrain.storage.segment import SegmentFile, SegmentWriter
from bigrain.testing import FaultyFiles, QuickDisk

Sections = dict[str, np.ndarray[Any, Any]]
ARRAYS = hnp.arrays(
    st.sampled_from(sorted(segment.DTYPES)), hnp.array_shapes(min_dims=1, max_dims=3, min_side=0)
)
NAMES = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=5)


def write(path: Path, sections: Sections, meta: Any = None, files: Any = None) -> Path:
    path.unlink(missing_ok=True)
    writer = SegmentWriter(files or QuickDisk(), path)
    for name, array in sections.items():
        writer.add(name, array)
    assert writer.finish(meta or {}) == path.stat().st_size
    return path


def read(path: Path) -> tuple[Any, Sections]:
    file = SegmentFile(Disk(), path)
    try:
        return file.meta, {name: file.read(name) for name in file.sections}
    finally:
        file.close()


@given(st.dictionaries(NAMES, ARRAYS, max_size=4), st.dictionaries(NAMES, st.integers()))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_arrays_come_back(tmp_path: Path, sections: Sections, meta: dict[str, int]) -> None:
    path = write(tmp_path / "a.seg", sections, meta)
    found_meta, found = read(path)
    assert found_meta == meta and found.keys() == sections.keys()
    for name, array in sections.items():
        assert found[name].dtype == array.dtype and found[name].shape == array.shape
        assert found[name].tobytes() == array.tobytes()
        assert not array.size or found[name].ctypes.data % segment.ALIGNMENT == 0
    file = SegmentFile(Disk(), path)
    for name, section in file.sections.items():
        assert section.offset % segment.ALIGNMENT == 0
        assert list(file.check(name))[-1:] in ([], [section.n_bytes])


@given(st.lists(st.integers(0, 99), max_size=40), st.integers(1, 3))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_single_rows_come_in_the_order_asked_for(
    tmp_path: Path, rows: list[int], width: int
) -> None:
    array = np.arange(100 * width, dtype=np.uint8).reshape(100, width)
    file = SegmentFile(Disk(), write(tmp_path / "a.seg", {"r": array}))
    wanted = np.array(rows, np.int64)
    assert (file.gather_rows("r", wanted) == array[wanted]).all()
    with pytest.raises(IndexError):
        file.gather_rows("r", np.array([100]))


def small(path: Path) -> Path:
    rows = np.arange(12, dtype=np.float32).reshape(4, 3)
    return write(path, {"rows": rows, "n": np.array([7], "<u8")}, {"family": "x"})


def test_every_flipped_bit_is_found_or_harmless(tmp_path: Path) -> None:
    path = small(tmp_path / "a.seg")
    original, expected = path.read_bytes(), read(path)
    for position in range(len(original)):
        for bit in (1, 0x80, 0xFF):
            damaged = bytearray(original)
            damaged[position] ^= bit
            path.write_bytes(damaged)
            same_or_damaged(path, expected)


def test_every_truncation_and_extension_is_found(tmp_path: Path) -> None:
    path = small(tmp_path / "a.seg")
    original = path.read_bytes()
    for length in range(len(original)):
        path.write_bytes(original[:length])
        with pytest.raises(DamagedError):
            read(path)
    for more in (b"\0", original, original[-32:]):
        path.write_bytes(original + more)
        with pytest.raises(DamagedError):
            read(path)


def same_or_damaged(path: Path, expected: tuple[Any, Sections]) -> None:
    try:
        meta, found = read(path)
    except DamagedError as error:
        assert error.file == path.name and error.section
        return
    assert meta == expected[0] and found.keys() == expected[1].keys()
    for name, array in expected[1].items():
        assert found[name].tobytes() == array.tobytes() and found[name].shape == array.shape


def test_a_damaged_header_table_or_trailer_costs_no_section(tmp_path: Path) -> None:
    path = small(tmp_path / "a.seg")
    original, expected = path.read_bytes(), read(path)
    sections = SegmentFile(Disk(), path).sections.values()
    begin = max(section.offset + section.n_bytes for section in sections)
    places = [*range(segment.HEADER.size), *range(begin, len(original))]
    flipped = [original[:at] + bytes([original[at] ^ 1]) + original[at + 1 :] for at in places]
    for data in (*flipped, original[:-1], original[:-100], original + b"more"):
        path.write_bytes(data)
        file = SegmentFile.salvage(Disk(), path)
        found = {name: file.read(name) for name in file.sections}
        file.close()
        assert file.meta == expected[0] and found.keys() == expected[1].keys()
        assert all(found[name].tobytes() == expected[1][name].tobytes() for name in found)
    path.write_bytes(original[: begin + 8])
    with pytest.raises(DamagedError, match="neither it nor its copy"):
        SegmentFile.salvage(Disk(), path)


@given(st.binary(max_size=300))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_bytes_are_damage(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "a.seg"
    path.write_bytes(raw)
    with pytest.raises(DamagedError):
        read(path)


def test_a_newer_version_is_refused(tmp_path: Path) -> None:
    path = small(tmp_path / "a.seg")
    raw = bytearray(path.read_bytes())
    raw[8:12] = struct.pack("<I", segment.FORMAT_VERSION + 1)
    raw[60:64] = struct.pack("<I", zlib.crc32(raw[:60]))
    path.write_bytes(raw)
    with pytest.raises(FormatError, match="upgrade"):
        read(path)


SECTION = {"dtype": "<u4", "shape": [1], "offset": 64, "crc32": 0}
HOSTILE: list[Any] = [
    [],
    None,
    {"meta": {}},
    {"meta": 5, "sections": {}},
    {"meta": {}, "sections": []},
    *(
        {"meta": {}, "sections": {"a": SECTION | change}}
        for change in (
            {"offset": 0},
            {"offset": -1},
            {"offset": 2**70},
            {"offset": float("inf")},
            {"offset": float("nan")},
            {"offset": None},
            {"shape": [-1]},
            {"shape": [2**62, 2**62]},
            {"shape": [0, 2**63]},
            {"shape": [2**63, 0]},
            {"shape": [1.5]},
            {"shape": [True]},
            {"shape": ["1"]},
            {"shape": []},
            {"shape": [1] * 100},
            {"shape": 1},
            {"shape": [100]},
            {"dtype": "|O"},
            {"dtype": ">u4"},
            {"dtype": "|V4"},
            {"dtype": [["a", "<u4"]]},
            {"dtype": {"names": ["a"]}},
            {"dtype": "<u4,<u4"},
            {"dtype": "é"},
            {"dtype": None},
            {"crc32": "x"},
        )
    ),
]


@pytest.mark.parametrize("table", HOSTILE, ids=lambda t: json.dumps(t)[-60:])
def test_hostile_tables_with_right_checksums_are_damage(tmp_path: Path, table: Any) -> None:
    with pytest.raises(DamagedError):
        read(forged(tmp_path / "a.seg", json.dumps(table).encode()))


@pytest.mark.parametrize("table", [b"", b"\xff", b"[" * 100_000, b'{"meta": {}', b"1e999"])
def test_tables_that_are_not_json_are_damage(tmp_path: Path, table: bytes) -> None:
    with pytest.raises(DamagedError):
        read(forged(tmp_path / "a.seg", table))


def forged(path: Path, table: bytes) -> Path:
    """A file of one number, with this table and checksums that fit."""
    header = small(path).read_bytes()[:64]
    end = segment._trailer(128, len(table), zlib.crc32(table))
    path.write_bytes(header + bytes(64) + table + end)
    return path


@pytest.mark.parametrize("tear", [False, True])
def test_a_disk_that_fails_leaves_no_file_under_the_final_name(tmp_path: Path, tear: bool) -> None:
    path = tmp_path / "a.seg"
    for n in range(1, 100):
        files = FaultyFiles(QuickDisk(), fail_at=n, tear=tear)
        try:
            writer = SegmentWriter(files, path)
            try:
                writer.add("big", np.zeros(3 << 20, np.uint8))
                writer.finish({})
            except BaseException:
                writer.abandon()
                raise
        except StorageError as error:
            assert error.errno
            assert not path.exists()
            assert list(tmp_path.iterdir()) == []
        if not files.tripped:
            break
    assert n > 6
    assert len(read(path)[1]["big"]) == 3 << 20


def test_a_read_that_comes_up_short_is_damage(tmp_path: Path) -> None:
    path = write(tmp_path / "a.seg", {"r": np.arange(1000)})
    file = SegmentFile(Disk(), path)
    with open(path, "r+b") as raw:
        raw.truncate(200)
    with pytest.raises(DamagedError):
        file.read("r")
    with pytest.raises(DamagedError):
        file.gather_rows("r", np.array([999]))


def test_a_missing_file_says_which(tmp_path: Path) -> None:
    with pytest.raises(BigrainError, match=r"nothere\.seg"):
        read(tmp_path / "nothere.seg")
