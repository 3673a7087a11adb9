"""Writing dense segments: rows as they come, their codes, and the calibration.

The last pass over the vectors writes the rows, codes them (`coded_writing`) and finds the true
neighbours of the sample queries on the way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from bigrain.codecs.dense import DenseCodec
from bigrain.errors import StorageError
from bigrain.index.base import Floats, Keep, Rows, UnitMap, Units, View
from bigrain.index.coded import chunk_rows
from bigrain.index.coded_writing import Chunks, ListedCodes, Reservoir, fit_codes, in_steps
from bigrain.index.dense import DenseSegment, DenseSpec
from bigrain.index.neighbours import Neighbours
from bigrain.index.numbering import Numbering, UnitLog, alive_bitmap, number_rows
from bigrain.storage.files import Files
from bigrain.storage.segment import SegmentWriter
from bigrain.storage.spill import Spill

__all__ = ["DenseBuilder", "merge_dense", "write_dense"]

SPILL_BUFFER = 1 << 18
Asked = Callable[[Floats], Floats]  # queries (m, dim) as the user gives them -> as they are asked


class DenseBuilder:
    """Pending vectors of one field, on disk as they will be stored."""

    def __init__(
        self,
        spec: DenseSpec,
        files: Files,
        spill: Path,
        memory_bytes: int,
        codec: DenseCodec | None,
        asked: Asked | None = None,
    ) -> None:
        self._spec, self._memory_bytes, self._codec = spec, memory_bytes, codec
        self._asked = asked
        self._rows = Spill(
            files, spill, np.uint8, (spec.rows.payload_bytes,), buffer_bytes=SPILL_BUFFER
        )
        self._log = UnitLog()

    def append(self, units: Units, values: Any) -> None:
        """Add (n, dim) float32 vectors; of a unit given twice the last one counts."""
        step = chunk_rows(self._spec.dim)
        for start in range(0, len(values), step):
            self._rows.append(self._spec.rows.payload(values[start : start + step]))
        self._log.append(units)

    def seal(self, keep: Keep, path: Path, files: Files) -> int:
        """Write the segment; returns its number of rows (0: no file)."""
        units, positions = self._log.unit_map()
        numbering = number_rows([units], [alive_bitmap(units, keep)])

        def chunks() -> Iterator[Floats]:
            for _, rows in numbering.places():
                yield from self._read(rows if positions is None else positions[rows])

        if numbering.n_rows:
            write_dense(
                self._spec, files, path, numbering, chunks, self._codec, self._memory_bytes,
                asked=self._asked,
            )  # fmt: skip
        return numbering.n_rows

    def _read(self, wanted: Rows) -> Iterator[Floats]:
        step, decode = chunk_rows(self._spec.dim), self._spec.rows.decode
        for start in range(0, len(wanted), step):
            part = wanted[start : start + step]
            low, high = int(part.min()), int(part.max()) + 1
            if high - low > 2 * step:
                yield decode(self._rows.gather(part))
            else:
                yield decode(self._rows.read(low, high)[part - low])

    def discard(self) -> None:
        self._rows.discard()
        self._log = UnitLog()


def merge_dense(
    spec: DenseSpec,
    files: Files,
    path: Path,
    views: Sequence[View[DenseSegment]],
    memory_bytes: int,
    like: Floats | None = None,
    codec: DenseCodec | None = None,
    asked: Asked | None = None,
    keep: bool = True,
) -> int:
    """One segment out of the live rows of several, its codes fitted anew; its number of rows.

    What was learned from queries, or fitted to some, is kept, unless there is another `codec`, or
    queries to fit a reduction to, `like`, or `keep` is false. `asked` turns sample queries into
    what is asked with.
    """
    segments = [view.segment for view in views]
    if codec is None and like is None and keep:
        codecs = [s.codec for s in segments if s.codec.lasts and s.codec.suits(spec.settings)]
        codec = max(codecs, key=lambda c: c.trust, default=None)
    numbering = number_rows([s.units for s in segments], [view.live for view in views])

    def chunks() -> Iterator[Floats]:
        step = chunk_rows(spec.dim)
        for run, all_rows in numbering.places():
            for start in range(0, len(all_rows), step):
                rows = all_rows[start : start + step]
                records = segments[run].file.gather_rows("rows", rows)
                segments[run].check(records, rows)
                yield segments[run].finite(spec.rows.decode(records))

    if numbering.n_rows:
        write_dense(spec, files, path, numbering, chunks, codec, memory_bytes, like, asked)
    return numbering.n_rows


def write_dense(
    spec: DenseSpec,
    files: Files,
    path: Path,
    numbering: Numbering,
    chunks: Chunks,
    codec: DenseCodec | None,
    memory_bytes: int,
    like: Floats | None = None,
    asked: Asked | None = None,
) -> None:
    """Stream vectors, in ascending order of unit, into a segment file.

    `chunks` gives them all, some at a time, and is called up to four times.
    """
    n = numbering.n_rows
    some = Reservoir(spec.dim, n)
    codec, partition = fit_codes(
        spec.settings, spec.metric, chunks, n, spec.dim,
        codec=codec, watch=some.watch, memory_bytes=memory_bytes, like=like,
    )  # fmt: skip
    neighbours = Neighbours(spec.metric, some.rows(), n, asked)
    del some
    codes = ListedCodes(files, path.with_name(path.name + ".codes"), n, codec, partition)
    writer = SegmentWriter(files, path)
    try:
        with writer.section("rows", np.uint8, (spec.rows.record_bytes,)) as section:
            start = 0
            for part in in_steps(chunks(), chunk_rows(spec.dim)):
                vectors = part.astype(np.float32, copy=False)
                section.append(spec.rows.encode(vectors))
                codes.append(vectors)
                neighbours.look_at(start, vectors)
                start += len(vectors)
        meta = codes.write(writer, neighbours.calibration(codes))
        units = UnitMap.write(writer, numbering.units)
        writer.finish({"family": "dense", **units, "heavy": spec.heavy, **meta})
    except BaseException:
        writer.abandon()
        raise
    finally:
        with suppress(StorageError):  # the next writer sweeps what cannot be removed
            codes.discard()
