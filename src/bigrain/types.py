"""What goes in and what comes out: documents, hits and their parts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = [
    "MAX_ID_CHARS",
    "AddCounts",
    "Document",
    "DocumentLike",
    "Hit",
    "Part",
    "Passage",
    "Span",
    "SparseMatrix",
]

MAX_ID_CHARS = 512


@dataclass(frozen=True, slots=True)
class Document:
    """One document as a user adds it.

    `id` None asks the collection for a free one. `metadata` holds JSON values (strings, numbers,
    booleans, dates, lists of them, nested mappings) that `filter=` can ask for.
    """

    text: str
    id: str | None = None
    title: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)


DocumentLike: TypeAlias = "str | Mapping[str, Any] | Document"
Documents: TypeAlias = Iterable[DocumentLike]


@dataclass(frozen=True, slots=True)
class Passage:
    """A stretch `text[start:end]` of a document, in characters."""

    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch `text[start:end]` of a document, in characters, and what it scores alone."""

    start: int
    end: int
    text: str
    score: float


class Part(float):
    """What one field adds to a hit's score: a float that remembers how it came about.

    `heavy` is the exact score in the field, `light` the estimate from its code in memory (None
    where the light grain did not propose the document), `weight` the field's weight in the fusion.
    """

    __slots__ = ("heavy", "light", "weight")

    heavy: float
    light: float | None
    weight: float

    def __new__(
        cls, value: float, *, heavy: float, light: float | None = None, weight: float = 1.0
    ) -> Part:
        part = super().__new__(cls, value)
        part.heavy = heavy
        part.light = light
        part.weight = weight
        return part

    def __getnewargs_ex__(self) -> tuple[tuple[float], dict[str, Any]]:
        return (float(self),), {"heavy": self.heavy, "light": self.light, "weight": self.weight}

    def __repr__(self) -> str:
        light = "" if self.light is None else f", light={self.light:.4g}"
        return f"Part({float(self):.4g}, heavy={self.heavy:.4g}{light}, weight={self.weight:.3g})"


@dataclass(frozen=True, slots=True)
class Hit:
    """One result. `sum(parts.values())` equals `score`.

    `rank` counts from 1. `passage` is the stretch of the text that scored best, where the field
    looks at passages. `explanation` is filled by `search(..., explain=True)`.
    """

    id: str
    score: float
    rank: int
    text: str
    title: str
    metadata: dict[str, Any]
    parts: dict[str, Part]
    passage: Passage | None = None
    explanation: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class AddCounts:
    """What one `add` or `add_vectors` did; nothing is visible before `commit`."""

    added: int
    replaced: int
    passages: int
    warnings: tuple[str, ...] = ()


class SparseMatrix(NamedTuple):
    """Compressed sparse rows, with the names of a SciPy CSR matrix."""

    data: npt.NDArray[np.float32]
    indices: npt.NDArray[np.int64]
    indptr: npt.NDArray[np.int64]
    shape: tuple[int, int]
