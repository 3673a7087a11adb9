"""Dense fields: one vector a passage, from an encoder or from the user."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bigrain.config import DenseField
from bigrain.errors import ConfigError, InvalidQueryError, InvalidVectorsError
from bigrain.families.base import as_matrix, check_text_query, require_count, shape_of
from bigrain.index.base import Units, View
from bigrain.index.dense import (
    DenseBuilder,
    DenseIndex,
    DenseSegment,
    DenseSpec,
    merge_dense,
)
from bigrain.index.postings import ListCache
from bigrain.registry import make_encoder
from bigrain.storage.files import Files
from bigrain.storage.segment import SegmentFile

__all__ = ["DenseFamily"]

FLOAT16_MAX = 65504.0
Floats = npt.NDArray[np.float32]


class DenseFamily:
    per_passage = True

    def __init__(self, name: str, spec: DenseField) -> None:
        self.encoder = None if spec.encoder is None else make_encoder(spec.encoder)
        if self.encoder is not None:
            if self.encoder.family != "dense":
                raise ConfigError(
                    f"field {name!r}: encoder {spec.encoder!r} gives {self.encoder.family} "
                    "representations, not dense ones"
                )
            if spec.dim is not None and self.encoder.dim != spec.dim:
                raise ConfigError(
                    f"field {name!r}: dim={spec.dim}, but encoder {spec.encoder!r} gives "
                    f"{self.encoder.dim}; leave dim out"
                )
            spec = DenseField(
                dim=self.encoder.dim,
                metric=spec.metric,
                light_bytes=spec.light_bytes,
                encoder=spec.encoder,
                heavy=spec.heavy,
            )
        assert spec.dim is not None and spec.light_bytes is not None
        self.name, self.spec = name, spec
        self.dim = spec.dim
        self._segment_spec = DenseSpec(spec.dim, spec.metric, spec.light_bytes, spec.heavy)

    def fingerprint(self) -> dict[str, Any]:
        if self.encoder is None:
            return {"name": "vectors brought by the user", "dim": self.dim}
        return self.encoder.fingerprint()

    def notices(self, texts: Sequence[str]) -> tuple[str, ...]:
        return () if self.encoder is None else self.encoder.notices(texts)

    def encode_documents(self, texts: Sequence[str]) -> Floats:
        assert self.encoder is not None
        matrix = as_matrix(self.name, self.encoder.encode_documents(texts), self.dim)
        if len(matrix) != len(texts):
            raise InvalidVectorsError(
                f"field {self.name!r}: the encoder gave {len(matrix)} vectors for "
                f"{len(texts)} texts"
            )
        return self._stored_form(matrix, empty_ok=True)

    def check_vectors(self, ids: Sequence[str], vectors: Any) -> Floats:
        matrix = as_matrix(self.name, vectors, self.dim)
        require_count(self.name, ids, len(matrix))
        return self._stored_form(matrix, empty_ok=False)

    def _stored_form(self, matrix: Floats, *, empty_ok: bool) -> Floats:
        """Unit length under cosine; within the range of the stored type."""
        if self.spec.metric == "cosine":
            norms = np.linalg.norm(matrix.astype(np.float64), axis=1)
            zero = np.flatnonzero(norms == 0)
            if len(zero) and not empty_ok:
                raise InvalidVectorsError(
                    f"field {self.name!r}, row {int(zero[0])}: a zero vector has no direction "
                    "under cosine; leave the document out, or use metric='ip'"
                )
            norms[zero] = 1.0
            return np.asarray(matrix / norms[:, None], np.float32)
        if self.spec.heavy == "float16":
            large = np.flatnonzero(np.abs(matrix).max(axis=1, initial=0) > FLOAT16_MAX)
            if len(large):
                raise InvalidVectorsError(
                    f"field {self.name!r}, row {int(large[0])}: a number beyond {FLOAT16_MAX:,.0f} "
                    "does not fit float16; make the field with heavy='float32'"
                )
        return matrix

    def accepts(self, query: Any) -> bool:
        if isinstance(query, str):
            return self.encoder is not None
        return shape_of(query) == (self.dim,)

    def queries(self, queries: Sequence[Any]) -> Floats:
        """Text, or vectors of shape (dim,), as (Q, dim); unit length under cosine."""
        texts = [i for i, query in enumerate(queries) if isinstance(query, str)]
        out = np.empty((len(queries), self.dim), np.float32)
        if texts:
            for i in texts:
                check_text_query(self.name, queries[i], self.encoder)
            assert self.encoder is not None
            found = self.encoder.encode_queries([queries[i] for i in texts])
            if len(found := as_matrix(self.name, found, self.dim)) != len(texts):
                raise InvalidVectorsError(
                    f"field {self.name!r}: the encoder gave {len(found)} vectors for "
                    f"{len(texts)} queries"
                )
            out[texts] = found
        for i, query in enumerate(queries):
            if not isinstance(query, str):
                out[i] = self._vector_query(query)
        if self.spec.metric == "cosine":
            norms = np.linalg.norm(out.astype(np.float64), axis=1, keepdims=True)
            out = (out / np.where(norms > 0, norms, 1)).astype(np.float32)
        return out

    def _vector_query(self, query: Any) -> Floats:
        try:
            with np.errstate(over="ignore"):
                vector = np.asarray(query, np.float32)
        except (ValueError, TypeError):
            raise InvalidQueryError(
                f"field {self.name!r}: a query is text or {self.dim} numbers, got "
                f"{type(query).__name__}"
            ) from None
        if vector.shape != (self.dim,):
            raise InvalidQueryError(
                f"field {self.name!r}: a query vector has shape ({self.dim},), got {vector.shape}"
            )
        if not np.isfinite(vector).all():
            raise InvalidQueryError(f"field {self.name!r}: the query vector holds NaN or infinity")
        if self.spec.metric == "cosine" and not vector.any():
            raise InvalidQueryError(f"field {self.name!r}: a zero vector has no direction")
        return vector

    def builder(
        self, files: Files, folder: Path, memory_bytes: int, segments: Sequence[DenseSegment]
    ) -> DenseBuilder:
        fitted = max(segments, key=lambda s: s.codec.fitted_on, default=None)
        codec = None if fitted is None else fitted.codec
        return DenseBuilder(self._segment_spec, files, folder / f"{self.name}.rows", codec)

    def open_segment(self, file: SegmentFile) -> DenseSegment:
        return DenseSegment(self._segment_spec, file)

    def index(self, views: Sequence[View[Any]], cache: ListCache) -> DenseIndex:
        return DenseIndex(self._segment_spec, views)

    def merge(self, files: Files, path: Path, views: Sequence[View[Any]]) -> Units:
        return merge_dense(self._segment_spec, files, path, views)

    def explain(self, index: DenseIndex, query: Floats, unit: int) -> dict[str, Any]:
        return {"metric": self.spec.metric}
