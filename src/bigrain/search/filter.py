"""Filters over metadata: a small language, its dictionary twin, and their answer in documents.

    year >= 2020 AND (lang = 'en' OR tags IN ('a', 'b')) AND NOT draft = true
    published BETWEEN '2020-01-01' AND '2020-12-31'     doi IS NOT NULL

    {"year": {"$gte": 2020}, "lang": "en", "tags": {"$in": ["a", "b"]}}
    {"$or": [{"lang": "en"}, {"$not": {"draft": True}}]}

Numbers compare with numbers and text with text; a list matches if any of its elements does; dates
are ISO text, and a day written alone stands for all of it. `!=` and NOT also match documents
without the key. A comparison with a key that no document has is refused; whether a key is there
(IS NULL, IS NOT NULL, $exists) may be asked of any.
"""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from bigrain.errors import InvalidFilterError, shown
from bigrain.storage.attributes import from_numpy, iso_text

__all__ = ["And", "Compare", "Exists", "Filter", "Member", "Not", "Or", "parse", "resolve"]

Value: TypeAlias = "str | int | float"
Bits = npt.NDArray[np.uint8]
MAX_DEPTH = 64
MAX_VALUES = 100_000  # in one list
MAX_CONDITIONS = 1_000
MAX_CHARS = 4 << 20
LONG_KEY, MANY_KEYS = 100, 1_000  # what messages look at
COMPARISONS = frozenset({"=", "<", "<=", ">", ">="})
DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


@dataclass(frozen=True)
class Compare:
    key: str
    op: str  # "=", "<", "<=", ">", ">="
    value: Value


@dataclass(frozen=True)
class Member:
    key: str
    values: tuple[Value, ...]


@dataclass(frozen=True)
class Exists:
    key: str


@dataclass(frozen=True)
class And:
    parts: tuple[Filter, ...]


@dataclass(frozen=True)
class Or:
    parts: tuple[Filter, ...]


@dataclass(frozen=True)
class Not:
    part: Filter


Filter: TypeAlias = Compare | Member | Exists | And | Or | Not


def parse(source: object) -> Filter:
    """A filter from text, a dictionary, or a filter already made."""
    if isinstance(source, Compare | Member | Exists | And | Or | Not):
        return _counted(_checked(source, 0))
    if isinstance(source, str):
        return _counted(_Parser(source).parse())
    if isinstance(source, Mapping):
        return _counted(_from_mapping(source, 0))
    raise InvalidFilterError(
        f"a filter is text such as \"year >= 2020\" or a dictionary such as {{'year': {{'$gte': "
        f"2020}}}}, not {type(source).__name__}"
    )


def _counted(filter: Filter) -> Filter:
    n = _conditions(filter)
    if n > MAX_CONDITIONS:
        raise InvalidFilterError(
            f"the filter has {n:,} conditions; at most {MAX_CONDITIONS:,} (many values of one key "
            "belong into one IN)"
        )
    return filter


def _conditions(filter: Filter) -> int:
    match filter:
        case And(parts) | Or(parts):
            return sum(map(_conditions, parts))
        case Not(part):
            return _conditions(part)
    return 1


def _checked(filter: object, depth: int) -> Filter:
    """A filter that a caller put together by hand, with its values in their plain form."""
    if depth > MAX_DEPTH:
        raise InvalidFilterError(f"the filter is nested deeper than {MAX_DEPTH} levels")
    match filter:
        case Compare(str(key), op, value) if isinstance(op, str) and op in COMPARISONS:
            return Compare(key, op, _value(key, value))
        case Member(str(key), tuple(values)):
            return Member(key, _values(key, values))
        case Exists(str()):
            return filter
        case And(tuple(parts)) | Or(tuple(parts)) if parts:
            return type(filter)(tuple(_checked(part, depth + 1) for part in parts))
        case Not(part):
            return Not(_checked(part, depth + 1))
    raise InvalidFilterError(f"{shown(filter)} is not a filter")


# -- dictionaries -------------------------------------------------------------------------------

_OPERATORS = {
    "eq": "=", "=": "=", "==": "=", "ne": "!=", "!=": "!=", "gt": ">", ">": ">", "gte": ">=",
    ">=": ">=", "lt": "<", "<": "<", "lte": "<=", "<=": "<=", "in": "in", "nin": "not in",
    "not in": "not in", "exists": "exists",
}  # fmt: skip


