"""DPQ: differentiable product quantisation.

A row v is cut into parts, and each part becomes its nearest codeword c. The codes are what remains;
the full table v exists during training only. Straight through, out = v + sg(c - v), with the losses
mean (c - sg(v))^2 + commitment mean (sg(c) - v)^2 beside the model's own. Chen, Li, Sun,
"Differentiable product quantization for end-to-end embedding compression" (ICML 2020), its VQ
variant; `variant="sx"` is the other: softmax over products with keys, values of their own.

The paper's code normalises distances over the batch before it takes the smallest, and has no second
loss. On the task of tests/tables that left up to half of the codewords unused and rows grew without
bound; plain distances and a commitment of 1 (van den Oord, Vinyals, Kavukcuoglu, "Neural discrete
representation learning", NeurIPS 2017) used all of them. Codewords that were not used for 200
lookups restart at random rows of the batch.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import embedding

from bigrain.errors import ConfigError
from bigrain.tables.budget import check_budget
from bigrain.tables.forms.base import Form
from bigrain.tables.forms.codes import Codes, pack_bits
from bigrain.tables.spec import TableSpec
from bigrain.tables.table import Table, to_numpy, with_loss

__all__ = ["Dpq"]

MAX_BITS = 8
RESTART_AFTER = 200
AT_ONCE = 1 << 13
IN_CACHE = 1 << 18  # distances of rows to words at once


class Dpq(Table):
    """Options:
    parts: into how many a row is cut; must divide the width.
    bits: of each part's code, 1 to 8.
    variant: "vq" or "sx".
    commitment: how strongly rows are drawn to their codewords. Default 1.
    Parts and bits that are not given are chosen for the longest codes that fit.
    """

    form_type: ClassVar[type[Form]] = Codes

    def __init__(
        self,
        name: str,
        spec: TableSpec,
        *,
        parts: int | None = None,
        bits: int | None = None,
        variant: str = "vq",
        commitment: float = 1.0,
    ) -> None:
        super().__init__(name, spec)
        if variant not in ("vq", "sx"):
            raise ConfigError(f"{name}: variant must be 'vq' or 'sx', not {variant!r}")
        self.variant, self.commitment = variant, commitment
        self.bands, self.ordered = self.make_bands()
        self.parts, self.bits = self._fitting(parts, bits)
        n, d = self.num_embeddings, self.embedding_dim
        words = 1 << max(self.band_bits(self.bits))
        self.weight = self.drawn(n, d)
        self.books = self.drawn(self.parts, words, d // self.parts)
        if variant == "sx":
            self.keys = self.drawn(self.parts, words, d // self.parts)
        self.register_buffer("used", torch.zeros(self.parts, words, dtype=torch.int64))
        self.register_buffer("lookups", torch.zeros((), dtype=torch.int64))
        self.register_buffer("restarts", torch.zeros((), dtype=torch.int64))

    def make_bands(self) -> tuple[list[int], bool]:
        """(the first rank of each band, whether a map of ranks is kept)"""
        return [0], self.keep_order(False)

    def band_bits(self, bits: int) -> list[int]:
        """Bits of the codes of each band, where the longest have `bits`."""
        return [bits]

    def _fitting(self, parts: int | None, bits: int | None) -> tuple[int, int]:
        d = self.embedding_dim
        if parts is not None and (parts < 1 or d % parts):
            raise ConfigError(f"{self.name}: parts must divide the width {d}, not {parts}")
        if bits is not None and not 1 <= bits <= MAX_BITS:
            raise ConfigError(f"{self.name}: bits must be 1 to {MAX_BITS}, not {bits}")
        some_parts = [k for k in range(1, d + 1) if d % k == 0] if parts is None else [parts]
        some_bits = range(1, MAX_BITS + 1) if bits is None else [bits]
        sizes = {(p, b): self.bytes_of(self._knobs(p, b)) for p in some_parts for b in some_bits}
        check_budget(min(sizes.values()), self.budget(), self.name)
        fitting = [pair for pair, size in sizes.items() if size <= self.budget()]
        return max(fitting, key=lambda pair: (pair[0] * pair[1], pair[1]))

    def rows(self, ids: Tensor) -> Tensor:
        v = self._cut(ids)
        distinct, where = torch.unique(ids, return_inverse=True)
        symbols = self._symbols(self._cut(distinct), self.places(distinct))[where]
        chosen = self._words(symbols)
        if not (self.training and torch.is_grad_enabled()):
            return chosen.reshape(len(ids), self.embedding_dim)
        self._count(symbols, v)
        if self.variant == "sx":
            share = torch.softmax(self._likeness(v, self.places(ids)), dim=2)
            soft = torch.einsum("mpk,pkd->mpd", share, self.books)
            return (soft + (chosen - soft).detach()).reshape(len(ids), self.embedding_dim)
        straight = (v + (chosen - v).detach()).reshape(len(ids), self.embedding_dim)
        to_rows = (chosen - v.detach()).square().mean()
        to_words = (chosen.detach() - v).square().mean()
        return with_loss(straight, to_rows + self.commitment * to_words)

    def _cut(self, ids: Tensor) -> Tensor:
        """(m, parts, d / parts) of the full table"""
        size = self.embedding_dim // self.parts
        return embedding(ids, self.weight).view(len(ids), self.parts, size)

    @torch.no_grad()
    def _symbols(self, v: Tensor, places: Tensor) -> Tensor:
        """(m, parts) the nearest of the words that each row's band may use."""
        out = torch.empty(v.shape[:2], dtype=torch.int64, device=v.device)
        band = self._band(places)
        for b, limit in enumerate(self._limits()):
            mine = torch.nonzero(band == b)[:, 0]
            words = (self.keys if self.variant == "sx" else self.books)[:, :limit]
            shift = words.square().sum(dim=2) / -2 if self.variant == "vq" else words.new_zeros(())
            shift = shift.expand(self.parts, limit)[:, None]  # |v|^2 is the same for all
            for rows in mine.split(max(1, IN_CACHE // (self.parts * limit))):
                near = torch.baddbmm(shift, v[rows].transpose(0, 1), words.transpose(1, 2))
                out[rows] = near.argmax(dim=2).T
        return out

    def _likeness(self, v: Tensor, places: Tensor) -> Tensor:
        """(m, parts, words) products with keys; what a band may not use is -infinity."""
        like = torch.einsum("mpd,pkd->mpk", v, self.keys)
        limit = torch.tensor(self._limits(), device=v.device)[self._band(places)]
        word = torch.arange(like.shape[2], device=v.device)
        return like.masked_fill(word >= limit[:, None, None], -torch.inf)

    def _band(self, places: Tensor) -> Tensor:
        starts = torch.tensor(self.bands, device=places.device)
        return torch.bucketize(places, starts, right=True) - 1

    def _limits(self) -> list[int]:
        """How many words the rows of each band may use."""
        return [1 << bits for bits in self.band_bits(self.bits)]

    def _words(self, symbols: Tensor) -> Tensor:
        """(m, parts, d / parts) the codewords of symbols (m, parts)"""
        words = self.books.shape[1]
        first = torch.arange(self.parts, device=symbols.device) * words
        return embedding(symbols + first, self.books.view(self.parts * words, -1))

    @torch.no_grad()
    def _count(self, symbols: Tensor, v: Tensor) -> None:
        if not len(symbols):
            return
        self.used.scatter_add_(1, symbols.T, torch.ones_like(symbols.T))
        self.lookups += 1
        if self.lookups % RESTART_AFTER:
            return
        dead = torch.nonzero(self.used == 0)
        if self.variant == "vq" and len(dead):
            some = torch.randint(len(v), (len(dead),), generator=self.generator)
            self.books[dead[:, 0], dead[:, 1]] = v[some, dead[:, 0]]
            self.restarts += len(dead)
        self.used.zero_()

    @torch.no_grad()
    def codes(self) -> npt.NDArray[np.int64]:
        """(n, parts) the codewords of all ids, in the order of ids."""
        was = self.training
        self.eval()
        found = []
        for start in range(0, self.num_embeddings, AT_ONCE):
            ids = torch.arange(start, min(start + AT_ONCE, self.num_embeddings))
            found.append(self._symbols(self._cut(ids), self.places(ids)))
        self.train(was)
        return to_numpy(torch.cat(found))

    def usage(self) -> tuple[float, float]:
        """(share of codewords that some id has, perplexity of codewords / their number)."""
        codes, words = self.codes(), self.books.shape[1]
        counts = np.stack([np.bincount(column, minlength=words) for column in codes.T])
        share = counts / counts.sum(axis=1, keepdims=True)
        logs = np.log(np.where(share > 0, share, 1))
        perplexity = np.exp(-(share * logs).sum(axis=1)).mean()
        return float((counts > 0).mean()), float(perplexity / words)

    def _knobs(self, parts: int, bits: int) -> dict[str, Any]:
        return {
            "parts": parts,
            "bits": self.band_bits(bits),
            "starts": self.bands,
            "ordered": self.ordered,
        }

    def knobs(self) -> dict[str, Any]:
        return self._knobs(self.parts, self.bits)

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        codes = self.codes()
        order = self.order_arrays()
        if order:
            codes = codes[np.argsort(order["order"])]
        stops = [*self.bands[1:], self.num_embeddings]
        bands = zip(self.bands, stops, self.band_bits(self.bits), strict=True)
        packed = {f"codes{b}": pack_bits(codes[i:j], bits) for b, (i, j, bits) in enumerate(bands)}
        return {"books": to_numpy(self.books), **packed, **order}
