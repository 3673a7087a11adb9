"""Writing multi-vector segments: records as they come, then codes of what stands for each.

One pass takes a sample of documents where something is fitted to them; the next one writes the
records, computes a surrogate and a sketch of each document (kept in files beside the segment until
they are written), and finds the true neighbours of sample queries on the way (see
`multivector.sample_queries`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from bigrain.codecs.sketch import Sketcher
from bigrain.codecs.surrogates import SURROGATES, Surrogate
from bigrain.codecs.tokens import TokenCodec
from bigrain.errors import StorageError
from bigrain.index.base import Floats, Keep, Rows, UnitMap, Units, View
from bigrain.index.coded import chunk_rows
from bigrain.index.coded_writing import ListedCodes, fit_codes
from bigrain.index.effort import Calibration
from bigrain.index.multivector import (
    MIXED,
    STRETCH,
    MultiVectorSegment,
    MultiVectorSpec,
    Ragged,
    joined_queries,
    relative_depth,
    sample_queries,
    write_surrogate,
)
from bigrain.index.neighbours import LEAST_ROWS, Best, calibrated
from bigrain.index.numbering import Numbering, UnitLog, alive_bitmap, number_rows
from bigrain.index.sketches import Sketches
from bigrain.index.token_records import sealed, write_token_codec
from bigrain.storage.files import Files
from bigrain.storage.segment import SegmentWriter
from bigrain.storage.spill import Spill

__all__ = ["MultiVectorBuilder", "merge_multivector"]

SPILL_BUFFER = 1 << 18
CHUNK_TOKENS_BYTES = 1 << 20  # of tokens as float32, handled at a time
SAMPLE_BYTES = 16 << 20  # of tokens as float32, that records and surrogates are fitted to
ASKED = 96  # sample queries
WORK = 1 << 42  # products of numbers spent on the neighbours of sample queries, at most
LEAST_ASKED = 32
Counts = npt.NDArray[np.int64]


class Tokens(NamedTuple):
    """Records of some documents, as a codec wrote them."""

    codec: TokenCodec
    payload: npt.NDArray[np.uint8]
    counts: Counts

    @property
    def ragged(self) -> Ragged:
        """(values (T, dim), offsets (n + 1,))."""
        offsets = np.concatenate(([0], np.cumsum(self.counts)))
        return self.codec.decode(self.payload, self.counts), offsets


Chunks = Callable[[], Iterator[Tokens]]


def _waiting_codec(spec: MultiVectorSpec) -> TokenCodec:
    """How tokens wait: as they will be stored where nothing is fitted, else as float16."""
    return TokenCodec.fit(
        "float16" if TokenCodec.needs_sample(spec.heavy) else spec.heavy, spec.dim
    )


def _same(one: TokenCodec, other: TokenCodec) -> bool:
    """Whether both write the same records."""
    if one is other:
        return True
    arrays, others = one.arrays(), other.arrays()
    return one.numbers() == other.numbers() and all(
        np.array_equal(arrays[name], others[name]) for name in arrays
    )


class MultiVectorBuilder:
    """Pending token vectors of one field, on disk."""

    def __init__(
        self,
        spec: MultiVectorSpec,
        files: Files,
        spill: Path,
        memory_bytes: int,
        like: Sequence[MultiVectorSegment],
    ) -> None:
        self._spec, self._memory_bytes, self._like = spec, memory_bytes, like
        self._files, self._path = files, spill
        self._wait_as(_waiting_codec(spec))
        self._log = UnitLog()
        self._counts: list[npt.NDArray[np.uint32]] = []

    def _wait_as(self, codec: TokenCodec) -> None:
        self._codec = codec
        self._tokens = Spill(
            self._files, self._path, np.uint8, (codec.token_bytes,), buffer_bytes=SPILL_BUFFER
        )

    def append_records(
        self, units: Units, codec: TokenCodec, payload: npt.NDArray[np.uint8], counts: Counts
    ) -> None:
        """Add tokens as a codec wrote them; the records stay as they are if all are of it."""
        if not self._tokens.n_rows and codec.kind == self._spec.heavy:
            self._wait_as(codec)
        if not _same(codec, self._codec):
            self.append(units, Tokens(codec, payload, counts).ragged)
            return
        self._tokens.append(payload.reshape(-1, codec.token_bytes))
        self._log.append(units)
        self._counts.append(counts.astype(np.uint32))

    def append(self, units: Units, values: Any) -> None:
        """Add ragged tokens: (values (T, dim), offsets (n + 1,)); every document has some."""
        tokens, offsets = values
        for start, stop in _steps(np.diff(offsets), _step(self._spec.dim)):
            a, b = int(offsets[start]), int(offsets[stop])
            payload, _ = self._codec.encode(tokens[a:b], offsets[start : stop + 1] - a)
            self._tokens.append(payload.reshape(b - a, -1))
        self._log.append(units)
        self._counts.append(np.diff(offsets).astype(np.uint32))

    def seal(self, keep: Keep, path: Path, files: Files) -> int:
        """Write the segment; returns its number of rows (0: no file)."""
        units, positions = self._log.unit_map()
        numbering = number_rows([units], [alive_bitmap(units, keep)])
        counts = np.concatenate([np.empty(0, np.uint32), *self._counts]).astype(np.int64)
        self._counts = [counts.astype(np.uint32)]
        offsets = np.concatenate(([0], np.cumsum(counts)))

        def chunks() -> Iterator[Tokens]:
            for _, rows in numbering.places():
                wanted = rows if positions is None else positions[rows]
                for start, stop in _steps(counts[wanted], _step(self._spec.dim)):
                    yield self._read(wanted[start:stop], counts, offsets)

        if numbering.n_rows:
            waiting = self._codec if self._codec.kind == self._spec.heavy else None
            write_multivector(
                self._spec, files, path, numbering, chunks, self._like, self._memory_bytes,
                codec=waiting,
            )  # fmt: skip
        return numbering.n_rows

    def _read(self, rows: Rows, counts: Counts, offsets: Counts) -> Tokens:
        # Rows that follow one another in the file are read together.
        runs = np.split(rows, np.flatnonzero(np.diff(rows) != 1) + 1)
        parts = [self._tokens.read(int(offsets[r[0]]), int(offsets[r[-1] + 1])) for r in runs]
        return Tokens(self._codec, np.concatenate(parts).reshape(-1), counts[rows])

    def discard(self) -> None:
        self._tokens.discard()
        self._log = UnitLog()
        self._counts.clear()


def merge_multivector(
    spec: MultiVectorSpec,
    files: Files,
    path: Path,
    views: Sequence[View[MultiVectorSegment]],
    memory_bytes: int,
) -> int:
    """One segment out of the live rows of several, its codes fitted anew; its number of rows.

    Records stay as they are wherever the codec that wrote them stays.
    """
    segments = [view.segment for view in views]
    numbering = number_rows([s.units for s in segments], [view.live for view in views])

    def chunks() -> Iterator[Tokens]:
        for run, rows in numbering.places():
            records = segments[run].records
            for start, stop in _steps(records.counts(rows), _step(spec.dim)):
                payload, counts = records.payload(rows[start:stop])
                yield Tokens(records.codec, payload, counts.astype(np.int64))

    if numbering.n_rows:
        write_multivector(spec, files, path, numbering, chunks, segments, memory_bytes, afresh=True)
    return numbering.n_rows


def write_multivector(
    spec: MultiVectorSpec,
    files: Files,
    path: Path,
    numbering: Numbering,
    chunks: Chunks,
    like: Sequence[MultiVectorSegment],
    memory_bytes: int,
    *,
    codec: TokenCodec | None = None,
    afresh: bool = False,
) -> None:
    """Stream records, in ascending order of unit, into a segment file.

    `chunks` gives them all, some at a time, again and again. Codecs are taken from the largest of
    the segments `like` it, but for that of records, `codec`, if there is one, and for the codes
    where they are to be made `afresh`.
    """
    n = numbering.n_rows
    sample, n_tokens = _sampled(chunks, n, spec.dim)
    if codec is None:
        codec = _token_codec(spec, sample, n_tokens, like)
    given = None if afresh else _largest(like, n)
    surrogate = given.surrogate if given is not None else _fitted(spec, sample)
    sketcher = _sketcher(spec, sample, n, n_tokens, given)
    asked = _Asked.of(sample, n, n_tokens)
    vectors = Spill(
        files, path.with_name(path.name + ".surrogates"), "<f4", (surrogate.width,),
        buffer_bytes=SPILL_BUFFER,
    )  # fmt: skip
    named = Spill(
        files, path.with_name(path.name + ".sketches"), "<u2", (), buffer_bytes=SPILL_BUFFER
    )
    codes: ListedCodes | None = None
    writer = SegmentWriter(files, path)
    try:
        counts, n_named = np.zeros(n, "<u4"), np.zeros(n, "<u2")
        with writer.section("tokens", np.uint8) as section:
            row, source, kept = 0, codec, True
            for part in chunks():
                if part.codec is not source:
                    source, kept = part.codec, _same(part.codec, codec)
                if not kept:
                    part = Tokens(codec, codec.encode(*part.ragged)[0], part.counts)
                section.append(sealed(part.payload, part.counts, codec.token_bytes))
                counts[row : row + len(part.counts)] = part.counts
                ragged = part.ragged
                vectors.append(surrogate.documents(*ragged))
                if sketcher is not None:
                    numbers, sizes = sketcher.documents(*ragged, spec.sketch)
                    named.append(numbers)
                    n_named[row : row + len(sizes)] = sizes
                asked.look_at(row, codec, part.payload, part.counts)
                row += len(part.counts)
        writer.add("token_counts", counts)
        step = chunk_rows(surrogate.width)

        def coded() -> Iterator[Floats]:
            for start in range(0, n, step):
                yield vectors.read(start, min(start + step, n)).astype(np.float32, copy=False)

        fitted, partition = fit_codes(
            spec.settings(surrogate.width), "ip", coded, n, surrogate.width,
            codec=None if given is None else given.codec, watch=iter, memory_bytes=memory_bytes,
        )  # fmt: skip
        codes = ListedCodes(files, path.with_name(path.name + ".codes"), n, fitted, partition)
        for some in coded():
            codes.append(some)
        sketches = None
        if sketcher is not None:
            sketches = Sketches.of(sketcher, named.read(0, named.n_rows), n_named)
        if sketches is not None and given is not None and given.sketches is not None:
            sketches = replace(sketches, weights=given.sketches.weights)
        calibration, sketches = asked.calibration(codes, surrogate, sketches)
        meta = codes.write(writer, calibration)
        if calibration is not None:
            meta["mixed"] = list(MIXED)
        if sketches is not None:
            meta |= sketches.write(writer)
        meta |= write_token_codec(writer, codec) | write_surrogate(writer, surrogate)
        units = UnitMap.write(writer, numbering.units)
        writer.finish({"family": "multivector", "heavy": spec.heavy, **units, **meta})
    except BaseException:
        writer.abandon()
        raise
    finally:
        for waiting in (vectors, named):
            with suppress(StorageError):  # the next writer sweeps what cannot be removed
                waiting.discard()
        if codes is not None:
            with suppress(StorageError):
                codes.discard()


# -- what is fitted --------------------------------------------------------------------------


def _sampled(chunks: Chunks, n: int, dim: int) -> tuple[Ragged, int]:
    """Every so-many-th document, within SAMPLE_BYTES, and the number of all tokens."""
    most = max(1, SAMPLE_BYTES // (4 * dim))
    parts: list[Floats] = []
    held, every, seen, n_tokens = 0, 1, 0, 0
    for part in chunks():
        chosen = np.flatnonzero((np.arange(len(part.counts)) + seen) % every == 0)
        seen, n_tokens = seen + len(part.counts), n_tokens + int(part.counts.sum())
        if not len(chosen):
            continue
        values, offsets = part.ragged
        # copies: a view would keep all tokens that were read with it
        parts += [values[offsets[i] : offsets[i + 1]].copy() for i in chosen]
        held += int(part.counts[chosen].sum())
        while held > most and len(parts) > 1:  # half of them, from then on half as many
            every, parts = 2 * every, parts[::2]
            held = sum(map(len, parts))
    values = np.concatenate([np.empty((0, dim), np.float32), *parts])
    return (values, np.concatenate(([0], np.cumsum([len(part) for part in parts])))), n_tokens


def _token_codec(
    spec: MultiVectorSpec, sample: Ragged, n_tokens: int, like: Sequence[MultiVectorSegment]
) -> TokenCodec:
    """The codec of records: one that stands, or one fitted to the sample."""
    if TokenCodec.needs_sample(spec.heavy):
        found = [s for s in like if s.records.codec.kind == spec.heavy]
        if found:
            return max(found, key=lambda s: s.units.n_rows).records.codec
    return TokenCodec.fit(spec.heavy, spec.dim, sample[0], n_tokens=n_tokens)


def _fitted(spec: MultiVectorSpec, sample: Ragged) -> Surrogate:
    return SURROGATES[spec.light].fit(*sample)


def _sketcher(
    spec: MultiVectorSpec, sample: Ragged, n: int, n_tokens: int, given: MultiVectorSegment | None
) -> Sketcher | None:
    """The centroids of sketches: those that stand, or new ones; None for few rows."""
    if not spec.sketch:
        return None
    if given is not None and given.sketches is not None:
        return given.sketches.sketcher
    return Sketcher.fit(sample[0], n_tokens) if n >= LEAST_ROWS else None


def _largest(like: Sequence[MultiVectorSegment], n: int) -> MultiVectorSegment | None:
    """The segment whose surrogate serves n more rows: the largest, if it is not a small one."""
    found = max(like, key=lambda s: s.units.n_rows, default=None)
    return found if found is not None and 4 * found.units.n_rows >= n else None


class _Asked:
    """Sample queries and their best rows."""

    def __init__(self, queries: list[Floats], skip: npt.NDArray[np.int64]) -> None:
        self._queries, self._skip = queries, skip
        self._best = Best(len(queries))
        self._joined = joined_queries(queries) if queries else None

    @classmethod
    def of(cls, sample: Ragged, n: int, n_tokens: int, seed: int = 0) -> _Asked:
        values, offsets = sample
        n_sampled = len(offsets) - 1
        if n < LEAST_ROWS or not n_sampled:
            return cls([], np.empty(0, np.int64))
        cost = STRETCH * n_tokens * values.shape[1]
        m = int(np.clip(WORK // max(cost, 1), LEAST_ASKED, ASKED))
        documents = [values[a:b] for a, b in pairwise(offsets.tolist())]
        return cls(*sample_queries(documents, m, np.random.default_rng(seed)))

    def look_at(
        self, start: int, codec: TokenCodec, payload: npt.NDArray[np.uint8], counts: Counts
    ) -> None:
        """Records of the rows start..."""
        if self._joined is None:
            return
        tokens, offsets = self._joined
        n, m = len(counts), len(self._queries)
        starts = np.concatenate(([0], np.cumsum(counts * codec.token_bytes)))[:-1]
        query_of = np.repeat(np.arange(m, dtype=np.int32), n)
        scores = codec.maxsim(
            payload, np.tile(starts, m), np.tile(counts.astype(np.int32), m), query_of, tokens,
            offsets,
        )  # fmt: skip
        self._best.look_at(start, scores.reshape(m, n))

    def calibration(
        self, codes: ListedCodes, surrogate: Surrogate, sketches: Sketches | None
    ) -> tuple[Calibration | None, Sketches | None]:
        """How far to look, and the sketches with weights that suit these codes."""
        if self._joined is None:
            return None, sketches
        queries = surrogate.queries(*self._joined)
        second = None
        if sketches is not None:
            sketches = self._weighed(codes, queries, sketches)
            second = _LookedOver(self._queries, sketches)
        found = calibrated(codes, queries, self._best, self._skip, second)
        return None if found is None else self._of_full_length(found), sketches

    def _of_full_length(self, found: Calibration) -> Calibration:
        """Places as they would be had all queries STRETCH tokens."""
        depth = np.array([[relative_depth(len(query))] for query in self._queries])
        ranks = np.minimum(np.ceil(found.ranks / depth), np.iinfo(np.int32).max)
        return replace(found, ranks=ranks.astype(np.int32))

    def _weighed(self, codes: ListedCodes, queries: Floats, sketches: Sketches) -> Sketches:
        rows = self._best.rows
        bases = codes.partition.products(queries)
        turned = codes.codec.turned(queries)
        estimates = [codes.estimates(r, turned[[q]], bases[[q]])[0] for q, r in enumerate(rows)]
        scores = sketches.scores(self._queries, rows)
        return sketches.weighed(scores, np.array(estimates), self._best.scores)


class _LookedOver(NamedTuple):
    """Sample queries, and the sketches that look over what codes propose for them."""

    queries: list[Floats]
    sketches: Sketches

    @property
    def broad(self) -> int:
        return self.sketches.broad

    def joined(self, queries: slice, rows: Rows, estimates: Floats) -> Floats:
        scores = self.sketches.scores(self.queries[queries], rows)
        return self.sketches.joined(scores, estimates)


# -- steps -----------------------------------------------------------------------------------


def _step(dim: int) -> int:
    """Tokens handled at a time."""
    return max(1, CHUNK_TOKENS_BYTES // (4 * dim))


def _steps(counts: npt.NDArray[Any], at_most: int) -> Iterator[tuple[int, int]]:
    """Ranges of documents with about so many tokens each."""
    ends, start = np.cumsum(counts, dtype=np.int64), 0
    while start < len(ends):
        seen = int(ends[start - 1]) if start else 0
        stop = max(int(np.searchsorted(ends, seen + at_most, side="right")), start + 1)
        yield start, stop
        start = stop
