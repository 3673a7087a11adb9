"""What a number of a table becomes when it is exported with 16 or 8 bits."""

from __future__ import annotations

import torch
from torch import Tensor

from bigrain.errors import ConfigError
from bigrain.tables.forms.numbers import DTYPES, TOP

__all__ = ["Rounding", "check_bits"]


def check_bits(name: str, bits: int) -> int:
    """`bits`; ConfigError where numbers cannot be kept with them."""
    if bits not in DTYPES:
        raise ConfigError(f"{name}: bits must be 32, 16 or 8, not {bits!r}")
    return bits


class Rounding:
    """Of the rows of one array; the scale of 8 bits is that of all of it."""

    def __init__(self, bits: int) -> None:
        self.bits = bits
        self._of: tuple[Tensor, Tensor | None, int] | None = None  # what the scale was taken of
        self._scale = torch.ones(())

    def __call__(self, rows: Tensor, weight: Tensor, mask: Tensor | None = None) -> Tensor:
        """`rows` as they will be; `mask` tells what of `weight` is kept."""
        if self.bits == 32:
            return rows
        if self.bits == 16:
            return rows.half().float()
        scale = self._scale_of(weight, mask)
        return torch.round(rows / scale) * scale

    @torch.no_grad()
    def _scale_of(self, weight: Tensor, mask: Tensor | None) -> Tensor:
        """(), looked for again only where weight or mask have changed."""
        known = self._of
        same = known and known[0] is weight and known[1] is mask and known[2] == weight._version
        if not same:
            kept = weight if mask is None else weight * mask
            top = kept.abs().amax() if kept.numel() else torch.zeros(())
            self._scale = torch.where(top > 0, top / TOP, torch.ones(()))
            self._of = weight, mask, weight._version
        return self._scale
