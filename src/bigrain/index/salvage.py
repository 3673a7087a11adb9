"""What can still be believed of a damaged segment, family by family.

Rows, lists and token records carry checksums of their own, so damage in one leaves the others. What
holds them together (which unit a row belongs to, which column a list, where a record ends) is one
checksum for all: where that does not match, nothing is believed that is not proven another way.
"""

from __future__ import annotations

import errno
import zlib
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

import numpy as np
import numpy.typing as npt

from bigrain import kernels
from bigrain.errors import DamagedError, StorageError
from bigrain.index.base import Builder, UnitMap, Units
from bigrain.index.coded import CHUNK_ROWS
from bigrain.index.dense import DenseSpec
from bigrain.index.sparse_segment import record_bytes
from bigrain.index.token_records import CRC_BYTES, read_token_codec, unsealed
from bigrain.storage.segment import SegmentFile

if TYPE_CHECKING:
    from bigrain.index.multivector_writing import MultiVectorBuilder

__all__ = [
    "LostList",
    "Salvage",
    "again",
    "damaged_sections",
    "salvage_dense",
    "salvage_listed",
    "salvage_multivector",
    "salvage_plain",
    "salvage_sparse",
    "unreadable",
]

Array = npt.NDArray[Any]
Flags = npt.NDArray[np.bool_]
T = TypeVar("T")

TOKEN_CHUNK_BYTES = 8 << 20
PROBE_BYTES = 1 << 16
MATRIX_POSTINGS = 1 << 20
RECORD_CHUNK_BYTES = 4 << 20
ROW_BYTES = 4  # of a row number in the lists of bigrain 0.1


@dataclass(frozen=True)
class LostList:
    """An inverted list that is gone: its column, and whose it was as far as that can be read."""

    column: int
    postings: int
    units: Units


@dataclass
class Salvage:
    """The rows of a damaged segment: their units, which are whole, and a way to take them out."""

    units: UnitMap
    sound: Flags
    pour: Callable[[Builder, Flags], None]  # give the chosen rows, all sound, to a builder
    lost_lists: list[LostList] = field(default_factory=list)


# -- reading what may not be readable -----------------------------------------------------------


def unreadable(error: Exception) -> bool:
    """Whether an error says that bytes are wrong or cannot be had, and not that a disk is full."""
    return isinstance(error, DamagedError) or (
        isinstance(error, StorageError) and error.errno == errno.EIO
    )


def again(read: Callable[[], T]) -> T:
    """Read, and once more if the disk said no: only an error that stays is damage."""
    try:
        return read()
    except StorageError as error:
        if error.errno != errno.EIO:
            raise
        return read()


def damaged_sections(file: SegmentFile, advance: Callable[[int], None]) -> dict[str, str]:
    """Section -> what is wrong with it, after reading everything through."""
    found = {}
    for name in file.sections:
        done = 0

        def check(name: str = name) -> None:
            nonlocal done
            for at in file.check(name):
                advance(max(0, at - done))
                done = max(done, at)

        try:
            again(check)
        except (DamagedError, StorageError) as error:
            if not unreadable(error):
                raise
            found[name] = str(error)
    return found


def _whole(file: SegmentFile, name: str, damaged: Collection[str]) -> bool:
    return name in file.sections and name not in damaged


def _units(file: SegmentFile, damaged: Collection[str]) -> UnitMap | None:
    """The unit of every row, or None if it is not known."""
    if "units" in damaged:
        return None
    try:
        return again(lambda: UnitMap.read(file))
    except (DamagedError, LookupError, TypeError, ValueError):
        return None


def _check_rows(
    start: int, stop: int, sound: Flags, check: Callable[[int, int], Sequence[bool] | Flags]
) -> None:
    """Set `sound[start:stop]` by `check`; rows that cannot be read are told apart one by one."""
    try:
        sound[start:stop] = again(lambda: check(start, stop))
    except (DamagedError, StorageError) as error:
        if not unreadable(error):
            raise
        if stop - start == 1:
            sound[start] = False
            return
        middle = (start + stop) // 2
        _check_rows(start, middle, sound, check)
        _check_rows(middle, stop, sound, check)


# -- dense --------------------------------------------------------------------------------------


