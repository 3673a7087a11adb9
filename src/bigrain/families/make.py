"""The family for a field's configuration."""

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
from bigrain.families.multivector import MultiVectorFamily
from bigrain.families.sparse import SparseFamily
from bigrain.families.substring import SubstringFamily

__all__ = ["make_family"]


def make_family(name: str, field: Field) -> Family:
    """Raises `ConfigError` for an unknown encoder or language."""
    match field:
        case LexicalField():
            return LexicalFamily(name, field)
        case DenseField():
            return DenseFamily(name, field)
        case SparseField():
            return SparseFamily(name, field)
        case MultiVectorField():
            return MultiVectorFamily(name, field)
        case SubstringField():
            return SubstringFamily(name, field)
