"""MaxSim over records of token vectors in NumPy; `dispatch` is the manual."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bigrain.kernels import checks
from bigrain.kernels.token_records import TokenTables, check_tables, parts_of, read_tokens

__all__ = ["maxsim_pairs", "token_scores"]

U8 = npt.NDArray[np.uint8]
I8 = npt.NDArray[np.int8]
I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]
F32 = npt.NDArray[np.float32]


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
