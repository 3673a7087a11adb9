"""A file whose checksums are right and whose settings are not is damaged, not a crash."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from bigrain import tables  # noqa: E402
from bigrain.errors import BigrainError, DamagedError, StorageError  # noqa: E402
from bigrain.storage.files import DISK  # noqa: E402
from bigrain.storage.segment import SegmentFile, SegmentWriter  # noqa: E402
from tests.tables.making import make  # noqa: E402
from tests.tables.training import train  # noqa: E402

ONE_OF_EACH_FORM = (
    "adapt.v1", "compositional.v1", "dedup.v1", "deeplight.v1", "dhe.v1", "full.v1", "hash.v1",
    "int8.v1", "mde.v1", "mgqe.v1", "optembed.v1", "robe.v1", "tt_rec.v1",
)  # fmt: skip
ODD: list[Any] = [0, -1, 10**9, "x", None, [], 1.5, True, [-1], [10**9], {}]


@pytest.mark.parametrize("name", ONE_OF_EACH_FORM)
def test_forged_settings_are_refused(name: str, tmp_path: Path) -> None:
    table = make(name)
    train(table, 2)
    table.eval().export(tmp_path / "t.table")
    segment = SegmentFile(DISK, tmp_path / "t.table")
    arrays = {key: segment.read(key) for key in segment.sections}
    meta = segment.meta
    segment.close()
    for knob, value in [*meta["knobs"].items(), ("rows", meta["rows"]), ("dim", meta["dim"])]:
        near = [[n + 1 for n in value], value[:-1]] if isinstance(value, list) else [value + 1]
        for odd in [*ODD, *near]:
            changed = {**meta, "knobs": dict(meta["knobs"])}
            (changed if knob in ("rows", "dim") else changed["knobs"])[knob] = odd
            path = tmp_path / "forged.table"
            writer = SegmentWriter(DISK, path)
            for key, array in arrays.items():
                writer.add(key, array)
            writer.finish(changed, sync=False)
            try:
                loaded = tables.load(path)
                loaded.lookup(np.arange(min(loaded.num_embeddings, 500)))
            except BigrainError:
                pass


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot open"):
        tables.load(tmp_path / "none.table")
    writer = SegmentWriter(DISK, tmp_path / "other")
    writer.add("rows", np.zeros((3, 2), np.float32))
    writer.finish({})
    with pytest.raises(DamagedError, match="embedding table"):
        tables.load(tmp_path / "other")