def _from_mapping(source: Mapping[str, Any], depth: int) -> Filter:
    if depth > MAX_DEPTH:
        raise InvalidFilterError(f"the filter is nested deeper than {MAX_DEPTH} levels")
    if not source:
        raise InvalidFilterError("the filter is empty; leave filter out to search everything")
    parts: list[Filter] = []
    for key, condition in source.items():
        if not isinstance(key, str):
            raise InvalidFilterError(f"filter key {shown(key)} is not a string")
        word = key.lower().lstrip("$")
        if (
            word in ("and", "or")
            and isinstance(condition, Sequence | Mapping)
            and not isinstance(condition, str)
        ):
            listed = [condition] if isinstance(condition, Mapping) else list(condition)
            if not listed:
                raise InvalidFilterError(f"{key!r} needs at least one filter in its list")
            made = tuple(_from_mapping(_as_mapping(part), depth + 1) for part in listed)
            parts.append(And(made) if word == "and" else Or(made))
        elif word == "not" and isinstance(condition, Mapping):
            parts.append(Not(_from_mapping(condition, depth + 1)))
        elif key.startswith("$"):
            raise InvalidFilterError(f"unknown operator {shown(key)}; known: $and, $or, $not")
        elif isinstance(condition, Mapping):
            if not condition:
                raise InvalidFilterError(f"the condition on {key!r} is empty")
            parts += [_condition(key, op, value) for op, value in condition.items()]
        elif isinstance(condition, list | tuple | set | frozenset):
            parts.append(Member(key, _values(key, condition)))
        elif condition is None:
            parts.append(Not(Exists(key)))
        else:
            parts.append(Compare(key, "=", _value(key, condition)))
    return parts[0] if len(parts) == 1 else And(tuple(parts))


def _as_mapping(part: object) -> Mapping[str, Any]:
    if not isinstance(part, Mapping):
        raise InvalidFilterError(f"expected a dictionary inside $and / $or, got {shown(part)}")
    return part


def _condition(key: str, op: object, value: object) -> Filter:
    name = _OPERATORS.get(op.lower().lstrip("$")) if isinstance(op, str) else None
    if name is None:
        raise InvalidFilterError(
            f"unknown operator {shown(op)} on {shown(key)}; known: $eq, $ne, $gt, $gte, $lt, "
            "$lte, $in, $nin, $exists"
        )
    if name == "exists":
        return Exists(key) if value else Not(Exists(key))
    if name in ("in", "not in"):
        if isinstance(value, str) or not isinstance(value, Collection):
            raise InvalidFilterError(
                f"{op} on {shown(key)} needs a list of values, got {shown(value)}"
            )
        member = Member(key, _values(key, value))
        return member if name == "in" else Not(member)
    if name == "!=":
        return Not(Compare(key, "=", _value(key, value)))
    return Compare(key, name, _value(key, value))


def _values(key: str, values: Collection[Any]) -> tuple[Value, ...]:
    if len(values) > MAX_VALUES:
        raise InvalidFilterError(f"{len(values):,} values for {shown(key)}; at most {MAX_VALUES:,}")
    return tuple(_value(key, value) for value in values)


def _value(key: str, value: object) -> Value:
    if hasattr(value, "dtype") and getattr(value, "ndim", 1) == 0:
        value = from_numpy(value)
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, datetime.date):
        return iso_text(value)
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise InvalidFilterError(f"{shown(value)} for {shown(key)} does not fit 64 bits")
    if isinstance(value, float) and not math.isfinite(value):
        raise InvalidFilterError(f"{value} for {shown(key)} is not a finite number")
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            raise InvalidFilterError(f"the value for {shown(key)} holds a lone surrogate") from None
    if not isinstance(value, str | int | float):
        raise InvalidFilterError(
            f"the value for {shown(key)} is a {type(value).__name__}; use text, a number, a "
            "boolean or a date"
        )
    return value


# -- text ---------------------------------------------------------------------------------------

_TOKEN = re.compile(
    r"\s*(?:(?P<string>'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\")"
    r"|(?P<number>[-+]?(?:\d++(?:\.\d*+)?|\.\d++)(?:[eE][-+]?\d++)?)(?![\w.])"
    r"|(?P<op><=|>=|!=|<>|==|=|<|>|\(|\)|,)"
    r"|(?P<quoted>`[^`]+`)"
    r"|(?P<word>[^\W\d][\w.\-]*))"
)
_KEYWORDS = frozenset("AND OR NOT IN BETWEEN IS NULL TRUE FALSE".split())


