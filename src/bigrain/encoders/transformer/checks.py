"""Settings of a transformer encoder, checked before anything is loaded."""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bigrain.encoders.transformer.folder import is_words, tensor_names
from bigrain.errors import ConfigError, shown

__all__ = ["places", "require", "skiplist_of", "sparse_kind", "temperature_of", "whole"]

MLM_HEADS = ("predictions.", "lm_head.", "vocab_transform.", "vocab_layer_norm.", "head.dense.")


def sparse_kind(folder: Any, asked: str) -> str:
    """The sparse head of a folder: "mlm", "bge-m3" or "tokens"."""
    if folder.kind == "splade":
        return "mlm"
    if folder.kind == "bge-m3":
        return "bge-m3" if asked == "auto" else asked
    if asked == "mlm":
        names = tensor_names(folder.path)
        if names and not any(part in name for name in names for part in MLM_HEADS):
            raise ConfigError(
                f"{folder.path} has no head of a masked language model, which sparse='mlm' needs; "
                "choose sparse='tokens', which takes the model's own vocabulary"
            )
        return "mlm"
    return "tokens"


def skiplist_of(folder: Any, asked: object) -> list[str]:
    """The words whose tokens give no vector in documents: as asked, or of the folder's kind.

    A late-interaction model has its own, BGE-M3 none, others punctuation.
    """
    if asked is not None:
        if not is_words(asked):
            raise ConfigError(
                f"skiplist_words={shown(asked)} must be a list of words, such as [',', '.', 'the']"
            )
        return sorted(set(asked))  # type: ignore[call-overload]
    if folder.kind == "colbert":
        return list(folder.colbert["skiplist"])
    return [] if folder.kind == "bge-m3" else list(string.punctuation)


def places(config: Mapping[str, Any], window: int) -> int:
    """The most tokens the model has positions for."""
    return max(int(config.get("max_position_embeddings") or window), window)


def temperature_of(value: object) -> float:
    """A temperature of attention; `ConfigError` for none."""
    known = isinstance(value, int | float) and not isinstance(value, bool)
    if not known or not 0.1 <= value <= 10:  # type: ignore[operator]
        raise ConfigError(
            f"temperature={shown(value)} must be a number from 0.1 to 10; 0.8 to 0.95 sharpens "
            "attention, 1 leaves it"
        )
    return float(value)  # type: ignore[arg-type]


def require(name: str, value: object, accepted: Sequence[object]) -> None:
    """`ConfigError` unless the value is one of these."""
    if value not in accepted:
        told = ", ".join(repr(one) for one in accepted if one is not None)
        raise ConfigError(f"{name}={shown(value)} is not one of {told}")


def whole(name: str, value: object, low: int, high: int) -> int:
    """A whole number from low to high, or `ConfigError`."""
    known = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not known or not low <= value <= high:  # type: ignore[operator]
        raise ConfigError(f"{name}={shown(value)} must be a whole number from {low} to {high:,}")
    return int(value)  # type: ignore[call-overload, no-any-return]
