"""Texts encoded once for all fields that share an encoder or a model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from bigrain.encoders.base import Encoder
from bigrain.errors import InvalidVectorsError

__all__ = ["OnePass", "source_of"]


def source_of(encoder: Any) -> Any:
    """What does the work: the model whose head this is, or the encoder itself."""
    return getattr(encoder, "model", None) or encoder


@dataclass
class _Held:
    """Representations that other fields will ask for."""

    texts: Sequence[str]
    found: dict[str, Any]
    left: Counter[str]


class OnePass:
    """One batch of documents, or one search, of fields that have these encoders.

    The first field that asks has the texts encoded for all that share its model; what the others
    will ask for is held until they do, if their texts are the same.
    """

    def __init__(self, encoders: Iterable[Encoder | None] = ()) -> None:
        self._sharing: dict[int, Counter[str]] = {}
        for encoder in encoders:
            if encoder is not None:
                families = self._sharing.setdefault(id(source_of(encoder)), Counter())
                families[encoder.family] += 1
        self._held: dict[int, _Held] = {}

    def documents(self, encoder: Encoder, texts: Sequence[str]) -> Any:
        return self._encoded(encoder, texts, "encode_documents")

    def queries(self, encoder: Encoder, texts: Sequence[str]) -> Any:
        return self._encoded(encoder, texts, "encode_queries")

    def _encoded(self, encoder: Encoder, texts: Sequence[str], method: str) -> Any:
        source = source_of(encoder)
        wanted = self._sharing.get(id(source), Counter())
        held = self._held.get(id(source))
        if wanted.total() < 2 or (held is not None and held.texts != texts):
            return getattr(encoder, method)(texts)
        if held is None:
            if source is encoder:
                found = {encoder.family: getattr(encoder, method)(texts)}
            else:
                found = dict(getattr(source, method)(texts, tuple(wanted)))
            held = self._held[id(source)] = _Held(texts, found, wanted.copy())
        if encoder.family not in held.found:
            raise InvalidVectorsError(
                f"the encoder's model gave {', '.join(held.found) or 'nothing'}, but no "
                f"{encoder.family} representation, which its head is for"
            )
        held.left[encoder.family] -= 1
        last = held.left[encoder.family] <= 0
        return held.found.pop(encoder.family) if last else held.found[encoder.family]
