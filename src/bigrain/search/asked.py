"""Queries as users pass them: one of a kind for all fields, or one for each of several.

"heavy water"   {5: 1.0}   a vector             every field that takes such a query is asked
{"words": "heavy water", "splade": {5: 1.0}}    the fields named, each with its own
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from bigrain.errors import InvalidQueryError, shown
from bigrain.families.base import is_sparse
from bigrain.search.query import Query
from bigrain.types import SparseMatrix

__all__ = ["batches", "fields_of", "one_by_one"]


def fields_of(query: Any) -> tuple[str, ...]:
    """The fields that a query names; none if it is one for all."""
    if not isinstance(query, Mapping) or not isinstance(next(iter(query), None), str):
        return ()
    odd = [key for key in query if not isinstance(key, str)]
    if odd:
        raise InvalidQueryError(
            f"a query maps names of fields or columns, not both: {shown(next(iter(query)))} and "
            f"{shown(odd[0])}"
        )
    return tuple(query)


def one_by_one(queries: Any) -> list[Any]:
    """Several queries one by one: of an iterable, the rows of a sparse matrix, or of a mapping
    from fields to as many queries each."""
    if isinstance(queries, Mapping) and (names := fields_of(queries)):
        columns = {name: one_by_one(queries[name]) for name in names}
        counts = {name: len(column) for name, column in columns.items()}
        if len(set(counts.values())) > 1:
            told = ", ".join(f"{n} for {shown(name)}" for name, n in counts.items())
            raise InvalidQueryError(f"every field needs as many queries as the others: {told}")
        return [dict(zip(names, some, strict=True)) for some in zip(*columns.values(), strict=True)]
    if isinstance(queries, str | bytes | Mapping):
        raise InvalidQueryError(
            f"search_many takes several queries; put the {type(queries).__name__} in a list"
        )
    if is_sparse(queries):
        return _rows(queries)
    if hasattr(queries, "__array__"):
        queries = np.asarray(queries)
        if queries.ndim == 1 and queries.dtype.kind in "fiu":
            raise InvalidQueryError(
                f"search_many takes several queries; one vector of {len(queries)} numbers is asked "
                "with search, or as [vector]"
            )
    if not isinstance(queries, Iterable):
        raise InvalidQueryError(f"queries takes a list, not {shown(queries)}")
    return list(queries)


def _rows(matrix: Any) -> list[Any]:
    """Matrices of one row each."""
    if getattr(matrix, "format", "csr") != "csr" or not hasattr(matrix, "indptr"):
        matrix = matrix.tocsr()
    data, indices, indptr = map(np.asarray, (matrix.data, matrix.indices, matrix.indptr))
    whole = indptr.dtype.kind in "iu" and indptr.ndim == indices.ndim == data.ndim == 1
    ends = indptr.tolist() if whole else [-1]
    if ends[:1] != [0] or sorted(ends) != ends or {ends[-1]} != {len(indices), len(data)}:
        raise InvalidQueryError(f"indptr of the matrix of queries does not fit {data.size} weights")
    shape = (1, int(matrix.shape[-1]))
    return [
        SparseMatrix(data[a:b], indices[a:b], np.array([0, b - a]), shape)
        for a, b in zip(ends, ends[1:], strict=False)
    ]


def batches(queries: Sequence[Any], most: int) -> Iterator[slice]:
    """Stretches of queries that are planned together: of the same fields, at most so many.

    One with operators is alone.
    """
    start, before = 0, None
    for at, query in enumerate(queries):
        names = fields_of(query)
        alone = isinstance(query, Query) or any(isinstance(query[name], Query) for name in names)
        kind = at if alone else frozenset(names)
        if at > start and (kind != before or at - start == most):
            yield slice(start, at)
            start = at
        before = kind
    if start < len(queries):
        yield slice(start, len(queries))
