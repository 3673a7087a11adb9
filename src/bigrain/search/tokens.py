"""What the tokens of one document have to do with those of a query: heat maps, spans."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bigrain.codecs.token_scores import span_scores
from bigrain.errors import InvalidQueryError, UnknownDocumentError, UnknownFieldError, shown
from bigrain.index.multivector import MultiVectorIndex
from bigrain.search.view import FieldView, SnapshotView
from bigrain.storage.rows import StoredDocument

__all__ = ["Asked", "ask", "scores_of_spans", "scores_of_tokens", "scores_of_unit"]

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Asked:
    """A document, and a query in the form of one of its multi-vector fields."""

    name: str
    field: FieldView
    query: Floats  # (m, dim)
    document: StoredDocument

    def scores(self, unit: int) -> Floats:
        """(t, m) products of a passage's tokens with the query's."""
        found = scores_of_unit(self.field, self.query, unit)
        if found is None:
            raise InvalidQueryError(
                f"field {self.name!r} has no tokens of a document with the id "
                f"{shown(self.document.id)}"
            )
        return found


def ask(view: SnapshotView, query: Any, identifier: str, field: str | None) -> Asked:
    """`field` None asks the only multi-vector field there is."""
    able = [name for name, f in view.fields.items() if isinstance(f.index, MultiVectorIndex)]
    name = able[0] if field is None and len(able) == 1 else field
    if field is None and len(able) > 1:
        raise UnknownFieldError(f"several multi-vector fields: name one of {', '.join(able)}")
    if name not in able:
        raise UnknownFieldError(
            f"field={shown(field)} is no multi-vector field of this collection; it has "
            f"{', '.join(able) or 'none'}"
        )
    (tokens,) = view.fields[name].family.queries([query])
    stored = view.catalogue.documents_by_id([identifier], view.number).get(identifier)
    if stored is None:
        raise UnknownDocumentError(f"no document has the id {shown(identifier)}")
    return Asked(name, view.fields[name], tokens, stored)


def scores_of_unit(field: FieldView, query: Floats, unit: int) -> Floats | None:
    """(t, m) products of a passage's tokens with those of a query; None if it has none."""
    assert isinstance(field.index, MultiVectorIndex)
    found = field.index.tokens(unit)
    if found is None:
        return None
    records, payload = found
    return records.codec.token_scores(payload, query)


def scores_of_tokens(view: SnapshotView, query: Any, identifier: str, field: str | None) -> Floats:
    """(t, m) products of the tokens of a document with those of a query."""
    asked = ask(view, query, identifier, field)
    return asked.scores(asked.document.docno)


def scores_of_spans(
    view: SnapshotView,
    query: Any,
    identifier: str,
    spans: Sequence[tuple[int, int]],
    field: str | None,
) -> Floats:
    """(S,) MaxSim of stretches of a document's tokens."""
    scores = scores_of_tokens(view, query, identifier, field)
    name = field or next(n for n, f in view.fields.items() if isinstance(f.index, MultiVectorIndex))
    if getattr(view.fields[name].family.spec, "pools", False):
        raise InvalidQueryError(
            f"field {name!r} pools tokens (pooling, max_vectors): its vectors stand for tokens of "
            "several places, so no span can be told"
        )
    try:
        pairs = np.asarray(spans)
    except ValueError:
        pairs = np.empty(0)
    if pairs.ndim != 2 or pairs.shape[1] != 2 or pairs.dtype.kind not in "iu":
        raise InvalidQueryError("spans are pairs (begin, end) of whole numbers, such as [(0, 12)]")
    begin, end = pairs.T
    wrong = np.flatnonzero((begin < 0) | (begin > end) | (end > len(scores)))
    if len(wrong):
        raise InvalidQueryError(
            f"span {wrong[0]} is {tuple(pairs[wrong[0]].tolist())}; spans rise, within 0 to "
            f"{len(scores)}"
        )
    return span_scores(scores, pairs.astype(np.int64))
