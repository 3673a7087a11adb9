"""What a collection has learned besides codes: query adapters, and how it was before.

It stands in the catalogue's settings under `learned`, under the checksum of the definition:

    adapters   field -> adapter (`QueryAdapter.to_dict`)
    before     fields: name -> spec before its codes were learned; fusion: the former one

Learned codes are in the segments, as all codes are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from bigrain import config
from bigrain.codecs.adapter import QueryAdapter
from bigrain.errors import ConfigError, DamagedError
from bigrain.families.base import Family
from bigrain.families.dense import DenseFamily
from bigrain.storage.catalogue import CATALOGUE

__all__ = ["LEARNED", "Learned"]

LEARNED = "learned"  # the key of the setting


@dataclass(frozen=True)
class Learned:
    """The setting, as it is stored. Empty: nothing was learned."""

    adapters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    fields_before: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    fusion_before: Mapping[str, Any] | None = None

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Learned:
        """What the settings of a catalogue tell."""
        told = settings.get(LEARNED)
        if told is None:
            return cls()
        try:
            before = told["before"]
            found = cls(dict(told["adapters"]), dict(before["fields"]), before.get("fusion"))
            known = [found.adapters, found.fields_before, *found.adapters.values()]
            if not all(isinstance(one, Mapping) for one in known):
                raise TypeError("a value that is no mapping")
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise DamagedError(CATALOGUE, "what was learned", "a mapping", repr(error)) from error
        return found

    def __bool__(self) -> bool:
        return bool(self.adapters or self.fields_before or self.fusion_before is not None)

    def settings(self) -> dict[str, Any]:
        """The setting to be stored; None takes it away."""
        if not self:
            return {LEARNED: None}
        before: dict[str, Any] = {"fields": dict(self.fields_before)}
        if self.fusion_before is not None:
            before["fusion"] = dict(self.fusion_before)
        return {LEARNED: {"adapters": dict(self.adapters), "before": before}}

    def adapter(self, name: str, dim: int) -> QueryAdapter | None:
        """The adapter of a field, or None."""
        told = self.adapters.get(name)
        if told is None:
            return None
        try:
            return QueryAdapter.from_dict(told, dim)
        except ValueError as error:
            raise DamagedError(
                CATALOGUE, f"the query adapter of field {name!r}", "one that suits it", str(error)
            ) from error

    def applied(self, family: Family) -> Family:
        """The family as it is with what was learned. `EncoderMismatchError` of another encoder."""
        if not isinstance(family, DenseFamily):
            return family
        adapter = self.adapter(family.name, family.dim)
        if adapter is None and family.adapter is None:
            return family
        return family.adapted(adapter)

    def check(self, definition: Mapping[str, tuple[Mapping[str, Any], Any]]) -> None:
        """DamagedError if something in it does not suit the fields of a definition."""
        for name in (*self.adapters, *self.fields_before):
            spec = definition.get(name, ({}, {}))[0]
            if spec.get("family") != "dense":
                raise DamagedError(CATALOGUE, "what was learned", "a dense field", repr(name))
            dim = spec.get("dim")
            self.adapter(name, dim if isinstance(dim, int) else -1)
        try:
            for told in self.fields_before.values():
                config.field_from_dict(dict(told))
        except (ConfigError, KeyError, TypeError, ValueError) as error:
            raise DamagedError(
                CATALOGUE, "what was learned", "specs of fields", repr(error)
            ) from error

    def with_adapter(self, name: str, adapter: QueryAdapter) -> Learned:
        """The same with an adapter for a field."""
        return replace(self, adapters={**self.adapters, name: adapter.to_dict()})

    def with_codes(self, name: str, before: config.DenseField) -> Learned:
        """The same when a field's codes are learned; what was there before the first time stays."""
        if name in self.fields_before:
            return self
        return replace(self, fields_before={**self.fields_before, name: before.to_dict()})

    def without_codes(self, name: str, now: config.Field) -> Learned:
        """The same when a field's codes are those of `now`, no longer the learned ones.

        Where its encoder was taught, taking that back leaves the codes as they are now.
        """
        left = {other: spec for other, spec in self.fields_before.items() if other != name}
        before = self.fields_before.get(name)
        spec = now.to_dict()
        if before is not None and before.get("encoder") != spec.get("encoder"):
            left[name] = {**spec, "encoder": before.get("encoder")}
        return replace(self, fields_before=left)

    def with_encoder(self, name: str, before: config.DenseField) -> Learned:
        """The same when a field's encoder is taught: an adapter of the former one goes."""
        adapters = {other: told for other, told in self.adapters.items() if other != name}
        return replace(self.with_codes(name, before), adapters=adapters)

    def with_fusion(self, before: Mapping[str, Any]) -> Learned:
        """The same when the fusion is learned."""
        return self if self.fusion_before is not None else replace(self, fusion_before=before)
