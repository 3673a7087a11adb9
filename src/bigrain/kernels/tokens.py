"""Token vectors: MaxSim of records, and by centroids."""

from __future__ import annotations

from bigrain.kernels.levels import chosen
from bigrain.kernels.reference import F32, I8, I32, I64, U8, U16, U32
from bigrain.kernels.token_records import TokenTables

__all__ = ["maxsim", "maxsim_pairs", "sketch_scores", "token_scores"]


NO_TABLES = (None, None, None, 0.0)


def maxsim(query: F32, tokens: F32, offsets: I64) -> F32:
    """MaxSim of ColBERT: per document, sum over query tokens of the largest dot product.

    `query` (m, D), `tokens` (T, D) float32; document i owns tokens[offsets[i]:offsets[i+1]].
    Returns (n,) float32; an empty document scores -inf.
    """
    return chosen().maxsim(query, tokens, offsets)


def maxsim_pairs(
    records: U8,
    starts: I64,
    counts: I32,
    query_of: I32,
    queries: F32,
    offsets: I64,
    kind: str,
    tables: TokenTables | None = None,
) -> F32:
    """MaxSim of P pairs of a record of tokens and a query: (P,) float32.

    Pair p is `counts[p]` (P,) int32 tokens of the record that begins at byte `starts[p]` (P,) int64
    of `records` (1-D uint8; no alignment is asked), laid out as `token_records` tells for `kind`,
    and query `query_of[p]` (P,) int32. Query q has the tokens queries[offsets[q]:offsets[q + 1]]
    of `queries` (M, d) float32, all finite; their records have tokens of as many dimensions.
    A record without tokens scores -inf; a query without tokens scores 0 with any other.

    To weigh query tokens, multiply them with their weights, which must not be negative. Pairs may
    come in any order. `tables` belong to kinds with bucket numbers. A record that does not lie
    within `records`, or has a centroid number that is not in the tables, is refused; factors that
    are not finite give some number.

    Query tokens of 64 or more dimensions are rounded to 16 bits a number where that is faster.
    """
    given = NO_TABLES if tables is None else tables
    return chosen().maxsim_pairs(records, starts, counts, query_of, queries, offsets, kind, *given)


def token_scores(record: U8, query: F32, kind: str, tables: TokenTables | None = None) -> F32:
    """Inner products (t, m) float32 of all tokens of a record with all tokens of a query.

    `record` (1-D uint8) is one record of t tokens, as for `maxsim_pairs`; `query` (m, d) float32.
    """
    return chosen().token_scores(record, query, kind, *(NO_TABLES if tables is None else tables))


def sketch_scores(
    table: I8, sums: I32, ids: U16, starts: U32, rows: I64, tokens: I8, scale: F32, offsets: I64
) -> F32:
    """MaxSim (Q, n) float32 of documents whose tokens are taken for their nearest centroids.

    score[q, i] = sum_t scale[t] * 2^s * max_c (<table[c], tokens[t]> >> s)

    over the tokens t of query q, offsets[q] to offsets[q + 1], and the centroids c of document
    rows[q, i], ids[starts[r]:starts[r + 1]]; s is the least that brings 128^2 * D below 2^15.
    `table` (K, D) int8 with D a multiple of 4 and K up to 65,536, `sums` (K,) int32 the sums of its
    rows, `ids` (T,) uint16, `starts` (n + 1,) uint32, `rows` (Q, n) int64, `tokens` (M, D) int8
    times `scale` (M,) float32, `offsets` (Q + 1,) int64. A row of -1 and a document without
    centroids score -inf. Source: centroid interaction (PLAID: Santhanam et al., CIKM 2022).
    """
    return chosen().sketch_scores(table, sums, ids, starts, rows, tokens, scale, offsets)
