"""Sparse fields: non-negative weights over numbered columns, one row a passage."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from bigrain.config import SparseField
from bigrain.errors import ConfigError, InvalidInputError, InvalidQueryError, InvalidVectorsError
from bigrain.families.base import (
    LARGEST,
    Where,
    check_text_query,
    require_count,
    row_number,
)
from bigrain.index.base import View
from bigrain.index.builder import PostingsBuilder, merge_postings
from bigrain.index.impacts import Weights
from bigrain.index.inverted import PostingsSegment, light_bytes_of
from bigrain.index.postings import ListCache
from bigrain.index.salvage import Salvage, salvage_sparse
from bigrain.index.sparse import SparseIndex
from bigrain.registry import make_encoder
from bigrain.storage.files import Files
from bigrain.storage.segment import SegmentFile

__all__ = ["SparseFamily"]

MAX_COLUMNS = 2**32


class Csr(NamedTuple):
    """The arrays of a compressed sparse row matrix."""

    data: npt.NDArray[Any]
    indices: npt.NDArray[np.int64]
    indptr: npt.NDArray[np.int64]
    shape: tuple[int, int]


class SparseFamily:
    per_passage = True

    def __init__(self, name: str, spec: SparseField) -> None:
        self.name, self.spec = name, spec
        self.encoder = None if spec.encoder is None else make_encoder(spec.encoder)
        if self.encoder is not None and self.encoder.family != "sparse":
            raise ConfigError(
                f"field {name!r}: encoder {spec.encoder!r} gives {self.encoder.family} "
                "representations, not sparse ones"
            )

    def fingerprint(self) -> dict[str, Any]:
        if self.encoder is None:
            return {"name": "vectors brought by the user"}
        return self.encoder.fingerprint()

    def notices(self, texts: Sequence[str]) -> tuple[str, ...]:
        return () if self.encoder is None else self.encoder.notices(texts)

    def titled(self, title: str, text: str) -> str:
        return f"{title} {text}"

    def encode_documents(self, texts: Sequence[str], where: Where = row_number) -> Csr:
        assert self.encoder is not None
        return self._csr(self.encoder.encode_documents(texts), InvalidVectorsError, where)

    def check_vectors(self, ids: Sequence[str], vectors: Any) -> Csr:
        csr = self._csr(vectors, InvalidVectorsError)
        require_count(self.name, ids, csr.shape[0])
        return csr

    def _csr(self, matrix: Any, error: type[InvalidInputError], where: Where = row_number) -> Csr:
        """A checked CSR matrix: rows, in range, no duplicate, negative or non-finite entries."""
        if not hasattr(matrix, "indptr"):
            if not hasattr(matrix, "tocsr"):
                raise error(
                    f"field {self.name!r}: expected a scipy.sparse CSR matrix, got "
                    f"{type(matrix).__name__}"
                )
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
        width, size = int(matrix.shape[1]), self.spec.vocabulary_size
        if size is not None and width not in (0, size):
            raise error(f"field {self.name!r}: rows are {width} wide, the vocabulary has {size}")
        row_of = np.repeat(np.arange(n), np.diff(indptr))
        limit = self.spec.vocabulary_size or min(width, MAX_COLUMNS) or MAX_COLUMNS

        def refuse(bad: npt.NDArray[np.bool_], why: str) -> None:
            at = np.flatnonzero(bad)
            if len(at):
                place = int(at[0])
                raise error(
                    f"field {self.name!r}, {where(int(row_of[place]))}: column "
                    f"{int(indices[place])} has weight {given[place]}; {why}"
                )

        refuse(~np.isfinite(data), "weights must be finite float32 numbers")
        refuse(data < 0, "weights must be 0 or more")
        refuse(data > LARGEST, f"weights are at most {LARGEST:g}, so that scores do not overflow")
        refuse((indices < 0) | (indices >= limit), f"columns run from 0 to {limit - 1}")
        order = np.lexsort((indices, row_of))
        same = np.zeros(len(indices), bool)
        same[1:] = (np.diff(indices[order]) == 0) & (np.diff(row_of[order]) == 0)
        duplicate = np.zeros(len(indices), bool)
        duplicate[order] = same
        refuse(duplicate, "the column is given twice; sum_duplicates() joins them")
        kept = data[order] > 0
        counts = np.bincount(row_of[order][kept], minlength=n)
        return Csr(
            data[order][kept],
            indices[order][kept],
            np.concatenate(([0], np.cumsum(counts))),
            (n, int(limit)),
        )

    def accepts(self, query: Any) -> bool:
        if isinstance(query, str):
            return self.encoder is not None
        return isinstance(query, Mapping) or (
            hasattr(query, "tocsr") and getattr(query, "shape", (0,))[0] == 1
        )

    def queries(self, queries: Sequence[Any]) -> list[tuple[Any, Any]]:
        """Text, a mapping column -> weight, or a one-row sparse matrix."""
        return [self._query(query) for query in queries]

    def _query(self, query: Any) -> tuple[Any, Any]:
        if isinstance(query, str):
            check_text_query(self.name, query, self.encoder)
            assert self.encoder is not None
            csr = self._csr(self.encoder.encode_queries([query]), InvalidQueryError)
        elif isinstance(query, Mapping):
            whole = all(isinstance(c, int | np.integer) and not isinstance(c, bool) for c in query)
            try:
                if not whole:
                    raise TypeError
                columns = np.fromiter(query.keys(), np.int64, len(query))
                weights = np.fromiter(query.values(), np.float64, len(query))
            except (ValueError, TypeError, OverflowError):
                raise InvalidQueryError(
                    f"field {self.name!r}: a query mapping goes from column numbers to weights"
                ) from None
            ends = np.array([0, len(columns)])
            csr = self._csr(Csr(weights, columns, ends, (1, 0)), InvalidQueryError)
        else:
            csr = self._csr(query, InvalidQueryError)
            if csr.shape[0] != 1:
                raise InvalidQueryError(
                    f"field {self.name!r}: a query is one row, got {csr.shape[0]}; use search_many"
                )
        return csr.indices.astype(np.uint64), csr.data

    def builder(
        self, files: Files, folder: Path, memory_bytes: int, segments: Sequence[Any]
    ) -> PostingsBuilder:
        return PostingsBuilder(Weights(), files, folder, self.name, memory_bytes)

    def open_segment(self, file: SegmentFile) -> PostingsSegment:
        return PostingsSegment(file, Weights())

    def light_bytes(self, file: SegmentFile) -> int:
        return light_bytes_of(file)

    def index(self, views: Sequence[View[Any]], cache: ListCache) -> SparseIndex:
        return SparseIndex(views, cache)

    def merge(self, files: Files, path: Path, views: Sequence[View[Any]], memory_bytes: int) -> int:
        return merge_postings(Weights(), files, path, views, memory_bytes)

    def salvage(self, file: SegmentFile, damaged: Collection[str]) -> Salvage | None:
        return salvage_sparse(file, damaged) if self.encoder is None else None

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
