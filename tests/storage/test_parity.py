"""Spare blocks: what they give back is what was there, or nothing."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigrain.errors import DamagedError
from bigrain.storage.files import DISK
from bigrain.storage.parity import BLOCK, GROUPS, mended, spare_of
from bigrain.storage.segment import SPARE, SegmentFile, SegmentWriter

MOST = (GROUPS - 1) * BLOCK + 1  # in a row, wherever it begins


def some(n: int) -> np.ndarray:
    return np.random.default_rng(n).integers(0, 256, n).astype(np.uint8)


@given(st.integers(0, 40_000), st.data())
def test_a_lost_stretch_is_computed(n: int, data: st.DataObject) -> None:
    whole = some(n)
    spare, sums = spare_of(whole)
    start = data.draw(st.integers(0, n))
    harmed = whole.copy()
    harmed[start : start + data.draw(st.integers(0, MOST))] ^= 0x5A
    found = mended(harmed, spare, sums)
    assert found is not None
    np.testing.assert_array_equal(found, whole)


@given(st.lists(st.integers(0, 29_999), min_size=1, max_size=40), st.integers(1, 255))
def test_single_bytes_are_computed_or_nothing_is(places: list[int], bits: int) -> None:
    whole = some(30_000)
    spare, sums = spare_of(whole)
    harmed = whole.copy()
    harmed[places] ^= bits
    blocks = np.unique(np.array(places) // BLOCK)
    found = mended(harmed, spare, sums)
    if len(np.unique(blocks % GROUPS)) == len(blocks):
        np.testing.assert_array_equal(found, whole)
    else:
        assert found is None


def test_damaged_spare_blocks_are_not_believed() -> None:
    whole = some(30_000)
    spare, sums = spare_of(whole)
    harmed = whole.copy()
    harmed[0] ^= 1
    spare[0, 7] ^= 1
    assert mended(harmed, spare, sums) is None
    assert mended(harmed, spare[:1], sums) is None and mended(harmed, spare, sums[1:]) is None


def test_a_section_is_mended_with_its_spare_blocks(tmp_path: Path) -> None:
    path = tmp_path / "a.seg"
    table = np.arange(20_000, dtype="<f4").reshape(100, 200)
    writer = SegmentWriter(DISK, path)
    writer.add("plain", table)
    writer.add("kept", table, spare=True)
    writer.finish({})
    whole = path.read_bytes()
    file = SegmentFile(DISK, path)
    np.testing.assert_array_equal(file.mended("kept", "<f4", (None, 200)), table)
    sections = dict(file.sections)
    file.close()

    def harmed(name: str, start: int, length: int) -> SegmentFile:
        data = bytearray(whole)
        at = sections[name].offset + start
        data[at : at + length] = bytes(b ^ 255 for b in data[at : at + length])
        path.write_bytes(data)
        return SegmentFile(DISK, path)

    file = harmed("kept", 12_345, 4_096)
    with pytest.raises(DamagedError):
        file.read("kept")
    np.testing.assert_array_equal(file.mended("kept"), table)
    for name, start, length in (("plain", 0, 1), ("kept", 0, 20_000)):
        with pytest.raises(DamagedError, match=name):
            harmed(name, start, length).mended(name)
    file = harmed("kept" + SPARE, 3, 1)
    np.testing.assert_array_equal(file.mended("kept"), table)
