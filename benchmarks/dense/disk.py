"""What a disk gives: random blocks of 4 KiB of a file, past the page cache, some in flight.

Linux's asynchronous reads (`io_submit`), called through ctypes: nothing of bigrain takes part.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import platform
import time
from pathlib import Path

import numpy as np

BLOCK = 4096
CALLS = {
    "x86_64": (206, 207, 208, 209),
    "aarch64": (0, 1, 4, 2),
}  # setup, destroy, getevents, submit
IOCB = np.dtype(
    [
        ("data", "<u8"), ("key", "<u4"), ("flags", "<u4"), ("opcode", "<u2"), ("priority", "<i2"),
        ("fd", "<u4"), ("buffer", "<u8"), ("bytes", "<u8"), ("offset", "<i8"),
        ("rest", "<u8", (2,)),
    ]
)  # fmt: skip
EVENT = np.dtype([("data", "<u8"), ("iocb", "<u8"), ("result", "<i8"), ("result2", "<i8")])


def reads_per_second(path: Path, depth: int, seed: int, seconds: float = 2.0) -> float | None:
    """Random reads a second with `depth` in flight; None where the system cannot do it so."""
    if platform.system() != "Linux" or platform.machine() not in CALLS:
        return None
    setup, destroy, getevents, submit = CALLS[platform.machine()]
    call = ctypes.CDLL(None, use_errno=True).syscall
    context = ctypes.c_ulong(0)
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECT)
    except OSError:
        return None
    memory = mmap.mmap(-1, depth * BLOCK)
    rng = np.random.default_rng(seed)
    n_blocks = os.fstat(fd).st_size // BLOCK
    try:
        if call(setup, ctypes.c_long(depth), ctypes.byref(context)):
            return None
        start = np.frombuffer(memory, np.uint8).ctypes.data
        control = np.zeros(depth, IOCB)
        control["fd"], control["bytes"], control["data"] = fd, BLOCK, np.arange(depth)
        control["buffer"] = start + BLOCK * np.arange(depth, dtype=np.uint64)
        at = control.ctypes.data + IOCB.itemsize * np.arange(depth, dtype=np.uint64)
        events = np.zeros(depth, EVENT)

        def begin(slots: np.ndarray) -> None:
            control["offset"][slots] = rng.integers(n_blocks, size=len(slots)) * BLOCK
            pointers = at[slots]
            given = call(
                submit, context, ctypes.c_long(len(slots)), ctypes.c_void_p(pointers.ctypes.data)
            )
            if given != len(slots):
                raise OSError(ctypes.get_errno(), f"io_submit took {given} of {len(slots)}")

        def end(least: int) -> np.ndarray:
            got = call(
                getevents, context, ctypes.c_long(least), ctypes.c_long(depth),
                ctypes.c_void_p(events.ctypes.data), None,
            )  # fmt: skip
            if got < least or (events["result"][:got] < 0).any():
                raise OSError(ctypes.get_errno(), "a read failed")
            return np.asarray(events["data"][:got], np.int64)

        begin(np.arange(depth))
        done, began = 0, time.perf_counter()
        while (elapsed := time.perf_counter() - began) < seconds:
            slots = end(max(1, depth // 8))
            done += len(slots)
            begin(slots)
        end(depth)
        return round(done / elapsed)
    finally:
        if context.value:
            call(destroy, context)
        os.close(fd)
