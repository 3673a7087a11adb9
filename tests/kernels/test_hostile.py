"""Arguments nobody should pass: refused by name, at every level, and never a crash."""

import zlib
from typing import Any

import numpy as np
import pytest

from bigrain.kernels import reference
from tests.kernels.levels import Kernels, bitmap, each_level, each_native, same, signs

F, D, U8, U32, I64 = np.float32, np.float64, np.uint8, np.uint32, np.int64


def z(shape: Any, dtype: Any = F) -> np.ndarray:
    return np.zeros(shape, dtype)


def scan(**changes: Any) -> tuple[Any, ...]:
    """Two queries ask for both lists of 40 rows."""
    arguments = {
        "blocks": z((2, 3, 16), U8),
        "starts": np.array([0, 7, 40], I64),
        "luts": z((2, 3, 16), U8),
        "scale": z(2),
        "bias": z(2),
        "row_scale": z(40, "f2"),
        "row_offset": None,
        "live": None,
        "probes": np.array([0, 2, 4], I64),
        "lists": np.array([0, 1, 1, 0], np.int32),
        "bases": z(4),
        "keep": 3,
        "rank": 1,
        "doubt": None,
    }
    return tuple({**arguments, **changes}.values())


def route(**changes: Any) -> tuple[Any, ...]:
    """Two queries look at three lists of a row each."""
    arguments = {
        "panels": z((1, 2, 16, 4), U8),
        "sizes": np.ones(3, I64),
        "counted": np.ones(3, I64),
        "scale": z(3),
        "radius": z(3),
        "offset": z(3),
        "outward": 0.2,
        "vectors": z((2, 8), "i1"),
        "vector_scale": z(2),
        "length": z(2),
        "margin": 0.5,
        "least": 1,
    }
    return tuple({**arguments, **changes}.values())


