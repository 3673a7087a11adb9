"""The families of representation: how a field of each kind is encoded, built, opened and asked."""

from bigrain.families.base import Family
from bigrain.families.make import make_family

__all__ = ["Family", "make_family"]