def salvage_dense(spec: DenseSpec, file: SegmentFile, damaged: Collection[str]) -> Salvage | None:
    """The vectors whose record matches its checksum; codes are made anew from them."""
    units = _units(file, damaged)
    if units is None or "rows" not in file.sections:
        return None
    n = units.n_rows
    if file.sections["rows"].shape != (n, spec.rows.record_bytes):
        return None
    sound = np.ones(n, bool)
    if "rows" in damaged:

        def check(start: int, stop: int) -> Flags:
            return spec.rows.sound(file.read_rows("rows", start, stop))

        for start in range(0, n, CHUNK_ROWS):
            _check_rows(start, min(start + CHUNK_ROWS, n), sound, check)
        if sound.all():  # something in them is wrong all the same
            sound[:] = False

    def pour(builder: Builder, chosen: Flags) -> None:
        for start in range(0, n, CHUNK_ROWS):
            rows = start + np.flatnonzero(chosen[start : start + CHUNK_ROWS])
            if len(rows):
                records = file.gather_rows("rows", rows)
                if not spec.rows.sound(records).all():
                    raise DamagedError(file.name, "rows", "what was read before", "something else")
                builder.append(units.units(rows), spec.rows.decode(records))

    return Salvage(units, sound, pour)


# -- multi-vector -------------------------------------------------------------------------------


