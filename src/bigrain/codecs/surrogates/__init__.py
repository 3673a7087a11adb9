"""Surrogates of MaxSim: one vector a document, for the dense engine to find candidates with."""

from __future__ import annotations

from typing import Any

from bigrain.codecs.surrogates.fde import FdeSurrogate
from bigrain.codecs.surrogates.mean import MeanPooling
from bigrain.codecs.surrogates.protocol import Floats, Shapes, Surrogate
from bigrain.codecs.surrogates.regression import Regression
from bigrain.errors import shown

__all__ = ["SURROGATES", "Surrogate", "read_surrogate", "surrogate_shapes"]

SURROGATES: dict[str, type[Surrogate]] = {
    kind.name: kind for kind in (MeanPooling, FdeSurrogate, Regression)
}


def surrogate_shapes(numbers: dict[str, Any]) -> Shapes:
    """Of the float32 arrays of a stored surrogate; ValueError for numbers that none has."""
    return _kind(numbers).shapes(numbers)


def read_surrogate(numbers: dict[str, Any], arrays: dict[str, Floats]) -> Surrogate:
    """The surrogate that `numbers()` and `arrays()` told of; ValueError where they do not fit."""
    return _kind(numbers).read(numbers, arrays)


def _kind(numbers: dict[str, Any]) -> type[Surrogate]:
    name = numbers.get("name")
    if not isinstance(name, str) or name not in SURROGATES:
        raise ValueError(f"surrogate {shown(name)}; known are {', '.join(SURROGATES)}")
    return SURROGATES[name]
