"""What an encoder is: texts in, one family of representation out, and a fingerprint.

    family "dense"        (n, dim) float32
    family "sparse"       CSR (n, vocabulary), weights >= 0: scipy.sparse or `bigrain.SparseMatrix`
    family "multivector"  (values (T, dim) float32, offsets (n + 1,) int64)

A `Model` gives several families of one pass over the texts; each of its heads is an `Encoder`.

The fingerprint says which vector space the encoder speaks. A collection stores it and refuses an
encoder whose fingerprint differs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, runtime_checkable

from bigrain.errors import EncoderMismatchError

__all__ = ["FAMILIES", "Encoder", "Head", "Model", "PassageText", "Whole", "check_fingerprint"]

Encoded: TypeAlias = Mapping[str, Any]
FAMILIES = ("dense", "sparse", "multivector")


@dataclass(frozen=True, eq=False)
class Whole:
    """The text that passages were cut from, its title included; passage i is text[start:stop]."""

    text: str
    spans: Sequence[tuple[int, int]]


class PassageText(str):
    """The text of a passage, title included, that knows what it was cut from."""

    whole: Whole
    place: int

    @classmethod
    def of(cls, text: str, whole: Whole, place: int) -> PassageText:
        passage = cls(text)
        passage.whole, passage.place = whole, place
        return passage


@runtime_checkable
class Encoder(Protocol):
    """The interface; any object with these members will do.

    More are looked for: `memory_bytes`, what it holds, counts against the memory budget;
    `texts_at_once` bounds how many texts `encode_documents` is given. `weighs_by_idf`, true for a
    sparse encoder, has the weights of text queries multiplied by the idf of their columns.
    `window_chars`: how many characters of a text it reads together, about; collections cut their
    passages by the smallest. `fusion_weights(families)`: what its families should count for in a
    fused search where words count 0.65, if these are there; collections begin with such weights.
    Texts that are parts of a long one come as `PassageText`s.

    `token_places(texts, *, query=False)` of a multi-vector one: for each text whole numbers (p, 3),
    rows (token, start, end): token vector number `token` of this document, or query, is of
    text[start:end]. One of several places has several rows, one of none an empty place (0, 0).
    None where it cannot tell. Sentences of a document are scored, and words named, by these.
    """

    @property
    def family(self) -> str: ...
    @property
    def dim(self) -> int | None: ...
    def fingerprint(self) -> dict[str, Any]: ...
    def encode_documents(self, texts: Sequence[str]) -> Any: ...
    def encode_queries(self, texts: Sequence[str]) -> Any: ...
    def notices(self, texts: Sequence[str]) -> tuple[str, ...]:
        """What a user should know about how well these texts are covered."""
        ...


@runtime_checkable
class Model(Protocol):
    """Several families of one pass over the texts; fields that share one encode a text once.

    `head(family)` is an `Encoder` (such as `Head`) whose `model` is this one. The other two give a
    mapping with a representation for each of the `families` asked. `memory_bytes`,
    `texts_at_once`, `window_chars`, `fusion_weights` and `token_places` are looked for as in an
    `Encoder`.
    """

    @property
    def families(self) -> tuple[str, ...]: ...
    def head(self, family: str) -> Encoder: ...
    def encode_documents(self, texts: Sequence[str], families: Sequence[str]) -> Encoded: ...
    def encode_queries(self, texts: Sequence[str], families: Sequence[str]) -> Encoded: ...


@dataclass(frozen=True, eq=False)
class Head:
    """One family of a model.

    `identity` is its fingerprint, `tell` gives its notices, `weighs_by_idf` is as in `Encoder`.
    """

    model: Model
    family: str
    dim: int | None
    identity: Mapping[str, Any]
    tell: Callable[[Sequence[str]], tuple[str, ...]] | None = None
    weighs_by_idf: bool = False

    def fingerprint(self) -> dict[str, Any]:
        return dict(self.identity)

    def encode_documents(self, texts: Sequence[str]) -> Any:
        return self.model.encode_documents(texts, (self.family,))[self.family]

    def encode_queries(self, texts: Sequence[str]) -> Any:
        return self.model.encode_queries(texts, (self.family,))[self.family]

    def notices(self, texts: Sequence[str]) -> tuple[str, ...]:
        return () if self.tell is None else self.tell(texts)


def check_fingerprint(field: str, stored: dict[str, Any], found: dict[str, Any]) -> None:
    """Refuse an encoder that is not the one the field was built with."""
    if stored != found:
        differing = sorted(k for k in {*stored, *found} if stored.get(k) != found.get(k))
        raise EncoderMismatchError(
            f"field {field!r} was built with {describe(stored)}, but {describe(found)} is at hand "
            f"(differs in {', '.join(differing)}); bring the former encoder, or build the "
            "collection anew"
        )


def describe(fingerprint: dict[str, Any]) -> str:
    name = fingerprint.get("name", "an unnamed encoder")
    digest = hashlib.blake2b(repr(sorted(fingerprint.items())).encode(), digest_size=4).hexdigest()
    return f"{name} [{digest}]"
