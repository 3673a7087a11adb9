"""Names for things that can be added from outside: today encoders.

A package registers by an entry point in the group `bigrain.encoders` whose value is a factory
without arguments; a script calls `register_encoder`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from bigrain.errors import ConfigError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoints

    from bigrain.encoders.base import Encoder

__all__ = ["encoder_names", "make_encoder", "register_encoder"]


def _bundled() -> Encoder:
    from bigrain.encoders.static import StaticEncoder

    return StaticEncoder()


_factories: dict[str, Callable[[], Encoder]] = {"bigrain/static-v1": _bundled}
_made: dict[str, Encoder] = {}


def register_encoder(name: str, factory: Callable[[], Encoder]) -> None:
    """Make `factory()` reachable as `DenseField(encoder=name)`; the last registration counts."""
    _factories[name] = factory
    _made.pop(name, None)


def encoder_names() -> list[str]:
    """Every name that `make_encoder` accepts, sorted."""
    return sorted({*_factories, *(point.name for point in _entry_points())})


def make_encoder(name: str) -> Encoder:
    """The encoder of this name, made once a process."""
    if name not in _made:
        _made[name] = _factory(name)()
    return _made[name]


def _entry_points() -> EntryPoints:
    from importlib.metadata import entry_points

    return entry_points(group="bigrain.encoders")


def _factory(name: str) -> Callable[[], Encoder]:
    if name in _factories:
        return _factories[name]
    for point in _entry_points():
        if point.name == name:
            factory: Callable[[], Encoder] = point.load()
            return factory
    raise ConfigError(
        f"encoder {name!r} is not registered; known: {', '.join(encoder_names())}. Register your "
        "own with bigrain.register_encoder(name, factory) before opening the collection"
    )