def read_only(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False
    return array


def query(**changes: Any) -> tuple[Any, ...]:
    """A search in no list."""
    arguments = {
        "lists": [],
        "weights": z(0, D),
        "bounds": z(0, D),
        "lengths": z(5, U8),
        "flat": 0.3,
        "slope": 0.1,
        "live": None,
        "n_rows": 5,
        "k": 3,
        "floor": 0.0,
    }
    return tuple({**arguments, **changes}.values())


OFFSETS = np.array([0, 2], I64)


def pairs(**changes: Any) -> tuple[Any, ...]:
    """Two records of three tokens of eight dimensions, each with a query of two tokens."""
    arguments = {
        "records": z(3 * 2 * 8, U8),
        "starts": np.array([0, 24], I64),
        "counts": z(2, "i4") + np.int32(3),
        "query_of": z(2, "i4"),
        "queries": z((2, 8)),
        "offsets": OFFSETS,
        "kind": "residual2",
        "centroids": z((5, 8), "i1"),
        "centroid_scale": z(5),
        "weights": z(4, "i1"),
        "weight_scale": 0.5,
    }
    return tuple({**arguments, **changes}.values())


def scores(**changes: Any) -> tuple[Any, ...]:
    """Three tokens of a record, two of a query."""
    arguments = dict(zip(("record", "query"), (z(18, U8), z((2, 8))), strict=True))
    last = ("kind", "centroids", "centroid_scale", "weights", "weight_scale")
    return tuple({**arguments, **dict(zip(last, pairs()[6:], strict=True)), **changes}.values())


NO_TABLE = {"centroids": None, "centroid_scale": None, "weights": None}
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
    ("quantise_tables", (np.full((1, 2, 16), np.nan, F),), ValueError, "query 0"),
    ("quantise_tables", (np.full((2, 2, 16), -3e38, F),), ValueError, "query 0"),
    (
        "quantise_tables",
        (np.tile(np.array([3e38, -3e38], F), 8).reshape(1, 1, 16),),
        ValueError,
        "query 0",
    ),
    ("quantise_tables", (z((1, 2, 15)),), ValueError, "entries per group"),
    ("scan_lists", scan(starts=np.array([0, 39], I64)), ValueError, "starts"),
    ("scan_lists", scan(starts=np.array([0, 41, 40], I64)), ValueError, "starts"),
    ("scan_lists", scan(starts=np.array([-1, 7, 40], I64)), ValueError, "starts"),
    ("scan_lists", scan(starts=z(0, I64)), ValueError, "starts"),
    ("scan_lists", scan(probes=np.array([0, 4], I64)), ValueError, "probes"),
    ("scan_lists", scan(probes=np.array([0, 5, 4], I64)), ValueError, "probes"),
    ("scan_lists", scan(probes=np.array([0, 2, 2**62], I64)), ValueError, "probes"),
    ("scan_lists", scan(lists=np.array([0, 1, 2, 0], np.int32)), ValueError, "lists"),
    ("scan_lists", scan(lists=np.array([0, 1, -1, 0], np.int32)), ValueError, "lists"),
    ("scan_lists", scan(bases=z(3)), ValueError, "bases"),
    ("dot_table", (z((1, 2, 16, 4), U8), 17, z((1, 8), np.int8)), ValueError, "panels"),
    ("dot_table", (z((1, 2, 16, 4), U8), 0, z((1, 8), np.int8)), ValueError, "panels"),
    ("dot_table", (z((1, 2, 15, 4), U8), 3, z((1, 8), np.int8)), ValueError, "panels"),
    ("dot_table", (z((1, 2, 16, 4), U8), 3, z((1, 9), np.int8)), ValueError, "panels"),
    ("dot_table", (z((1, 2, 16, 4), U8), -1, z((1, 8), np.int8)), ValueError, "n"),
    ("dot_table", (z((1, 2, 16, 4), U8), 3, z((1, 8), U8)), TypeError, "vectors"),
    *(
        ("route_lists", route(**wrong), error, name)
        for wrong, error, name in (
            ({"sizes": np.array([1, -1, 1])}, ValueError, "sizes"),
            ({"sizes": np.ones(2, I64)}, ValueError, "sizes"),
            ({"counted": np.array([1, 1, 2**62])}, ValueError, "counted"),
            ({"counted": np.ones(3, np.int32)}, TypeError, "counted"),
            ({"scale": z(0), "panels": z((0, 2, 16, 4), U8)}, ValueError, "scale"),
            ({"radius": z(2)}, ValueError, "radius"),
            ({"offset": z(4)}, ValueError, "offset"),
            ({"vectors": z((2, 9), "i1")}, ValueError, "panels"),
            ({"vector_scale": z(3)}, ValueError, "vector_scale"),
            ({"length": z(1)}, ValueError, "length"),
            ({"length": z(2, "f8")}, TypeError, "length"),
            ({"margin": -0.1}, ValueError, "margin"),
            ({"margin": float("nan")}, ValueError, "margin"),
            ({"least": -1}, ValueError, "least"),
        )
    ),
    ("nearest", (z((0, 2, 16, 4), U8), z(0), z(0), z((1, 8), "i1"), z(1)), ValueError, "scale"),
    ("nearest", (z((1, 2, 16, 4), U8), z(3), z(2), z((1, 8), "i1"), z(1)), ValueError, "offset"),
    ("nearest", (z((1, 2, 16, 4), U8), z(3), z(3), z((1, 8), "i1"), z(2)), ValueError, "weight"),
    (
        "score_pairs",
        (z((2, 8), U8), 2, "float32", z((1, 2)), z(1, "i4") + 2, z(1, "i4"), "ip"),
        ValueError,
        "record_of",
    ),
    (
        "score_pairs",
        (z((2, 8), U8), 2, "float32", z((1, 2)), z(1, "i4"), z(1, "i4") - 1, "ip"),
        ValueError,
        "query_of",
    ),
    (
        "score_pairs",
        (z((2, 7), U8), 2, "float32", z((1, 2)), z(1, "i4"), z(1, "i4"), "ip"),
        ValueError,
        "records",
    ),
    ("scan_lists", scan(keep=-1), ValueError, "keep"),
    ("scan_lists", scan(blocks=z((2, 4, 16), U8)), ValueError, "groups"),
    ("scan_lists", scan(blocks=z((2, 3, 15), U8)), ValueError, "blocks"),
    ("scan_lists", scan(luts=z((2, 3, 8), U8)), ValueError, "luts"),
    ("scan_lists", scan(luts=z((2, 3, 16), np.int8)), TypeError, "luts"),
    ("scan_lists", scan(scale=z(3)), ValueError, "scale"),
    ("scan_lists", scan(bias=z(1)), ValueError, "bias"),
    ("scan_lists", scan(row_scale=z(39, "f2")), ValueError, "starts"),
    ("scan_lists", scan(row_scale=z(40)), TypeError, "row_scale"),
    ("scan_lists", scan(row_offset=z(41)), ValueError, "row_offset"),
    ("scan_lists", scan(live=z(4, U8)), ValueError, "live"),
    ("scan_lists", scan(live=z(40, bool)), TypeError, "live"),
    ("scan_lists", scan(rank=0), ValueError, "rank"),
    ("scan_lists", scan(doubt=z(3)), ValueError, "doubt"),
    ("scan_lists", scan(doubt=z(2, "f8")), TypeError, "doubt"),
    ("scan_lists", scan(doubt=np.array([0, -1], F)), ValueError, "doubt"),
    ("scan_lists", scan(doubt=np.array([np.nan, 0], F)), ValueError, "doubt"),
    ("score_rows", (z((2, 8), U8), 5, "float16", z(5), "ip"), ValueError, "records"),
    ("score_rows", (z((2, 8), U8), 2, "float32", z(3), "ip"), ValueError, "query"),
    ("score_rows", (z((2, 8), U8), -1, "float32", z(0), "ip"), ValueError, "dim"),
    ("score_rows", (z((2, 8), U8), 2**62, "float32", z(0), "ip"), ValueError, "query"),
    ("score_rows", (z((2, 8), U8), 2, "int4", z(2), "ip"), ValueError, "dtype"),
    ("score_rows", (z((2, 8), U8), 2, "float32", z(2), "cosine"), ValueError, "metric"),
    ("row_checksums", (z((2, 8), np.int8),), TypeError, "records"),
    ("first_damaged", (z((2, 8), np.int8),), TypeError, "records"),
    ("first_damaged", (z((2, 3), U8),), ValueError, "records"),
    ("quantise_rows", (z((2, 8), "f8"),), TypeError, "vectors"),
    ("quantise_rows", (z((2, 8)) + np.float32(np.inf),), ValueError, "vectors"),
    ("encode_lists", (z(2, U32), z(2, U8), z(2, U32), np.array([0, 0, 2])), ValueError, "starts"),
    (
        "encode_lists",
        (z(2, U32), z(2, U8) + U8(1), z(2, U32), np.array([0, 2])),
        ValueError,
        "rows",
    ),
    ("encode_lists", (z(2, U32), z(1, U8), z(2, U32), np.array([0, 2])), ValueError, "impacts"),
    ("encode_lists", (z(1, U32), z(1, U8), z(2, U32), np.array([0, 1])), ValueError, "values"),
    ("decode_lists", (z(7, U8), z(1, I64) + 8, z(1, U32), z(1, U32), 5), ValueError, "ends"),
    (
        "decode_lists",
        (z(7, U8), z(1, I64) + 6, z(1, U32) + U32(1), z(1, U32), 5),
        ValueError,
        "end",
    ),
    ("decode_lists", (z(7, U8), z(1, I64) + 7, z(1, U32), z(1, U32), 5), ValueError, "counts"),
    ("decode_lists", (z(7, U8), z(1, I64) + 7, ~z(1, U32), z(1, U32), 5), ValueError, "counts"),
    ("decode_lists", (z(7, U8), z(1, I64) + 7, z(2, U32), z(1, U32), 5), ValueError, "counts"),
    (
        "decode_lists",
        (z(7, U8), z(1, I64) + 7, ~z(1, U32) // U32(2**31), z(1, U32), 5),
        ValueError,
        "check",
    ),
    ("PostingList", (z(7, U8), 0, 5), ValueError, "n: expected at least 1"),
    ("PostingList", (z(7, U8), -1, 5), ValueError, "n: expected at least"),
    ("PostingList", (z(7, U8), 2**62, 5), ValueError, "ends"),
    ("encode_lists", (z(1, U32), z(1, U8), z(1, U32), np.array([0, 1])), ValueError, "impacts"),
    ("PostingList", (z(7, U8), 1, 5), ValueError, "an impact of 0"),
    ("PostingList", (np.array([0, 0, 0, 0, 0, 0, 1, 0], U8), 1, 5), ValueError, "goes on"),
    ("PostingList", (z(7, U8), 1, 0), ValueError, "not there"),
    ("search_lists", query(lists=()), TypeError, "lists"),
    ("search_lists", query(lists=[None], weights=z(1, D), bounds=z(1, D)), TypeError, "lists"),
    ("search_lists", query(weights=z(1, D)), ValueError, "weights"),
    ("search_lists", query(bounds=z(1, D)), ValueError, "bounds"),
    ("search_lists", query(lengths=z(4, U8)), ValueError, "lengths"),
    ("search_lists", query(lengths=z(5)), TypeError, "lengths"),
    ("search_lists", query(slope=-1.0), ValueError, "slope"),
    ("search_lists", query(flat=np.inf), ValueError, "flat"),
    ("search_lists", query(live=z(0, U8)), ValueError, "live"),
    ("search_lists", query(n_rows=2**32), ValueError, "n_rows"),
    ("search_lists", query(k=-1), ValueError, "k"),
    ("search_lists", query(floor=np.nan), ValueError, "floor"),
    ("score_lists", ([], z(0, D), None, 0.0, 0.0, 5, z(1, U32) + U32(5)), ValueError, "rows"),
    ("score_lists", ([], z(1, D), None, 0.0, 0.0, 5, z(1, U32)), ValueError, "weights"),
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
    *(
        ("maxsim_pairs", pairs(**wrong), error, name)
        for wrong, error, name in (
            ({"starts": np.array([0, 31], I64)}, ValueError, "pair 1"),
            ({"starts": np.array([-1, 24], I64)}, ValueError, "pair 0"),
            ({"starts": np.array([0, 2**62], I64)}, ValueError, "pair 1"),
            ({"starts": np.array([0, 2**63 - 1], I64)}, ValueError, "pair 1"),
            ({"starts": np.array([0, -(2**63)], I64)}, ValueError, "pair 1"),
            ({"starts": z(3, I64)}, ValueError, "counts"),
            ({"counts": np.array([3, -1], np.int32)}, ValueError, "pair 1"),
            ({"counts": np.array([2**31 - 1, 0], np.int32)}, ValueError, "pair 0"),
            ({"counts": z(2, I64)}, TypeError, "counts"),
            ({"query_of": np.array([0, 1], np.int32)}, ValueError, "query_of"),
            ({"query_of": np.array([0, -1], np.int32)}, ValueError, "query_of"),
            ({"query_of": z(1, "i4")}, ValueError, "query_of"),
            ({"queries": z((2, 8)) * F(np.nan)}, ValueError, "queries: row 0"),
            ({"queries": z((2, 0))}, ValueError, "dimension"),
            ({"queries": z((2, 9))}, ValueError, "centroids"),
            ({"kind": "residual3"}, ValueError, "kind"),
            ({"kind": ""}, ValueError, "kind"),
            ({"kind": "residual4"}, ValueError, "weights"),
            ({"kind": "sign"}, ValueError, "centroids"),
            ({"kind": "int8"}, ValueError, "centroids"),
            (NO_TABLE, ValueError, "centroids"),
            ({"weights": None}, ValueError, "weights"),
            ({"centroids": z((0, 8), "i1"), "centroid_scale": z(0)}, ValueError, "centroids"),
            ({"centroid_scale": z(4)}, ValueError, "centroid_scale"),
            ({"weights": z(5, "i1")}, ValueError, "weights"),
            ({"weight_scale": "1"}, TypeError, "weight_scale"),
            ({"records": z(48, U8) + U8(255)}, ValueError, "centroid number"),
            ({"records": z(0, U8)}, ValueError, "pair 0"),
        )
    ),
    *(
        ("token_scores", scores(**wrong), error, name)
        for wrong, error, name in (
            ({"record": z(17, U8)}, ValueError, "record"),
            ({"record": z(18, U8) + U8(5)}, ValueError, "centroid number"),
            ({"query": z((2, 8)) + F(np.inf)}, ValueError, "query: row 0"),
            ({"query": z((2, 4))}, ValueError, "centroids"),
        )
    ),
]
SKETCHES = {
    "table": z((3, 8), "i1"),
    "sums": z(3, "i4"),
    "ids": z(4, np.uint16),
    "starts": np.array([0, 1, 4], np.uint32),
    "rows": z((1, 2), I64),
    "tokens": z((2, 8), "i1"),
    "scale": z(2),
    "offsets": np.array([0, 2], I64),
}


def sketches(**changed: Any) -> tuple[Any, ...]:
    return tuple((SKETCHES | changed).values())


WRONG += [
    ("sketch_scores", sketches(**wrong), error, name)
    for wrong, error, name in (
        ({"table": z((3, 6), "i1")}, ValueError, "table: columns"),
        ({"table": z((3, 0), "i1")}, ValueError, "table: columns"),
        ({"table": z((0, 8), "i1"), "sums": z(0, "i4")}, ValueError, "table: rows"),
        ({"table": z((3, 8), U8)}, TypeError, "table"),
        ({"sums": z(2, "i4")}, ValueError, "sums"),
        (
            {"ids": np.array([0, 3, 0, 0], np.uint16), "rows": z((1, 1), I64) + 1},
            ValueError,
            "row 1",
        ),
        ({"ids": z(3, np.uint16), "rows": z((1, 1), I64) + 1}, ValueError, "row 1"),
        ({"starts": np.array([2, 1, 4], np.uint32)}, ValueError, "row 0"),
        ({"starts": np.array([0, 2**32 - 1, 4], np.uint32)}, ValueError, "row 0"),
        ({"starts": z(0, np.uint32)}, ValueError, "starts"),
        ({"rows": z((1, 2), I64) + 2}, ValueError, "rows"),
        ({"rows": z((1, 2), I64) - 2}, ValueError, "rows"),
        ({"rows": z((2, 2), I64)}, ValueError, "offsets"),
        ({"tokens": z((2, 4), "i1")}, ValueError, "tokens"),
        ({"scale": z(3)}, ValueError, "scale"),
        ({"offsets": np.array([0, 3], I64)}, ValueError, "offsets"),
    )
]

BAD_OFFSETS = [[], [0], [0, 3], [1, 2], [0, 3, 2], [0, -1, 2], [-(2**62), 2]]
for bad in BAD_OFFSETS:
    offsets = np.array(bad, I64)
    WRONG.append(("maxsim", (z((2, 3)), z((2, 3)), offsets), ValueError, "offsets"))
    WRONG.append(("maxsim_pairs", pairs(offsets=offsets), ValueError, "offsets"))
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
    rows, estimates, counts = level.scan_lists(
        *scan(blocks=z((0, 3, 16), U8), starts=z(3, I64), row_scale=z(0, "f2"))
    )
    assert (rows == -1).all() and np.isneginf(estimates).all() and not counts.any()
    assert level.scan_lists(*scan(keep=0))[0].shape == (2, 0)
    assert level.scan_lists(*scan(keep=1000))[2].tolist() == [40, 40]
    assert level.scan_lists(*scan(live=z(5, U8)))[2].tolist() == [0, 0]
    assert level.score_rows(z((3, 0), U8), 0, "float16", z(0), "l2").tolist() == [0, 0, 0]
    assert level.row_checksums(z((0, 7), U8)).shape == (0,)
    assert level.top_k(z(0), 5, None, -np.inf)[0].shape == (0,)
    empty = level.pool_tokens(z(0, "i4"), z(3, I64), z((0, 4), "i1"), z(0), 1.0, True)
    assert empty.tolist() == [[0] * 4] * 2
    assert level.maxsim(z((0, 4)), z((2, 4)), np.array([0, 2], I64)).tolist() == [0]
    assert level.maxsim_pairs(*pairs(counts=z(2, "i4"))).tolist() == [-np.inf] * 2
    assert level.maxsim_pairs(*pairs(queries=z((0, 8)), offsets=z(2, I64))).tolist() == [0, 0]
    nothing = {"starts": z(0, I64), "counts": z(0, "i4"), "query_of": z(0, "i4")}
    assert level.maxsim_pairs(*pairs(**nothing)).shape == (0,)
    no_query = {"queries": z((0, 8)), "offsets": z(1, I64)}
    assert level.maxsim_pairs(*pairs(**nothing, **no_query)).shape == (0,)
    assert level.token_scores(*scores(record=z(0, U8))).shape == (0, 2)
    assert level.sketch_scores(*sketches(rows=z((1, 0), I64))).shape == (1, 0)
    nobody = sketches(rows=z((0, 2), I64), offsets=z(1, I64), tokens=z((0, 8), "i1"), scale=z(0))
    assert level.sketch_scores(*nobody).shape == (0, 2)
    assert level.WordPiece(["[UNK]"], "[UNK]", "##", 100).encode([])[1].tolist() == [0]


def unaligned(array: np.ndarray) -> np.ndarray:
    """The same numbers one byte off."""
    raw = np.zeros(array.nbytes + 1, np.uint8)
    moved = raw[1:].view(array.dtype).reshape(array.shape)
    moved[...] = array
    return moved


def virtual(shape: tuple[int, ...], dtype: Any = F) -> np.ndarray:
    """A huge array that takes no memory."""
    return np.broadcast_to(np.zeros(1, dtype), shape)


CALLS: dict[str, tuple[Any, ...]] = {
    "rotate": (z((2, 4)), np.ones((4, 4), np.int8)),
    "sign_encode": (z((2, 4)),),
    "build_luts": (z((2, 4)),),
    "quantise_tables": (z((2, 3, 16)),),
    "scan_lists": scan(live=z(5, U8), row_offset=z(40), doubt=z(2)),
    "dot_table": (z((1, 2, 16, 4), U8), 3, z((2, 8), "i1")),
    "nearest": (z((1, 2, 16, 4), U8), z(3), z(3), z((2, 8), "i1"), z(2)),
    "route_lists": route(),
    "score_pairs": (z((2, 8), U8), 2, "float32", z((1, 2)), z(3, "i4"), z(3, "i4"), "ip"),
    "score_rows": (z((2, 8), U8), 2, "float32", z(2), "ip"),
    "row_checksums": (z((2, 8), U8),),
    "first_damaged": (z((2, 8), U8),),
    "quantise_rows": (z((2, 8)),),
    "encode_lists": (np.arange(2, dtype=U32), z(2, U8) + U8(1), z(2, U32), np.array([0, 2])),
    "decode_lists": (
        np.array([0, 0, 0, 0, 0, 0, 1] * 2, U8),
        np.array([7, 14]),
        np.ones(2, U32),
        np.full(2, zlib.crc32(bytes([0, 0, 0, 0, 0, 0, 1])), U32),
        1,
    ),
    "PostingList": (np.array([0, 0, 0, 0, 0, 0, 1], U8), 1, 1),
    "top_k": (z(9), 3, z(2, U8), 0.0),
    "pool_tokens": (z(2, "i4"), OFFSETS, z((3, 4), "i1"), z(3), 1.0, True),
    "maxsim": (z((2, 3)), z((2, 3)), OFFSETS),
    "maxsim_pairs": pairs(),
    "token_scores": scores(),
}
SPOILED = [
    (kernel, place)
    for kernel, arguments in CALLS.items()
    for place, value in enumerate(arguments)
    if isinstance(value, np.ndarray)
]
OTHER_TYPE = {"<f4": "f8", "<i8": "i4"}
WAYS: dict[str, Any] = {
    "object": lambda a: a.astype(object),
    "complex": lambda a: a.astype(complex),
    "text": lambda a: a.astype("U8"),
    "other-type": lambda a: a.astype(OTHER_TYPE.get(a.dtype.str, "i8")),
    "other-order": lambda a: a.astype(a.dtype.newbyteorder(">") if a.itemsize > 1 else ">i4"),
    "strided": lambda a: np.repeat(a, 2, axis=-1)[..., ::2],
    "backwards": lambda a: a[..., ::-1],
    "an-axis-more": lambda a: a[None],
    "an-axis-less": lambda a: a.reshape(-1)[0],
    "a-list": lambda a: a.tolist(),
    # Of bytes, one after another, the native kernels take any buffer.
    "bytes": lambda a: a.tolist() if a.dtype == U8 and a.ndim == 1 else a.tobytes(),
    "structured": lambda a: np.zeros(a.shape, [("x", a.dtype)]),
    "nothing": lambda a: None,
    "huge": lambda a: virtual((2**40, *a.shape[1:]), a.dtype),
}


@each_level
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("kernel", "place"), SPOILED)
def test_every_argument_in_a_form_that_is_not_taken(
    level: Kernels, kernel: str, place: int, way: str
) -> None:
    arguments = list(CALLS[kernel])
    arguments[place] = WAYS[way](arguments[place])
    if arguments[place] is None and kernel in ("scan_lists", "top_k", "route_lists"):
        pytest.skip("an optional argument")
    with pytest.raises((TypeError, ValueError)):
        getattr(level, kernel)(*arguments)


