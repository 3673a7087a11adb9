"""Multi-vector fields: a ragged array of token vectors, one record a passage."""

from __future__ import annotations

import copy
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bigrain.codecs.pooling.centroids import Centroids
from bigrain.codecs.pooling.groups import Pooling, full_length
from bigrain.codecs.pooling.ward import Ward
from bigrain.codecs.token_scores import best_tokens
from bigrain.config import USUAL_TOKEN_DIM, MultiVectorField
from bigrain.encoders.one_pass import OnePass, source_of
from bigrain.errors import InvalidQueryError, InvalidVectorsError, shown
from bigrain.families.base import (
    ALONE,
    Where,
    as_matrix,
    check_text_query,
    encoder_of,
    require_count,
    require_products,
    require_same_originals,
    row_number,
    shape_of,
)
from bigrain.families.dense import FLOAT16_MAX
from bigrain.families.encoded import EncodedFamily
from bigrain.index.base import View
from bigrain.index.multivector import (
    MultiVectorIndex,
    MultiVectorSegment,
    MultiVectorSpec,
    light_bytes_of,
)
from bigrain.index.multivector_plain import PlainSegment, is_plain, light_bytes_of_plain
from bigrain.index.multivector_writing import MultiVectorBuilder, merge_multivector
from bigrain.index.postings import ListCache
from bigrain.index.salvage import Salvage, salvage_multivector, salvage_plain
from bigrain.storage.files import Files
from bigrain.storage.segment import SegmentFile

__all__ = ["MultiVectorFamily"]

MAX_QUERY_TOKENS = 10_000
RECODED = ("light", "light_bytes", "sketch")  # from the originals
TRIED = (
    *(("mean", n, 0) for n in (32, 64, 96, 128)),
    *(("mean", n, 64) for n in (32, 64)),
    *((light, n, 0) for light in ("regression", "fde") for n in (64, 128)),
)
Ragged = tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]


