"""Arguments nobody should pass: refused by name, at every level, and never a crash."""

from typing import Any

import numpy as np
import pytest

from tests.kernels.levels import Kernels, each_level

F, U8, U32, I64 = np.float32, np.uint8, np.uint32, np.int64


def z(shape: Any, dtype: Any = F) -> np.ndarray:
    return np.zeros(shape, dtype)


def scan(**changes: Any) -> tuple[Any, ...]:
    arguments = {
        "blocks": z((2, 3, 16), U8),
        "n_rows": 40,
        "luts": z((2, 3, 16), U8),
        "scale": z(2),
        "bias": z(2),
        "row_scale": z(40),
        "row_offset": None,
        "live": None,
        "keep": 3,
    }
    return tuple({**arguments, **changes}.values())


def read_only(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False
    return array


OFFSETS = np.array([0, 2], I64)
WRONG = [
    ("rotate", (z((2, 4)), z((3, 4), np.int8)), ValueError, "signs"),
    ("rotate", (z((2, 4)), z((4, 4), np.int8)), ValueError, "signs"),
    ("rotate", (z((2, 4)), np.full((4, 4), -128, np.int8)), ValueError, "signs"),
    ("rotate", (z((2, 0)), z((4, 0), np.int8)), ValueError, "vectors"),
    ("rotate", (z((2, 4), "f8"), z((4, 4), np.int8)), TypeError, "vectors"),
    ("rotate", (z((2, 4), ">f4"), z((4, 4), np.int8)), TypeError, "vectors"),
    ("rotate", (z(4), z((4, 4), np.int8)), ValueError, "vectors"),
    ("rotate", ("text", z((4, 4), np.int8)), TypeError, "vectors"),
    ("sign_encode", (z((4, 4)).T[::2],), ValueError, "vectors"),
    ("sign_encode", (None,), TypeError, "vectors"),
    ("build_luts", (np.array([[0, 1], [np.nan, 0]], F),), ValueError, "row 1"),
    ("build_luts", (np.array([[np.inf, 1]], F),), ValueError, "row 0"),
    ("build_luts", (np.full((1, 9), 3e38, F),), ValueError, "row 0"),
    ("scan_codes", scan(n_rows=65), ValueError, "blocks"),
    ("scan_codes", scan(n_rows=32), ValueError, "blocks"),
    ("scan_codes", scan(n_rows=-1), ValueError, "n_rows"),
    ("scan_codes", scan(keep=-1), ValueError, "keep"),
    ("scan_codes", scan(blocks=z((2, 4, 16), U8)), ValueError, "groups"),
    ("scan_codes", scan(blocks=z((2, 3, 15), U8)), ValueError, "blocks"),
    ("scan_codes", scan(luts=z((2, 3, 8), U8)), ValueError, "luts"),
    ("scan_codes", scan(luts=z((2, 3, 16), np.int8)), TypeError, "luts"),
    ("scan_codes", scan(scale=z(3)), ValueError, "scale"),
    ("scan_codes", scan(bias=z(1)), ValueError, "bias"),
    ("scan_codes", scan(row_scale=z(39)), ValueError, "row_scale"),
    ("scan_codes", scan(row_offset=z(41)), ValueError, "row_offset"),
    ("scan_codes", scan(live=z(4, U8)), ValueError, "live"),
    ("scan_codes", scan(live=z(40, bool)), TypeError, "live"),
    ("score_rows", (z((2, 8), U8), 5, "float16", z(5), "ip"), ValueError, "records"),
    ("score_rows", (z((2, 8), U8), 2, "float32", z(3), "ip"), ValueError, "query"),
    ("score_rows", (z((2, 8), U8), -1, "float32", z(0), "ip"), ValueError, "dim"),
    ("score_rows", (z((2, 8), U8), 2**62, "float32", z(0), "ip"), ValueError, "query"),
    ("score_rows", (z((2, 8), U8), 2, "int8", z(2), "ip"), ValueError, "dtype"),
    ("score_rows", (z((2, 8), U8), 2, "float32", z(2), "cosine"), ValueError, "metric"),
    ("row_checksums", (z((2, 8), np.int8),), TypeError, "records"),
    ("accumulate_bm25", (z(2, U32), z(3, U8), z(4), 1.0, z(4)), ValueError, "tfs"),
    ("accumulate_bm25", (z(2, U32), z(2, np.int8), z(4), 1.0, z(4)), TypeError, "tfs"),
    ("accumulate_bm25", (z(2, U32), z(2, U8), z(3), 1.0, z(4)), ValueError, "norms"),
    ("accumulate_bm25", (z(2, U32) + U32(4), z(2, U8), z(4), 1.0, z(4)), ValueError, "rows"),
    ("accumulate_bm25", (z(1, U32), z(1, U8), z(0), 1.0, z(0)), ValueError, "rows"),
    ("accumulate_bm25", (z(1, U32), z(1, U8), z(1), 1.0, read_only(z(1))), ValueError, "acc"),
    ("accumulate_weights", (~z(1, U32), z(1), 1.0, z(9)), ValueError, "rows"),
    ("accumulate_weights", (z(1, U32), z(2), 1.0, z(9)), ValueError, "weights"),
    ("accumulate_weights", (z(1, U32), z(1, "f8"), 1.0, z(9)), TypeError, "weights"),
    ("count_live", (np.array([8], U32), z(1, U8)), ValueError, "rows"),
    ("count_live", (z(1, U32), z(0, U8)), ValueError, "rows"),
    ("top_k", (z(9), -1, None, 0.0), ValueError, "k"),
    ("top_k", (z(9), 1, z(1, U8), 0.0), ValueError, "live"),
    ("top_k", (z(9), 1, None, np.nan), ValueError, "floor"),
    ("top_k", (z((3, 3)), 1, None, 0.0), ValueError, "scores"),
    ("pool_tokens", (z(2, "i4"), OFFSETS, z((0, 4), "i1"), z(0), 1.0, True), ValueError, "ids"),
    ("pool_tokens", (z(2, "i4") - 1, OFFSETS, z((3, 4), "i1"), z(3), 1.0, True), ValueError, "ids"),
    ("pool_tokens", (z(2, "i4") + 3, OFFSETS, z((3, 4), "i1"), z(3), 1.0, True), ValueError, "ids"),
    ("pool_tokens", (z(2, "i4"), OFFSETS, z((3, 4), "i1"), z(2), 1.0, True), ValueError, "scales"),
    ("pool_tokens", (z(2, "i8"), OFFSETS, z((3, 4), "i1"), z(3), 1.0, True), TypeError, "ids"),
    ("maxsim", (z((2, 3)), z((2, 4)), OFFSETS), ValueError, "tokens"),
]
BAD_OFFSETS = [[], [0], [0, 3], [1, 2], [0, 3, 2], [0, -1, 2], [-(2**62), 2]]
for bad in BAD_OFFSETS:
    offsets = np.array(bad, I64)
    WRONG.append(("maxsim", (z((2, 3)), z((2, 3)), offsets), ValueError, "offsets"))
    WRONG.append(
        (
            "pool_tokens",
            (z(2, "i4"), offsets, z((3, 4), "i1"), z(3), 1.0, True),
            ValueError,
            "offsets",
        )
    )


@each_level
@pytest.mark.parametrize(("kernel", "arguments", "error", "name"), WRONG)
def test_refused_by_name(
    level: Kernels, kernel: str, arguments: tuple[Any, ...], error: type[Exception], name: str
) -> None:
    with pytest.raises(error, match=name):
        getattr(level, kernel)(*arguments)


@each_level
def test_empty_inputs_give_empty_outputs(level: Kernels) -> None:
    assert level.rotate(z((0, 5)), np.ones((4, 5), np.int8)).shape == (0, 5)
    blocks, abs_sum = level.sign_encode(z((0, 5)))
    assert blocks.shape == (0, 2, 16) and abs_sum.shape == (0,)
    assert level.sign_encode(z((33, 0)))[0].shape == (2, 0, 16)
    rows, estimates, counts = level.scan_codes(
        *scan(blocks=z((0, 3, 16), U8), n_rows=0, row_scale=z(0))
    )
    assert (rows == -1).all() and np.isneginf(estimates).all() and not counts.any()
    assert level.scan_codes(*scan(keep=0))[0].shape == (2, 0)
    assert level.scan_codes(*scan(keep=1000))[2].tolist() == [40, 40]
    assert level.scan_codes(*scan(live=z(5, U8)))[2].tolist() == [0, 0]
    assert level.score_rows(z((3, 0), U8), 0, "float16", z(0), "l2").tolist() == [0, 0, 0]
    assert level.row_checksums(z((0, 7), U8)).shape == (0,)
    assert level.top_k(z(0), 5, None, -np.inf)[0].shape == (0,)
    assert level.count_live(z(0, U32), z(0, U8)) == 0
    empty = level.pool_tokens(z(0, "i4"), z(3, I64), z((0, 4), "i1"), z(0), 1.0, True)
    assert empty.tolist() == [[0] * 4] * 2
    assert level.maxsim(z((0, 4)), z((2, 4)), np.array([0, 2], I64)).tolist() == [0]
    assert level.WordPiece(["[UNK]"], "[UNK]", "##", 100).encode([])[1].tolist() == [0]
