"""Sparse fields: non-negative weights over numbered columns, one row a passage."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from bigrain.config import SparseField
from bigrain.encoders.one_pass import OnePass
from bigrain.errors import (
    InvalidInputError,
    InvalidQueryError,
    InvalidVectorsError,
    shown,
)
from bigrain.families.base import (
    ALONE,
    LARGEST,
    Where,
    check_text_query,
    encoder_of,
    is_sparse,
    require_count,
    row_number,
)
from bigrain.families.encoded import EncodedFamily
from bigrain.index.base import View
from bigrain.index.postings import ListCache
from bigrain.index.salvage import Salvage, salvage_listed, salvage_sparse
from bigrain.index.sparse import SparseIndex, SparseLists
from bigrain.index.sparse_listed import ListedSegment, is_listed, light_bytes_of_listed
from bigrain.index.sparse_segment import SparseSegment, light_bytes_of
from bigrain.index.sparse_writing import SparseBuilder, merge_sparse
from bigrain.storage.files import Files
from bigrain.storage.segment import SegmentFile

__all__ = ["SparseFamily"]

MAX_COLUMNS = 2**32
MAX_QUERY_COLUMNS = 100_000


class Csr(NamedTuple):
    """The arrays of a compressed sparse row matrix."""

    data: npt.NDArray[Any]
    indices: npt.NDArray[np.int64]
    indptr: npt.NDArray[np.int64]
    shape: tuple[int, int]


class SparseFamily(EncodedFamily):
    def __init__(self, name: str, spec: SparseField) -> None:
        self.name, self.spec = name, spec
        self.encoder = encoder_of(name, spec.encoder, "sparse", None)
        self.weighs_by_idf = bool(getattr(self.encoder, "weighs_by_idf", False))

    def encode_documents(
        self, texts: Sequence[str], where: Where = row_number, one_pass: OnePass = ALONE
    ) -> Csr:
        assert self.encoder is not None
        csr = self._csr(one_pass.documents(self.encoder, texts), InvalidVectorsError, where)
        self._require_rows(csr, len(texts), "texts")
        return csr

    def _require_rows(self, csr: Csr, n: int, what: str) -> None:
        if csr.shape[0] != n:
            raise InvalidVectorsError(
                f"field {self.name!r}: the encoder gave {csr.shape[0]} vectors for {n} {what}"
            )

    def check_vectors(self, ids: Sequence[str], vectors: Any) -> Csr:
        csr = self._csr(vectors, InvalidVectorsError)
        require_count(self.name, ids, csr.shape[0])
        return csr

    def _csr(self, matrix: Any, error: type[InvalidInputError], where: Where = row_number) -> Csr:
        """A checked CSR matrix: rows, in range, no duplicate, negative or non-finite entries."""
        if not is_sparse(matrix):
            raise error(
                f"field {self.name!r}: expected a scipy.sparse CSR matrix, got "
                f"{type(matrix).__name__}"
            )
        if not hasattr(matrix, "indptr"):
            matrix = matrix.tocsr()
        if getattr(matrix, "format", "csr") != "csr":
            matrix = matrix.tocsr()
        given, indices, indptr = map(np.asarray, (matrix.data, matrix.indices, matrix.indptr))
        if any(a.ndim != 1 or (a.size and a.dtype.kind not in "iu") for a in (indices, indptr)):
            raise error(f"field {self.name!r}: indices and indptr must be whole numbers, (n,)")
        indices, indptr = indices.astype(np.int64), indptr.astype(np.int64)
        n = len(indptr) - 1
        if given.dtype.kind not in "fiu" or given.shape != indices.shape:
            raise error(f"field {self.name!r}: weights must be numbers, one for each column number")
        with np.errstate(over="ignore"):
            data = given.astype(np.float32)  # what is stored must be finite
        if (
            n < 0
            or indptr[0] != 0
            or indptr[-1] != len(indices)
            or (indptr[1:] < indptr[:-1]).any()
        ):
            raise error(f"field {self.name!r}: indptr does not fit {len(indices)} entries")
        width, size = int(matrix.shape[-1]), self.spec.vocabulary_size
        limit = min(width or MAX_COLUMNS, size or MAX_COLUMNS)
        columns = f"columns run from 0 to {limit - 1}"
        if size == limit:
            columns += f", the vocabulary has {size}"

        def refuse(bad: npt.NDArray[np.bool_], why: str) -> None:
            if bad.any():
                place = int(np.argmax(bad))
                row = int(np.searchsorted(indptr, place, side="right")) - 1
                raise error(
                    f"field {self.name!r}, {where(row)}: column {int(indices[place])} has weight "
                    f"{given[place]}; {why}"
                )

        refuse(~np.isfinite(data), "weights must be finite float32 numbers")
        refuse(data < 0, "weights must be 0 or more")
        refuse(data > LARGEST, f"weights are at most {LARGEST:g}, so that scores do not overflow")
        refuse((indices < 0) | (indices >= limit), columns)
        rises = np.ones(len(indices), bool)
        rises[1:] = indices[1:] > indices[:-1]
        rises[indptr[:-1][indptr[:-1] < len(indices)]] = True  # where rows begin
        if not rises.all():
            row_of = np.repeat(np.arange(n), np.diff(indptr))
            order = np.lexsort((indices, row_of))
            same = np.zeros(len(indices), bool)
            same[1:] = (np.diff(indices[order]) == 0) & (np.diff(row_of[order]) == 0)
            duplicate = np.zeros(len(indices), bool)
            duplicate[order] = same
            refuse(duplicate, "the column is given twice; sum_duplicates() joins them")
            data, indices = data[order], indices[order]
        kept = data > 0
        if not kept.all():
            before = np.concatenate(([0], np.cumsum(kept)))
            data, indices, indptr = data[kept], indices[kept], before[indptr]
        return Csr(data, indices, indptr, (n, int(limit)))

    def accepts(self, query: Any) -> bool:
        if isinstance(query, str):
            return self.encoder is not None
        return isinstance(query, Mapping) or is_sparse(query)

    def queries(self, queries: Sequence[Any], one_pass: OnePass = ALONE) -> list[tuple[Any, Any]]:
        """Text, mappings column -> weight, or one-row sparse matrices: (columns, weights) each."""
        rows: list[tuple[Any, Any]] = [
            self._given(query, f"query {i}") for i, query in enumerate(queries)
        ]
        if len(queries) == 1 and (plain := self._plain(*rows[0])) is not None:
            return [plain]
        texts = [i for i, query in enumerate(queries) if isinstance(query, str)]
        if texts:
            assert self.encoder is not None
            found = one_pass.queries(self.encoder, [queries[i] for i in texts])
            encoded = self._csr(found, InvalidQueryError)
            self._require_rows(encoded, len(texts), "queries")
            ends = encoded.indptr.tolist()
            for i, a, b in zip(texts, ends, ends[1:], strict=False):
                rows[i] = encoded.indices[a:b], encoded.data[a:b]
        counts = [len(columns) for columns, _ in rows]
        for i, count in enumerate(counts):
            if count > MAX_QUERY_COLUMNS:
                raise InvalidQueryError(
                    f"field {self.name!r}, query {i}: {count:,} columns; a query has at most "
                    f"{MAX_QUERY_COLUMNS:,}: keep the largest weights"
                )
        together = Csr(
            np.concatenate([np.empty(0), *(weights for _, weights in rows)]),
            np.concatenate([np.empty(0, np.int64), *(columns for columns, _ in rows)]),
            np.concatenate(([0], np.cumsum(counts))).astype(np.int64),
            (len(rows), 0),
        )
        checked = self._csr(together, InvalidQueryError, lambda row: f"query {row}")
        columns, weights = checked.indices.astype(np.uint32), checked.data
        ends = checked.indptr.tolist()
        listed = [(columns[a:b], weights[a:b]) for a, b in zip(ends, ends[1:], strict=False)]
        for i, (held, _) in enumerate(listed):
            if not len(held) and not isinstance(queries[i], str):
                raise InvalidQueryError(
                    f"field {self.name!r}, query {i}: the query is empty; give at least one column "
                    "a weight above 0"
                )
        return listed

    def _plain(self, columns: Any, weights: Any) -> tuple[Any, Any] | None:
        """A query without anything to refuse, to put in order or to leave out; else None."""
        n = len(columns)
        if not n or n > MAX_QUERY_COLUMNS or columns.dtype.kind not in "iu":
            return None
        limit = self.spec.vocabulary_size or MAX_COLUMNS
        if not 0 <= columns[0] <= columns[-1] < limit or not (columns[1:] > columns[:-1]).all():
            return None
        with np.errstate(over="ignore"):
            data = weights.astype(np.float32)
        if not (data.min() > 0 and data.max() <= LARGEST):  # nor is it so with NaN
            return None
        return columns.astype(np.uint32), data

    def _given(self, query: Any, where: str) -> tuple[Any, Any]:
        """(columns, weights) as they were passed; nothing of a text."""
        if isinstance(query, str):
            check_text_query(self.name, query, self.encoder)
            return (), ()
        if isinstance(query, Mapping):
            return self._of_mapping(query, where)
        if not is_sparse(query):
            raise InvalidQueryError(
                f"field {self.name!r}, {where}: a query is a mapping column -> weight or one row "
                f"of a sparse matrix, got {type(query).__name__}"
            )
        if getattr(query, "format", "csr") != "csr" or not hasattr(query, "indptr"):
            query = query.tocsr()
        data, indices, ends = map(np.asarray, (query.data, query.indices, query.indptr))
        if ends.size != 2:
            raise InvalidQueryError(
                f"field {self.name!r}, {where}: a query is one row, got {ends.size - 1}; "
                "search_many takes several"
            )
        limit = min(query.shape[-1] or MAX_COLUMNS, self.spec.vocabulary_size or MAX_COLUMNS)
        plain = data.dtype.kind in "fiu" and indices.dtype.kind in "iu" and data.ndim == 1
        whole = data.shape == indices.shape and ends.tolist() == [0, len(data)]
        if not plain or not whole or (indices >= limit).any():
            csr = self._csr(query, InvalidQueryError, lambda _: where)  # says what is wrong
            return csr.indices, csr.data
        return indices, data

    def _of_mapping(self, query: Mapping[Any, Any], where: str) -> tuple[Any, Any]:
        if not ({*map(type, query)} <= {int} and {*map(type, query.values())} <= {int, float}):
            self._require_numbers(query, where)
        try:
            columns = np.fromiter(query.keys(), np.int64, len(query))
            return columns, np.fromiter(query.values(), np.float64, len(query))
        except OverflowError:
            raise InvalidQueryError(
                f"field {self.name!r}, {where}: a column number or a weight is too large; columns "
                f"are below {MAX_COLUMNS}, weights at most {LARGEST:g}"
            ) from None

    def _require_numbers(self, query: Mapping[Any, Any], where: str) -> None:
        for column, weight in query.items():
            if isinstance(column, bool) or not isinstance(column, int | np.integer):
                raise InvalidQueryError(
                    f"field {self.name!r}, {where}: {shown(column)} is no column; a query maps "
                    "column numbers to weights, such as {7: 1.5}"
                )
            if isinstance(weight, bool) or not isinstance(
                weight, int | float | np.integer | np.floating
            ):
                raise InvalidQueryError(
                    f"field {self.name!r}, {where}: column {shown(column)} has weight "
                    f"{shown(weight)}; weights are numbers"
                )

    def builder(
        self, files: Files, folder: Path, memory_bytes: int, segments: Sequence[Any]
    ) -> SparseBuilder:
        return SparseBuilder(files, folder / f"{self.name}.weights", memory_bytes)

    def open_segment(self, file: SegmentFile) -> SparseLists:
        return ListedSegment(file) if is_listed(file) else SparseSegment(file)

    def light_bytes(self, file: SegmentFile) -> int:
        return light_bytes_of_listed(file) if is_listed(file) else light_bytes_of(file)

    def index(self, views: Sequence[View[Any]], cache: ListCache) -> SparseIndex:
        return SparseIndex(views, cache)

    def merge(self, files: Files, path: Path, views: Sequence[View[Any]], memory_bytes: int) -> int:
        return merge_sparse(files, path, views, memory_bytes)

    def salvage(self, file: SegmentFile, damaged: Collection[str]) -> Salvage | None:
        if self.encoder is not None:
            return None  # everything is made again from the texts
        return (salvage_listed if is_listed(file) else salvage_sparse)(file, damaged)

    def explain(self, index: SparseIndex, query: tuple[Any, Any], unit: int) -> dict[str, Any]:
        """What each column adds to the score."""
        parts = index.contributions(query, np.array([unit], np.int64))[:, 0]
        return {
            "columns": {
                int(column): float(part)
                for column, part in zip(query[0].tolist(), parts, strict=False)
                if part > 0
            }
        }
