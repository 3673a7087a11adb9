"""Many small reads of one file: what arrives, what the file lacks, what the system refuses."""

import errno
import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bigrain.kernels import read_stretches, reference
from bigrain.kernels.levels import native

I64 = np.int64
SIZE = 3 << 20
WAYS = [pytest.param(reference.read_stretches, id="reference")]
if native() is not None:
    WAYS.append(pytest.param(read_stretches, id="native"))
each_way = pytest.mark.parametrize("read", WAYS)
Read = Callable[[int, np.ndarray, np.ndarray], int]


@pytest.fixture
def written(tmp_path: Path) -> Iterator[tuple[int, np.ndarray]]:
    """A file of random bytes, open as segments are."""
    held = np.random.default_rng(3).integers(0, 256, SIZE, np.uint8)
    path = tmp_path / "f"
    path.write_bytes(held.tobytes())
    with path.open("rb") as file:
        os.fsync(file.fileno())  # pages still to be written cannot be dropped
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
        yield file.fileno(), held


def forget(fd: int) -> None:
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)


def some(seed: int, n: int = 200) -> np.ndarray:
    """Stretches of any length: neighbours, overlaps, repetitions, empty ones, in any order."""
    rng = np.random.default_rng(seed)
    lengths = rng.choice([0, 1, 780, 4096, 9000], n)
    offsets = rng.integers(0, SIZE - 9000, n)
    after = rng.random(n) < 0.3
    for i in np.flatnonzero(after[1:]) + 1:
        offsets[i] = min(offsets[i - 1] + lengths[i - 1], SIZE - 9000)
    return np.stack((offsets, lengths), axis=1).astype(I64)


def bytes_of(held: np.ndarray, stretches: np.ndarray) -> np.ndarray:
    return np.concatenate([held[at : at + n] for at, n in stretches.tolist()])


def read_all(read: Read, fd: int, stretches: np.ndarray) -> np.ndarray:
    buffer = np.full(int(stretches[:, 1].sum()) + 5, 7, np.uint8)
    assert read(fd, stretches, buffer) == len(buffer) - 5
    assert (buffer[-5:] == 7).all()  # nothing behind what was asked for
    return buffer[:-5]


@each_way
@pytest.mark.parametrize("cached", ["all", "none", "half"])
def test_stretches_arrive_in_the_order_asked(
    read: Read, written: tuple[int, np.ndarray], cached: str
) -> None:
    fd, held = written
    for seed in range(5):
        stretches = some(seed)
        if cached != "all":
            forget(fd)
        if cached == "half":
            read_all(read, fd, stretches[::2].copy())
        np.testing.assert_array_equal(read_all(read, fd, stretches), bytes_of(held, stretches))


@each_way
def test_nothing_asked_nothing_read(read: Read, written: tuple[int, np.ndarray]) -> None:
    fd, _ = written
    assert read(fd, np.empty((0, 2), I64), np.empty(0, np.uint8)) == 0
    assert read(fd, np.array([[SIZE + 9, 0]], I64), np.empty(0, np.uint8)) == 0


@each_way
@pytest.mark.parametrize(
    ("asked", "there"),
    [
        ([[SIZE - 10, 30]], 10),
        ([[SIZE, 30]], 0),
        ([[0, 20], [SIZE + 8192, 30], [50, 20]], 20),
        ([[0, 20], [SIZE - 4, 8], [50, 20]], 24),
        ([[SIZE - 20, 20], [SIZE, 20]], 20),
        ([[1 << 62, 4]], 0),
    ],
)
def test_a_file_that_ends_early_gives_what_is_before_the_gap(
    read: Read, written: tuple[int, np.ndarray], asked: list[list[int]], there: int
) -> None:
    fd, held = written
    stretches = np.array(asked, I64)
    for _ in range(2):  # from disk, then from memory
        buffer = np.zeros(int(stretches[:, 1].sum()), np.uint8)
        forget(fd)
        assert read(fd, stretches, buffer) == there
        np.testing.assert_array_equal(buffer[:there], bytes_of(held, stretches)[:there])


@each_way
def test_a_file_cut_off_while_it_is_open(
    read: Read, written: tuple[int, np.ndarray], tmp_path: Path
) -> None:
    fd, held = written
    os.truncate(tmp_path / "f", 5000)
    buffer = np.zeros(3 * 780, np.uint8)
    got = read(fd, np.array([[0, 780], [4600, 780], [9000, 780]], I64), buffer)
    assert got == 780 + 400
    np.testing.assert_array_equal(buffer[780:1180], held[4600:5000])


@each_way
def test_the_systems_refusals_are_oserrors(read: Read, tmp_path: Path) -> None:
    two, buffer = np.array([[0, 4], [9, 4]], I64), np.zeros(8, np.uint8)
    folder = os.open(tmp_path, os.O_RDONLY)
    unreadable = os.open(tmp_path / "w", os.O_WRONLY | os.O_CREAT)
    readable, other = os.pipe()
    try:
        for fd, why in (
            (folder, errno.EISDIR),
            (unreadable, errno.EBADF),
            (readable, errno.ESPIPE),
        ):
            with pytest.raises(OSError) as caught:
                read(fd, two, buffer)
            assert caught.value.errno == why
    finally:
        for fd in (folder, unreadable, readable, other):
            os.close(fd)
    with pytest.raises(OSError) as caught:
        read(folder, two, buffer)  # closed by now
    assert caught.value.errno == errno.EBADF


@each_way
@pytest.mark.parametrize(
    ("stretches", "message"),
    [
        ([[0, 4], [-1, 4]], "row 1: expected numbers from 0"),
        ([[0, -4]], "row 0: expected numbers from 0"),
        ([[2**63 - 4, 4]], "row 0: expected an end below"),
        ([[0, 5], [0, 4]], "buffer: bytes: expected more than 8"),
        ([[0, 2**62], [0, 2**62], [0, 2**62], [0, 2**62]], "buffer: bytes: expected more than 8"),
        ([[0, 4, 4]], "columns"),
    ],
)
def test_impossible_stretches_are_refused(
    read: Read, written: tuple[int, np.ndarray], stretches: Any, message: str
) -> None:
    buffer = np.full(8, 7, np.uint8)
    with pytest.raises(ValueError, match=message):
        read(written[0], np.array(stretches, I64), buffer)
    assert (buffer == 7).all()


@each_way
def test_many_threads_read_one_file(read: Read, written: tuple[int, np.ndarray]) -> None:
    fd, held = written

    def ask(seed: int) -> bool:
        if seed % 4 == 0:
            forget(fd)
        stretches = some(seed, 60)
        return bool((read_all(read, fd, stretches) == bytes_of(held, stretches)).all())

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(ask, range(64)))


def _child(read: Read, fd: int, held: np.ndarray, seed: int, answers: Any) -> None:
    stretches = some(seed)
    answers.put(bool((read_all(read, fd, stretches) == bytes_of(held, stretches)).all()))


@each_way
def test_a_child_reads_the_file_of_its_parent(read: Read, written: tuple[int, np.ndarray]) -> None:
    fd, held = written
    read_all(read, fd, some(0))
    fork = multiprocessing.get_context("fork")
    answers = fork.Queue()
    children = [fork.Process(target=_child, args=(read, fd, held, i, answers)) for i in range(2)]
    forget(fd)
    for child in children:
        child.start()
    stretches = some(9)
    np.testing.assert_array_equal(read_all(read, fd, stretches), bytes_of(held, stretches))
    assert [answers.get(timeout=60) for _ in children] == [True, True]
    for child in children:
        child.join(timeout=60)
        assert child.exitcode == 0
