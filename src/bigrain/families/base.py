"""What a family does for a field, from text or vectors to an index that can be asked."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from bigrain.config import Field
from bigrain.encoders.base import Encoder
from bigrain.encoders.one_pass import OnePass
from bigrain.errors import ConfigError, InvalidQueryError, InvalidVectorsError
from bigrain.index.base import Builder, FieldIndex, Segment, View
from bigrain.index.coded import CodedSegment
from bigrain.index.postings import ListCache
from bigrain.index.salvage import Salvage
from bigrain.registry import make_encoder
from bigrain.storage.files import Files
from bigrain.storage.segment import SegmentFile

__all__ = [
    "ALONE",
    "LARGEST",
    "CodedFamily",
    "Family",
    "Where",
    "as_matrix",
    "check_text_query",
    "encoder_of",
    "first_bad_row",
    "is_sparse",
    "require_count",
    "require_products",
    "require_same_originals",
    "row_number",
    "shape_of",
]

LARGEST = 1e15  # of a stored number or a query's: sums of products stay within float32
Where = Callable[[int], str]
ALONE = OnePass()  # for a field that shares its texts with no other


def row_number(row: int) -> str:
    """How messages name a row of what the caller passed."""
    return f"row {row}"


class Family(Protocol):
    """One field at work. `per_passage`: a row for every passage, else one a document."""

    per_passage: bool

    @property
    def encoder(self) -> Encoder | None:
        """What makes its representations of text; None where the field does so itself, or none."""
        ...

    @property
    def name(self) -> str: ...
    @property
    def spec(self) -> Field: ...

    def fingerprint(self) -> dict[str, Any]: ...
    def notices(self, texts: Sequence[str]) -> tuple[str, ...]: ...
    def titled(self, title: str, text: str) -> str:
        """What the field reads of a text under a title."""
        ...

    def encode_documents(
        self, texts: Sequence[str], where: Where = row_number, one_pass: OnePass = ALONE
    ) -> Any:
        """The texts' representations; `where` names the document of a bad one in messages."""
        ...

    def check_vectors(self, ids: Sequence[str], vectors: Any) -> Any:
        """The user's vectors in the builder's form, or `InvalidVectorsError` naming the row."""
        ...

    def accepts(self, query: Any) -> bool:
        """Whether a query of this type can be meant for this field."""
        ...

    def queries(self, queries: Sequence[Any], one_pass: OnePass = ALONE) -> Any:
        """Text or representations in the index's form, or `InvalidQueryError`."""
        ...

    def builder(
        self, files: Files, folder: Path, memory_bytes: int, segments: Sequence[Any]
    ) -> Builder: ...
    def open_segment(self, file: SegmentFile) -> Segment: ...
    def light_bytes(self, file: SegmentFile) -> int:
        """What a segment takes in memory once it is opened, by its table alone."""
        ...

    def index(self, views: Sequence[View[Any]], cache: ListCache) -> FieldIndex: ...
    def merge(self, files: Files, path: Path, views: Sequence[View[Any]], memory_bytes: int) -> int:
        """Write one segment out of the live rows of several; its number of rows (0: no file)."""
        ...

    def salvage(self, file: SegmentFile, damaged: Collection[str]) -> Salvage | None:
        """What can be believed of a segment with damaged sections; None: no row of it."""
        ...

    def explain(self, index: Any, query: Any, unit: int) -> dict[str, Any]:
        """Why a unit scores what it scores, in this field's own terms."""
        ...


@runtime_checkable
class CodedFamily(Family, Protocol):
    """A family whose codes can be made anew from its originals.

    `fits_queries`: some of its codes can be fitted to queries.
    """

    fits_queries: ClassVar[bool]

    def recoded(self, spec: Any, like: Any = None) -> CodedFamily:
        """The same field with other codes; its encoder and originals stay.

        A reduction that looks at queries is fitted to ones `like` these.
        """
        ...

    def alternatives(self, *, queries: bool) -> list[Any]:
        """Definitions of the field as it is, and with other codes worth trying.

        `queries`: there are some that a reduction can be fitted to.
        """
        ...

    def open_segment(self, file: SegmentFile) -> CodedSegment: ...


def require_same_originals(name: str, old: Field, new: Field, recoded: Sequence[str]) -> None:
    """Only the settings `recoded` can change: codes are made from what the others say is there."""
    before, after = asdict(old), asdict(new)
    if fixed := [key for key in before if before[key] != after[key] and key not in recoded]:
        raise ConfigError(
            f"field {name!r}: {fixed[0]}={before[fixed[0]]!r} is what its originals are; "
            f"only {', '.join(recoded)} can change, not to {fixed[0]}={after[fixed[0]]!r}"
        )


