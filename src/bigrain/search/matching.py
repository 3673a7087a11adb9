"""Whether one document passes a filter, by its own metadata and not by the index over it."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from bigrain.search.filter import DAY, And, Compare, Exists, Filter, Member, Not, Or
from bigrain.storage.attributes import attributes_of

__all__ = ["matches"]

# What sorts after everything of a day, as in `filter.resolve`.
AFTER = "\U0010ffff"
COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip


def matches(filter: Filter, metadata: Mapping[str, Any]) -> bool:
    """Whether normalised metadata passes a parsed filter."""
    return _passes(filter, list(attributes_of(metadata)))


def _passes(node: Filter, pairs: Sequence[tuple[str, Any]]) -> bool:
    match node:
        case Compare(key, op, value):
            return _any(op, value, (found for name, found in pairs if name == key))
        case Member(key, values):
            there = [found for name, found in pairs if name == key]
            return any(_any("=", value, there) for value in values)
        case Exists(key):
            return any(name == key for name, _ in pairs)
        case Not(part):
            return not _passes(part, pairs)
        case And(parts):
            return all(_passes(part, pairs) for part in parts)
        case Or(parts):
            return any(_passes(part, pairs) for part in parts)


def _any(op: str, value: Any, found: Iterable[Any]) -> bool:
    """Whether one of the values stands in this relation to `value`; a day stands for all of it."""
    alike = [one for one in found if isinstance(one, str) == isinstance(value, str)]
    if isinstance(value, str) and DAY.fullmatch(value):
        if op == "=":
            return any(value <= one < value + AFTER for one in alike)
        if op in ("<=", ">"):
            op, value = ("<" if op == "<=" else ">="), value + AFTER
    return any(COMPARE[op](one, value) for one in alike)
