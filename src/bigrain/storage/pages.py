"""SQLite's pages, read without SQLite: what is left of a database whose trees are broken.

The rows of a table lie in the leaves of a tree. SQLite gives up where a page on the way to them
makes no sense; here only that page is lost. Leaves below it are found again by the pointer map,
which names the parent of every page. Format: https://www.sqlite.org/fileformat2.html. Nothing read
here is believed before a checksum of the catalogue's own has said so.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from bigrain.errors import DamagedError, StorageError
from bigrain.storage.files import Readable

__all__ = ["Pages", "Row", "Value", "read_record"]

Value = int | float | str | bytes | None

INDEX_INTERIOR, TABLE_INTERIOR, INDEX_LEAF, TABLE_LEAF = 2, 5, 10, 13
PAGE_TYPES = (INDEX_INTERIOR, TABLE_INTERIOR, INDEX_LEAF, TABLE_LEAF)
FREE_PAGE, TREE_PAGE = 2, 5  # in the pointer map
LOCK_BYTE = 1 << 30
MAX_DEPTH = 40
INTEGERS = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}


@dataclass(frozen=True, slots=True)
class Row:
    """One row as it is stored: its number (0 in trees without numbers) and its values."""

    rowid: int
    values: list[Value]


class Pages:
    """The pages of a database file; numbers count from 1, `roots` are found by name."""

    def __init__(self, file: Readable) -> None:
        self._file = file
        head = file.read_at(0, 100)
        size = int.from_bytes(head[16:18], "big") if len(head) == 100 else 0
        size = 65536 if size == 1 else size
        plausible = head[:16] == b"SQLite format 3\0" and 512 <= size and size & (size - 1) == 0
        self.size = size if plausible else 4096
        self.usable = self.size  # a catalogue reserves nothing, whatever its header says
        self.n_pages = file.size // self.size
        self.broken: set[int] = set()  # pages that made no sense to the last walk

    def page(self, number: int) -> bytes:
        """One page, or ValueError."""
        if not 1 <= number <= self.n_pages:
            raise ValueError(f"page {number} of {self.n_pages}")
        for attempt in (0, 1):
            try:
                data = self._file.read_at((number - 1) * self.size, self.size)
                break
            except (StorageError, DamagedError) as error:
                if attempt:
                    raise ValueError(str(error)) from error
        if len(data) != self.size:
            raise ValueError(f"page {number} is cut off")
        return data

    # -- trees ------------------------------------------------------------------------------

    def rows(self, root: int) -> Iterator[Row]:
        """Every row that can be read below a root; of broken pages, what is below them.

        A row may come twice, or be one that was there before, where pages are broken. One walk at
        a time; after it `broken` holds the pages that made no sense.
        """
        reached: set[int] = set()
        self.broken = set()
        yield from self._walk(root, reached, 0)
        if self.broken:
            for number in self._orphans(root, reached):
                yield from self._cells(number, reached, None, 0)

    def _walk(self, number: int, reached: set[int], depth: int) -> Iterator[Row]:
        if number in reached or depth > MAX_DEPTH:
            self.broken.add(number)
            return
        yield from self._cells(number, reached, reached, depth)

    def _cells(
        self, number: int, reached: set[int], below: set[int] | None, depth: int
    ) -> Iterator[Row]:
        """The rows of one page, and with `below` of the pages that it points to."""
        reached.add(number)
        try:
            data = self.page(number)
            begin = 100 if number == 1 else 0
            kind = data[begin]
            if kind not in PAGE_TYPES:
                raise ValueError(f"a page of type {kind}")
            n_cells = int.from_bytes(data[begin + 3 : begin + 5], "big")
            first = begin + (12 if kind in (INDEX_INTERIOR, TABLE_INTERIOR) else 8)
            if first + 2 * n_cells > self.usable:
                raise ValueError(f"{n_cells} cells")
        except ValueError:
            self.broken.add(number)
            return
        for at in range(first, first + 2 * n_cells, 2):
            place = int.from_bytes(data[at : at + 2], "big")
            try:
                child, row = self._cell(data, place, kind)
            except (ValueError, IndexError, OverflowError, struct.error):
                self.broken.add(number)
                continue
            if child is not None and below is not None:
                yield from self._walk(child, below, depth + 1)
            if row is not None:
                yield row
        if first - begin == 12 and below is not None:
            last = int.from_bytes(data[begin + 8 : begin + 12], "big")
            yield from self._walk(last, below, depth + 1)

    def _cell(self, data: bytes, at: int, kind: int) -> tuple[int | None, Row | None]:
        """(child page, row) of one cell."""
        child = None
        if kind in (INDEX_INTERIOR, TABLE_INTERIOR):
            child = int.from_bytes(data[at : at + 4], "big")
            at += 4
            if kind == TABLE_INTERIOR:
                return child, None
        length, at = read_varint(data, at)
        rowid = 0
        if kind == TABLE_LEAF:
            rowid, at = read_varint(data, at)
        try:
            return child, Row(rowid, read_record(self._payload(data, at, length, kind)))
        except (ValueError, IndexError, OverflowError, struct.error):
            if child is None:
                raise
            self.broken.add(child)  # its row is gone, and perhaps the pointer is wrong
            return child, None

    def _payload(self, data: bytes, at: int, length: int, kind: int) -> bytes:
        """A cell's payload, overflow pages included."""
        usable = self.usable
        least = (usable - 12) * 32 // 255 - 23
        most = usable - 35 if kind == TABLE_LEAF else (usable - 12) * 64 // 255 - 23
        local = length
        if length > most:
            surplus = least + (length - least) % (usable - 4)
            local = surplus if surplus <= most else least
        if at + local > usable or length > self.n_pages * self.size:
            raise ValueError("a cell that reaches outside its page")
        if local == length:
            return data[at : at + local]
        parts, left = [data[at : at + local]], length - local
        following = int.from_bytes(data[at + local : at + local + 4], "big")
        seen: set[int] = set()
        while left > 0:
            if following in seen:
                raise ValueError("overflow pages in a circle")
            seen.add(following)
            page = self.page(following)
            parts.append(page[4 : min(usable, 4 + left)])
            left -= len(parts[-1])
            following = int.from_bytes(page[:4], "big")
        return b"".join(parts)

    # -- the pointer map --------------------------------------------------------------------

    def _orphans(self, root: int, reached: set[int]) -> Iterator[int]:
        """Pages of a tree that no pointer reaches, by what the pointer map tells of their parents.

        A page's parent may itself be broken: what counts is where the chain of parents ends.
        """
        belongs: dict[int, bool] = {root: True}
        for number in range(3, self.n_pages + 1):
            if number in reached or self._is_map(number):
                continue
            chain: list[int] = []
            at = number
            while at not in belongs and len(chain) < MAX_DEPTH:
                chain.append(at)
                parent = self._parent(at)
                if parent is None:
                    break
                at = parent
            ours = belongs.get(at, False)
            belongs.update((page, ours) for page in chain)
            if ours:
                yield number

    def _parent(self, number: int) -> int | None:
        """The parent of a page of a tree; None for all other pages."""
        per_map = self.usable // 5
        home = (number - 2) // (per_map + 1) * (per_map + 1) + 2
        if home == LOCK_BYTE // self.size + 1:
            home += 1
        at = 5 * (number - home - 1)
        if at < 0:
            return None
        try:
            entry = self.page(home)[at : at + 5]
        except ValueError:
            return None
        if len(entry) != 5 or entry[0] != TREE_PAGE:
            return None
        return int.from_bytes(entry[1:], "big")

    def _is_map(self, number: int) -> bool:
        return (number - 2) % (self.usable // 5 + 1) == 0


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """(value, place behind it) of a variable-length number."""
    value = 0
    for i in range(9):
        byte = data[at + i]
        if i == 8:
            value = (value << 8) | byte
            break
        value = (value << 7) | (byte & 0x7F)
        if byte < 0x80:
            break
    if value >= 1 << 63:
        value -= 1 << 64
    return value, at + i + 1


def read_record(payload: bytes) -> list[Value]:
    """The values of a record, or an error if it is none."""
    end, at = read_varint(payload, 0)
    if not 0 < end <= len(payload):
        raise ValueError("a header that reaches outside its record")
    kinds = []
    while at < end:
        kind, at = read_varint(payload, at)
        kinds.append(kind)
    values: list[Value] = []
    at = end
    for kind in kinds:
        if kind in INTEGERS:
            size = INTEGERS[kind]
            value: Value = int.from_bytes(payload[at : at + size], "big", signed=True)
        elif kind == 7:
            size = 8
            (value,) = struct.unpack(">d", payload[at : at + 8])
        elif kind >= 12:
            size = (kind - 12) // 2
            raw = payload[at : at + size]
            value = raw if kind % 2 == 0 else raw.decode()
        elif kind in (0, 8, 9):
            size, value = 0, (None if kind == 0 else kind - 8)
        else:
            raise ValueError(f"a value of kind {kind}")
        at += size
        if at > len(payload):
            raise ValueError("a value that reaches outside its record")
        values.append(value)
    return values
