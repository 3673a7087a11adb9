"""What an encoder is: texts in, one family of representation out, and a fingerprint.

    family "dense"        (n, dim) float32
    family "sparse"       scipy.sparse CSR (n, vocabulary), weights >= 0
    family "multivector"  (values (T, dim) float32, offsets (n + 1,) int64)

The fingerprint says which vector space the encoder speaks. A collection stores it and refuses an
encoder whose fingerprint differs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np

from bigrain.errors import EncoderMismatchError

__all__ = ["CallableEncoder", "Encoder", "check_fingerprint"]


@runtime_checkable
class Encoder(Protocol):
    """The interface; any object with these members will do."""

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


class CallableEncoder:
    """An encoder out of a plain function `list[str] -> (n, dim) array`.

    `name` and `version` are its fingerprint, so give another version when the function changes.

    >>> import bigrain, numpy as np
    >>> lengths = lambda texts: np.array([[len(t), 1.0] for t in texts])
    >>> bigrain.register_encoder("lengths", lambda: bigrain.CallableEncoder("lengths", lengths, 2))
    """

    family = "dense"

    def __init__(
        self,
        name: str,
        encode: Callable[[list[str]], Any],
        dim: int,
        *,
        encode_queries: Callable[[list[str]], Any] | None = None,
        version: str = "1",
    ) -> None:
        self.name, self.version, self.dim = name, version, dim
        self._documents, self._queries = encode, encode_queries or encode

    def fingerprint(self) -> dict[str, Any]:
        return {"name": self.name, "version": self.version, "dim": self.dim}

    def encode_documents(self, texts: Sequence[str]) -> Any:
        return np.asarray(self._documents(list(texts)), np.float32)

    def encode_queries(self, texts: Sequence[str]) -> Any:
        return np.asarray(self._queries(list(texts)), np.float32)

    def notices(self, texts: Sequence[str]) -> tuple[str, ...]:
        return ()


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
