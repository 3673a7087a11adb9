"""Fields: what representation of a document is kept, and how.

A field is one named representation: family (which class below), encoder, and the codecs of its two
grains. Every class is frozen, checks itself on creation, and `from_dict(to_dict())` rebuilds it:
what a collection stores is exactly that.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from dataclasses import fields as dataclass_fields
from typing import Any, ClassVar, TypeAlias

from bigrain.errors import ConfigError, shown

__all__ = [
    "DenseField",
    "Field",
    "LexicalField",
    "MultiVectorField",
    "SparseField",
    "check_field_name",
    "default_fields",
    "field_from_dict",
]

METRICS = ("cosine", "ip", "l2")
HEAVY_DTYPES = ("float16", "float32", "bfloat16", "int8")
MAX_DIM = 4096
STATIC_ENCODER = "bigrain/static-v1"


@dataclass(frozen=True)
class LexicalField:
    """BM25 over the words of title and text (Lucene's formula).

    `language` chooses stemmer and stop words ("en", "de", ..., None for plain words). `k1` and `b`
    are BM25's term saturation and length normalisation.
    """

    family: ClassVar[str] = "lexical"

    language: str | None = "en"
    k1: float = 1.2
    b: float = 0.75
    stem: bool = True
    stop_words: bool = True

    def __post_init__(self) -> None:
        if self.language is not None and not isinstance(self.language, str):
            raise ConfigError(
                f"language={shown(self.language)} must be a code such as 'en', or None"
            )
        if not (_is_number(self.k1) and self.k1 >= 0):
            raise ConfigError(f"k1={shown(self.k1)} must be a number >= 0; 1.2 is usual")
        if not (_is_number(self.b) and 0 <= self.b <= 1):
            raise ConfigError(f"b={shown(self.b)} must be a number from 0 to 1; 0.75 is usual")

    @property
    def reads_text(self) -> bool:
        return True

    def to_dict(self) -> dict[str, Any]:
        return {"family": self.family, **asdict(self)}


@dataclass(frozen=True)
class DenseField:
    """One vector a document: a 1-bit rotated code in memory, the row on disk.

    `dim` None means the encoder's width, or 384 for vectors that you bring. `light_bytes` is the
    size of the code in memory, one bit a dimension if None; fewer bytes than `dim / 8` reduce the
    dimension first. `heavy` is the type of the rows on disk, which decide the scores: "float16",
    "float32", "bfloat16" (any magnitude, 8 significant bits) or "int8" (whole numbers and a scale
    for each row: half the bytes). `encoder` names a registered encoder; None: bring your own
    vectors with `add_vectors`.
    """

    family: ClassVar[str] = "dense"

    dim: int | None = None
    metric: str = "cosine"
    light_bytes: int | None = None
    encoder: str | None = None
    heavy: str = "float16"

    def __post_init__(self) -> None:
        _check_encoder(self.encoder)
        if self.dim is None and self.encoder is None:
            object.__setattr__(self, "dim", 384)
        if self.dim is not None:
            _check_int("dim", self.dim, 1, MAX_DIM, 384)
            full = math.ceil(self.dim / 8)
            if self.light_bytes is None:
                object.__setattr__(self, "light_bytes", full)
            elif isinstance(self.light_bytes, int) and self.light_bytes > full:
                raise ConfigError(
                    f"light_bytes={shown(self.light_bytes)} is more than one bit for each of "
                    f"{self.dim} dimensions; at most {full}"
                )
        if self.light_bytes is not None:
            _check_int("light_bytes", self.light_bytes, 1, MAX_DIM // 8, 48)
        if self.metric not in METRICS:
            raise ConfigError(f"metric={shown(self.metric)} is not one of {', '.join(METRICS)}")
        if self.heavy not in HEAVY_DTYPES:
            raise ConfigError(f"heavy={shown(self.heavy)} is not one of {', '.join(HEAVY_DTYPES)}")

    @property
    def reads_text(self) -> bool:
        return self.encoder is not None

    def to_dict(self) -> dict[str, Any]:
        return {"family": self.family, **asdict(self)}


@dataclass(frozen=True)
class SparseField:
    """Non-negative weights over a vocabulary (SPLADE-like), scored by inner product.

    `vocabulary_size` bounds the column numbers; None accepts any below 2^32.
    """

    family: ClassVar[str] = "sparse"

    encoder: str | None = None
    vocabulary_size: int | None = None

    def __post_init__(self) -> None:
        _check_encoder(self.encoder)
        if self.vocabulary_size is not None:
            _check_int("vocabulary_size", self.vocabulary_size, 1, 2**32, 30_522)

    @property
    def reads_text(self) -> bool:
        return self.encoder is not None

    def to_dict(self) -> dict[str, Any]:
        return {"family": self.family, **asdict(self)}


@dataclass(frozen=True)
class MultiVectorField:
    """One vector a token, scored by MaxSim (sum over query tokens of the best dot product).

    Searches look at every token on disk. `light_bytes` is kept with the collection for a light
    grain of pooled codes; it has no effect on exact search.
    """

    family: ClassVar[str] = "multivector"

    dim: int = 128
    light_bytes: int = 64
    encoder: str | None = None

    def __post_init__(self) -> None:
        _check_encoder(self.encoder)
        _check_int("dim", self.dim, 1, MAX_DIM, 128)
        _check_int("light_bytes", self.light_bytes, 1, MAX_DIM // 8, 64)

    @property
    def reads_text(self) -> bool:
        return self.encoder is not None

    def to_dict(self) -> dict[str, Any]:
        return {"family": self.family, **asdict(self)}


Field: TypeAlias = LexicalField | DenseField | SparseField | MultiVectorField

_FAMILIES: dict[str, type[Any]] = {
    cls.family: cls for cls in (LexicalField, DenseField, SparseField, MultiVectorField)
}


def default_fields() -> dict[str, Field]:
    """BM25 and the bundled static encoder."""
    return {"lexical": LexicalField(), "dense": DenseField(encoder=STATIC_ENCODER)}


def field_from_dict(spec: Mapping[str, Any]) -> Field:
    """The field whose `to_dict` gave `spec`; ConfigError for anything else."""
    if not isinstance(spec, Mapping):
        raise ConfigError(f"a field is described by a mapping, not by {shown(spec)}")
    values = dict(spec)
    family = values.pop("family", None)
    if not isinstance(family, str) or family not in _FAMILIES:
        raise ConfigError(f"field family {shown(family)} is not one of {', '.join(_FAMILIES)}")
    known = [item.name for item in dataclass_fields(_FAMILIES[family])]
    unknown = next((key for key in values if key not in known), None)
    if unknown is not None:
        raise ConfigError(
            f"a {family} field has no setting {shown(unknown)}; it has {', '.join(known)}"
        )
    field: Field = _FAMILIES[family](**values)
    return field


def check_field_name(name: object) -> str:
    """A field's name: letters, digits, `_` and `-`, at most 64, beginning with a letter."""
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]{0,63}", name):
        raise ConfigError(
            f"field name {shown(name)} must begin with a letter and hold at most 64 letters, "
            "digits, '_' or '-'; for example 'dense'"
        )
    return name


def _check_encoder(encoder: object) -> None:
    if encoder is not None and not (isinstance(encoder, str) and encoder):
        raise ConfigError(
            f"encoder={shown(encoder)} must be a registered name such as {STATIC_ENCODER!r}, or "
            "None for vectors that you bring; register your own with bigrain.register_encoder"
        )


def _check_int(name: str, value: object, low: int, high: int, likely: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ConfigError(
            f"{name}={shown(value)} must be a whole number from {low} to {high}; {likely} is usual"
        )


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= 1e9
