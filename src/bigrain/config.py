"""Fields: what representation of a document is kept, and how.

A field is one named representation: family (which class below), encoder, and the codecs of its two
grains. Every class is frozen, checks itself on creation, and `from_dict(to_dict())` rebuilds it:
what a collection stores is exactly that.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from dataclasses import fields as dataclass_fields
from typing import Any, ClassVar, TypeAlias

from bigrain.errors import ConfigError, shown

__all__ = [
    "PER_DOCUMENT",
    "DenseField",
    "Field",
    "LexicalField",
    "MultiVectorField",
    "SparseField",
    "SubstringField",
    "check_field_name",
    "default_fields",
    "field_from_dict",
]

BM25_VARIANTS = ("lucene", "robertson", "atire", "bm25l", "bm25+")
METRICS = ("cosine", "ip", "l2")
HEAVY_DTYPES = ("float16", "float32", "bfloat16", "int8")
MAX_DIM = 4096
MAX_TITLE_WEIGHT = 20
MAX_NGRAM = 16  # words
TOKEN_TYPES = ("float32", "float16", "int8", "residual4", "residual2", "residual1")
SURROGATES = ("mean", "regression", "fde")
MAX_SKETCH = 4096
MAX_POOLING = 16
MAX_VECTORS = 1024
MAX_PROTECTED = 16
USUAL_TOKEN_DIM = 128
CODES: dict[str, Sequence[int]] = {  # and their bits
    "rabitq": range(1, 9),
    "sign": (1,),
    "recurrent": range(1, 9),
    "scalar": (4, 8),
    "pq": (4,),
    "opq": (4,),
    "additive": (4,),
}
USUAL_BITS = {
    "rabitq": 1, "sign": 1, "recurrent": 2, "scalar": 8, "pq": 4, "opq": 4, "additive": 4
}  # fmt: skip
SYMBOLS = ("pq", "opq", "additive")  # learned codes, in symbols of 4 bits
REDUCTIONS = ("pca", "prefix", "leanvec")
STATIC_ENCODER = "bigrain/static-v1"


@dataclass(frozen=True)
class LexicalField:
    """BM25 over the words of title and text.

    `language`, by code or name, chooses stemmer and stop words ("en", "deutsch", None for plain
    words). `k1` and `b`
    are BM25's term saturation and length normalisation. `variant` names the formula: "lucene",
    "robertson", "atire", "bm25l" or "bm25+"; `delta` is the lower bound of the last two. Scores
    leave out what bm25l and bm25+ give to every document, so "bm25+" ranks alike for any `delta`.
    `title_weight`, from 0 to 20, is how many times the words of a title count. `analysis` is the
    revision of the rules that make terms of text (`bigrain.text.Analyser`): 2 is the newest, 1
    that of collections made before it.
    """

    family: ClassVar[str] = "lexical"

    language: str | None = "en"
    k1: float = 1.2
    b: float = 0.75
    stem: bool = True
    stop_words: bool = True
    variant: str = "lucene"
    delta: float = 0.5
    title_weight: int = 1
    analysis: int = 2

    def __post_init__(self) -> None:
        _check_int("title_weight", self.title_weight, 0, MAX_TITLE_WEIGHT, 1)
        _check_int("analysis", self.analysis, 1, 2, 2)
        if self.language is not None and not isinstance(self.language, str):
            raise ConfigError(
                f"language={shown(self.language)} must be a code such as 'en', or None"
            )
        from bigrain.text.languages import find_language

        find_language(self.language)
        if not (_is_number(self.k1) and self.k1 >= 0):
            raise ConfigError(f"k1={shown(self.k1)} must be a number >= 0; 1.2 is usual")
        if not (_is_number(self.b) and 0 <= self.b <= 1):
            raise ConfigError(f"b={shown(self.b)} must be a number from 0 to 1; 0.75 is usual")
        if self.variant not in BM25_VARIANTS:
            raise ConfigError(
                f"variant={shown(self.variant)} is not one of {', '.join(BM25_VARIANTS)}"
            )
        if not (_is_number(self.delta) and self.delta >= 0):
            raise ConfigError(f"delta={shown(self.delta)} must be a number >= 0; 0.5 is usual")
        if self.variant == "bm25l" and self.k1 == 0:
            raise ConfigError("k1=0 leaves nothing of bm25l: every document would score the same")

    @property
    def reads_text(self) -> bool:
        return True

    def to_dict(self) -> dict[str, Any]:
        """Everything, less the variant and its setting where they are the usual ones."""
        told = {"family": self.family, **asdict(self)}
        usual = {"variant": "lucene", "delta": 0.5}
        return {k: v for k, v in told.items() if k not in usual or v != usual[k]}


@dataclass(frozen=True)
class DenseField:
    """One vector a document: a small code in memory, the row on disk.

    `dim` None means the encoder's width, or 384 for vectors that you bring. `encoder` names a
    registered encoder; None: bring your own vectors with `add_vectors`. `heavy` is the type of the
    rows on disk, which decide the scores: "float16", "float32", "bfloat16" (any magnitude, 8
    significant bits) or "int8" (whole numbers and a scale for each row: half the bytes).

    `light_bytes` is the size of the code in memory. None keeps all dimensions with `bits` each, and
    takes one bit a dimension for the codes whose symbols are learned. Codes of fewer bytes reduce
    the vectors first, by `reduction`: 'pca', 'prefix' (the first dimensions: for Matryoshka
    encoders), or 'leanvec', which needs sample queries, and is 'pca' where a segment is written
    without any. `code` is one of

        'rabitq'     random rotation, `bits` 1 to 8 a dimension, nearest in angle
        'sign'       random rotation, signs only: a baseline
        'recurrent'  random rotation, `bits` rounds of signs of what is left
        'scalar'     random rotation, an even grid of `bits` 4 or 8
        'pq'         product quantiser of 4-bit symbols, learned
        'opq'        the same with a learned rotation: the best at few bytes, slower to fit
        'additive'   sums of codebooks: the most accurate, slow to encode

    `bits` None is the usual number: 1 for 'rabitq' and 'sign', 2 for 'recurrent', 8 for 'scalar',
    and 4 for the last three, whose symbols have no other size.
    """

    family: ClassVar[str] = "dense"

    dim: int | None = None
    metric: str = "cosine"
    light_bytes: int | None = None
    encoder: str | None = None
    heavy: str = "float16"
    code: str = "rabitq"
    bits: int | None = None
    reduction: str = "pca"

    def __post_init__(self) -> None:
        _check_encoder(self.encoder)
        if not isinstance(self.code, str) or self.code not in CODES:
            raise ConfigError(f"code={shown(self.code)} is not one of {', '.join(CODES)}")
        accepted = CODES[self.code]
        if self.bits is None:
            object.__setattr__(self, "bits", USUAL_BITS[self.code])
        if type(self.bits) is not int or self.bits not in accepted:
            raise ConfigError(
                f"bits={shown(self.bits)}: code={self.code!r} has "
                f"{' or '.join(map(str, accepted)) if len(accepted) < 3 else '1 to 8'}; "
                f"{USUAL_BITS[self.code]} is usual"
            )
        if self.reduction not in REDUCTIONS:
            raise ConfigError(
                f"reduction={shown(self.reduction)} is not one of {', '.join(REDUCTIONS)}"
            )
        if self.dim is None and self.encoder is None:
            object.__setattr__(self, "dim", 384)
        if self.dim is not None:
            _check_int("dim", self.dim, 1, MAX_DIM, 384)
            most = _code_bytes(self.dim, self.code, self.bits)[1]
            if self.light_bytes is None:
                usual = math.ceil(self.dim / 8) if self.code in SYMBOLS else most
                object.__setattr__(self, "light_bytes", usual)
            elif isinstance(self.light_bytes, int) and self.light_bytes > most:
                what = "one bit" if self.bits == 1 else f"{self.bits} bits"
                raise ConfigError(
                    f"light_bytes={shown(self.light_bytes)} is more than {what} for each of "
                    f"{self.dim} dimensions; at most {most}"
                )
        if self.light_bytes is not None:
            least = _code_bytes(self.dim or MAX_DIM, self.code, self.bits)[0]
            _check_int("light_bytes", self.light_bytes, least, MAX_DIM, 48)
        if self.metric not in METRICS:
            raise ConfigError(f"metric={shown(self.metric)} is not one of {', '.join(METRICS)}")
        if self.heavy not in HEAVY_DTYPES:
            raise ConfigError(f"heavy={shown(self.heavy)} is not one of {', '.join(HEAVY_DTYPES)}")

    @property
    def reads_text(self) -> bool:
        return self.encoder is not None

    def to_dict(self) -> dict[str, Any]:
        """Everything, less the code's settings where they are the usual ones."""
        told = {"family": self.family, **asdict(self)}
        usual = {"code": "rabitq", "bits": USUAL_BITS[self.code], "reduction": "pca"}
        return {k: v for k, v in told.items() if k not in usual or v != usual[k]}


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

    `dim` None means the encoder's width, or 128 for vectors that you bring.
    In memory each document has one code of `light_bytes`, of a vector that stands for all its
    tokens; `light` says how it is made:

        'mean'        the mean of the tokens, made as long as they are: nothing to fit
        'regression'  fitted so that products with it follow MaxSim (after LEMUR, Jääsaari et al.,
                      2026): finds more from about 96 bytes on, and takes longer to write and ask
        'fde'         fixed-dimensional encodings (MUVERA: Dhulipala et al., NeurIPS 2024)

    With `sketch` there is beside it which of up to 4,096 centroids its tokens lie nearest to, two
    bytes each, at most so many of them (centroid interaction, PLAID: Santhanam et al., CIKM 2022).
    Sketches look over what codes propose, so that fewer documents are read; 64 is usual.

    The tokens are on disk and decide the scores; `heavy` is their type: "float32", "float16",
    "int8" (a scale for each token: MaxSim of unit tokens mostly within 0.1 %), or the nearest of
    many centroids and a residual of 4, 2 or 1 bits a number, "residual4", "residual2",
    "residual1" (ColBERTv2: Santhanam et al., NAACL 2022).

    Fewer vectors than tokens are kept, means of clusters of a document's own tokens made as long as
    these, by one of

        `pooling`      above 1: one vector for so many tokens (Ward's clusters: Clavié et al.,
                       2024); 2 costs little quality
        `max_vectors`  at most so many vectors a document (k-means: CRISP, Veneroso et al., 2025),
                       so that a long one takes no more room than others; 32 is usual, None: no
                       limit. A document with fewer tokens keeps them all

    and the first `protected_tokens` of a document are left out of it, such as 1 for the [CLS] of
    a ColBERT model.
    """

    family: ClassVar[str] = "multivector"

    dim: int | None = None
    light_bytes: int = 64
    encoder: str | None = None
    heavy: str = "int8"
    light: str = "mean"
    pooling: int = 1
    sketch: int = 0
    max_vectors: int | None = None
    protected_tokens: int = 0

    def __post_init__(self) -> None:
        _check_encoder(self.encoder)
        if self.heavy not in TOKEN_TYPES:
            raise ConfigError(f"heavy={shown(self.heavy)} is not one of {', '.join(TOKEN_TYPES)}")
        if self.light not in SURROGATES:
            raise ConfigError(f"light={shown(self.light)} is not one of {', '.join(SURROGATES)}")
        _check_int("pooling", self.pooling, 1, MAX_POOLING, 1)
        self._check_fewer()
        _check_int("sketch", self.sketch, 0, MAX_SKETCH, 64)
        if self.dim is None and self.encoder is None:
            object.__setattr__(self, "dim", USUAL_TOKEN_DIM)
        if self.dim is not None:
            _check_int("dim", self.dim, 1, MAX_DIM, USUAL_TOKEN_DIM)
        _check_int("light_bytes", self.light_bytes, 1, MAX_DIM // 8, 64)

    def _check_fewer(self) -> None:
        _check_int("protected_tokens", self.protected_tokens, 0, MAX_PROTECTED, 0)
        if self.max_vectors is not None:
            _check_int("max_vectors", self.max_vectors, 1, MAX_VECTORS, 32)
            if self.pooling > 1:
                raise ConfigError(
                    f"pooling={self.pooling} and max_vectors={self.max_vectors} exclude each "
                    "other: one vector for so many tokens, or so many vectors a document"
                )
            if self.protected_tokens >= self.max_vectors:
                raise ConfigError(
                    f"protected_tokens={self.protected_tokens} leaves none of "
                    f"max_vectors={self.max_vectors} for other tokens; give fewer"
                )
        elif self.protected_tokens and self.pooling == 1:
            raise ConfigError(
                f"protected_tokens={self.protected_tokens} are those that pooling leaves alone, "
                "but this field keeps all tokens; give pooling=2 or max_vectors=32 too"
            )

    @property
    def reads_text(self) -> bool:
        return self.encoder is not None

    @property
    def pools(self) -> bool:
        """Whether vectors stand for several tokens."""
        return self.pooling > 1 or self.max_vectors is not None

    def to_dict(self) -> dict[str, Any]:
        """Everything, less the limits where there are none."""
        told = {"family": self.family, **asdict(self)}
        usual = {"max_vectors": None, "protected_tokens": 0}
        return {k: v for k, v in told.items() if k not in usual or v != usual[k]}


@dataclass(frozen=True)
class SubstringField:
    """Every substring of title and text, counted exactly (an FM-index on disk).

    `Collection.occurrences` counts any string. A search scores the query's distinctive n-grams:
    stretches of `shortest` to `longest` words that documents hold word for word, weighted by
    rarity (SEAL; papers/B-1 section 1.7). Case does not count unless `case_sensitive`, nor does
    the length of white space.
    """

    family: ClassVar[str] = "substring"

    shortest: int = 2
    longest: int = 3
    case_sensitive: bool = False

    def __post_init__(self) -> None:
        _check_int("longest", self.longest, 1, MAX_NGRAM, 3)
        _check_int("shortest", self.shortest, 1, self.longest, 2)
        if not isinstance(self.case_sensitive, bool):
            raise ConfigError(f"case_sensitive={shown(self.case_sensitive)} must be True or False")

    @property
    def reads_text(self) -> bool:
        return True

    def to_dict(self) -> dict[str, Any]:
        return {"family": self.family, **asdict(self)}


Field: TypeAlias = LexicalField | DenseField | SparseField | MultiVectorField | SubstringField

_FAMILIES: dict[str, type[Any]] = {
    cls.family: cls
    for cls in (LexicalField, DenseField, SparseField, MultiVectorField, SubstringField)
}
PER_DOCUMENT = frozenset({"lexical", "substring"})  # families with a row a document, not a passage


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
    if family == LexicalField.family:
        values.setdefault("analysis", 1)  # as it was when fields did not say
    if family == MultiVectorField.family:
        values.setdefault("heavy", "float16")
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


def _code_bytes(dim: int, code: str, bits: int) -> tuple[int, int]:
    """The least and the most bytes of a code: for one group of dimensions, for all of them."""
    if code in ("rabitq", "sign", "recurrent"):  # planes of bits in groups of four dimensions
        return math.ceil(bits / 2), math.ceil(bits * math.ceil(dim / 4) / 2)
    return 1, math.ceil(dim * bits / 8)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= 1e9
