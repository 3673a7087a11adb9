"""Compressed learnable embedding tables: one interface, many methods, files that NumPy reads.

    table = bigrain.tables.create("mgqe.v1", 1_000_000, 64, budget_bytes=25_000_000,
                                  frequencies="falling")        a torch module, ids -> (..., 64)
    for step in table.schedule(steps=5_000): ...                its phases, where it has any
    table.export("users.table")                                 what inference needs
    bigrain.tables.load("users.table").lookup([3, 5])           NumPy alone

`names()` lists the methods. Making and training a table needs the extra `learn` (torch); loading
and looking up do not.

    spec, groups, budget        what was asked; ids in groups; the largest setting that fits
    table, schedule             the torch module all methods are; its phases
    methods/                    one method a file: formula, source, training
    forms/, exported            what is kept for inference, in NumPy; the file
    models/, bench/             small models over tables; all methods compared at equal bytes
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from inspect import signature
from typing import TYPE_CHECKING, Any

from bigrain.errors import ConfigError, MissingExtraError, shown
from bigrain.tables.exported import load
from bigrain.tables.forms.base import Form
from bigrain.tables.spec import Frequencies, TableSpec

if TYPE_CHECKING:
    from bigrain.tables.table import Table

__all__ = ["Form", "create", "load", "names"]

# name: (module in methods/, class)
METHODS = {
    "adapt.v1": ("adapt", "Adapt"),
    "alpt.v1": ("alpt", "Alpt"),
    "autodim.v1": ("autodim", "AutoDim"),
    "autosrh.v1": ("autosrh", "AutoSrh"),
    "compositional.v1": ("compositional", "QuotientRemainder"),
    "dedup.v1": ("dedup", "Dedup"),
    "deeplight.v1": ("deeplight", "DeepLight"),
    "dhe.v1": ("dhe", "Dhe"),
    "dpq.v1": ("dpq", "Dpq"),
    "full.v1": ("full", "Full"),
    "hash.v1": ("hash", "Hash"),
    "int16.v1": ("integers", "Int16"),
    "int8.v1": ("integers", "Int8"),
    "mde.v1": ("mde", "MixedDimensions"),
    "mgqe.v1": ("mgqe", "Mgqe"),
    "optembed.v1": ("optembed", "OptEmbed"),
    "pep.v1": ("pep", "Pep"),
    "pq.v1": ("pq", "Pq"),
    "robe.v1": ("robe", "RobeZ"),
    "tt_rec.v1": ("tt_rec", "TtRec"),
    "unified.v1": ("unified", "Unified"),
}


def names() -> list[str]:
    """The methods that `create` knows."""
    return sorted(METHODS)


def check_name(name: str) -> None:
    """Raise ConfigError for a name that `create` does not know."""
    if name not in METHODS:
        raise ConfigError(f"no method {shown(name)}; known: {', '.join(names())}")


def need_torch() -> None:
    """Raise MissingExtraError without torch."""
    try:
        import torch  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("training an embedding table", "learn") from error


def create(
    name: str,
    num_embeddings: int,
    embedding_dim: int,
    *,
    budget_bytes: int | None = None,
    frequencies: Frequencies = None,
    fields: Sequence[int] | None = None,
    seed: int = 0,
    **options: Any,
) -> Table:
    """A compressed table: a torch module from whole numbers (...) to rows (..., embedding_dim).

    Args:
        name: the method, one of `names()`.
        num_embeddings: how many ids there are, from 0.
        embedding_dim: the width of a row.
        budget_bytes: what the exported file may take. Without it the method's own default size.
        frequencies: one number an id, or "falling" where ids are numbered by falling frequency.
            Methods that treat frequent ids differently need it; where ids are not so numbered
            they also store a map of 2 or 4 bytes an id.
        fields: rows of each field, where the ids of several fields follow one another.
        seed: everything random in the table comes from it.
        options: further settings of the method; its class documents them.

    Raises MissingExtraError without torch, ConfigError for settings that cannot be, BudgetError
    with the smallest possible size where the budget cannot be met.
    """
    spec = TableSpec.of(num_embeddings, embedding_dim, budget_bytes, frequencies, fields, seed)
    check_name(name)
    need_torch()
    module, class_name = METHODS[name]
    method: type[Table] = getattr(import_module(f"bigrain.tables.methods.{module}"), class_name)
    known = _options(method)
    unknown = [option for option in options if option not in known]
    if unknown:
        told = f"its options are {', '.join(known)}" if known else "it has none"
        raise ConfigError(f"{name} has no option {shown(unknown[0])}; {told}")
    return method(name, spec, **options)


def _options(method: type[Any]) -> list[str]:
    """The options of a method, those that it passes on to its base included."""
    found: list[str] = []
    for kind in method.__mro__:
        if "__init__" not in vars(kind):
            continue
        given = signature(vars(kind)["__init__"]).parameters.values()
        found += [p.name for p in given if p.kind is p.KEYWORD_ONLY and p.name not in found]
        if not any(p.kind is p.VAR_KEYWORD for p in given):
            break
    return found