def salvage_plain(dim: int, file: SegmentFile, damaged: Collection[str]) -> Salvage | None:
    """Of a segment as bigrain 0.1 wrote it the documents whose tokens match their checksum."""
    units = _units(file, damaged)
    tokens = file.sections.get("tokens")
    if units is None or tokens is None or tokens.shape[1:] != (dim,) or tokens.dtype.str != "<f2":
        return None
    n = units.n_rows
    width, n_tokens = tokens.row_bytes, tokens.shape[0]
    sums = _column(file, "token_crc", n, damaged)
    ends = _column(file, "token_ends", n, damaged)
    if ends is None and sums is not None:
        ends = _rejoin(file, "tokens", width, sums, _guesses(file, "token_ends", n, ends=True))
    if ends is None or (n and (int(ends[-1]) != n_tokens or (ends[1:] < ends[:-1]).any())):
        return Salvage(units, np.zeros(n, bool), _nothing)
    if sums is None and "tokens" in damaged:
        return Salvage(units, np.zeros(n, bool), _nothing)
    offsets = np.concatenate(([0], ends.astype(np.int64)))
    sound = np.ones(n, bool)

    def read(start: int, stop: int) -> Array:
        return file.read_rows("tokens", int(offsets[start]), int(offsets[stop]))

    def check(start: int, stop: int) -> list[bool]:
        assert sums is not None
        part = read(start, stop).data.cast("B") if offsets[stop] > offsets[start] else b""
        edges = ((offsets[start : stop + 1] - offsets[start]) * width).tolist()
        return [
            zlib.crc32(part[a:b]) == int(want)
            for a, b, want in zip(edges, edges[1:], sums[start:stop], strict=False)
        ]

    chunks = list(_stretches(offsets, max(1, TOKEN_CHUNK_BYTES // max(width, 1))))
    if "tokens" in damaged:
        for start, stop in chunks:
            _check_rows(start, stop, sound, check)
        if sound.all():
            sound[:] = False

    def pour(builder: Builder, chosen: Flags) -> None:
        for start, stop in chunks:
            rows = start + np.flatnonzero(chosen[start:stop])
            # Stretches of chosen rows: what lies between them may not be readable.
            for part in np.split(rows, np.flatnonzero(np.diff(rows) != 1) + 1) if len(rows) else ():
                a, b = int(part[0]), int(part[-1]) + 1
                if sums is not None and not all(check(a, b)):
                    raise DamagedError(file.name, "tokens", "what was read before", "another")
                builder.append(units.slice(a, b), (read(a, b), offsets[a : b + 1] - offsets[a]))

    return Salvage(units, sound, pour)


def _nothing(builder: Builder, chosen: Flags) -> None:
    """Pour where no row is sound."""


def _stretches(offsets: npt.NDArray[np.int64], at_most: int) -> Iterator[tuple[int, int]]:
    """Ranges of rows with about `at_most` tokens each."""
    start, n = 0, len(offsets) - 1
    while start < n:
        stop = int(np.searchsorted(offsets, offsets[start] + at_most, side="right")) - 1
        stop = min(max(stop, start + 1), n)
        yield start, stop
        start = stop


# -- sparse -------------------------------------------------------------------------------------


class Matrix(NamedTuple):
    """Rows of weights, as a builder takes them: compressed sparse rows."""

    data: Array
    indices: npt.NDArray[np.int64]
    indptr: npt.NDArray[np.int64]
    shape: tuple[int, int]


@dataclass(frozen=True)
class _Kind:
    """Records of rows in a section of bytes, each with its checksum at its end."""

    section: str
    counted: str  # the section that says of how many parts each record is
    length: Callable[[npt.NDArray[np.int64]], npt.NDArray[np.int64]]  # bytes of records
    give: Callable[[Units, Array, npt.NDArray[np.int64], Builder], None]


def _salvage_records(
    file: SegmentFile, kind: _Kind, units: UnitMap, damaged: Collection[str]
) -> Salvage:
    """The rows whose record matches its checksum."""
    n, section = units.n_rows, kind.section
    nothing = Salvage(units, np.zeros(n, bool), _nothing)
    counts = _column(file, kind.counted, n, damaged)
    if counts is None:
        counts = _counted_again(file, kind, _guesses(file, kind.counted, n, ends=False))
    if counts is None:
        return nothing
    counts = counts.astype(np.int64)
    places = np.concatenate(([0], np.cumsum(kind.length(counts))))
    if file.sections[section].shape != (int(places[-1]),):
        return nothing
    sound = np.ones(n, bool)

    def read(start: int, stop: int) -> tuple[Array, npt.NDArray[np.int64]]:
        records = file.read_rows(section, int(places[start]), int(places[stop]))
        return records, places[start : stop + 1] - places[start]

    def check(start: int, stop: int) -> Flags:
        records, inside = read(start, stop)
        good, at = np.ones(stop - start, bool), 0
        while (
            wrong := kernels.first_unsound_weights(records[inside[at] :], inside[at:] - inside[at])
        ) >= 0:
            at += wrong + 1
            good[at - 1] = False
        return good

    chunks = list(_stretches(places, RECORD_CHUNK_BYTES))
    if section in damaged:
        for start, stop in chunks:
            _check_rows(start, stop, sound, check)
        if sound.all():  # something in them is wrong all the same
            sound[:] = False

    def pour(builder: Builder, chosen: Flags) -> None:
        for start, stop in chunks:
            rows = start + np.flatnonzero(chosen[start:stop])
            # Stretches of chosen rows: what lies between them may not be readable.
            for part in np.split(rows, np.flatnonzero(np.diff(rows) != 1) + 1) if len(rows) else ():
                a, b = int(part[0]), int(part[-1]) + 1
                if not check(a, b).all():
                    raise DamagedError(file.name, section, "what was read before", "another")
                kind.give(units.slice(a, b), read(a, b)[0], counts[a:b], builder)

    return Salvage(units, sound, pour)


def _counted_again(
    file: SegmentFile, kind: _Kind, guesses: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64] | None:
    """How many parts each record has: as many as guessed, or else the fewest that fit its
    checksum; None if there are none.
    """
    size = file.sections[kind.section].n_bytes
    counts, at = np.zeros(len(guesses), np.int64), 0

    def length(n: int) -> int:
        return int(kind.length(np.array([n], np.int64))[0])

    def fits(n: int) -> bool:
        if at + length(n) > size:
            return False
        record = file.read_rows(kind.section, at, at + length(n))
        return kernels.first_unsound_weights(record, np.array([0, length(n)])) < 0

    try:
        for i, guess in enumerate(guesses.tolist()):
            most = (size - at) // (length(1) - length(0))
            found = next((n for n in chain((guess,), range(most + 1)) if fits(n)), None)
            if found is None:
                return None
            counts[i] = found
            at += length(found)
    except (DamagedError, StorageError) as error:
        if not unreadable(error):
            raise
        return None
    return counts if at == size else None


def salvage_sparse(file: SegmentFile, damaged: Collection[str]) -> Salvage | None:
    """The vectors whose record matches its checksum; lists are made anew from them."""
    units = _units(file, damaged)
    if units is None or "weights" not in file.sections:
        return None
    width = file.meta.get("width")
    if width not in (2, 4):
        return Salvage(units, np.zeros(units.n_rows, bool), _nothing)

    def give(given: Units, records: Array, counts: npt.NDArray[np.int64], builder: Builder) -> None:
        inside = np.concatenate(([0], np.cumsum(record_bytes(counts, width))))
        columns, weights, ends = kernels.decode_weights(records, inside, width)
        shape = (len(counts), 2**32)
        builder.append(given, Matrix(weights, columns.astype(np.int64), ends, shape))

    kind = _Kind("weights", "counts", lambda counts: record_bytes(counts, width), give)
    return _salvage_records(file, kind, units, damaged)


def salvage_multivector(dim: int, file: SegmentFile, damaged: Collection[str]) -> Salvage | None:
    """The documents whose tokens match their checksum; codes are made anew from them."""
    units = _units(file, damaged)
    if units is None or "tokens" not in file.sections:
        return None
    try:
        codec = read_token_codec(file, dim, mend=True)
    except DamagedError:
        return Salvage(units, np.zeros(units.n_rows, bool), _nothing)

    def length(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        return counts * codec.token_bytes + CRC_BYTES

    def give(given: Units, records: Array, counts: npt.NDArray[np.int64], builder: Builder) -> None:
        payload = unsealed(records, np.concatenate(([0], np.cumsum(length(counts)))))
        cast("MultiVectorBuilder", builder).append_records(given, codec, payload, counts)

    return _salvage_records(file, _Kind("tokens", "token_counts", length, give), units, damaged)


@dataclass(frozen=True)
class _Lists:
    """The sound lists of an inverted segment: keys, and where each list lies."""

    file: SegmentFile
    keys: npt.NDArray[np.uint64]
    places: npt.NDArray[np.int64]  # bytes from the beginning of the section
    df: npt.NDArray[np.int64]
    weight: np.dtype[Any]

    def __iter__(self) -> Iterator[tuple[int, npt.NDArray[np.uint32], Array]]:
        """(key, rows, weights) of every list."""
        width = ROW_BYTES + self.weight.itemsize
        for key, begin, df in zip(
            self.keys.tolist(), self.places.tolist(), self.df.tolist(), strict=True
        ):
            raw = self.file.read_rows("lists", begin, begin + df * width).tobytes()
            middle = df * ROW_BYTES
            yield key, np.frombuffer(raw[:middle], "<u4"), np.frombuffer(raw[middle:], self.weight)

    def matrices(self, n_rows: int) -> Iterator[tuple[int, int, Matrix]]:
        """(first row, last row + 1, their weights), MATRIX_POSTINGS at a time.

        Every one of them is a pass over all lists.
        """
        counts = np.zeros(n_rows + 1, np.int64)
        for _, rows, _ in self:
            counts[1:][rows] += 1
        ends = np.cumsum(counts)
        for start, stop in _stretches(ends, MATRIX_POSTINGS):
            columns, where, data = [], [], []
            for key, rows, weights in self:
                a, b = np.searchsorted(rows, [start, stop])
                if a < b:
                    columns.append(np.full(b - a, key, np.int64))
                    where.append(rows[a:b].astype(np.int64) - start)
                    data.append(weights[a:b])
            row_of = np.concatenate([np.empty(0, np.int64), *where])
            order = np.argsort(row_of, kind="stable")
            yield (
                start,
                stop,
                Matrix(
                    np.concatenate([np.empty(0, np.float32), *data])[order],
                    np.concatenate([np.empty(0, np.int64), *columns])[order],
                    ends[start : stop + 1] - ends[start],
                    (stop - start, 2**32),
                ),
            )


def salvage_listed(file: SegmentFile, damaged: Collection[str]) -> Salvage | None:
    """Of a segment as bigrain 0.1 wrote it all rows, without the lists that are damaged."""
    units = _units(file, damaged)
    if units is None or not _whole(file, "keys", damaged) or "lists" not in file.sections:
        return None if units is None else Salvage(units, np.zeros(units.n_rows, bool), _nothing)
    nothing = Salvage(units, np.zeros(units.n_rows, bool), _nothing)
    keys = file.read("keys")
    n_keys, size = len(keys), file.sections["lists"].shape[0]
    try:
        weight = np.dtype(str(file.meta["weight"]))
    except (KeyError, TypeError):
        return nothing
    if weight.str not in ("|u1", "<u2", "<f4") or (keys[1:] <= keys[:-1]).any():
        return nothing
    width = ROW_BYTES + weight.itemsize
    sums = _column(file, "list_crc", n_keys, damaged)
    df = _column(file, "df", n_keys, damaged)
    if df is None and sums is not None:
        ends = _rejoin(file, "lists", width, sums, _guesses(file, "df", n_keys, ends=False))
        df = None if ends is None else np.diff(ends, prepend=0)
    if df is None or int(df.astype(np.int64).sum()) * width != size:
        return nothing
    if sums is None and "lists" in damaged:
        return nothing
    df = df.astype(np.int64)
    places = np.concatenate(([0], np.cumsum(df)))[:-1] * width
    lost: list[LostList] = []
    sound = np.ones(n_keys, bool)
    if "lists" in damaged:
        assert sums is not None
        for i in range(n_keys):
            raw = _list_bytes(file, int(places[i]), int(df[i]) * width)
            if raw is None or zlib.crc32(raw) != int(sums[i]):
                sound[i] = False
                lost.append(LostList(int(keys[i]), int(df[i]), _whose(raw, int(df[i]), units)))
        if not lost:
            return nothing

    lists = _Lists(file, keys[sound], places[sound], df[sound], weight)
    for _, rows, _ in lists:
        if len(rows) and (int(rows.max()) >= units.n_rows or (rows[1:] <= rows[:-1]).any()):
            return nothing

    def pour(builder: Builder, chosen: Flags) -> None:
        for start, stop, matrix in lists.matrices(units.n_rows):
            picked = chosen[start:stop]
            if not picked.any():
                continue
            counts = np.diff(matrix.indptr)
            kept = np.repeat(picked, counts)
            ends = np.concatenate(([0], np.cumsum(counts[picked])))
            part = Matrix(
                matrix.data[kept], matrix.indices[kept], ends, (len(ends) - 1, matrix.shape[1])
            )
            builder.append(units.slice(start, stop)[picked], part)

    return Salvage(units, np.ones(units.n_rows, bool), pour, lost)


def _list_bytes(file: SegmentFile, begin: int, length: int) -> bytes | None:
    try:
        return again(lambda: file.read_rows("lists", begin, begin + length).tobytes())
    except (DamagedError, StorageError) as error:
        if not unreadable(error):
            raise
        return None


def _whose(raw: bytes | None, df: int, units: UnitMap) -> Units:
    """The units a damaged list names, where they can be those of its rows."""
    if raw is None:
        return np.empty(0, np.int64)
    rows = np.frombuffer(raw[: df * ROW_BYTES], "<u4").astype(np.int64)
    return np.unique(units.units(rows[rows < units.n_rows]))


# -- columns of numbers -------------------------------------------------------------------------


def _column(file: SegmentFile, name: str, n: int, damaged: Collection[str]) -> Array | None:
    """A section of n numbers, or None if it is damaged."""
    if not _whole(file, name, damaged) or file.sections[name].shape != (n,):
        return None
    return again(lambda: file.read(name))


def _guesses(file: SegmentFile, name: str, n: int, *, ends: bool) -> npt.NDArray[np.int64]:
    """The lengths that a damaged section tells; 0 where it cannot be read."""
    section = file.sections.get(name)
    if section is None or section.shape != (n,):
        return np.zeros(n, np.int64)
    try:
        values = again(lambda: file.read_rows(name, 0, n)).astype(np.uint64)
    except (DamagedError, StorageError) as error:
        if not unreadable(error):
            raise
        return np.zeros(n, np.int64)
    if ends:
        values = np.diff(values, prepend=np.uint64(0))
    return np.minimum(values, np.uint64(2**40)).astype(np.int64)


def _rejoin(
    file: SegmentFile, name: str, width: int, sums: Array, guesses: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64] | None:
    """Where each record of a section ends, found again by the checksums of the records.

    Numbers in items of `width` bytes. A record is as long as guessed, or else the shortest stretch
    from where the former one ended that has its checksum; None if there is none.
    """
    section = file.sections[name]
    per_item = max(section.row_bytes, 1)
    n_items = section.n_bytes // width

    def read(start: int, stop: int) -> memoryview:
        rows = file.read_rows(name, start * width // per_item, stop * width // per_item)
        return rows.data.cast("B")

    ends, at = np.zeros(len(sums), np.int64), 0
    try:
        for i, (want, guess) in enumerate(zip(sums.tolist(), guesses.tolist(), strict=True)):
            if not (0 < guess <= n_items - at and zlib.crc32(read(at, at + guess)) == want):
                found = _probe(read, at, n_items, width, want)
                if found is None:
                    return None
                guess = found
            at += guess
            ends[i] = at
    except (DamagedError, StorageError) as error:
        if not unreadable(error):
            raise
        return None
    return ends if at == n_items else None


def _probe(
    read: Callable[[int, int], memoryview], at: int, n_items: int, width: int, want: int
) -> int | None:
    """How many items from `at` on have the checksum `want`."""
    crc, length = 0, 0
    step = max(1, PROBE_BYTES // width)
    while at + length < n_items:
        part = read(at + length, min(at + length + step, n_items))
        for begin in range(0, len(part), width):
            crc = zlib.crc32(part[begin : begin + width], crc)
            length += 1
            if crc == want:
                return length
    return None
