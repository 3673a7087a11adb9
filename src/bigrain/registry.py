"""Names for things that can be added from outside: today encoders.

A package registers by an entry point in the group `bigrain.encoders` whose value is a factory
without arguments; a script calls `register_encoder`. Either makes an `Encoder`, or a `Model` that
gives several families. A folder that an encoder was saved to is a name, too.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from bigrain.errors import ConfigError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoints

    from bigrain.encoders.base import Encoder, Model

__all__ = ["encoder_families", "encoder_names", "make_encoder", "register_encoder"]


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
    """Every registered name, sorted."""
    return sorted({*_factories, *(point.name for point in _entry_points())})


def encoder_families(name: str) -> tuple[str, ...]:
    """The families of representation that the encoder of this name gives."""
    from bigrain.encoders.base import Model

    made = _make(name)
    return made.families if isinstance(made, Model) else (made.family,)


def make_encoder(name: str, family: str) -> Encoder:
    """The encoder of this name, or its model's head of the family; both made once a process.

    A name that is not registered may be a transformer model's: a folder, or a name on the hub.
    Raises ConfigError.
    """
    made, given = _make(name), encoder_families(name)
    if family not in given:
        raise ConfigError(
            f"encoder {name!r} gives {' and '.join(given)} representations, not {family} ones"
        )
    if not hasattr(made, "head"):
        return made
    if (name, family) not in _heads:
        _heads[name, family] = made.head(family)
    return _heads[name, family]


def _make(name: str) -> Encoder | Model:
    if name not in _made:
        _made[name] = _factory(name)()
    return _made[name]


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
    if _may_be_a_model(name):
        return partial(_from_folder_or_hub, name)
    raise ConfigError(
        f"encoder {name!r} is not registered, nor a folder; known: {', '.join(encoder_names())}. "
        "Register your own with bigrain.register_encoder(name, factory) before opening the "
        "collection, or name the folder of a transformer model or of an encoder that you learned"
    )


def _may_be_a_model(name: str) -> bool:
    """A folder, or `organisation/name`."""
    hub_name = re.fullmatch(r"[\w.-]+/[\w.-]+", name) and not name.startswith("bigrain/")
    return bool(hub_name) or Path(name).is_dir() or name.startswith((os.sep, "~", "."))


def _from_folder_or_hub(name: str) -> Encoder | Model:
    """What was learned and saved, from a corpus or from the bundled encoder, or a transformer."""
    from bigrain.encoders import corpus

    if corpus.is_learned(name):
        return corpus.load(name)
    if (Path(name) / "table.npy").is_file():
        from bigrain.encoders.static import StaticEncoder

        return StaticEncoder(Path(name))
    from bigrain.encoders.transformer import TransformerEncoder

    return TransformerEncoder(name)