class MultiVectorFamily(EncodedFamily):
    dim: int
    fits_queries = False

    def __init__(self, name: str, spec: MultiVectorField) -> None:
        self.encoder = encoder_of(name, spec.encoder, "multivector", spec.dim)
        if self.encoder is not None:
            spec = replace(spec, dim=self.encoder.dim or spec.dim or USUAL_TOKEN_DIM)
        assert spec.dim is not None
        self.name, self.spec, self.dim = name, spec, spec.dim
        self._segment_spec = _segment_spec(spec)

    def recoded(self, spec: MultiVectorField, like: Any = None) -> MultiVectorFamily:
        """The same field with other codes; its encoder and originals stay."""
        require_same_originals(self.name, self.spec, spec, RECODED)
        family = copy.copy(self)
        family.spec = spec
        family._segment_spec = _segment_spec(spec)
        return family

    def alternatives(self, *, queries: bool) -> list[MultiVectorField]:
        others = [
            replace(self.spec, light=light, light_bytes=n, sketch=sketch)
            for light, n, sketch in TRIED
        ]
        return list(dict.fromkeys([self.spec, *others]))

    def encode_documents(
        self, texts: Sequence[str], where: Where = row_number, one_pass: OnePass = ALONE
    ) -> Ragged:
        assert self.encoder is not None
        return self._stored(one_pass.documents(self.encoder, texts), len(texts), where)

    def check_vectors(self, ids: Sequence[str], vectors: Any) -> Ragged:
        def where(row: int) -> str:
            return f"row {row}" + (f" (document {ids[row]!r})" if row < len(ids) else "")

        return self._stored(vectors, len(ids), where)

    def _stored(self, vectors: Any, n: int, where: Where) -> Ragged:
        """Token vectors of documents, checked and as they will be stored."""
        values, offsets = self._ragged(vectors, n, where)

        def owner(token: int) -> str:
            return where(int(np.searchsorted(offsets, token, side="right")) - 1)

        self._require_storable(values, owner)
        pooling = _pooling(self.spec)
        if pooling is None:
            return values, offsets
        pooled = full_length(pooling(values, offsets), values, offsets)
        return pooled.values, pooled.offsets

    def _ragged(self, vectors: Any, n: int, where: Where) -> Ragged:
        """n rows of at least one finite token vector each."""
        first = vectors[0] if isinstance(vectors, tuple) and vectors else vectors
        if len(getattr(first, "shape", ())) == 3:
            vectors = self._unpadded(vectors, where)
        if isinstance(vectors, list):
            vectors = self._joined(vectors, where)
        if not (isinstance(vectors, tuple) and len(vectors) == 2):
            raise InvalidVectorsError(
                f"field {self.name!r}: expected (values (T, {self.dim}), offsets (n + 1,)), a list "
                f"of arrays (tokens, {self.dim}), or an array (n, tokens, {self.dim}), got "
                f"{type(vectors).__name__}"
            )
        try:
            offsets = np.asarray(vectors[1])
        except (OverflowError, TypeError, ValueError):
            offsets = np.empty(0, object)
        if offsets.dtype.kind not in "iu" or offsets.ndim != 1 or len(offsets) < 1:
            raise InvalidVectorsError(
                f"field {self.name!r}: offsets must be whole numbers, (n + 1,)"
            )
        offsets = offsets.astype(np.int64)

        def owner(token: int) -> str:
            return where(int(np.searchsorted(offsets, token, side="right")) - 1)

        values = as_matrix(self.name, vectors[0], self.dim, owner)
        if offsets[0] != 0 or offsets[-1] != len(values):
            raise InvalidVectorsError(
                f"field {self.name!r}: offsets run from {offsets[0]} to {offsets[-1]}; they must "
                f"run from 0 to the number of tokens, {len(values)}"
            )
        short = np.flatnonzero(offsets[1:] <= offsets[:-1])
        if len(short):
            row = int(short[0])
            raise InvalidVectorsError(
                f"field {self.name!r}, {where(row)}: tokens from {int(offsets[row])} to "
                f"{int(offsets[row + 1])}; every row needs at least one"
            )
        require_count(self.name, range(n), len(offsets) - 1)
        return values, offsets

    def _unpadded(self, vectors: Any, where: Where) -> list[Any]:
        """The rows of (n, tokens, dim), or of that and how many tokens of each row count (n,)."""
        if not isinstance(vectors, tuple):
            return list(vectors)
        padded = vectors[0]
        n, width = padded.shape[:2]
        try:
            counts = np.asarray(vectors[1]) if len(vectors) == 2 else np.empty(0, object)
        except (OverflowError, TypeError, ValueError):
            counts = np.empty(0, object)
        if counts.dtype.kind not in "iu" or counts.shape != (n,):
            raise InvalidVectorsError(
                f"field {self.name!r}: an array (n, tokens, {self.dim}) comes alone, or with "
                f"{n} whole numbers, how many tokens of each row count"
            )
        odd = np.flatnonzero((counts < 1) | (counts > width))
        if len(odd):
            row = int(odd[0])
            raise InvalidVectorsError(
                f"field {self.name!r}, {where(row)}: {int(counts[row])} tokens of {width}; every "
                f"row needs 1 to {width}"
            )
        return [tokens[:count] for tokens, count in zip(padded, counts.tolist(), strict=True)]

    def _joined(self, rows: list[Any], where: Where) -> Ragged:
        """Arrays of tokens, one a document, in one."""
        parts = []
        for row, tokens in enumerate(rows):
            shape = shape_of(tokens)
            if shape is None or len(shape) != 2 or shape[1] != self.dim:
                raise InvalidVectorsError(
                    f"field {self.name!r}, {where(row)}: expected an array (tokens, {self.dim}), "
                    f"got {type(tokens).__name__} of shape {shape}"
                )
            parts.append(as_matrix(self.name, tokens, self.dim, _always(where(row))))
        offsets = np.cumsum([0, *map(len, parts)], dtype=np.int64)
        return np.concatenate([np.empty((0, self.dim), np.float32), *parts]), offsets

    def _require_storable(self, values: npt.NDArray[np.float32], owner: Where) -> None:
        if self.spec.heavy in ("float32", "int8"):
            require_products(self.name, values, owner)
            return
        size = np.linalg.norm(values.astype(np.float64), axis=1)
        large = np.flatnonzero(size > FLOAT16_MAX)
        if len(large):
            raise InvalidVectorsError(
                f"field {self.name!r}, {owner(int(large[0]))}: a token of length "
                f"{size[large[0]]:,.0f} does not fit float16, which heavy={self.spec.heavy!r} "
                f"needs; at most {FLOAT16_MAX:,.0f}: normalise the tokens, or choose heavy='int8'"
            )

    def accepts(self, query: Any) -> bool:
        if isinstance(query, str):
            return self.encoder is not None
        shape = shape_of(query)
        return shape is not None and len(shape) == 2 and shape[1] == self.dim

    def queries(
        self, queries: Sequence[Any], one_pass: OnePass = ALONE
    ) -> list[npt.NDArray[np.float32]]:
        """Text, or (m, dim) arrays of token vectors."""
        given = list(queries)
        texts = [i for i, query in enumerate(queries) if isinstance(query, str)]
        for i in texts:
            check_text_query(self.name, queries[i], self.encoder)
        if texts:
            assert self.encoder is not None
            asked = [queries[i] for i in texts]
            found = one_pass.queries(self.encoder, asked)
            values, offsets = self._ragged(found, len(texts), lambda row: f"query {texts[row]}")
            ends = offsets.tolist()
            for i, a, b in zip(texts, ends, ends[1:], strict=False):
                given[i] = values[a:b]
        return [self._query(query, i if len(given) > 1 else None) for i, query in enumerate(given)]

    def _query(self, query: Any, number: int | None) -> npt.NDArray[np.float32]:
        """One query, checked; errors name its `number` in a batch."""
        which = "the query" if number is None else f"query {number}"
        try:
            tokens = require_products(self.name, as_matrix(self.name, query, self.dim))
        except InvalidVectorsError as error:
            told = "" if number is None else f" (query {number})"
            raise InvalidQueryError(f"{error}{told}") from None
        if not len(tokens):
            raise InvalidQueryError(f"field {self.name!r}: {which} has no token vectors")
        if len(tokens) > MAX_QUERY_TOKENS:
            raise InvalidQueryError(
                f"field {self.name!r}: {which} has {len(tokens):,} tokens; at most "
                f"{MAX_QUERY_TOKENS:,}"
            )
        return tokens

    def builder(
        self, files: Files, folder: Path, memory_bytes: int, segments: Sequence[Any]
    ) -> MultiVectorBuilder:
        like = [s for s in segments if not isinstance(s, PlainSegment)]
        path = folder / f"{self.name}.tokens"
        return MultiVectorBuilder(self._segment_spec, files, path, memory_bytes, like)

    def open_segment(self, file: SegmentFile) -> MultiVectorSegment:
        if is_plain(file):
            return PlainSegment(self.dim, file)
        return MultiVectorSegment(self._segment_spec, file)

    def light_bytes(self, file: SegmentFile) -> int:
        return light_bytes_of_plain(file) if is_plain(file) else light_bytes_of(file)

    def index(self, views: Sequence[View[Any]], cache: ListCache) -> MultiVectorIndex:
        return MultiVectorIndex(views)

    def merge(self, files: Files, path: Path, views: Sequence[View[Any]], memory_bytes: int) -> int:
        return merge_multivector(self._segment_spec, files, path, views, memory_bytes)

    def salvage(self, file: SegmentFile, damaged: Collection[str]) -> Salvage | None:
        salvage = salvage_plain if is_plain(file) else salvage_multivector
        return salvage(self.dim, file, damaged)

    def explain(
        self, index: MultiVectorIndex, query: npt.NDArray[np.float32], unit: int
    ) -> dict[str, Any]:
        """What each token of the query adds, and the token of the document that gives it."""
        found = index.tokens(unit)
        if found is None:
            return {"query_tokens": len(query)}
        records, payload = found
        best, scores = best_tokens(records.codec.token_scores(payload, query))
        return {
            "query_tokens": len(query),
            "best_tokens": best.tolist(),
            "token_scores": scores.tolist(),
        }

    def places(
        self, texts: Sequence[str], *, query: bool = False
    ) -> list[npt.NDArray[np.int64]] | None:
        """Where the token vectors of each text stand: rows (token, start, end).

        None without an encoder that tells. `InvalidVectorsError` where it tells something else.
        """
        telling = getattr(source_of(self.encoder), "token_places", None)
        told = None if telling is None else telling(list(texts), query=query)
        if told is None:
            return None
        if len(told) != len(texts):
            raise InvalidVectorsError(
                f"field {self.name!r}: its encoder told places in {len(told)} of {len(texts)} texts"
            )
        return [self._checked(rows, text) for rows, text in zip(told, texts, strict=True)]

    def _checked(self, rows: Any, text: str) -> npt.NDArray[np.int64]:
        places = np.asarray(rows)
        shape = places.ndim == 2 and places.shape[1] == 3 and places.dtype.kind in "iu"
        good = shape and len(places) > 0
        if good:
            tokens, start, end = places.astype(np.int64).T
            good = bool((start >= 0).all() and (start <= end).all() and (end <= len(text)).all())
            good = good and np.unique(tokens).tolist() == list(range(int(tokens.max()) + 1))
        if not good:
            raise InvalidVectorsError(
                f"field {self.name!r}: places of tokens must be whole numbers (p, 3), rows "
                "(token, start, end) within the text with every token from 0 on; its encoder told "
                f"{shown(rows)}"
            )
        return places.astype(np.int64)


def _segment_spec(spec: MultiVectorField) -> MultiVectorSpec:
    assert spec.dim is not None
    return MultiVectorSpec(spec.dim, spec.light, spec.light_bytes, spec.heavy, spec.sketch)


def _pooling(spec: MultiVectorField) -> Pooling | None:
    if spec.max_vectors is not None:
        return Centroids(spec.max_vectors, spec.protected_tokens)
    return Ward(spec.pooling, spec.protected_tokens) if spec.pooling > 1 else None


def _always(told: str) -> Where:
    return lambda _: told
