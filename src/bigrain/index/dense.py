"""Dense fields: codes in memory propose, float rows on disk decide.

A segment holds the records of the full vectors in ascending order of unit (`rows`), and their codes
(`coded`).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from bigrain import kernels
from bigrain.codecs.dense import CodeSettings, PreparedQueries
from bigrain.codecs.rows import RowCodec
from bigrain.errors import DamagedError
from bigrain.index.base import Floats, Ranked, Rows, Selection, Units, View, merge_ranked
from bigrain.index.coded import CodedSegment, chunk_rows
from bigrain.index.coded_index import CodedIndex
from bigrain.index.effort import sample_queries
from bigrain.storage.segment import SegmentFile

__all__ = ["DenseIndex", "DenseSegment", "DenseSpec"]

READ_BYTES = 2 << 20


@dataclass(frozen=True)
class DenseSpec:
    """What a segment of this field looks like."""

    dim: int
    metric: str
    light_bytes: int
    heavy: str
    code: str = "rabitq"
    bits: int = 1
    reduction: str = "pca"

    @property
    def settings(self) -> CodeSettings:
        return CodeSettings(self.light_bytes, self.code, self.bits, self.reduction)

    @cached_property
    def rows(self) -> RowCodec:
        return RowCodec(self.dim, self.heavy)

    @property
    def row_metric(self) -> str:
        """Cosine rows are stored with unit length, so their score is the inner product."""
        return "l2" if self.metric == "l2" else "ip"


class DenseSegment(CodedSegment):
    """An opened segment: codes in memory, rows read on demand."""

    def __init__(self, spec: DenseSpec, file: SegmentFile) -> None:
        super().__init__(file, spec.dim, spec.metric)
        self.spec = spec
        file.section("rows", "|u1", (self.units.n_rows, spec.rows.record_bytes))
        if file.meta.get("heavy", spec.heavy) != spec.heavy:
            raise DamagedError(file.name, "table", f"rows of {spec.heavy}", file.meta["heavy"])

    def score(self, rows: Rows, queries: Floats, query_of: npt.NDArray[np.int32]) -> Floats:
        """Exact scores of pairs of a row and a query; a row named twice is read once."""
        step = chunk_rows(self.spec.dim)
        if len(rows) <= step and (rows[1:] > rows[:-1]).all():
            return self._score_read(rows, queries, np.arange(len(rows), dtype=np.int32), query_of)
        order = rows.argsort()
        ascending = rows[order]
        first = np.flatnonzero(np.diff(ascending, prepend=-1))
        ends = np.append(first, len(rows))
        scores = np.empty(len(rows), np.float32)
        for start in range(0, len(first), step):
            these = ends[start : start + step + 1]
            pairs = order[these[0] : these[-1]]
            which = np.repeat(np.arange(len(these) - 1, dtype=np.int32), np.diff(these))
            scores[pairs] = self._score_read(ascending[these[:-1]], queries, which, query_of[pairs])
        return scores

    def _score_read(
        self,
        rows: Rows,
        queries: Floats,
        record_of: npt.NDArray[np.int32],
        query_of: npt.NDArray[np.int32],
    ) -> Floats:
        """Read rows, and score pairs of one of them and a query."""
        records = self.file.gather_rows("rows", rows)
        self.check(records, rows)
        codec, metric = self.spec.rows, self.spec.row_metric
        return self.finite(codec.score_pairs(records, queries, record_of, query_of, metric))

    def score_records(self, records: npt.NDArray[np.uint8], query: Floats) -> Floats:
        """Exact scores of records that were checked."""
        return self.finite(self.spec.rows.score(records, query, self.spec.row_metric))

    def finite(self, numbers: Floats) -> Floats:
        """Numbers that come from rows, all of which were finite when they were written."""
        if not np.isfinite(numbers).all():
            raise DamagedError(self.file.name, "rows", "finite numbers", "others")
        return numbers

    def coded_vectors(self) -> Iterator[tuple[int, Floats]]:
        for start, records in self.records():
            yield start, self.spec.rows.decode(records)

    def records(self) -> Iterator[tuple[int, npt.NDArray[np.uint8]]]:
        """(first row, records) of the whole segment in chunks, every checksum verified."""
        step = max(32, READ_BYTES // self.spec.rows.record_bytes // 32 * 32)
        for start in range(0, self.units.n_rows, step):
            stop = min(start + step, self.units.n_rows)
            records = self.file.read_rows("rows", start, stop)
            self.check(records, np.arange(start, stop))
            yield start, records

    def check(self, records: npt.NDArray[np.uint8], rows: Rows) -> None:
        wrong = self.spec.rows.first_damaged(records)
        if wrong is not None:
            raise DamagedError(
                self.file.name, "rows", "a matching checksum", f"another in row {int(rows[wrong])}"
            )


class DenseIndex(CodedIndex[DenseSegment]):
    """All dense segments of a field at one snapshot. Queries are (Q, dim) float32."""

    errs_by_length = True

    def __init__(
        self,
        spec: DenseSpec,
        views: Sequence[View[DenseSegment]],
        asked: Callable[[Floats], Floats] | None = None,
    ) -> None:
        """`asked`: what turns queries as they are given into queries as they are asked."""
        super().__init__(views)
        self.spec, self._adapt = spec, asked

    def prepare(self, segment: DenseSegment, queries: Sequence[Any]) -> PreparedQueries:
        return segment.codec.prepare(np.asarray(queries, np.float32))

    def vectors(self, units: Units) -> Floats:
        """(n, dim) stored vectors of those units that have a live row, in any order."""
        parts = [np.empty((0, self.spec.dim), np.float32)]
        for view in self.views:
            rows = np.unique(view.locate(units)[1])
            if len(rows):
                records = view.segment.file.gather_rows("rows", rows)
                view.segment.check(records, rows)
                parts.append(view.segment.finite(self.spec.rows.decode(records)))
        return np.concatenate(parts)

    def among(self, views: Sequence[View[DenseSegment]]) -> DenseIndex:
        return DenseIndex(self.spec, views, self._adapt)

    def queries_from(self, units: Units, seed: int) -> tuple[Floats, str]:
        queries, _ = sample_queries(
            self.vectors(units), self.n_rows, metric=self.spec.metric, seed=seed
        )
        if self._adapt is not None:
            queries = self._adapt(queries)
        return queries, "stored vectors and means of two or three"

    def score_pairs(
        self, queries: Sequence[Any], units: Units, query_of: npt.NDArray[np.int32]
    ) -> Floats:
        """Exact scores (m,) of pairs of a unit and a query; every row is read once for all."""
        batch = np.ascontiguousarray(queries, np.float32)
        scores = np.full(len(units), np.nan, np.float32)
        for view in self.views:
            at, rows = view.locate(units)
            if len(at):
                scores[at] = view.segment.score(rows, batch, query_of[at])
        return scores

    def exact_steps(
        self, queries: Sequence[Any], k: int, selection: Selection | None
    ) -> Generator[int, None, list[Ranked]]:
        batch = np.asarray(queries, np.float32)
        best = [Ranked(np.empty(0, np.int64), np.empty(0, np.float32)) for _ in batch]
        for view in self.views:
            bitmap = view.bitmap(selection)
            for start, records in view.segment.records():
                live = None
                if bitmap is not None:
                    live = np.ascontiguousarray(
                        bitmap[start // 8 : (start + len(records) + 7) // 8]
                    )
                for i, query in enumerate(batch):
                    scores = view.segment.score_records(records, query)
                    rows, top = kernels.top_k(scores, k, live, -np.inf)
                    found = Ranked(view.segment.units.units(rows + start), top)
                    best[i] = merge_ranked([best[i], found], k)
                yield len(records)
        return best
