"""Names for things that can be added from outside: today encoders.

A package registers by an entry point in the group `bigrain.encoders` whose value is a factory
without arguments; a script calls `register_encoder`. Either makes an `Encoder`, or a `Model` that
gives several families.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from bigrain.errors import ConfigError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoints

    from bigrain.encoders.base import Encoder, Model

__all__ = ["encoder_names", "make_encoder", "register_encoder"]


def _bundled() -> Model:
    from bigrain.encoders.static import StaticEncoder

    return StaticEncoder()


_factories: dict[str, Callable[[], Encoder | Model]] = {"bigrain/static-v1": _bundled}
_made: dict[str, Encoder | Model] = {}
_heads: dict[tuple[str, str], Encoder] = {}


def register_encoder(name: str, factory: Callable[[], Encoder | Model]) -> None:
    """Make `factory()` reachable as `DenseField(encoder=name)`; the last registration counts."""
    _factories[name] = factory
    _made.pop(name, None)
    for key in [key for key in _heads if key[0] == name]:
        del _heads[key]


def encoder_names() -> list[str]:
    """Every name that `make_encoder` accepts, sorted."""
    return sorted({*_factories, *(point.name for point in _entry_points())})


def make_encoder(name: str, family: str) -> Encoder:
    """The encoder of this name, or its model's head of the family; both made once a process."""
    from bigrain.encoders.base import Model

    if name not in _made:
        _made[name] = _factory(name)()
    made = _made[name]
    if isinstance(made, Model):
        given: Sequence[str] = made.families
        if family in given and (name, family) not in _heads:
            _heads[name, family] = made.head(family)
        made = _heads.get((name, family), made)
    else:
        given = (made.family,)
    if family not in given or isinstance(made, Model):
        raise ConfigError(
            f"encoder {name!r} gives {' and '.join(given)} representations, not {family} ones"
        )
    return made


def _entry_points() -> EntryPoints:
    from importlib.metadata import entry_points

    return entry_points(group="bigrain.encoders")


def _factory(name: str) -> Callable[[], Encoder | Model]:
    if name in _factories:
        return _factories[name]
    for point in _entry_points():
        if point.name == name:
            factory: Callable[[], Encoder | Model] = point.load()
            return factory
    raise ConfigError(
        f"encoder {name!r} is not registered; known: {', '.join(encoder_names())}. Register your "
        "own with bigrain.register_encoder(name, factory) before opening the collection"
    )
