"""Dense fields: one vector a passage, from an encoder or from the user."""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from math import ceil
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from bigrain.codecs.adapter import QueryAdapter, fingerprint_digest
from bigrain.codecs.dense import CodeSettings, DenseCodec
from bigrain.config import DenseField
from bigrain.encoders.one_pass import OnePass
from bigrain.errors import (
    DamagedError,
    EncoderMismatchError,
    InvalidQueryError,
    InvalidVectorsError,
    StorageError,
)
from bigrain.families.base import (
    ALONE,
    LARGEST,
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
from bigrain.families.encoded import EncodedFamily
from bigrain.index.base import View
from bigrain.index.coded import code_bytes_of
from bigrain.index.coded_codec import read_codec
from bigrain.index.coded_writing import learned_bytes
from bigrain.index.dense import DenseIndex, DenseSegment, DenseSpec
from bigrain.index.dense_writing import Asked, DenseBuilder, merge_dense
from bigrain.index.postings import ListCache
from bigrain.index.salvage import Salvage, salvage_dense
from bigrain.storage.files import Files
from bigrain.storage.segment import SegmentFile

__all__ = ["DenseFamily"]

FLOAT16_MAX = 65504.0
FITTING_BYTES, FITTING_BYTES_SQUARED = 4 << 20, 20  # measured
RECODED = ("light_bytes", "code", "bits", "reduction")  # from the originals
CHECKED_BYTES = 1 << 20  # some five times as much passes through memory
Floats = npt.NDArray[np.float32]


class _Given:
    """The user's array; stretches of it take their stored form when they are asked for."""

    def __init__(self, family: DenseFamily, vectors: npt.NDArray[Any]) -> None:
        self._family, self._vectors = family, vectors
        self.step = max(1, CHECKED_BYTES // (4 * family.dim))

    def __len__(self) -> int:
        return len(self._vectors)

    def __getitem__(self, rows: slice) -> Floats:
        first = rows.start or 0
        return self._family.stored_form(self._vectors[rows], lambda row: row_number(first + row))


class DenseFamily(EncodedFamily):
    dim: int
    fits_queries: ClassVar[bool] = True

    def __init__(self, name: str, spec: DenseField) -> None:
        self.encoder = encoder_of(name, spec.encoder, "dense", spec.dim)
        if self.encoder is not None:
            spec = replace(spec, dim=self.encoder.dim)
        assert spec.dim is not None
        self.name, self.spec = name, spec
        self.dim = spec.dim
        self._segment_spec = _segment_spec(spec)
        self._like: Floats | None = None
        self._codec: DenseCodec | None = None
        self._keeps = True
        self.adapter: QueryAdapter | None = None

    def recoded(self, spec: DenseField, like: Floats | None = None) -> DenseFamily:
        require_same_originals(self.name, self.spec, spec, RECODED)
        family = copy.copy(self)
        family.spec, family._like, family._codec = spec, like, None
        family._segment_spec = _segment_spec(spec)
        return family

    def coding(self, codec: DenseCodec) -> DenseFamily:
        """The same field whose merges take this codec; it must suit the field."""
        family = copy.copy(self)
        family._codec = codec
        return family

    def forgetting(self) -> DenseFamily:
        """The same field whose merges fit codes anew, though there are learned ones."""
        family = copy.copy(self)
        family._keeps = False
        return family

    def coding_like(self, files: Iterable[SegmentFile]) -> DenseFamily:
        """The same field coded with the best of the codecs that lie in these segments, if any.

        Segments may be damaged; only codecs that saw queries are taken over.
        """
        found = []
        for file in files:
            with suppress(DamagedError, StorageError):
                found.append(read_codec(file, self.dim, self.spec.metric))
        lasting = [c for c in found if c.lasts and c.suits(self._segment_spec.settings)]
        return self.coding(max(lasting, key=lambda c: c.trust)) if lasting else self

    def adapted(self, adapter: QueryAdapter | None) -> DenseFamily:
        """The same field asked through this adapter, or through none.

        `EncoderMismatchError` if it was learned from another encoder's queries.
        """
        if adapter is not None:
            known = fingerprint_digest(self.fingerprint())
            if adapter.fingerprint != known:
                raise EncoderMismatchError(
                    f"field {self.name!r}: its query adapter was learned for an encoder with the "
                    f"fingerprint {adapter.fingerprint}, and this one has {known}; bring that one"
                )
        family = copy.copy(self)
        family.adapter = adapter
        return family

    @property
    def code_settings(self) -> CodeSettings:
        """What its codes are."""
        return self._segment_spec.settings

    def alternatives(self, *, queries: bool) -> list[DenseField]:
        field, full = self.spec, ceil(self.dim / 8)
        sizes = {
            "rabitq": (full, 3 * full // 4, full // 2, full // 4),
            "opq": (full, 2 * full // 3, full // 3),
        }
        reduction = "pca" if field.reduction == "leanvec" else field.reduction
        others = [
            replace(field, code=code, bits=None, light_bytes=n, reduction=reduction)
            for code, of_code in sizes.items()
            for n in of_code
            if n
        ]
        if queries:
            narrow = [
                f for f in others if f.code == "rabitq" and 8 * (f.light_bytes or 0) < self.dim
            ]
            others += [replace(f, reduction="leanvec") for f in narrow]
        return list(dict.fromkeys([field, *others]))

    @property
    def fitting_bytes(self) -> int:
        """What fitting takes: products of a narrow code, samples of a learned one."""
        settings = self._segment_spec.settings
        width = settings.width(self.dim)
        n_bytes = learned_bytes(width, settings) if settings.learned else 0
        if width < self.dim and self.spec.reduction != "prefix":
            squared = FITTING_BYTES_SQUARED * (5 if self.spec.reduction == "leanvec" else 1)
            n_bytes = max(n_bytes, squared * self.dim**2)
        return FITTING_BYTES + n_bytes if n_bytes else 0

    def encode_documents(
        self, texts: Sequence[str], where: Where = row_number, one_pass: OnePass = ALONE
    ) -> Floats:
        assert self.encoder is not None
        given = one_pass.documents(self.encoder, texts)
        matrix = as_matrix(self.name, given, self.dim, where)
        if len(matrix) != len(texts):
            raise InvalidVectorsError(
                f"field {self.name!r}: the encoder gave {len(matrix)} vectors for "
                f"{len(texts)} texts"
            )
        return self._stored_form(matrix, where, empty_ok=True)

    def check_vectors(self, ids: Sequence[str], vectors: Any) -> Floats | _Given:
        if isinstance(vectors, np.ndarray) and vectors.shape[1:] == (self.dim,):
            require_count(self.name, ids, len(vectors))
            given = _Given(self, vectors)
            for start in range(0, len(vectors), given.step):  # all, before any is taken in
                given[start : start + given.step]
            return given
        matrix = as_matrix(self.name, vectors, self.dim)
        require_count(self.name, ids, len(matrix))
        return self._stored_form(matrix, row_number, empty_ok=False)

    def stored_form(self, vectors: npt.NDArray[Any], where: Where) -> Floats:
        """Vectors that a user brought, checked and as they will be stored."""
        matrix = as_matrix(self.name, vectors, self.dim, where)
        return self._stored_form(matrix, where, empty_ok=False)

    def _stored_form(self, matrix: Floats, where: Where, *, empty_ok: bool) -> Floats:
        """Unit length under cosine; within the range of the stored type."""
        if self.spec.metric == "cosine":
            norms = np.linalg.norm(matrix.astype(np.float64), axis=1)
            zero = np.flatnonzero(norms == 0)
            if len(zero) and not empty_ok:
                raise InvalidVectorsError(
                    f"field {self.name!r}, {where(int(zero[0]))}: a zero vector has no direction "
                    "under cosine; leave the document out, or use metric='ip'"
                )
            norms[zero] = 1.0
            return np.asarray(matrix / norms[:, None], np.float32)
        if self.spec.heavy == "float16":
            large = np.flatnonzero(np.abs(matrix).max(axis=1, initial=0) > FLOAT16_MAX)
            if len(large):
                raise InvalidVectorsError(
                    f"field {self.name!r}, {where(int(large[0]))}: a number beyond "
                    f"{FLOAT16_MAX:,.0f} does not fit float16; make the field with "
                    "heavy='float32' or 'bfloat16'"
                )
        return require_products(self.name, matrix, where)

    def accepts(self, query: Any) -> bool:
        if isinstance(query, str):
            return self.encoder is not None
        return shape_of(query) == (self.dim,)

    def queries(self, queries: Sequence[Any], one_pass: OnePass = ALONE) -> Floats:
        """Text, or vectors of shape (dim,), as (Q, dim) through the adapter, if there is one."""
        return self.asked(self.plain_queries(queries, one_pass))

    def asked(self, queries: Floats) -> Floats:
        """(Q, dim) plain queries as they are asked."""
        return queries if self.adapter is None else self.adapter(queries, self.spec.metric)

    def plain_queries(self, queries: Sequence[Any], one_pass: OnePass = ALONE) -> Floats:
        """Text, or vectors of shape (dim,), as (Q, dim); unit length under cosine."""
        out = self._vectors(queries)
        if out is not None:
            return out
        out = self._one_by_one(queries, one_pass)
        return _unit(out)[0] if self.spec.metric == "cosine" else out

    def _vectors(self, queries: Sequence[Any]) -> Floats | None:
        """Sound vectors as `queries` gives them; None if one is text or not sound."""
        shape = (self.dim,)
        if not all(
            isinstance(query, np.ndarray) and query.shape == shape and query.dtype.kind in "fiu"
            for query in queries
        ):
            return None
        with np.errstate(over="ignore", invalid="ignore"):
            out = np.array(queries, np.float32).reshape(-1, self.dim)
            if self.spec.metric == "cosine":
                out, lengths = _unit(out)
                sound = (lengths > 0) & (lengths < np.inf)
            else:
                sound = np.abs(out).max(axis=1, initial=0) <= LARGEST
        return out if sound.all() else None

    def _one_by_one(self, queries: Sequence[Any], one_pass: OnePass) -> Floats:
        """(Q, dim); refuses what is not sound, by name."""
        texts = [i for i, query in enumerate(queries) if isinstance(query, str)]
        out = np.empty((len(queries), self.dim), np.float32)
        if texts:
            for i in texts:
                check_text_query(self.name, queries[i], self.encoder)
            assert self.encoder is not None
            found = one_pass.queries(self.encoder, [queries[i] for i in texts])
            if len(found := as_matrix(self.name, found, self.dim)) != len(texts):
                raise InvalidVectorsError(
                    f"field {self.name!r}: the encoder gave {len(found)} vectors for "
                    f"{len(texts)} queries"
                )
            out[texts] = found
        for i, query in enumerate(queries):
            if not isinstance(query, str):
                try:
                    out[i] = self._vector_query(query)
                except InvalidQueryError as error:
                    if len(queries) == 1:
                        raise
                    raise InvalidQueryError(f"{error} (query {i})") from None
        return out

    def _vector_query(self, query: Any) -> Floats:
        try:
            given = np.asarray(query)
        except (OverflowError, TypeError, ValueError):
            given = np.empty(0, object)
        if given.dtype.kind not in "fiu":
            of = f" of {given.dtype}" if given.dtype.kind != "O" else ""
            raise InvalidQueryError(
                f"field {self.name!r}: a query is text or {self.dim} numbers, got "
                f"{type(query).__name__}{of}"
            )
        with np.errstate(over="ignore"):
            vector = given.astype(np.float32)
        if vector.shape != (self.dim,):
            raise InvalidQueryError(
                f"field {self.name!r}: a query vector has shape ({self.dim},), got {vector.shape}"
            )
        if not np.isfinite(vector).all():
            raise InvalidQueryError(f"field {self.name!r}: the query vector holds NaN or infinity")
        if self.spec.metric != "cosine" and np.abs(vector).max(initial=0) > LARGEST:
            raise InvalidQueryError(
                f"field {self.name!r}: the query vector holds a number beyond {LARGEST:g}, so that "
                "scores would overflow"
            )
        if self.spec.metric == "cosine" and not vector.any():
            raise InvalidQueryError(f"field {self.name!r}: a zero vector has no direction")
        return vector

    def builder(
        self, files: Files, folder: Path, memory_bytes: int, segments: Sequence[DenseSegment]
    ) -> DenseBuilder:
        settings = self._segment_spec.settings
        codecs = [s.codec for s in segments if s.codec.suits(settings)]
        codec = self._codec or max(codecs, key=lambda codec: codec.trust, default=None)
        path = folder / f"{self.name}.rows"
        return DenseBuilder(self._segment_spec, files, path, memory_bytes, codec, self._asked)

    @property
    def _asked(self) -> Asked | None:
        return None if self.adapter is None else self.asked

    def open_segment(self, file: SegmentFile) -> DenseSegment:
        return DenseSegment(self._segment_spec, file)

    def light_bytes(self, file: SegmentFile) -> int:
        return code_bytes_of(file)

    def index(self, views: Sequence[View[Any]], cache: ListCache) -> DenseIndex:
        return DenseIndex(self._segment_spec, views, self._asked)

    def merge(self, files: Files, path: Path, views: Sequence[View[Any]], memory_bytes: int) -> int:
        return merge_dense(
            self._segment_spec, files, path, views, memory_bytes, self._like, self._codec,
            self._asked, self._keeps,
        )  # fmt: skip

    def salvage(self, file: SegmentFile, damaged: Collection[str]) -> Salvage | None:
        return salvage_dense(self._segment_spec, file, damaged)

    def explain(self, index: DenseIndex, query: Floats, unit: int) -> dict[str, Any]:
        return {"metric": self.spec.metric}


def _unit(vectors: Floats) -> tuple[Floats, npt.NDArray[np.float64]]:
    """Vectors (n, dim) at unit length, zero ones as they are, and the lengths (n,) they had."""
    wide = vectors.astype(np.float64)
    lengths = np.sqrt((wide * wide).sum(axis=1))
    wide /= np.where(lengths > 0, lengths, 1)[:, None]
    return wide.astype(np.float32), lengths


def _segment_spec(spec: DenseField) -> DenseSpec:
    assert spec.dim is not None and spec.light_bytes is not None and spec.bits is not None
    return DenseSpec(
        spec.dim, spec.metric, spec.light_bytes, spec.heavy, spec.code, spec.bits, spec.reduction
    )
