"""Multi-vector fields: one code a document in memory proposes, its token vectors on disk decide.

The code is of a vector that stands for all tokens (`codecs.surrogates`): its product with what
stands for a query's tokens estimates their MaxSim. Codes propose several times as many documents
as are wanted, of which sketches leave the best (`sketches`). A segment holds the records of the
tokens in ascending order of unit (`token_records`), the codes (`coded`), the surrogate that made
them, and the sketches.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from bigrain import kernels
from bigrain.codecs.dense import CodeSettings, PreparedQueries
from bigrain.codecs.sketch import MOST_CENTROIDS
from bigrain.codecs.surrogates import Surrogate, read_surrogate, surrogate_shapes
from bigrain.errors import DamagedError
from bigrain.index.base import (
    Bitmap,
    Floats,
    Ranked,
    RankedBatch,
    Rows,
    Selection,
    Units,
    View,
    merge_ranked,
)
from bigrain.index.coded import CodedSegment, Live, code_bytes_of
from bigrain.index.coded_index import CodedIndex
from bigrain.index.effort import Calibration, Effort
from bigrain.index.sketches import Sketches
from bigrain.index.token_records import TokenRecords
from bigrain.storage.segment import SegmentFile, SegmentWriter

__all__ = [
    "MultiVectorIndex",
    "MultiVectorSegment",
    "MultiVectorSpec",
    "Ragged",
    "best_rows",
    "joined_queries",
    "light_bytes_of",
    "relative_depth",
    "sample_queries",
    "stretch_of",
    "write_surrogate",
]

READ_BYTES = 4 << 20  # of records at a time
STRETCH = 12  # tokens of a sample query
LONG = 24  # tokens: more make no neighbour easier to find
PAIRS = 1 << 20  # of a record and a query, scored at a time
LOOKED_OVER = 1 << 20  # candidates at a time
MIXED = (1, 3)  # sample queries: of how many documents
UNMIXED = 2.5  # deeper than those of single documents lie the neighbours of questions
LARGEST = 1e18  # of a number in a surrogate
NONE = Ranked(np.empty(0, np.int64), np.empty(0, np.float32))
Ragged = tuple[Floats, npt.NDArray[np.int64]]


@dataclass(frozen=True)
class MultiVectorSpec:
    """What a segment of this field looks like."""

    dim: int
    light: str
    light_bytes: int
    heavy: str
    sketch: int = 0  # centroids of a document, at most

    def settings(self, width: int) -> CodeSettings:
        """The code of surrogates of so many numbers: as many bits each as there is room for."""
        bits = min(8, max(1, 8 * self.light_bytes // width))
        return CodeSettings(min(self.light_bytes, -(-width * bits // 8)), bits=bits)


@dataclass(frozen=True)
class TokenQueries(PreparedQueries):
    """Queries as codes and sketches are asked."""

    tokens: Sequence[Floats]  # (m, dim) each

    def take(self, some: npt.NDArray[np.int64]) -> TokenQueries:
        return TokenQueries(
            **vars(super().take(some)), tokens=[self.tokens[i] for i in some.tolist()]
        )


class MultiVectorSegment(CodedSegment):
    """An opened segment: codes, sketches and places in memory, records read on demand."""

    sketches: Sketches | None = None

    def __init__(self, spec: MultiVectorSpec, file: SegmentFile) -> None:
        self.spec = spec
        self.surrogate = _read_surrogate(file, spec.dim)
        super().__init__(file, self.surrogate.width, "ip")
        self.records = TokenRecords(file, spec.dim, self.units.n_rows)
        self.sketches = Sketches.read(file, spec.dim, self.units.n_rows)
        if self.calibration is not None:
            self.calibration = _as_asked(self.calibration, file)

    @property
    def memory_bytes(self) -> int:
        return light_bytes_of(self.file)

    def bytes_for(self, n_rows: int) -> int:
        n_bytes = super().bytes_for(n_rows) + 8 * (n_rows + 1)
        if self.sketches is not None:
            counts = self.records.counts(np.arange(self.units.n_rows))
            named = np.minimum(counts, self.spec.sketch).mean()  # more rows have more centroids
            n_bytes += int(n_rows * (2 * named + 4)) + MOST_CENTROIDS * self.spec.dim
        return n_bytes

    @cached_property
    def code_id(self) -> str:
        return f"{self.surrogate_id}-{self.codec.id}"

    @cached_property
    def surrogate_id(self) -> str:
        """Equal where the vectors of documents may be compared."""
        told = sorted(self.surrogate.numbers().items())
        digest = hashlib.blake2b(repr(told).encode(), digest_size=8)
        for _, array in sorted(self.surrogate.arrays().items()):
            digest.update(array.tobytes())
        return digest.hexdigest()

    @property
    def estimates_id(self) -> str:
        """Equal where estimates may be compared."""
        return self.surrogate_id + ("" if self.sketches is None else " sketched")

    def coded_vectors(self) -> Iterator[tuple[int, Floats]]:
        for part in self.records.stretches(np.arange(self.units.n_rows), READ_BYTES):
            payload, counts = self.records.payload(np.arange(part.start, part.stop))
            tokens = self.records.codec.decode(payload, counts.astype(np.int64))
            offsets = np.concatenate(([0], np.cumsum(counts, dtype=np.int64)))
            yield part.start, self.surrogate.documents(tokens, offsets)

    def prepare(self, queries: Sequence[Any]) -> PreparedQueries:
        """Token vectors of queries as codes and sketches are asked."""
        prepared = self.codec.prepare(self.surrogate.queries(*joined_queries(queries)))
        return TokenQueries(**vars(prepared), tokens=queries)

    def best(self, prepared: PreparedQueries, effort: Effort, live: Live) -> tuple[Rows, Floats]:
        if self.sketches is None:
            return super().best(prepared, effort, live)
        broad, keep = effort.deeper(self.sketches.broad * effort.n), min(effort.n, live.n)
        step = max(1, LOOKED_OVER // max(1, min(broad.n, live.n)))
        parts = []
        for start in range(0, len(prepared.constant), step):
            some = np.arange(start, min(start + step, len(prepared.constant)))
            parts.append(self._looked_over(prepared.take(some), broad, live, keep))
        rows, estimates = zip(*parts, strict=True)
        return np.concatenate(rows), np.concatenate(estimates)

    def _looked_over(
        self, prepared: PreparedQueries, broad: Effort, live: Live, keep: int
    ) -> tuple[Rows, Floats]:
        """What sketches leave of the candidates of codes."""
        assert self.sketches is not None and isinstance(prepared, TokenQueries)
        rows, codes = super().best(prepared, broad, live)
        together = self.sketches.joined(self.sketches.scores(prepared.tokens, rows), codes)
        found = np.full((len(rows), keep), -1, np.int64)
        estimates = np.full(found.shape, -np.inf, np.float32)
        for q, own in enumerate(together):
            places, best = kernels.top_k(own, keep)
            found[q, : len(places)], estimates[q, : len(places)] = rows[q, places], best
        return found, estimates

    def estimate(self, prepared: PreparedQueries, rows: Rows) -> Floats:
        codes = super().estimate(prepared, rows)
        if self.sketches is None:
            return codes
        assert isinstance(prepared, TokenQueries)
        scores = self.sketches.scores(prepared.tokens[:1], rows[None])
        return self.sketches.joined(scores[0], codes)


def stretch_of(tokens: Floats, rng: np.random.Generator) -> Floats:
    """STRETCH tokens in a row of a document (T, dim), or all if there are fewer: like a query."""
    start = int(rng.integers(0, max(0, len(tokens) - STRETCH) + 1))
    return tokens[start : start + STRETCH]


def relative_depth(n_tokens: int) -> float:
    """How deep the neighbours of a query lie, where those of STRETCH tokens lie at depth 1.

    A code stands for all tokens of a document, and knows the less of each one the fewer are asked:
    with half as many tokens neighbours lie about twice as deep.
    """
    return STRETCH / min(n_tokens, LONG)


def sample_queries(
    documents: Sequence[Floats], m: int, rng: np.random.Generator
) -> tuple[list[Floats], npt.NDArray[np.int64]]:
    """At most m queries made of documents (T, dim), and of how many each is, by turns of MIXED.

    A query of one is a stretch of its tokens, for which other documents that say the same are found
    at once. A question is said in no document. So a query of several has at each place the mean of
    a token of each, as long as that of the first.
    """
    each = min(m // len(MIXED), len(documents))
    queries = []
    for n_mixed in MIXED:
        for i in rng.choice(len(documents), each, replace=False).tolist():
            first = stretch_of(documents[i], rng)
            mixed = first.astype(np.float32)
            for j in rng.integers(0, len(documents), n_mixed - 1).tolist():
                other = stretch_of(documents[j], rng)
                mixed = mixed + other[np.arange(len(first)) % len(other)]
            queries.append(_as_long(mixed, first))
    return queries, np.repeat(MIXED, each)


def _as_long(tokens: Floats, like: Floats) -> Floats:
    """Each token with the length of that beside it."""
    length = np.linalg.norm(tokens, axis=1, keepdims=True)
    wanted = np.linalg.norm(like, axis=1, keepdims=True)
    return np.asarray(tokens * (wanted / np.where(length > 0, length, 1)), np.float32)


def joined_queries(queries: Sequence[Any]) -> Ragged:
    """(tokens (M, dim), offsets (Q + 1,)) of queries (m, dim)."""
    offsets = np.zeros(len(queries) + 1, np.int64)
    np.cumsum([len(query) for query in queries], out=offsets[1:])
    return np.ascontiguousarray(np.concatenate(queries), np.float32), offsets


def light_bytes_of(file: SegmentFile) -> int:
    """Codes and their lists, sketches, the map of gaps, and where records begin."""
    records = 8 * (file.section("token_counts").shape[0] + 1)
    return code_bytes_of(file) + Sketches.bytes_in(file) + records


class MultiVectorIndex(CodedIndex[MultiVectorSegment]):
    """All segments of a multi-vector field at one snapshot. Queries are (m, dim) float32."""

    def __init__(self, views: Sequence[View[MultiVectorSegment]]) -> None:
        super().__init__(views)
        self._kinds: dict[str, MultiVectorIndex] = {}

    def prepare(self, segment: MultiVectorSegment, queries: Sequence[Any]) -> PreparedQueries:
        return segment.prepare(queries)

    def depth_of(self, query: Any) -> float:
        return relative_depth(len(query))

    def candidates(
        self, queries: Sequence[Any], effort: Effort, selection: Selection | None
    ) -> RankedBatch:
        """Per query the best units by the codes in memory.

        Estimates of one surrogate say nothing beside those of another, nor those without sketches
        beside those with them, so where there are several kinds each has its own candidates.
        A query of zeros has none.
        """
        says = _say_something(queries)
        if len(says) < len(queries):
            told = self.candidates([queries[i] for i in says], effort, selection) if says else []
            found: list[Ranked] = [NONE for _ in queries]
            for i, own in zip(says, told, strict=True):
                found[i] = own
            return RankedBatch.of(found)
        kinds = {view.segment.estimates_id for view in self.views}
        if len(kinds) < 2:
            return super().candidates(queries, effort, selection)
        parts = [self._of_kind(kind).candidates(queries, effort, selection) for kind in kinds]
        units = np.concatenate([batch.units for batch in parts], axis=1)
        order = np.argsort(units < 0, axis=1, kind="stable")
        scores = np.concatenate([batch.scores for batch in parts], axis=1)
        return RankedBatch(
            np.take_along_axis(units, order, axis=1), np.take_along_axis(scores, order, axis=1)
        )

    def _of_kind(self, estimates_id: str) -> MultiVectorIndex:
        if estimates_id not in self._kinds:
            views = [v for v in self.views if v.segment.estimates_id == estimates_id]
            self._kinds[estimates_id] = MultiVectorIndex(views)
        return self._kinds[estimates_id]

    def tokens(self, unit: int) -> tuple[TokenRecords, npt.NDArray[np.uint8]] | None:
        """The record of a live unit, without its checksum, and what reads it."""
        for view in self.views:
            _, rows = view.locate(np.array([unit], np.int64))
            if len(rows):
                return view.segment.records, view.segment.records.payload(rows)[0]
        return None

    def among(self, views: Sequence[View[MultiVectorSegment]]) -> MultiVectorIndex:
        return MultiVectorIndex(views)

    def queries_from(self, units: Units, seed: int) -> tuple[list[Floats], str]:
        documents = []
        for unit in units.tolist():
            found = self.tokens(unit)
            assert found is not None
            records, payload = found
            n_tokens = len(payload) // records.codec.token_bytes
            documents.append(records.codec.decode(payload, np.array([n_tokens])))
        rng = np.random.default_rng(seed)
        queries, _ = sample_queries(documents, len(documents), rng)
        return queries, f"stretches of up to {STRETCH} stored tokens, and means of three"

    def score_pairs(
        self, queries: Sequence[Any], units: Units, query_of: npt.NDArray[np.int32]
    ) -> Floats:
        """MaxSim (m,) of pairs of a unit and a query; every record is read once for all."""
        scores = np.full(len(units), np.nan, np.float32)
        tokens, offsets = joined_queries(queries)
        for view in self.views:
            at, rows = view.locate(units)
            if len(at):
                scores[at] = _scored(view.segment.records, rows, tokens, offsets, query_of[at])
        return scores

    def exact_steps(
        self, queries: Sequence[Any], k: int, selection: Selection | None
    ) -> Generator[int, None, list[Ranked]]:
        best = [NONE for _ in queries]
        says = _say_something(queries)
        if not says:
            return best
        ragged = joined_queries([queries[i] for i in says])
        for view in self.views:
            for n_read, found in best_rows(view.segment, view.bitmap(selection), ragged, k):
                for i, own in zip(says, found, strict=True):
                    best[i] = merge_ranked([best[i], own], k)
                yield n_read
        return best


def _say_something(queries: Sequence[Any]) -> list[int]:
    """Which queries have a token that is not all zeros: the others are as far from all rows."""
    return [i for i, query in enumerate(queries) if query.any()]


def best_rows(
    segment: MultiVectorSegment, bitmap: Bitmap | None, queries: Ragged, k: int
) -> Iterator[tuple[int, list[Ranked]]]:
    """How many rows were read, and the best k of them for each query, part by part."""
    tokens, offsets = queries
    n_queries = len(offsets) - 1
    for rows in _parts(segment.records, _kept(segment.units.n_rows, bitmap), n_queries):
        pairs = np.tile(np.arange(len(rows)), n_queries)
        query_of = np.repeat(np.arange(n_queries, dtype=np.int32), len(rows))
        scores = segment.records.score(rows, tokens, offsets, pairs, query_of)
        units = segment.units.units(rows)
        mine = scores.reshape(n_queries, -1)
        yield len(rows), [merge_ranked([Ranked(units, one), NONE], k) for one in mine]


def _kept(n: int, bitmap: Bitmap | None) -> Rows:
    if bitmap is None:
        return np.arange(n)
    return np.flatnonzero(np.unpackbits(bitmap, count=n, bitorder="little"))


def _parts(records: TokenRecords, rows: Rows, n_queries: int) -> Iterator[Rows]:
    """Rows some at a time, so that neither records nor pairs take much memory."""
    most = max(1, PAIRS // max(n_queries, 1))
    for part in records.stretches(rows, READ_BYTES):
        for start in range(part.start, part.stop, most):
            yield rows[start : min(start + most, part.stop)]


def _scored(
    records: TokenRecords,
    rows: Rows,
    tokens: Floats,
    offsets: npt.NDArray[np.int64],
    query_of: npt.NDArray[np.int32],
) -> Floats:
    """MaxSim of pairs of a row and a query, a row named twice read once."""
    distinct, record_of = np.unique(rows, return_inverse=True)
    by_record = np.argsort(record_of, kind="stable")
    ends = np.searchsorted(record_of[by_record], np.arange(len(distinct) + 1))
    scores = np.empty(len(rows), np.float32)
    for part in records.stretches(distinct, READ_BYTES):
        pairs = by_record[ends[part.start] : ends[part.stop]]
        scores[pairs] = records.score(
            distinct[part], tokens, offsets, record_of[pairs] - part.start, query_of[pairs]
        )
    return scores


# -- the surrogate in a segment: arrays `surrogate_...`, numbers in meta `surrogate` -------------


def write_surrogate(writer: SegmentWriter, surrogate: Surrogate) -> dict[str, Any]:
    """Write the arrays; returns what belongs into the segment's meta."""
    for name, array in surrogate.arrays().items():
        writer.add(f"surrogate_{name}", array)
    return {"surrogate": surrogate.numbers()}