class _Parser:
    """Recursive descent over the tokens of one filter."""

    def __init__(self, source: str) -> None:
        if len(source) > MAX_CHARS:
            raise InvalidFilterError(
                f"the filter has {len(source):,} characters; at most {MAX_CHARS:,}"
            )
        self._source = source
        self._tokens: list[tuple[str, str, int]] = []
        self._at, self._depth = 0, 0
        position, end = 0, len(source.rstrip())
        while position < end:
            match = _TOKEN.match(source, position)
            if match is None:
                self._fail(position, "a key, a value or an operator")
            assert match is not None and match.lastgroup is not None
            start = match.start(match.lastgroup)
            self._tokens.append((match.lastgroup, match.group(match.lastgroup), start))
            position = match.end()

    def parse(self) -> Filter:
        if not self._tokens:
            raise InvalidFilterError("the filter is empty; leave filter out to search everything")
        found = self._or()
        if self._at < len(self._tokens):
            self._fail(self._position, "AND, OR or the end")
        return found

    @property
    def _position(self) -> int:
        if self._at < len(self._tokens):
            return self._tokens[self._at][2]
        return len(self._source)

    def _fail(self, position: int, expected: str) -> None:
        near = self._source[position : position + 20] or "the end"
        raise InvalidFilterError(
            f"filter {shown(self._source)}, character {position}: expected {expected}, found "
            f"{near!r}; for example: year >= 2020 AND lang = 'en'"
        )

    def _keyword(self, *words: str) -> bool:
        """Step over these keywords if they come next."""
        for i, word in enumerate(words):
            if self._at + i >= len(self._tokens):
                return False
            kind, text, _ = self._tokens[self._at + i]
            if kind != "word" or text.upper() != word:
                return False
        self._at += len(words)
        return True

    def _symbol(self, *symbols: str) -> str | None:
        if self._at < len(self._tokens):
            kind, text, _ = self._tokens[self._at]
            if kind == "op" and text in symbols:
                self._at += 1
                return text
        return None

    def _or(self) -> Filter:
        parts = [self._and()]
        while self._keyword("OR"):
            parts.append(self._and())
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def _and(self) -> Filter:
        parts = [self._not()]
        while self._keyword("AND"):
            parts.append(self._not())
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def _not(self) -> Filter:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise InvalidFilterError(f"the filter is nested deeper than {MAX_DEPTH} levels")
        try:
            if self._keyword("NOT"):
                return Not(self._not())
            if self._symbol("("):
                inside = self._or()
                if not self._symbol(")"):
                    self._fail(self._position, "')'")
                return inside
            return self._comparison()
        finally:
            self._depth -= 1

    def _comparison(self) -> Filter:
        key = self._key()
        if self._keyword("IS", "NOT", "NULL"):
            return Exists(key)
        if self._keyword("IS", "NULL"):
            return Not(Exists(key))
        if self._keyword("BETWEEN"):
            low = self._literal(key)
            if not self._keyword("AND"):
                self._fail(self._position, "AND and the upper end")
            return And((Compare(key, ">=", low), Compare(key, "<=", self._literal(key))))
        if self._keyword("NOT", "IN"):
            return Not(Member(key, self._list(key)))
        if self._keyword("IN"):
            return Member(key, self._list(key))
        op = self._symbol("<=", ">=", "!=", "<>", "==", "=", "<", ">")
        if op is None:
            self._fail(self._position, "=, !=, <, <=, >, >=, IN, BETWEEN or IS NULL")
        assert op is not None
        value = self._literal(key)
        if op in ("!=", "<>"):
            return Not(Compare(key, "=", value))
        return Compare(key, "=" if op == "==" else op, value)

    def _key(self) -> str:
        if self._at < len(self._tokens):
            kind, text, _ = self._tokens[self._at]
            if kind == "quoted" or (kind == "word" and text.upper() not in _KEYWORDS):
                self._at += 1
                return text.strip("`")
        self._fail(self._position, "a metadata key")
        raise AssertionError

    def _literal(self, key: str) -> Value:
        if self._keyword("TRUE"):
            return 1
        if self._keyword("FALSE"):
            return 0
        if self._at < len(self._tokens):
            kind, text, _ = self._tokens[self._at]
            if kind == "string":
                self._at += 1
                return str(_value(key, text[1:-1].replace(text[0] * 2, text[0])))
            if kind == "number":
                self._at += 1
                whole = re.fullmatch(r"[-+]?\d+", text)
                return _value(key, int(text) if whole and len(text) < 40 else float(text))
        self._fail(self._position, "a number, true, false or 'text' in quotes")
        raise AssertionError

    def _list(self, key: str) -> tuple[Value, ...]:
        if not self._symbol("("):
            self._fail(self._position, "'(' and a list of values")
        values = [self._literal(key)]
        while self._symbol(","):
            values.append(self._literal(key))
            if len(values) > MAX_VALUES:
                raise InvalidFilterError(f"more than {MAX_VALUES:,} values for {shown(key)}")
        if not self._symbol(")"):
            self._fail(self._position, "',' or ')'")
        return tuple(values)


