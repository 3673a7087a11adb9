"""MaxSim over records of tokens: the same numbers at every level, whatever the shapes."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigrain.kernels import reference, token_bytes
from bigrain.kernels.token_records import KINDS, check_tables, parts_of, read_tokens
from bigrain.kernels.tokens import NO_TABLES
from tests.kernels.levels import Kernels, each_level, each_native
from tests.kernels.token_cases import random_record, random_tables

each_kind = pytest.mark.parametrize("kind", KINDS)


def pairs_of(
    rng: np.random.Generator, kind: str, dim: int, counts: list[int], sizes: list[int], k: int = 9
) -> tuple[Any, ...]:
    """Arguments of `maxsim_pairs`: every record with every query, in any order."""
    tables = random_tables(rng, kind, dim, k)
    each = token_bytes(kind, dim, k if kind.startswith("residual") else 0)
    gaps = rng.integers(0, 4, len(counts) + 1)  # no record begins where numbers are aligned
    parts, starts, at = [np.zeros(gaps[0], np.uint8)], [], int(gaps[0])
    for t, gap in zip(counts, gaps[1:], strict=True):
        starts.append(at)
        parts += [random_record(rng, kind, dim, t, tables), np.zeros(gap, np.uint8)]
        at += t * each + int(gap)
    n, q = len(counts), len(sizes)
    order = rng.permutation(n * q)
    offsets = np.cumsum([0, *sizes], dtype=np.int64)
    queries = rng.normal(size=(offsets[-1], dim)).astype(np.float32)
    return (
        np.concatenate(parts),
        np.array(starts, np.int64)[order % n] if n else np.empty(0, np.int64),
        np.array(counts, np.int32)[order % n] if n else np.empty(0, np.int32),
        np.asarray(order // max(n, 1), np.int32),
        queries,
        offsets,
        kind,
        *(NO_TABLES if tables is None else tables),
    )


def close(got: np.ndarray, expected: np.ndarray, arguments: tuple[Any, ...]) -> None:
    """Within 1e-5 of |token| |query token|, summed over the tokens of a query."""
    queries, offsets, counts = arguments[4], arguments[5], arguments[2]
    assert got.dtype == np.float32 and got.shape == expected.shape
    empty = counts == 0
    assert (np.isneginf(got) == empty).all()
    length = np.sqrt((queries.astype(np.float64) ** 2).sum(axis=1))
    reach = np.add.reduceat(np.append(length, 0), offsets[:-1]) * (np.diff(offsets) > 0)
    widest = longest_token(arguments)
    bound = 1e-5 * widest * reach[arguments[3]] + 1e-30
    assert (abs(got[~empty] - expected[~empty]) <= bound[~empty]).all()


def longest_token(arguments: tuple[Any, ...]) -> float:
    records, starts, counts, _, queries, _, kind = arguments[:7]
    dim = queries.shape[1]
    tables = check_tables(kind, dim, arguments[7:])
    k = 0 if tables is None or tables.centroids is None else len(tables.centroids)
    each = parts_of(kind, dim, k).total
    most = 0.0
    for start, count in set(zip(starts.tolist(), counts.tolist(), strict=True)):
        tokens = read_tokens(records[start : start + count * each], dim, kind, tables)
        lengths = np.linalg.norm(tokens.astype(np.float64), axis=1)
        most = max(most, float(lengths.max(initial=0)))
    return most


@each_native
@each_kind
@given(
    dim=st.integers(1, 300),
    counts=st.lists(st.integers(0, 20), max_size=5),
    sizes=st.lists(st.integers(0, 40), min_size=1, max_size=3),
    seed=st.integers(0, 999),
)
def test_pairs_equal_the_reference(
    native: Kernels, kind: str, dim: int, counts: list[int], sizes: list[int], seed: int
) -> None:
    arguments = pairs_of(np.random.default_rng(seed), kind, dim, counts, sizes)
    close(native.maxsim_pairs(*arguments), reference.maxsim_pairs(*arguments), arguments)


@each_native
@each_kind
@pytest.mark.parametrize(
    ("dim", "t", "m"),
    [(1, 1, 1), (3, 9, 17), (63, 40, 33), (64, 129, 32), (67, 300, 15), (128, 2000, 3),
     (384, 50, 300), (4096, 9, 5), (4095, 3, 40)],
)  # fmt: skip
def test_every_shape(native: Kernels, kind: str, dim: int, t: int, m: int) -> None:
    arguments = pairs_of(np.random.default_rng(dim), kind, dim, [t, 1], [m, 1])
    close(native.maxsim_pairs(*arguments), reference.maxsim_pairs(*arguments), arguments)


@each_native
@each_kind
def test_scores_of_tokens_equal_the_reference(native: Kernels, kind: str) -> None:
    rng = np.random.default_rng(5)
    for dim, t, m in ((5, 0, 3), (5, 4, 0), (70, 33, 18), (256, 131, 7)):
        tables = random_tables(rng, kind, dim)
        record = random_record(rng, kind, dim, t, tables)
        query = rng.normal(size=(m, dim)).astype(np.float32)
        arguments = (record, query, kind, *(NO_TABLES if tables is None else tables))
        got, expected = native.token_scores(*arguments), reference.token_scores(*arguments)
        assert got.dtype == np.float32 and got.shape == (t, m)
        lengths = np.linalg.norm(read_tokens(record, dim, kind, tables), axis=1)
        reach = lengths[:, None] * np.linalg.norm(query, axis=1)
        assert (abs(got - expected) <= 1e-5 * reach).all()


@each_native
def test_more_centroids_than_products_are_kept_for(native: Kernels) -> None:
    """Numbers of four bytes, and a query so long that its products are forgotten in between."""
    rng = np.random.default_rng(1)
    arguments = pairs_of(rng, "residual2", 4, [900, 700], [1500], k=70_000)
    close(native.maxsim_pairs(*arguments), reference.maxsim_pairs(*arguments), arguments)


@each_level
@each_kind
def test_a_centroid_number_that_is_not_there(level: Kernels, kind: str) -> None:
    if not kind.startswith("residual"):
        return
    rng = np.random.default_rng(2)
    dim, tables = 8, random_tables(rng, kind, 8, k=3)
    assert tables is not None
    record = random_record(rng, kind, dim, 5, tables)
    numbers = slice(2 * 5, 4 * 5)
    record[numbers].view("<u2")[3] = 3
    query = rng.normal(size=(2, dim)).astype(np.float32)
    with pytest.raises(ValueError, match="centroid number"):
        level.token_scores(record, query, kind, *tables)
    one = np.zeros(1, np.int32)
    offsets = np.array([0, 2], np.int64)
    with pytest.raises(ValueError, match="centroid number"):
        level.maxsim_pairs(
            record, one.astype(np.int64), one + np.int32(5), one, query, offsets, kind, *tables
        )


@each_level
def test_weights_of_query_tokens_go_into_the_query(level: Kernels) -> None:
    rng = np.random.default_rng(3)
    record = random_record(rng, "int8", 96, 7, None)
    query = rng.normal(size=(4, 96)).astype(np.float32)
    weights = np.array([0, 0.5, 1, 3], np.float32)
    plain = level.token_scores(record, query, "int8", *NO_TABLES)
    ends = np.array([0, 4], np.int64)
    one = np.zeros(1, np.int32)
    got = level.maxsim_pairs(
        record, one.astype(np.int64), one + np.int32(7), one, query * weights[:, None], ends,
        "int8", *NO_TABLES,
    )  # fmt: skip
    assert got[0] == pytest.approx(float((plain.max(axis=0) * weights).sum()), rel=1e-4)