@each_native
@pytest.mark.parametrize(("kernel", "place"), SPOILED)
def test_what_is_not_aligned_is_refused_or_read_right(
    native: Kernels, kernel: str, place: int
) -> None:
    arguments = list(CALLS[kernel])
    arguments[place] = unaligned(arguments[place])
    if arguments[place].itemsize > 1:
        with pytest.raises(ValueError, match="aligned"):
            getattr(native, kernel)(*arguments)
    else:
        getattr(native, kernel)(*arguments)


@each_level
def test_counts_beyond_all_memory_are_refused(level: Kernels) -> None:
    for keep in (2**40, 2**61, 2**62, 2**63 - 1):
        with pytest.raises((MemoryError, ValueError, OverflowError)):
            level.scan_lists(*scan(keep=keep))
    for number in (2**63, 2**64, -(2**63) - 1, 2**70):
        with pytest.raises((TypeError, ValueError, OverflowError, MemoryError)):
            level.dot_table(z((1, 2, 16, 4), U8), number, z((2, 8), "i1"))
        with pytest.raises((TypeError, ValueError, OverflowError, MemoryError)):
            level.score_rows(z((2, 8), U8), number, "float32", z(2), "ip")
    assert len(level.top_k(z(9), 2**62, None, -np.inf)[0]) == 9