# -- answering ----------------------------------------------------------------------------------

Mark = Callable[[str, Sequence[Any], npt.NDArray[np.bool_]], None]


def resolve(filter: Filter, numbers: Mapping[str, int], mark: Mark, size: int) -> Bits:
    """The document numbers below `size` that the filter lets through, as a packed bitmap.

    `numbers` are those of the metadata keys there are; `mark` runs SQL on the attributes and sets
    the flags of the documents it finds. Numbers that no live document has may be let through.
    """
    keys = list(numbers)
    known = set(keys)

    def leaf(key: str, condition: str, parameters: Sequence[Any]) -> Bits:
        if key not in known:
            import difflib

            close = difflib.get_close_matches(key[:LONG_KEY], keys[:MANY_KEYS], n=1)
            hint = f"; did you mean {shown(close[0])}?" if close else ""
            listed = ", ".join(name[:LONG_KEY] for name in keys[:20]) or "none"
            raise InvalidFilterError(
                f"no document has metadata key {shown(key)}{hint} (known: {listed})"
            )
        flags = np.zeros(size, bool)
        mark(
            f"SELECT docno FROM attributes WHERE key = ?{condition}",
            [numbers[key], *parameters],
            flags,
        )
        return np.packbits(flags, bitorder="little")

    def walk(node: Filter) -> Bits:
        match node:
            case Compare(key, op, value):
                return leaf(key, *_range(op, value))
            case Member(key, values):
                days = [v for v in values if isinstance(v, str) and DAY.fullmatch(v)]
                others = [v for v in values if not (isinstance(v, str) and DAY.fullmatch(v))]
                found = leaf(key, " AND 0", ())
                for batch in (others[i : i + 500] for i in range(0, len(others), 500)):
                    found |= leaf(key, f" AND value IN ({','.join('?' * len(batch))})", batch)
                for day in days:
                    found |= leaf(key, *_range("=", day))
                return found
            case Exists(key):
                return leaf(key, "", ()) if key in known else np.zeros(-(-size // 8), np.uint8)
            case Not(part):
                return ~walk(part)
            case And(parts):
                found = walk(parts[0])
                for part in parts[1:]:
                    found &= walk(part)
                return found
            case Or(parts):
                found = walk(parts[0])
                for part in parts[1:]:
                    found |= walk(part)
                return found

    return walk(filter)


def _range(op: str, value: Value) -> tuple[str, list[Any]]:
    """A condition on `value` that stays among numbers or texts (SQLite sorts numbers first)."""
    if op == "=":
        if isinstance(value, str) and DAY.fullmatch(value):
            return " AND value >= ? AND value < ?", [value, _day_after(value)]
        return " AND value = ?", [value]
    if isinstance(value, str):
        if DAY.fullmatch(value) and op in ("<=", ">"):
            op, value = ("<" if op == "<=" else ">="), _day_after(value)
        guard = "" if op in (">", ">=") else " AND value >= ''"
        return f" AND value {op} ?{guard}", [value]
    guard = " AND value < ''" if op in (">", ">=") else ""
    return f" AND value {op} ?{guard}", [value]


def _day_after(day: str) -> str:
    """The first text that sorts after everything of the day."""
    return day + "\U0010ffff"
