"""Sketches of documents in memory: what looks over the candidates of a multi-vector field's codes.

    sketch          u2 (T,)      centroids of all rows (`codecs.sketch`), one row after another
    sketch_counts   u2 (n,)      how many each row has
    sketch_table    i1 (K, dim)  the centroids; meta `sketch` has their scale, and the weights

A code and a sketch err in different ways, so what is estimated is a weighted sum of both. The
weights are those that come nearest to MaxSim of sample queries and their best rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from bigrain.codecs.sketch import Numbers, Sketcher
from bigrain.errors import DamagedError
from bigrain.index.base import Floats, Rows
from bigrain.storage.segment import SegmentFile, SegmentWriter

__all__ = ["Sketches"]

LEAST_BROAD, MOST_BROAD = 4, 16  # candidates by codes for each that sketches leave
LARGEST = 1e18
Weights = tuple[float, float]


@dataclass(frozen=True)
class Sketches:
    """Of the rows of a segment; `weights` of sketch and code."""

    sketcher: Sketcher
    numbers: Numbers  # (T,)
    starts: npt.NDArray[np.uint32]  # (n + 1,)
    weights: Weights = (1.0, 1.0)

    @classmethod
    def of(cls, sketcher: Sketcher, numbers: Numbers, counts: npt.NDArray[Any]) -> Self:
        """From the numbers of all rows and how many each has."""
        starts = np.zeros(len(counts) + 1, np.uint32)
        np.cumsum(counts, out=starts[1:])
        return cls(sketcher, numbers, starts)

    @classmethod
    def read(cls, file: SegmentFile, dim: int, n_rows: int) -> Sketches | None:
        """Those of a segment, None if it has none."""
        if "sketch" not in file.sections:
            return None
        told = file.meta.get("sketch")
        given = list(told.values()) if isinstance(told, dict) else []
        sound = [isinstance(x, int | float) and 0 <= x <= LARGEST for x in given]
        if not isinstance(told, dict) or set(told) != {"scale", "own", "code"} or not all(sound):
            raise DamagedError(file.name, "table", "the weights of sketches", told)
        table = file.read("sketch_table", "|i1", (None, dim))
        counts = file.read("sketch_counts", "<u2", (n_rows,))
        total = int(counts.sum(dtype=np.int64))
        numbers = file.read("sketch", "<u2", (total,))
        if not len(table) or int(numbers.max(initial=0)) >= len(table):
            raise DamagedError(file.name, "sketch", f"numbers below {len(table)}", "others")
        found = cls.of(Sketcher(table, told["scale"]), numbers, counts)
        return replace(found, weights=(told["own"], told["code"]))

    @staticmethod
    def bytes_in(file: SegmentFile) -> int:
        """What the sketches of a segment take in memory, by its table."""
        if "sketch" not in file.sections:
            return 0
        named = (file.section(name) for name in ("sketch", "sketch_table"))
        return sum(s.n_bytes for s in named) + 4 * (file.section("sketch_counts").shape[0] + 1)

    @property
    def broad(self) -> int:
        """How many candidates of codes it pays to look over for each that is left.

        To read and score a document takes the longer the more tokens it has.
        """
        each = len(self.numbers) // max(1, len(self.starts) - 1)
        return min(max(each // 4, LEAST_BROAD), MOST_BROAD)

    def write(self, writer: SegmentWriter) -> dict[str, Any]:
        """Write them; returns what belongs into the segment's meta."""
        writer.add("sketch", self.numbers.astype("<u2", copy=False))
        writer.add("sketch_counts", np.diff(self.starts).astype("<u2"))
        writer.add("sketch_table", self.sketcher.table)
        own, code = self.weights
        return {"sketch": {"scale": self.sketcher.scale, "own": own, "code": code}}

    def scores(self, queries: Sequence[Floats], rows: Rows) -> Floats:
        """MaxSim (Q, n) of `rows` (Q, n) by their centroids; -inf for a row of -1."""
        each = np.ascontiguousarray(rows, np.int64)
        return self.sketcher.scores(queries, self.numbers, self.starts, each)

    def joined(self, scores: Floats, codes: Floats) -> Floats:
        """What sketches and codes estimate together."""
        own, code = self.weights
        together = np.float32(own) * scores + np.float32(code) * codes
        return np.asarray(np.where(scores > -np.inf, together, -np.inf), np.float32)

    def weighed(self, scores: Floats, codes: Floats, exact: Floats) -> Sketches:
        """With the weights that come nearest to `exact`, up to a constant of each query.

        All are (Q, n), -inf in `exact` where there is nothing.
        """
        known = np.isfinite(exact)
        columns = [_centred(one, known) for one in (scores, codes, exact)]
        found, _, rank, _ = np.linalg.lstsq(np.stack(columns[:2], axis=1), columns[2], rcond=1e-6)
        if rank < 2 or not (found > 0).any():
            return self
        own, code = np.maximum(found, 0).tolist()
        return replace(self, weights=(own, code))


def _centred(numbers: Floats, known: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """The known numbers less the mean of their row."""
    held = np.where(known, numbers, 0).astype(np.float64)
    mean = held.sum(axis=1, keepdims=True) / np.maximum(known.sum(axis=1, keepdims=True), 1)
    return np.asarray((held - mean)[known])
