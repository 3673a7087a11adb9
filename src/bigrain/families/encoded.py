"""What families of vectors share: an encoder of passages, or none and vectors that users bring."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bigrain.encoders.base import Encoder

__all__ = ["EncodedFamily"]


class EncodedFamily:
    """`encoder`: None where users bring their vectors. `dim`: None where there is no width."""

    per_passage = True
    encoder: Encoder | None
    dim: int | None = None

    def fingerprint(self) -> dict[str, Any]:
        if self.encoder is not None:
            return self.encoder.fingerprint()
        width = {} if self.dim is None else {"dim": self.dim}
        return {"name": "vectors brought by the user", **width}

    def notices(self, texts: Sequence[str]) -> tuple[str, ...]:
        return () if self.encoder is None else self.encoder.notices(texts)

    def titled(self, title: str, text: str) -> str:
        return f"{title} {text}"
