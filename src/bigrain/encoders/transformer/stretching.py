"""Two changes to a loaded network that need no training.

temperature  every layer's attention becomes softmax(q . k / (sqrt(d) t)); t < 1 sharpens it,
             against the vectors of long texts growing alike (TempScale: Zhou et al., "Length-
             Induced Embedding Collapse in PLM-based Models", ACL 2025)
positions    texts of L tokens, more than the L0 places that the model knows, are read as if
             token i stood at i (L0 - 1) / (L - 1): between two rows of the table of positions
             ("interpolate"), or at the row below ("group"). Rotary models take such places as
             they are. (Zhu et al., "LongEmbed", EMNLP 2024.) Others are read as ever.
"""

from __future__ import annotations

import inspect
from typing import Any

from bigrain.encoders.transformer.needs import needed
from bigrain.errors import ConfigError

__all__ = ["POSITIONS", "sharpen", "stretched"]

POSITIONS = (None, "interpolate", "group")


def sharpen(model: Any, temperature: float, name: str) -> None:
    """Divide the logits of all attention by the temperature; `name` is the model's, for errors."""
    found = [m for m in model.modules() if isinstance(getattr(m, "scaling", None), float)]
    layers = int(getattr(model.config, "num_hidden_layers", 0) or 1)
    if len(found) < layers:
        raise ConfigError(
            f"{name}: temperature cannot be set, as this architecture's attention "
            f"({model.config.model_type}) does not tell its scale; leave temperature out"
        )
    for module in found:
        module.scaling /= temperature


def stretched(model: Any, how: str, name: str) -> Any:
    """A function of (ids, mask) giving the model's arguments for texts of any length."""
    torch = needed("torch", name)
    taken = inspect.signature(_inner(model).forward).parameters
    known = int(getattr(model.config, "max_position_embeddings", 0) or 0)
    tables = [
        (owner, table)
        for owner in model.modules()
        if isinstance(table := getattr(owner, "position_embeddings", None), torch.nn.Embedding)
    ]
    rotary = any("rotary" in type(m).__name__.lower() for m in model.modules())
    if "position_ids" not in taken or not known or not (tables or rotary):
        raise ConfigError(
            f"{name}: positions={how!r} cannot be had, as this architecture "
            f"({model.config.model_type}) has neither a table of positions nor rotary ones; leave "
            "positions out, or let long texts be read in windows"
        )
    first = 0
    for owner, table in tables:
        if table.padding_idx is not None:
            first = table.padding_idx + 1
        known = min(known, len(table.weight) - first)
        owner.position_embeddings = _between(torch, table)

    def arguments(ids: Any, mask: Any) -> dict[str, Any]:
        lengths = mask.sum(dim=1, keepdim=True).clamp(min=2).to(torch.float32)
        usual = torch.arange(ids.shape[1], device=ids.device).to(torch.float32)[None, :]
        places = torch.minimum(usual, usual * (known - 1) / (lengths - 1))
        if how == "group":
            places = places.floor()
        told = {"position_ids": places.clamp(max=known - 1.0) + first}
        if "token_type_ids" in taken:
            told["token_type_ids"] = torch.zeros_like(ids)
        return told

    return arguments


def _inner(model: Any) -> Any:
    """The encoder inside of a model with a head."""
    return getattr(model, "base_model", model)


def _between(torch: Any, table: Any) -> Any:
    class Between(torch.nn.Module):  # type: ignore[misc]
        """Rows of a table at places that need not be whole."""

        def __init__(self) -> None:
            super().__init__()
            self.weight = table.weight

        def forward(self, places: Any) -> Any:
            below = places.floor()
            share = (places - below).unsqueeze(-1).to(self.weight.dtype)
            low = below.to(torch.int64)
            high = (low + 1).clamp(max=self.weight.shape[0] - 1)
            embed = torch.nn.functional.embedding
            return torch.lerp(embed(low, self.weight), embed(high, self.weight), share)

    return Between()
