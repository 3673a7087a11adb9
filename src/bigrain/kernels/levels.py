"""Which kernels run: the best level this machine has.

A level is a set of processor instructions: `reference` (NumPy), `baseline` (plain C++), `avx2`,
`avx512`, `amx` (AVX-512, with tiles where many queries scan). It is chosen once, at the first call,
by the processor's feature flags.
"""

from __future__ import annotations

import functools
import os
import warnings
from collections.abc import Callable
from importlib import import_module
from typing import Any, Protocol, cast

import numpy.typing as npt

from bigrain.errors import ConfigError
from bigrain.kernels import reference
from bigrain.kernels.reference import F32, I8, I32, I64, U8, U16, U32

__all__ = ["Kernels", "PostingList", "available_levels", "chosen", "kernels", "level", "native"]

ENVIRONMENT = "BIGRAIN_KERNELS"


class PostingList(Protocol):
    """One inverted list in memory, as it is stored; its bytes have been checked."""

    @property
    def n(self) -> int:
        """How many postings."""
        ...

    @property
    def largest(self) -> int:
        """The largest impact."""
        ...

    @property
    def n_bytes(self) -> int:
        """Memory that it takes."""
        ...

    def decode(self) -> tuple[U32, U8, U32]:
        """(rows, impacts, values) of all postings."""
        ...

    def look_up(self, rows: U32) -> I64:
        """The value of each of `rows` (m,) uint32, as int64; -1 where the list has no such row."""
        ...

    def count_live(self, live: U8) -> int:
        """How many of the list's rows have their bit set in the bitmap `live`."""
        ...


class Kernels(Protocol):
    """What a level provides: the functions of `reference`, under the same names."""

    rotate: Callable[[F32, I8], F32]
    sign_encode: Callable[[F32], tuple[U8, F32]]
    build_luts: Callable[[F32], tuple[U8, F32, F32]]
    quantise_tables: Callable[[F32], tuple[U8, F32, F32]]
    scan_lists: Callable[..., tuple[I64, F32, I64]]
    dot_table: Callable[[U8, int, I8], I32]
    route_lists: Callable[..., tuple[I64, I32, F32]]
    nearest: Callable[[U8, F32, F32, I8, F32], I32]
    score_rows: Callable[[U8, int, str, F32, str], F32]
    score_pairs: Callable[[U8, int, str, F32, I32, I32, str], F32]
    row_checksums: Callable[[U8], U32]
    first_damaged: Callable[[U8], int]
    quantise_rows: Callable[[F32], tuple[I8, F32]]
    pack_impacts: Callable[[U32, int], tuple[U8, int]]
    sound_impacts: Callable[[U8, int, int, int], bool]
    search_impacts: Callable[..., tuple[I64, U32, U32]]
    order_impacts: Callable[[U8, int, int, int, int], U32]
    search_ordered: Callable[..., tuple[I64, U32, U32, int]]
    deal_postings: Callable[[U32, F32, I64, int, F32, I64, U32], None]
    encode_weights: Callable[[U32, F32, I64, int], U8]
    decode_weights: Callable[[U8, I64, int], tuple[U32, F32, I64]]
    first_unsound_weights: Callable[[U8, I64], int]
    score_weights: Callable[[U8, I64, int, U32, F32, I64, I32, I32], F32]
    encode_lists: Callable[[U32, U8, U32, I64], tuple[U8, I64, U32]]
    decode_lists: Callable[[U8, I64, U32, U32, int], tuple[U32, U32]]
    PostingList: Callable[[U8, int, int], PostingList]
    search_lists: Callable[..., tuple[I64, F32]]
    score_lists: Callable[..., F32]
    top_k: Callable[[F32, int, U8 | None, float], tuple[I64, F32]]
    pool_tokens: Callable[[I32, I64, I8, F32, float, bool], F32]
    maxsim: Callable[[F32, F32, I64], F32]
    maxsim_pairs: Callable[..., F32]
    token_scores: Callable[..., F32]
    sketch_scores: Callable[[I8, I32, U16, U32, I64, I8, F32, I64], F32]
    suffix_array: Callable[[U8], I32]
    fm_blocks: Callable[[U8, I32, I64], tuple[U8, I32]]
    fm_ranks: Callable[[list[bytes], I64, I64, U8], I64]
    fm_steps: Callable[[list[bytes], I64, I64], tuple[U8, I64, I64]]
    mapped_rows: Callable[[npt.NDArray[Any], U8, U32, I64, int], F32]
    listed_rows: Callable[[npt.NDArray[Any], npt.NDArray[Any], I64, int, I64, int], F32]
    code_rows: Callable[[F32, list[U8], I64, I64, I64], F32]
    narrow_rows: Callable[..., F32]
    WordPiece: Callable[[list[str], str, str, int], Any]


@functools.cache
def native() -> Any:
    """The compiled module, None where it is not installed."""
    try:
        return import_module("bigrain.kernels._native")
    except ImportError:
        return None


def available_levels() -> tuple[str, ...]:
    """Levels that run on this machine, plainest first."""
    module = native()
    return ("reference", *(module.levels() if module else ()))


def level() -> str:
    """Name the level in use."""
    levels = available_levels()
    wanted = os.environ.get(ENVIRONMENT, "")
    if not wanted:
        return levels[-1]
    if wanted not in levels:
        raise ConfigError(f"{ENVIRONMENT}={wanted}: available here are {', '.join(levels)}")
    return wanted


def kernels(name: str) -> Kernels:
    """All kernels of one level, for tests and benchmarks."""
    if name not in available_levels():
        raise ConfigError(f"level {name!r}: available here are {', '.join(available_levels())}")
    return cast(Kernels, reference if name == "reference" else native().Kernels(name))


@functools.cache
def chosen() -> Kernels:
    """The kernels of the level in use; warns once where they are not compiled."""
    if native() is None and os.environ.get(ENVIRONMENT) != "reference":
        warnings.warn(
            "bigrain: the native kernels are not installed, so slow NumPy versions are used. "
            "Reinstall with a C++17 compiler present, or set BIGRAIN_KERNELS=reference "
            "to silence this.",
            UserWarning,
            stacklevel=3,
        )
    return kernels(level())
