"""Rows set aside on disk."""

import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bigrain.errors import StorageError
from bigrain.storage import spill as module
from bigrain.storage.files import Disk
from bigrain.storage.spill import Spill
from bigrain.testing import FaultyFiles


@given(st.lists(st.integers(0, 60), max_size=12), st.data())
@settings(deadline=None)
def test_rows_come_back_from_disk_and_memory(sizes: list[int], data: st.DataObject) -> None:
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        patch.setattr(module, "BUFFER_BYTES", 256)
        spill = Spill(Disk(), Path(folder) / "rows", "<i4", (2,))
        everything = np.arange(2 * sum(sizes), dtype=np.int32).reshape(-1, 2)
        done = 0
        for size in sizes:
            spill.append(everything[done : done + size])
            done += size
            start = data.draw(st.integers(0, done))
            stop = data.draw(st.integers(start, done))
            assert (spill.read(start, stop) == everything[start:stop]).all()
        spill.discard()
        assert os.listdir(folder) == []


def test_reading_writes_nothing(tmp_path: Path) -> None:
    files = FaultyFiles()
    spill = Spill(files, tmp_path / "rows", "<i4", ())
    spill.append(np.arange(10))
    assert spill.read(2, 5).tolist() == [2, 3, 4]
    assert files.log == []


def test_a_read_that_failed_can_be_tried_again(tmp_path: Path) -> None:
    files = FaultyFiles(only="read", fail_at=1)
    spill = Spill(files, tmp_path / "rows", "<i4", ())
    spill.append(np.arange(1 << 19))
    with pytest.raises(StorageError):
        spill.read(0, 5)
    assert spill.read(0, 5).tolist() == [0, 1, 2, 3, 4]
