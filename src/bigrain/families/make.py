"""The family for a field's configuration; those that few collections have are loaded when used."""

from __future__ import annotations

from bigrain.config import (
    DenseField,
    Field,
    LexicalField,
    MultiVectorField,
    SparseField,
    SubstringField,
)
from bigrain.families.base import Family
from bigrain.families.dense import DenseFamily
from bigrain.families.lexical import LexicalFamily

__all__ = ["make_family"]


def make_family(name: str, field: Field) -> Family:
    """Raises `ConfigError` for an unknown encoder or language."""
    match field:
        case LexicalField():
            return LexicalFamily(name, field)
        case DenseField():
            return DenseFamily(name, field)
        case SparseField():
            from bigrain.families.sparse import SparseFamily

            return SparseFamily(name, field)
        case MultiVectorField():
            from bigrain.families.multivector import MultiVectorFamily

            return MultiVectorFamily(name, field)
        case SubstringField():
            from bigrain.families.substring import SubstringFamily

            return SubstringFamily(name, field)
