"""MGQE: multi-granular quantised embeddings, product codes that are shorter for rare ids.

As DPQ, but only the most frequent ids may use all codewords of a part; the others use the first
quarter of the same books, so their codes are two bits shorter. Kang et al., "Learning
multi-granular quantized embeddings for large-vocab categorical features in recommender systems"
(WWW 2020). Where ids are not numbered by falling frequency, a map of ranks is kept too.
"""

from __future__ import annotations

from typing import Any

from bigrain.errors import ConfigError
from bigrain.tables.methods.dpq import Dpq
from bigrain.tables.spec import TableSpec

__all__ = ["Mgqe"]


class Mgqe(Dpq):
    """Options: those of DPQ, and
    head: the share of ids with long codes. Default 0.1.
    shorter: by how many bits the other codes are shorter, down to 1 bit. Default 2; with 0 it
        is DPQ.
    """

    def __init__(
        self,
        name: str,
        spec: TableSpec,
        *,
        head: float = 0.1,
        shorter: int = 2,
        parts: int | None = None,
        bits: int | None = None,
        **options: Any,
    ) -> None:
        if not 0 < head < 1 or not 0 <= shorter < 8:
            raise ConfigError(
                f"{name}: head must be a share between 0 and 1 and shorter 0 to 7, not {head} and "
                f"{shorter}"
            )
        spec.need_frequencies(name)
        self._head, self._shorter = head, shorter
        super().__init__(name, spec, parts=parts, bits=bits, **options)

    def make_bands(self) -> tuple[list[int], bool]:
        head = int(self._head * self.spec.num_embeddings)
        return ([0, head] if head else [0]), self.keep_order()

    def band_bits(self, bits: int) -> list[int]:
        low = max(1, bits - self._shorter)
        return [bits, low] if len(self.bands) == 2 else [low]

    def placing(self) -> dict[str, Any]:
        return {"starts": self.bands, "bits": self.band_bits(self.bits)}
