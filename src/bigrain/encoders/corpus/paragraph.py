"""Paragraph vectors at work: a text's vector is what predicts its words best, words held fixed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from bigrain.encoders.corpus.dbow import Dbow, Noise, infer
from bigrain.encoders.corpus.learned import LearnedEncoder
from bigrain.encoders.corpus.table import damped, unit
from bigrain.encoders.corpus.words import Bags

__all__ = ["ParagraphEncoder", "weighted"]

AT_ONCE = 256  # texts
RULES = ("gradient", "adam")

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class ParagraphEncoder(LearnedEncoder):
    """Settings: `bits` (0: none), `mass`, `ridge`, `rule`, `steps`.

    Arrays: `output` (V, dim), `bias` (V,), `idf` (V,), `noise` (S,) words with `correction` (S,),
    and `projection` (dim, bits) with `threshold` (bits,) of codes, which are empty where the code
    is the vector's own signs.

    Inference takes `steps` by `rule` from zero (`dbow.infer`): the same text, the same vector.
    """

    expected: ClassVar[Mapping[str, type]] = {
        "output": np.float32,
        "bias": np.float32,
        "idf": np.float32,
        "noise": np.int64,
        "correction": np.float32,
        "projection": np.float32,
        "threshold": np.float32,
    }

    @property
    def dim(self) -> int:
        return int(self.arrays["output"].shape[1])

    @property
    def bits(self) -> int:
        """Of the code; 0 for real vectors alone."""
        return int(self.settings["bits"])

    def check(self) -> None:
        a, n = self.arrays, len(self.words)
        for name in ("bits", "steps"):
            if type(self.settings.get(name)) is not int or self.settings[name] < 0:
                raise ValueError(f"{name}={self.settings.get(name)!r} is not a whole number")
        for name in ("mass", "ridge"):
            if not isinstance(self.settings.get(name), int | float):
                raise ValueError(f"{name}={self.settings.get(name)!r} is not a number")
        if a["output"].ndim != 2 or len(a["output"]) != n:
            raise ValueError(f"output {a['output'].shape} for {n} words")
        if self.settings.get("rule") not in RULES:
            raise ValueError(f"rule is one of {', '.join(RULES)}")
        width = a["output"].shape[1]
        good = a["bias"].shape == a["idf"].shape == (n,)
        good = good and a["noise"].ndim == 1 and a["noise"].shape == a["correction"].shape
        good = good and len(a["noise"]) > 0 and bool((a["noise"] < n).all())
        good = good and bool((a["noise"] >= 0).all())
        if a["projection"].size:
            good = good and a["projection"].shape == (width, self.bits)
            good = good and a["threshold"].shape == (self.bits,)
        elif self.bits not in (0, width):
            good = False
        if not good:
            raise ValueError("arrays that do not fit each other")

    def encode_documents(self, texts: Sequence[str]) -> Floats:
        """(n, dim) unit vectors; zeros for a text without known words."""
        return unit(self._inferred(texts))

    def codes(self, texts: Sequence[str]) -> npt.NDArray[np.uint8]:
        """(n, bits / 8) packed bits, least significant first. ValueError without a code."""
        if not self.bits:
            raise ValueError(f"{self.kind} has no code; learn 'binary-pv' or 'rb-pv'")
        logits = self._inferred(texts)
        if self.arrays["projection"].size:
            logits = logits @ self.arrays["projection"] + self.arrays["threshold"]
        return np.packbits(logits > 0, axis=1, bitorder="little")

    def _inferred(self, texts: Sequence[str]) -> Floats:
        """(n, dim)"""
        return self.of_bags(self.words.bags(texts))

    def of_bags(self, bags: Bags) -> Floats:
        """(n, dim) vectors of texts as counts of words, not yet at unit length."""
        bags = weighted(bags, self.arrays["idf"], self.settings["mass"])
        n = len(bags.offsets) - 1
        out = np.zeros((n, self.dim), np.float32)
        for start in range(0, n, AT_ONCE):
            end = min(start + AT_ONCE, n)
            some = bags.part(start, end)
            known = np.flatnonzero(np.diff(some.offsets)) + start
            found = infer(
                self._model, some, self._noise, dim=self.dim, ridge=self.settings["ridge"],
                rule=self.settings["rule"], steps=self.settings["steps"],
            )  # fmt: skip
            out[known] = found[known - start]
        return out

    @cached_property
    def _model(self) -> Dbow:
        binary = self.bits > 0 and not self.arrays["projection"].size
        return Dbow(self.arrays["output"], self.arrays["bias"], binary)

    @cached_property
    def _noise(self) -> Noise:
        return Noise(self.arrays["noise"], self.arrays["correction"])


def weighted(bags: Bags, idf: Floats, mass: float) -> Bags:
    """Counts as (1 + ln count) idf, scaled to a sum of `mass` for each text."""
    weights = damped(bags).weights * idf[bags.words]
    text_of = np.repeat(np.arange(len(bags.offsets) - 1), np.diff(bags.offsets))
    sums = np.bincount(text_of, weights, minlength=len(bags.offsets) - 1)
    scale = mass / np.where(sums > 0, sums, 1)
    return bags._replace(weights=(weights * scale[text_of]).astype(np.float32))
