"""Rows of compressed embedding tables, at every level."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bigrain.kernels import reference
from bigrain.tables.forms.codes import pack_bits
from bigrain.tables.ranks import bitmap
from tests.kernels.levels import Kernels, each_level, each_native, same

SEEDS = st.integers(0, 2**32 - 1)
DTYPES = st.sampled_from(["f4", "f2", "i1"])
EMPTY = np.zeros(0, np.int64)


def numbers(rng: np.random.Generator, n: int, dtype: str) -> Any:
    if dtype == "i1":
        return rng.integers(-127, 128, n).astype("i1")
    return (rng.standard_normal(n) * 10.0 ** rng.integers(-7, 4, n)).astype(dtype)


def sparse(seed: int, n: int, dim: int, share: float, dtype: str) -> tuple[Any, Any, Any]:
    """(the rows, their kept numbers, where those are)"""
    rng = np.random.default_rng(seed)
    places = np.flatnonzero(rng.random(n * dim) < share)
    values = numbers(rng, len(places), dtype)
    rows = np.zeros(n * dim, np.float32)
    rows[places] = values
    return rows.reshape(n, dim), values, places


@each_level
@settings(max_examples=60, deadline=None)
@given(SEEDS, st.integers(1, 60), st.integers(1, 40), st.floats(0, 1), DTYPES)
def test_sparse_rows(level: Kernels, seed: int, n: int, dim: int, share: float, dtype: str) -> None:
    rows, values, places = sparse(seed, n, dim, share, dtype)
    ids = np.random.default_rng(seed).integers(0, n, 25)
    bits, counts = bitmap(places, n * dim)
    same(level.mapped_rows(values, bits, counts, ids, dim), rows[ids])
    for step in (1, 3, n):
        edges = np.arange(0, n, step) * dim
        first = np.append(np.searchsorted(places, edges), len(places))
        for kind in ("u4", "u8"):
            found = level.listed_rows(values, places.astype(kind), first, step, ids, dim)
            same(found, rows[ids])
    assert level.mapped_rows(values, bits, counts, EMPTY, dim).shape == (0, dim)


@each_level
@settings(max_examples=60, deadline=None)
@given(SEEDS, st.integers(1, 30), st.integers(1, 9), st.sampled_from([1, 2, 3, 4, 7]))
def test_codewords(level: Kernels, seed: int, n: int, parts: int, size: int) -> None:
    rng = np.random.default_rng(seed)
    bits = rng.integers(1, 9, 3)
    books = rng.standard_normal((parts, 1 << bits.max(), size)).astype(np.float32)
    codes = [rng.integers(0, 1 << b, (n, parts)) for b in bits]
    packed = [pack_bits(part, int(b)) for part, b in zip(codes, bits, strict=True)]
    ids = rng.integers(0, 3 * n, 40)
    found = level.code_rows(books, packed, bits, np.arange(3) * n, ids)
    expected = books[np.arange(parts), np.concatenate(codes)[ids]]
    same(found, expected.reshape(40, parts * size))


@each_native
@settings(max_examples=60, deadline=None)
@given(SEEDS, st.integers(1, 20), DTYPES, st.booleans(), st.booleans())
def test_narrow_rows_equal_the_reference(
    native: Kernels, seed: int, dim: int, dtype: str, projected: bool, pruned: bool
) -> None:
    rng = np.random.default_rng(seed)
    n, starts = 90, np.array([0, 10, 10, 40])
    there = rng.random(n) < (0.6 if pruned else 1)
    sizes = np.array([part.sum() for part in np.split(there, starts[1:])])
    widths = rng.integers(1, dim + 1, 4)
    cells = numbers(rng, int(sizes @ widths), dtype)
    scales = rng.random(4).astype(np.float32)
    lines = int(widths[widths < dim].sum())
    projections = rng.standard_normal((lines, dim)).astype(np.float32) if projected else None
    kept = bitmap(np.flatnonzero(there), n) if pruned else (None, None)
    places = rng.integers(0, n, 50)
    given_ = (cells, scales, starts, sizes, widths, projections, *kept, places, dim)
    found, expected = native.narrow_rows(*given_), reference.narrow_rows(*given_)
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    if not projected:
        same(found, expected)
    assert not found[~there[places]].any()


def arguments(name: str, **changes: Any) -> tuple[Any, ...]:
    """Three rows of two numbers, all kept, in each way."""
    f4, i8 = np.ones(6, np.float32), np.arange
    bits, counts = bitmap(np.arange(6), 6)
    given_: dict[str, dict[str, Any]] = {
        "mapped_rows": {"values": f4, "bits": bits, "counts": counts, "ids": i8(3), "dim": 2},
        "listed_rows": {
            "values": f4, "places": np.arange(6, dtype="u4"), "first": np.array([0, 2, 4, 6]),
            "step": 1, "ids": i8(3), "dim": 2,
        },
        "code_rows": {
            "books": np.zeros((2, 4, 1), np.float32), "packed": [np.zeros(3, np.uint8)],
            "bits": np.array([2]), "starts": i8(1), "ids": i8(3),
        },
        "narrow_rows": {
            "cells": f4, "scales": f4[:1], "starts": i8(1), "sizes": np.array([3]),
            "widths": np.array([2]), "projections": None, "kept": None, "counts": None,
            "places": i8(3), "dim": 2,
        },
    }  # fmt: skip
    return tuple({**given_[name], **changes}.values())


KEPT = bitmap(np.arange(3), 3)
WRONG: list[tuple[str, dict[str, Any], type[Exception], str]] = [
    ("mapped_rows", {"values": np.ones(5, np.float32)}, ValueError, "values"),
    ("mapped_rows", {"values": np.ones(6)}, TypeError, "values"),
    ("mapped_rows", {"bits": np.zeros(33, np.uint8)}, ValueError, "bits"),
    ("mapped_rows", {"counts": np.zeros(2, np.uint32)}, ValueError, "counts"),
    ("mapped_rows", {"counts": np.full(1, 2**32 - 1, np.uint32)}, ValueError, "values"),
    ("mapped_rows", {"ids": np.array([128])}, ValueError, "ids"),
    ("mapped_rows", {"ids": np.array([-1])}, ValueError, "ids"),
    ("mapped_rows", {"dim": 0}, ValueError, "dim"),
    ("mapped_rows", {"dim": 1 << 40}, ValueError, "dim"),
    ("listed_rows", {"places": np.arange(5, dtype="u4")}, ValueError, "places"),
    ("listed_rows", {"places": np.arange(6)}, TypeError, "places"),
    ("listed_rows", {"first": np.array([0, 2, 4, 7])}, ValueError, "first"),
    ("listed_rows", {"first": np.array([0, 4, 2, 6])}, ValueError, "first"),
    ("listed_rows", {"first": EMPTY}, ValueError, "first"),
    ("listed_rows", {"step": 0}, ValueError, "step"),
    ("listed_rows", {"ids": np.array([3])}, ValueError, "ids"),
    ("code_rows", {"packed": [np.zeros(2, np.uint8)]}, ValueError, "packed"),
    ("code_rows", {"packed": (np.zeros(3, np.uint8),)}, TypeError, "packed"),
    ("code_rows", {"packed": []}, ValueError, "packed"),
    ("code_rows", {"bits": np.array([3])}, ValueError, "books"),
    ("code_rows", {"bits": np.array([0])}, ValueError, "bits"),
    ("code_rows", {"bits": np.array([2, 2])}, ValueError, "bits"),
    ("code_rows", {"starts": np.array([1])}, ValueError, "starts"),
    ("code_rows", {"ids": np.array([4])}, ValueError, "packed"),
    ("code_rows", {"ids": np.array([2**40])}, ValueError, "ids"),
    ("narrow_rows", {"cells": np.ones(5, np.float32)}, ValueError, "cells"),
    ("narrow_rows", {"cells": np.ones(7, np.float32)}, ValueError, "cells"),
    ("narrow_rows", {"scales": np.ones(2, np.float32)}, ValueError, "scales"),
    ("narrow_rows", {"sizes": np.array([-3])}, ValueError, "sizes"),
    ("narrow_rows", {"sizes": np.array([2**62])}, ValueError, "sizes"),
    ("narrow_rows", {"widths": np.array([3])}, ValueError, "widths"),
    ("narrow_rows", {"places": np.array([3])}, ValueError, "cells"),
    ("narrow_rows", {"places": np.array([-1])}, ValueError, "places"),
    ("narrow_rows", {"projections": np.ones((1, 3), np.float32)}, ValueError, "projections"),
    (
        "narrow_rows",
        {"projections": np.ones((1, 3), np.float32), "dim": 3},
        ValueError,
        "projections",
    ),
    ("narrow_rows", {"kept": KEPT[0], "counts": None}, TypeError, "counts"),
    ("narrow_rows", {"kept": KEPT[0], "counts": KEPT[1], "sizes": np.array([2]),
                     "cells": np.ones(4, np.float32)}, ValueError, "cells"),
    ("narrow_rows", {"kept": KEPT[0], "counts": KEPT[1], "places": np.array([256])}, ValueError,
     "places"),
    ("narrow_rows", {"starts": np.array([0, 256]), "sizes": np.array([3, 0]),
                     "widths": np.array([2, 2]), "scales": np.ones(2, np.float32),
                     "kept": KEPT[0], "counts": KEPT[1]}, ValueError, "kept"),
]  # fmt: skip


@each_level
@pytest.mark.parametrize(("name", "changes", "error", "said"), WRONG)
def test_what_does_not_fit_is_refused(
    level: Kernels, name: str, changes: dict[str, Any], error: type[Exception], said: str
) -> None:
    getattr(level, name)(*arguments(name))
    with pytest.raises(error, match=said):
        getattr(level, name)(*arguments(name, **changes))
