"""Codes in memory, in lists around centroids: what proposes rows of dense and multi-vector fields.

A segment has the codes in the order of their lists: `blocks`, `scale`, for l2 `offset`, and
`order`, the row of each. The codec and the centroids that made the codes are with them, so a
segment can be read alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from bigrain import kernels
from bigrain.codecs.dense import PreparedQueries
from bigrain.codecs.nibbles import BLOCK
from bigrain.codecs.partition import Partition, list_count
from bigrain.errors import DamagedError
from bigrain.index.base import Bitmap, Floats, RankedBatch, Rows, UnitMap
from bigrain.index.coded_codec import FURTHEST, read_bounded, read_codec
from bigrain.index.effort import GRID, Calibration, Effort
from bigrain.storage.segment import SegmentFile

__all__ = [
    "CodedSegment",
    "Live",
    "chunk_rows",
    "code_bytes_of",
    "expected_best",
]

CHUNK_ROWS = 4096
CHUNK_BYTES = 1 << 20  # being encoded: some five times as much passes through memory
SPREAD = 0.2  # how much of a list's radius counts towards the best score to expect there
LEAST_SEEN = 4  # rows looked at for every candidate wanted
NEARLY_ALL = 0.8  # a filter that leaves this share changes nothing

Probes = tuple[npt.NDArray[np.int64], npt.NDArray[np.int32], Floats]
SECTIONS = (
    "blocks",
    "scale",
    "offset",
    "order",
    "starts",
    "centroids",
    "centroid_scale",
    "list_offset",
)


@dataclass(frozen=True)
class Live:
    """Which codes of a segment count: those alive, or of them those that a filter selects."""

    bits: Bitmap | None  # in the order of codes; None: all
    n: int
    in_list: Rows  # (L,)


class CodedSegment:
    """The codes of an opened segment; `dim` and `metric` are those of the vectors coded."""

    def __init__(self, file: SegmentFile, dim: int, metric: str) -> None:
        self.file = file
        self.units = UnitMap.read(file)
        self.codec = read_codec(file, dim, metric)
        n, groups = self.units.n_rows, self.codec.groups
        self.blocks = file.read("blocks", "|u1", (-(-n // 32), groups, 16))
        self.offset = file.read("offset", "<f4", (n,)) if metric == "l2" else None
        if "starts" in file.sections:
            self.scale = file.read("scale", "<f2", (n,))
            self.scale_unit = _read_unit(file)
            self.partition, self.starts, self.order = _read_lists(file, n, dim)
        else:  # segment format 1: one list, factors as float32
            self.scale, self.scale_unit = _rounded(file.read("scale", "<f4", (n,)))
            self.partition = Partition.single(dim)
            self.starts, self.order = np.array([0, n], np.int64), None
        self.spread = np.zeros(self.partition.n_lists, np.float32)
        if "spread" in file.sections:
            self.spread = read_bounded(file, "spread", self.spread.shape, FURTHEST)
        self.list_offset = None
        if "list_offset" in file.sections:
            self.list_offset = read_bounded(file, "list_offset", self.spread.shape, FURTHEST**2)
        self.sizes = np.diff(self.starts)
        self.calibration = _read_calibration(file)

    @property
    def memory_bytes(self) -> int:
        return code_bytes_of(self.file)

    @property
    def code_id(self) -> str:
        """Equal for segments whose codes may be scanned with the same prepared queries."""
        return self.codec.id

    def coded_vectors(self) -> Iterator[tuple[int, Floats]]:
        """(first row, vectors) in chunks: what the codes are of, made from the originals."""
        raise NotImplementedError

    def bases(self, prepared: PreparedQueries) -> tuple[Floats, Floats]:
        """(Q, L): what every list's estimates begin with, and the best score to expect there."""
        bases = self.partition.products(prepared.routed)
        return bases, expected_best(prepared, bases, self.spread, self.list_offset)

    def scan(self, prepared: PreparedQueries, effort: Effort, live: Live) -> RankedBatch:
        """The best estimates per query, as far as the effort reaches.

        No more live rows than are wanted are all returned.
        """
        rows, estimates = self.best(prepared, effort, live)
        units = self.units.units(rows)
        if rows.min(initial=0) < 0:
            units[rows < 0] = -1
        return RankedBatch(units, estimates)

    def best(self, prepared: PreparedQueries, effort: Effort, live: Live) -> tuple[Rows, Floats]:
        """(rows (Q, n), estimates (Q, n)) as `scan` tells; -1 where there is no more."""
        keep = min(effort.n, live.n)
        if not keep:
            none = np.empty((len(prepared.constant), 0), np.float32)
            return none.astype(np.int64), none
        if live.n <= keep:
            effort = Effort(effort.n)
        probes = self.probes(prepared, effort, live)
        found, estimates, counts = self._scan(prepared, probes, live.bits, keep, effort)
        # What a filter leaves may lie in lists that nobody would look into.
        short = counts < (keep if effort.reach == np.inf else min(keep, effort.rank))
        if effort.margin < np.inf and short.any():
            again = prepared.take(np.flatnonzero(short))
            probes = self.probes(again, Effort(effort.n), live)
            found[short], estimates[short], counts[short] = self._scan(
                again, probes, live.bits, keep, effort
            )
        fewest, most = int(counts.min(initial=keep)), int(counts.max(initial=0))
        rows, estimates = found[:, :most], estimates[:, :most] + prepared.constant[:, None]
        if self.order is not None:
            rows = self.order[rows].astype(np.int64)
            if fewest < most:
                rows[found[:, :most] < 0] = -1
        return rows, estimates

    def probes(self, prepared: PreparedQueries, effort: Effort, live: Live) -> Probes:
        """The lists each query looks into, and what their estimates begin with.

        A filter thins lists out, and the neighbours it leaves lie farther away: as many live rows
        are looked at as there would be rows without it.
        """
        n_queries = len(prepared.constant)
        if self.partition.n_lists == 1:
            zeros = np.zeros(n_queries, np.int32)
            return np.arange(n_queries + 1), zeros, zeros.astype(np.float32)
        most = live.n > NEARLY_ALL * self.units.n_rows
        return kernels.route_lists(
            self.partition.panels,
            self.sizes,
            self.sizes if most else live.in_list,
            self.partition.scale,
            self.spread,
            self.list_offset,
            SPREAD,
            *prepared.rounded,
            prepared.length,
            effort.margin,
            LEAST_SEEN * effort.n,
        )

    def _scan(
        self,
        prepared: PreparedQueries,
        probes: Probes,
        live: Bitmap | None,
        keep: int,
        effort: Effort,
    ) -> tuple[Rows, Floats, Rows]:
        unit = np.float32(self.scale_unit)
        return kernels.scan_lists(
            self.blocks,
            self.starts,
            prepared.luts,
            prepared.scale * unit,
            prepared.bias * unit,
            self.scale,
            self.offset,
            live,
            *probes,
            keep,
            effort.rank,
            effort.doubt(prepared.length),
        )

    def estimate(self, prepared: PreparedQueries, rows: Rows) -> Floats:
        """Scores of single rows for the first of the prepared queries, from their codes."""
        at = rows if self.order is None else self._places[rows].astype(np.int64)
        lane = at % 32
        nibbles = self.blocks[at // 32, :, lane % 16] >> np.where(lane < 16, 0, 4)[:, None]
        sums = prepared.luts[0][np.arange(nibbles.shape[1]), nibbles & 15].sum(1, dtype=np.int64)
        scale = self.scale[at].astype(np.float32) * np.float32(self.scale_unit)
        found = scale * (prepared.scale[0] * sums + prepared.bias[0]) + prepared.constant[0]
        found = found + self.partition.products(prepared.routed[:1])[0][self.lists(at)]
        if self.offset is not None:
            found = found + self.offset[at]
        return np.asarray(found, np.float32)

    def lists(self, places: Rows) -> Rows:
        """The list in which each code lies."""
        return np.searchsorted(self.starts, places, side="right") - 1

    @cached_property
    def _places(self) -> npt.NDArray[np.uint32]:
        """Row -> place of its code; only passages of long documents are looked up."""
        assert self.order is not None
        places = np.empty_like(self.order)
        places[self.order] = np.arange(len(places), dtype=np.uint32)
        return places

    def bytes_for(self, n_rows: int) -> int:
        """What so many rows coded like these take in memory, but for the map of gaps."""
        l2, lists = 4 * (self.offset is not None), list_count(n_rows)
        n_bytes = -(-n_rows // BLOCK) * self.codec.groups * (BLOCK // 2)
        n_bytes += n_rows * (2 + l2) + 8 * (lists + 1)
        if lists > 1:
            n_bytes += 4 * n_rows + lists * (self.codec.frame.dim + 4 + l2)
        return n_bytes

    def live(self, rows: Bitmap | None) -> Live:
        """A bitmap of rows (None: all) in the order of codes, counted."""
        if rows is None:
            return Live(None, self.units.n_rows, self.sizes)
        alive = np.unpackbits(rows, count=self.units.n_rows, bitorder="little")
        if self.order is not None:
            alive = alive[self.order]
            rows = np.packbits(alive, bitorder="little")
        sizes = np.zeros_like(self.sizes)
        filled = np.flatnonzero(self.sizes)
        sizes[filled] = np.add.reduceat(alive, self.starts[filled], dtype=np.int64)
        return Live(rows, int(sizes.sum()), sizes)


def chunk_rows(dim: int) -> int:
    """Rows handled at a time: CHUNK_BYTES as float32 at most."""
    return max(32, min(CHUNK_ROWS, CHUNK_BYTES // (4 * dim)) // 32 * 32)


def code_bytes_of(file: SegmentFile) -> int:
    """What the codes of a segment take in memory: with factors, lists, and the map of gaps."""
    parts = [file.sections[name] for name in SECTIONS if name in file.sections]
    return sum(part.n_bytes for part in parts) + UnitMap.bytes_in(file)


def expected_best(
    prepared: PreparedQueries, bases: Floats, spread: Floats, list_offset: Floats | None
) -> Floats:
    """(Q, L): the best score to expect in every list, less what is the same in all.

    The mean score of its rows, and as much more as rows SPREAD times their root mean square
    distance from the centroid c nearer to the query may have: |q| times that under inner product;
    under Euclidean distance 2 |q - c| times that, |q - c|^2 being what the mean score leaves.
    """
    reach = np.float32(SPREAD) * spread
    if list_offset is None:
        return np.asarray(bases + prepared.length[:, None] * reach, np.float32)
    mean = bases + list_offset
    apart = np.square(prepared.length / 2)[:, None] - mean - np.square(spread)
    return np.asarray(mean + 2 * reach * np.sqrt(np.maximum(apart, 0)), np.float32)


# -- reading what a segment was made with ---------------------------------------------------


def _read_lists(
    file: SegmentFile, n: int, dim: int
) -> tuple[Partition, Rows, npt.NDArray[np.uint32] | None]:
    n_lists = max(1, file.section("starts").shape[0] - 1)
    starts = file.read("starts", "<i8", (n_lists + 1,))
    if starts[0] != 0 or starts[-1] != n or (np.diff(starts) < 0).any():
        raise DamagedError(file.name, "starts", f"numbers rising from 0 to {n}", "others")
    if n_lists == 1:
        return Partition.single(dim), starts, None
    table = file.read("centroids", "|i1", (n_lists, dim))
    partition = Partition.of(table, read_bounded(file, "centroid_scale", (n_lists,), FURTHEST))
    order = file.read("order", "<u4", (n,))
    seen = np.zeros(n, bool)
    for start in range(0, n, CHUNK_ROWS):
        part = order[start : start + CHUNK_ROWS]
        seen[part[part < n]] = True
    if not seen.all():
        raise DamagedError(file.name, "order", f"every row below {n} once", "others")
    return partition, starts, order


def _read_calibration(file: SegmentFile) -> Calibration | None:
    if "calibration_gaps" not in file.sections:
        return None
    shape = file.section("calibration_gaps").shape
    gaps, ranks = file.read("calibration_gaps", "<f4"), file.read("calibration_ranks", "<i4", shape)
    probed = read_bounded(file, "calibration_probed", GRID.shape, 1)
    depths = Calibration.depths()
    if shape[1:] != (depths,) or np.isnan(gaps).any() or (ranks < 1).any():
        raise DamagedError(file.name, "calibration_gaps", f"(queries, {depths})", shape)
    dips = None
    if "calibration_dips" in file.sections:
        dips = file.read("calibration_dips", "<f4", (len(gaps), depths + 1))
        fall = dips[:, -1:]
        if not ((dips >= -FURTHEST).all() and (fall >= 0).all() and (fall <= FURTHEST).all()):
            raise DamagedError(file.name, "calibration_dips", "numbers, the last not below 0", "no")
    return Calibration(gaps, ranks, probed, dips=dips)


def _read_unit(file: SegmentFile) -> float:
    unit = file.meta.get("scale_unit")
    if not isinstance(unit, float) or not 0 < unit <= FURTHEST:
        raise DamagedError(file.name, "table", "a scale_unit above 0", unit)
    return unit


def _rounded(scale: Floats) -> tuple[npt.NDArray[np.float16], float]:
    """Factors as float16, in units of the largest."""
    unit = float(scale.max(initial=0)) or 1.0
    return (scale / np.float32(unit)).astype(np.float16), unit
