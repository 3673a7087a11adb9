"""The hashing trick: ids share the rows that a hash sends them to.

e(x) = E[h(x)]. Weinberger et al., "Feature hashing for large scale multitask learning" (ICML 2009).
"""

from __future__ import annotations

from bigrain.tables.methods.unified import Unified
from bigrain.tables.spec import TableSpec

__all__ = ["Hash"]


class Hash(Unified):
    """Unified Embedding with one hash."""

    def __init__(self, name: str, spec: TableSpec) -> None:
        super().__init__(name, spec, hashes=1)
