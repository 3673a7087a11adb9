"""Metadata as typed (key, value) pairs that SQLite can index and filters can ask for.

Nested mappings become dotted keys, lists one pair an element; booleans count as 0 and 1, dates as
ISO text. Strings are kept as they are.
"""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from bigrain.errors import InvalidDocumentError, shown

__all__ = ["attributes_of", "from_numpy", "iso_text", "normalise_metadata"]

MAX_DEPTH = 16
MAX_BYTES = 1 << 20
Value = str | int | float


def normalise_metadata(metadata: object, where: str) -> dict[str, Any]:
    """A JSON-able copy, dates as ISO text; `where` names the document in messages."""
    if not isinstance(metadata, Mapping):
        raise InvalidDocumentError(
            f"{where}: metadata must be a mapping such as {{'year': 2020}}, not "
            f"{type(metadata).__name__}"
        )
    result: dict[str, Any] = _plain(metadata, where, ())
    if result and len(json.dumps(result, ensure_ascii=False)) > MAX_BYTES:
        raise InvalidDocumentError(f"{where}: metadata is larger than {MAX_BYTES:,} characters")
    return result


def attributes_of(metadata: Mapping[str, Any]) -> Iterator[tuple[str, Value]]:
    """The pairs of normalised metadata."""
    for key, value in metadata.items():
        yield from _pairs(key, value)


def _pairs(key: str, value: Any) -> Iterator[tuple[str, Value]]:
    if isinstance(value, Mapping):
        for inner, item in value.items():
            yield from _pairs(f"{key}.{inner}", item)
    elif isinstance(value, list):
        for item in value:
            yield from _pairs(key, item)
    elif isinstance(value, bool):
        yield key, int(value)
    elif value is not None:
        yield key, value


def _plain(value: Any, where: str, path: tuple[object, ...]) -> Any:
    if len(path) > MAX_DEPTH:
        raise InvalidDocumentError(
            f"{where}: {_named(path[:3])} is nested deeper than {MAX_DEPTH} levels"
        )
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str) or not key:
                raise InvalidDocumentError(
                    f"{where}: {_named(path)} has the key {shown(key)}; keys are strings"
                )
            _check_text(key, where, path)
        return {str(k): _plain(v, where, (*path, k)) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        items = sorted(value, key=str) if isinstance(value, set | frozenset) else value
        return [_plain(v, where, (*path, i)) for i, v in enumerate(items)]
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        _check_text(value, where, path)
        return str(value)
    if isinstance(value, datetime.date):
        return iso_text(value) if value == value else None  # pandas has a time that is none
    if hasattr(value, "tolist") and not isinstance(value, int | float):
        plain = from_numpy(value)
        if type(plain) is not type(value):
            return _plain(plain, where, path)
    if isinstance(value, int):
        if not -(2**63) <= value < 2**63:
            raise InvalidDocumentError(
                f"{where}: {_named(path)}={shown(value)} does not fit 64 bits"
            )
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidDocumentError(
                f"{where}: {_named(path)} is {value}, not a finite number; use None for none"
            )
        return float(value)
    raise InvalidDocumentError(
        f"{where}: {_named(path)} is a {type(value).__name__}; metadata holds strings, numbers, "
        "booleans, dates, lists and mappings of them"
    )


def _named(path: tuple[object, ...]) -> str:
    return "metadata" + "".join(f"[{shown(step)}]" for step in path)


def from_numpy(value: Any) -> Any:
    """A NumPy scalar or array in Python's types; times stay times, whatever their unit."""
    kind = getattr(getattr(value, "dtype", None), "kind", "")
    if kind == "M":  # in nanoseconds NumPy would give whole numbers
        value = value.astype("datetime64[us]")
    elif kind == "m":
        value = value.astype("timedelta64[us]")
    return value.tolist()


def iso_text(value: datetime.date) -> str:
    """A date or time as text that sorts by time; times with an offset are turned to UTC."""
    if isinstance(value, datetime.datetime) and value.tzinfo is not None:
        value = value.astimezone(datetime.UTC)
    return value.isoformat()


def _check_text(text: str, where: str, path: tuple[object, ...]) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidDocumentError(
            f"{where}: {_named(path)} holds a lone surrogate at character {error.start}"
        ) from None
    if "\x00" in text:
        raise InvalidDocumentError(
            f"{where}: {_named(path)} holds a NUL byte at {text.index(chr(0))}"
        )