def encoder_of(field: str, name: str | None, family: str, dim: int | None) -> Encoder | None:
    """The encoder that a field names; `dim` is the width that the field was given."""
    if name is None:
        return None
    try:
        encoder = make_encoder(name, family)
    except ConfigError as error:
        raise ConfigError(f"field {field!r}: {error}") from error
    if dim is not None and encoder.dim not in (None, dim):
        raise ConfigError(
            f"field {field!r}: dim={dim}, but encoder {name!r} gives {encoder.dim}; leave dim out"
        )
    return encoder


def as_matrix(
    name: str, vectors: Any, dim: int, where: Where = row_number
) -> npt.NDArray[np.float32]:
    """Numbers of shape (n, dim), finite, as float32."""
    if isinstance(vectors, np.ma.MaskedArray) and np.ma.is_masked(vectors):
        raise InvalidVectorsError(
            f"field {name!r}: vectors with masked numbers; fill them, or leave the documents out"
        )
    if callable(getattr(vectors, "detach", None)):  # a torch tensor, of any device and type
        vectors = vectors.detach().cpu()
        vectors = vectors.float() if vectors.is_floating_point() else vectors
    try:
        array = np.asarray(vectors)
    except (OverflowError, RuntimeError, TypeError, ValueError) as error:
        why = "of unequal length" if isinstance(error, ValueError) else "that are no numbers"
        raise InvalidVectorsError(f"field {name!r}: vectors {why} ({error})") from None
    if array.dtype.kind not in "fiu" or array.ndim != 2:
        raise InvalidVectorsError(
            f"field {name!r}: expected a (n, {dim}) array of numbers, got shape {array.shape} of "
            f"{array.dtype}"
        )
    if array.shape[1] != dim:
        raise InvalidVectorsError(
            f"field {name!r}: vectors are {array.shape[1]} wide, the field is {dim}"
        )
    with np.errstate(over="ignore"):
        matrix = np.ascontiguousarray(array, np.float32)
    bad = first_bad_row(matrix)
    if bad is not None:
        row, why = bad
        raise InvalidVectorsError(f"field {name!r}, {where(row)}: {why}")
    return matrix


def require_products(
    name: str, matrix: npt.NDArray[np.float32], where: Where = row_number
) -> npt.NDArray[np.float32]:
    """Numbers small enough that scores, which are sums of products, are finite."""
    large = np.flatnonzero(np.abs(matrix).max(axis=1, initial=0) > LARGEST)
    if len(large):
        raise InvalidVectorsError(
            f"field {name!r}, {where(int(large[0]))}: a number beyond {LARGEST:g}, so that scores "
            "would overflow; divide all vectors by one number"
        )
    return matrix


def first_bad_row(matrix: npt.NDArray[np.float32]) -> tuple[int, str] | None:
    """The first row with a number that is not finite, and what it is."""
    finite = np.isfinite(matrix)
    if finite.all():
        return None
    row, column = (int(i) for i in np.argwhere(~finite)[0])
    return (
        row,
        f"the number at position {column} is {matrix[row, column]}; every one must be finite",
    )


def is_sparse(value: Any) -> bool:
    """Whether this is a sparse matrix: SciPy's, a `SparseMatrix`, or one with the same arrays."""
    return hasattr(value, "shape") and (hasattr(value, "tocsr") or hasattr(value, "indptr"))


def shape_of(query: Any) -> tuple[int, ...] | None:
    """The shape of an array or nested lists; None for ragged lists, and for sparse matrices."""
    if is_sparse(query):
        return None
    try:
        return tuple(np.shape(query))
    except (ValueError, TypeError):
        return None


def require_count(name: str, ids: Sequence[object], n: int) -> None:
    """As many vectors as ids."""
    if len(ids) != n:
        raise InvalidVectorsError(f"field {name!r}: {len(ids)} ids but {n} vectors")


def check_text_query(name: str, query: Any, encoder: object) -> str:
    """The query, if it is text and the field can encode text."""
    if not isinstance(query, str):
        raise InvalidQueryError(f"field {name!r} takes text, got {type(query).__name__}")
    if encoder is None:
        raise InvalidQueryError(
            f"field {name!r} has no encoder, so it cannot be asked with text; pass a vector, or "
            "name other fields with fields=[...]"
        )
    if not query.strip():
        raise InvalidQueryError("the query is empty; ask with at least one word")
    return query
