"""The fields of one encoder, all its families at once."""

from __future__ import annotations

from collections.abc import Sequence

from bigrain.config import DenseField, Field, LexicalField, MultiVectorField, SparseField
from bigrain.errors import ConfigError, shown
from bigrain.registry import encoder_families

__all__ = ["fields_of"]

_FIELDS = {"dense": DenseField, "sparse": SparseField, "multivector": MultiVectorField}


def fields_of(
    encoder: str, families: Sequence[str] | None = None, *, language: str | None = "en"
) -> dict[str, Field]:
    """Fields for `create`: the words (BM25), and one field for each family of an encoder.

    `encoder` is a registered name, the folder of a transformer model, or its name on the hub. The
    fields are named "lexical", "dense", "sparse" and "multivector", and share one pass over each
    text: a plain sentence encoder gives all three, with no training. `families` names some of them;
    None means all. `language` is the lexical field's. Raises `ConfigError` for a family that the
    encoder does not give, `MissingExtraError` without the extra `transformers`.

    >>> import bigrain
    >>> list(bigrain.fields_of("bigrain/static-v1", ["dense"]))
    ['lexical', 'dense']
    """
    given = encoder_families(encoder)
    if isinstance(families, str):
        families = [families]
    wanted = list(given if families is None else families)
    for family in wanted:
        if family not in given:
            raise ConfigError(
                f"families: encoder {encoder!r} gives {', '.join(given)}, not {shown(family)}"
            )
    if not wanted:
        raise ConfigError("families is empty; leave it out for all that the encoder gives")
    fields: dict[str, Field] = {"lexical": LexicalField(language=language)}
    return fields | {family: _FIELDS[family](encoder=encoder) for family in dict.fromkeys(wanted)}
