"""Rows of integers, with a scale for each row or one for all."""

from __future__ import annotations

from typing import ClassVar

from bigrain.tables.forms.base import Floats, Form, Ids, Layout

__all__ = ["Integers"]


class Integers(Form):
    kind: ClassVar[str] = "integers"

    @staticmethod
    def layout(num_embeddings: int, embedding_dim: int, *, bits: int, scales: int) -> Layout:  # type: ignore[override]
        if bits not in (8, 16):
            raise ValueError(f"{bits} bits")
        return {
            "cells": (f"<i{bits // 8}", (num_embeddings, embedding_dim)),
            "scales": ("<f4", (scales,)),
        }

    def rows(self, ids: Ids) -> Floats:
        scales = self.arrays["scales"]
        cells = self.arrays["cells"].take(ids, axis=0)
        return cells * (scales if len(scales) == 1 else scales.take(ids)[:, None])