def _as_asked(calibration: Calibration, file: SegmentFile) -> Calibration:
    """The calibration with the kinds of sample queries that it was made with."""
    told = file.meta.get("mixed")
    if told is None:  # segments that were written before there were several
        return replace(calibration, mixed=(1,), deeper=UNMIXED)
    sound = isinstance(told, list) and told and all(type(n) is int and 0 < n < 100 for n in told)
    if not sound or len(calibration.ranks) % len(told):
        raise DamagedError(file.name, "table", "kinds of sample queries", told)
    return replace(calibration, mixed=told)


def _read_surrogate(file: SegmentFile, dim: int) -> Surrogate:
    """What made the vectors that the codes of a segment are of."""
    told = file.meta.get("surrogate")
    told = told if isinstance(told, dict) else {}
    if told.get("dim") != dim:
        raise DamagedError(file.name, "table", f"a surrogate of {dim} numbers a token", told)
    try:
        arrays = {
            name: file.read(f"surrogate_{name}", "<f4", shape)
            for name, shape in surrogate_shapes(told).items()
        }
        for name, array in arrays.items():
            if not (np.abs(array.astype(np.float64)) <= LARGEST).all():
                raise DamagedError(
                    file.name, f"surrogate_{name}", f"numbers up to {LARGEST:g}", "others"
                )
        return read_surrogate(told, arrays)
    except (ValueError, TypeError, LookupError) as error:
        raise DamagedError(file.name, "table", "a surrogate", str(error)) from None