# One row, a row less and more than a block or a register; odd widths up to the widest.
COUNTS = (1, 2, 15, 16, 17, 31, 32, 33, 65)
WIDTHS = (1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 63, 65, 127, 257)


@each_native
@pytest.mark.parametrize("dim", [*WIDTHS, 1023, 4095, 4096])
def test_every_width_at_every_count(native: Kernels, dim: int) -> None:
    rng = np.random.default_rng(dim)
    for n in COUNTS if dim < 300 else (1, 33):
        vectors = rng.normal(size=(n, dim)).astype(F)
        same(native.rotate(vectors, turn := signs(rng, dim)), reference.rotate(vectors, turn))
        blocks, abs_sum = native.sign_encode(vectors)
        same((blocks, abs_sum), reference.sign_encode(vectors))
        luts, scale, bias = native.build_luts(vectors[:9])
        same((luts, scale, bias), reference.build_luts(vectors[:9]))
        live = bitmap(rng.random(n) < 0.7)
        for keep in (0, 1, n, n + 7):
            starts, asked = np.array([0, n // 3, n], I64), len(luts)
            lists = np.tile(np.array([1, 0], np.int32), asked)
            given = (
                *(blocks, starts, luts, scale, bias, abs_sum.astype("f2"), abs_sum, live),
                *(2 * np.arange(asked + 1), lists, z(2 * asked), keep),
            )
            same(native.scan_lists(*given), reference.scan_lists(*given))
        records = np.zeros((n, 4 * dim + 1), U8)  # a stride that is no multiple of a number's
        records[:, : 4 * dim] = vectors.view(U8).reshape(n, -1)
        same(native.row_checksums(records), reference.row_checksums(records))
        for metric in ("ip", "l2"):
            got = native.score_rows(records, dim, "float32", vectors[0], metric)
            expected = reference.score_rows(records, dim, "float32", vectors[0], metric)
            np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-3 * dim)


@each_native
@pytest.mark.parametrize("n", COUNTS)
def test_lists_that_reach_the_last_row(native: Kernels, n: int) -> None:
    last = np.array([n - 1], U32)
    data, _, _ = native.encode_lists(last, z(1, U8) + U8(255), z(1, U32), np.array([0, 1]))
    one, weights = native.PostingList(data, 1, n), np.ones(1)
    assert one.count_live(bitmap(np.ones(n, bool))) == 1
    found = native.search_lists([one], weights, weights, np.ones(n, U8), 1, 1, None, n, 3, 0)
    assert found[0].tolist() == [n - 1] and found[1].tolist() == pytest.approx([1 / 3])
    for k in (0, 1, n, n + 1):
        same(native.top_k(z(n), k, None, -np.inf), reference.top_k(z(n), k, None, -np.inf))


@each_native
def test_numbers_at_the_end_of_their_range(native: Kernels) -> None:
    odd = np.array([0, -0.0, 1e-45, -1e-45, 3.4e38, -3.4e38, np.inf, -np.inf, np.nan] * 5, F)
    same(native.top_k(odd, 50, None, -np.inf), reference.top_k(odd, 50, None, -np.inf))
    row = odd[None]
    native.rotate(row, np.ones((4, odd.size), np.int8))
    native.sign_encode(row)
    native.score_rows(row.view(U8).reshape(1, -1), odd.size, "float32", odd, "l2")
    native.score_rows(row.view(U8).reshape(1, -1), odd.size, "float16", odd, "ip")
    native.maxsim(row, row, np.array([0, 1], I64))
    finite = np.where(np.isfinite(odd), odd, 3.4e38).astype(F)[None]
    native.token_scores(row.view(U8).reshape(-1), finite, "float32", None, None, None, 0.0)
    wide = np.resize(odd, 99)
    record = np.concatenate((wide.view(U8), z(99 * 90, U8) + U8(128)))  # factors, then numbers
    long = np.resize(finite, (1, 90))
    native.token_scores(record, long, "int8", None, None, None, 0.0)
    native.token_scores(record[: 14 * 20], long, "sign", None, None, z(2, "i1"), np.inf)
    blocks, _ = native.sign_encode(z((33, 45)))
    luts, scale, bias = native.build_luts(z((2, 45)))
    extreme = np.resize(odd, 33)
    with np.errstate(over="ignore"):
        factors = extreme.astype("f2")
    rows, _, counts = native.scan_lists(
        *(blocks, np.array([0, 33], I64), luts, scale + F(np.inf), bias * F(np.nan), factors),
        *(extreme, None, np.arange(3), z(2, "i4"), odd[7:9].copy(), 40),
    )
    assert counts.max() <= 33 and rows.max() < 33
