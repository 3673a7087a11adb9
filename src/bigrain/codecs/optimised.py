"""Optimised product quantisation: a rotation learned with the codebooks (papers/A-5 section 5).

Ge, He, Ke, Sun (PAMI 2014): by turns the codebooks are fitted to the rotated sample, and the
rotation to what they decode (orthogonal Procrustes). It begins with principal components dealt out
so that every section has about the same product of variances.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from bigrain.codecs.codebooks import section_edges, to_directions
from bigrain.codecs.product import Product, entries_of, first_entries
from bigrain.codecs.quantiser import Fitted

__all__ = ["WIDEST", "OptimisedProduct", "balanced_rotation", "nearest_rotation"]

Floats = npt.NDArray[np.float32]
ROUNDS = 14
WIDEST = 1024  # dimensions: a rotation is learned in the cube of them


@dataclass(frozen=True)
class OptimisedProduct(Product):
    code: ClassVar[str] = "opq"

    @staticmethod
    def kept(dim: int, light_bytes: int, bits: int) -> int:
        return min(dim, max(WIDEST, 2 * light_bytes))

    @classmethod
    def fit(cls, sample: Floats, width: int, light_bytes: int, bits: int, seed: int) -> Fitted:
        sections = cls.symbols_of(width, light_bytes, bits)
        directions = to_directions(sample)
        rotation = balanced_rotation(directions, sections)
        turned = directions @ rotation.T
        found = cls(width, first_entries(turned, sections, seed))
        for _ in range(ROUNDS):
            symbols = found.symbols(turned)
            found = cls(width, entries_of(turned, symbols, found.books))
            rotation = nearest_rotation(directions, found.decoded(symbols))
            turned = directions @ rotation.T
        return Fitted(found, rotation)


def balanced_rotation(vectors: Floats, sections: int) -> Floats:
    """(w, w) orthonormal rows: principal axes in an order that suits sections.

    From the widest on, each axis goes to the section whose product of variances is least among
    those that have room.
    """
    width = vectors.shape[1]
    variances, axes = np.linalg.eigh((vectors.T @ vectors).astype(np.float64))
    room = np.diff(section_edges(width, sections))
    dealt: list[list[int]] = [[] for _ in room]
    product = np.zeros(sections)
    least = max(float(variances[-1]), 1e-30) * 1e-9
    for axis in range(width - 1, -1, -1):
        free = np.array([len(d) < r for d, r in zip(dealt, room, strict=True)])
        section = int(np.argmin(np.where(free, product, np.inf)))
        dealt[section].append(axis)
        product[section] += np.log(max(variances[axis], least) / least)
    order = [axis for section in dealt for axis in section]
    return np.ascontiguousarray(axes[:, order].T, np.float32)


def nearest_rotation(vectors: Floats, wanted: Floats) -> Floats:
    """The rotation R (w, w) that brings R x nearest to its row of `wanted`, in sum of squares."""
    left, _, right = np.linalg.svd((wanted.T @ vectors).astype(np.float64))
    return np.asarray(left @ right, np.float32)
