"""MaxSim over records of token vectors in NumPy; `tokens` is the manual."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bigrain.kernels import checks
from bigrain.kernels.token_records import TokenTables, check_tables, parts_of, read_tokens

__all__ = ["maxsim_pairs", "sketch_scores", "token_scores"]

U8 = npt.NDArray[np.uint8]
U16 = npt.NDArray[np.uint16]
U32 = npt.NDArray[np.uint32]
I8 = npt.NDArray[np.int8]
I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]
F32 = npt.NDArray[np.float32]
MOST_DIM = 1 << 16


def maxsim_pairs(
    records: U8,
    starts: I64,
    counts: I32,
    query_of: I32,
    queries: F32,
    offsets: I64,
    kind: str,
    centroids: I8 | None,
    centroid_scale: F32 | None,
    weights: I8 | None,
    weight_scale: float,
) -> F32:
    """Decode a record, multiply it with a query in float64, add up the maxima."""
    checks.array("records", records, "uint8", 1)
    checks.array("starts", starts, "int64", 1)
    checks.array("counts", counts, "int32", 1)
    checks.array("query_of", query_of, "int32", 1)
    _finite("queries", queries)
    dim = queries.shape[1]
    tables = check_tables(kind, dim, (centroids, centroid_scale, weights, weight_scale))
    edges = checks.offsets(offsets, len(queries))
    checks.size("counts: length", len(counts), len(starts))
    checks.size("query_of: length", len(query_of), len(starts))
    checks.below("query_of", query_of, len(edges) - 1)
    each = parts_of(kind, dim, _count(tables)).total
    for p, (start, count) in enumerate(zip(starts.tolist(), counts.tolist(), strict=True)):
        if start < 0 or count < 0 or start + count * each > len(records):
            raise ValueError(
                f"starts: pair {p}: {count} tokens from byte {start} on are not within "
                f"{len(records)} bytes"
            )
    out = np.full(len(starts), -np.inf, np.float32)
    for p, q in enumerate(query_of.tolist()):
        if counts[p]:
            record = records[starts[p] : starts[p] + int(counts[p]) * each]
            tokens = read_tokens(record, dim, kind, tables)
            out[p] = _products(tokens, queries[edges[q] : edges[q + 1]]).max(axis=0).sum()
    return out


def token_scores(
    record: U8,
    query: F32,
    kind: str,
    centroids: I8 | None,
    centroid_scale: F32 | None,
    weights: I8 | None,
    weight_scale: float,
) -> F32:
    """Products of all tokens with all tokens of the query."""
    checks.array("record", record, "uint8", 1)
    _finite("query", query)
    dim = query.shape[1]
    tables = check_tables(kind, dim, (centroids, centroid_scale, weights, weight_scale))
    each = parts_of(kind, dim, _count(tables)).total
    if len(record) % each:
        raise ValueError(f"record: expected whole tokens of {each} bytes, got {len(record)} bytes")
    return _products(read_tokens(record, dim, kind, tables), query).astype(np.float32)


def sketch_scores(
    table: I8, sums: I32, ids: U16, starts: U32, rows: I64, tokens: I8, scale: F32, offsets: I64
) -> F32:
    """All products of a query, then the largest in the columns of each document."""
    for name, array, kind, axes in (
        ("table", table, "int8", 2), ("sums", sums, "int32", 1), ("ids", ids, "uint16", 1),
        ("starts", starts, "uint32", 1), ("rows", rows, "int64", 2), ("tokens", tokens, "int8", 2),
        ("scale", scale, "float32", 1),
    ):  # fmt: skip
        checks.array(name, array, kind, axes)
    width = table.shape[1]
    if not width or width % 4 or width > MOST_DIM:
        raise ValueError(f"table: columns: expected a multiple of 4 up to {MOST_DIM}, got {width}")
    if not 0 < len(table) <= 1 << 16:
        raise ValueError(f"table: rows: expected 1 to 65536, got {len(table)}")
    checks.size("sums: length", len(sums), len(table))
    checks.size("tokens: columns", tokens.shape[1], width)
    checks.size("scale: length", len(scale), len(tokens))
    edges = checks.offsets(offsets, len(tokens))
    checks.size("offsets: length", len(edges), len(rows) + 1)
    if not len(starts):
        raise ValueError("starts: length: expected at least 1, got 0")
    odd = rows[(rows < -1) | (rows >= len(starts) - 1)]
    if len(odd):
        raise ValueError(f"rows: {odd[0]} is outside [-1, {len(starts) - 1})")
    shift = max(0, (128 * 128 * width).bit_length() - 15)
    out = np.full(rows.shape, -np.inf, np.float32)
    for q in range(len(rows)):
        mine = slice(edges[q], edges[q + 1])
        products = (table.astype(np.int64) @ tokens[mine].T.astype(np.int64)) >> shift
        for i, row in enumerate(rows[q].tolist()):
            if row < 0:
                continue
            own = ids[int(starts[row]) : int(starts[row + 1])]
            torn = starts[row] > starts[row + 1] or int(starts[row + 1]) > len(ids)
            if torn or (len(own) and int(own.max()) >= len(table)):
                raise ValueError(f"ids: those of row {row} are not numbers of centroids")
            if len(own):
                out[q, i] = (products[own].max(axis=0) * 2.0**shift * scale[mine]).sum()
    return out


def _products(tokens: F32, query: F32) -> npt.NDArray[np.float64]:
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(tokens.astype(np.float64) @ query.astype(np.float64).T)


def _finite(name: str, queries: F32) -> None:
    checks.array(name, queries, "float32", 2)
    wrong = np.flatnonzero(~np.isfinite(queries).all(axis=1))
    if len(wrong):
        raise ValueError(f"{name}: row {wrong[0]} is not finite")


def _count(tables: TokenTables | None) -> int:
    return 0 if tables is None or tables.centroids is None else len(tables.centroids)
