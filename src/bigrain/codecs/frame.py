"""The coordinates in which vectors are coded: centred, and fewer where a code is narrow.

<x - m, q> is approximated by <A (x - m), B q>. A and B are the same rows for principal components
and for a prefix, and differ where the reduction looks at queries, too.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from bigrain.codecs.query_aware import query_aware_components, sphering
from bigrain.codecs.reduction import Moments, principal_components

__all__ = ["REDUCTIONS", "Frame"]

Floats = npt.NDArray[np.float32]
REDUCTIONS = ("pca", "prefix", "leanvec", "sphering")


@dataclass(frozen=True)
class Frame:
    """A fitted centre and, for narrow codes, what reduces vectors and queries to `width`."""

    metric: str
    width: int
    seed: int
    centre: Floats  # (d,)
    projection: Floats | None  # A (width, d); None: the first `width` dimensions
    query_projection: Floats | None  # B (width, d) where it is not A
    fitted_on: int
    n_queries: int = 0  # that the reduction has looked at

    @classmethod
    def fit(
        cls,
        sample: Iterable[Floats],
        dim: int,
        width: int,
        *,
        metric: str,
        reduction: str = "pca",
        queries: Floats | None = None,
        seed: int = 0,
    ) -> Frame:
        """Fit to a sample of vectors (n, dim) that comes in parts.

        'pca' keeps principal components, 'prefix' the first dimensions (for encoders trained so
        that these tell most: Matryoshka, Kusupati et al., NeurIPS 2022), 'leanvec' what queries
        like the sample `queries` (m, dim) see most of, 'sphering' the same with rows that need
        not be orthonormal; without queries these two are 'pca'.
        """
        narrow = width < dim and reduction != "prefix"
        moments = Moments(dim, covariance=narrow)
        for part in sample:
            moments.add(part)
        centre = moments.mean.astype(np.float32)
        rows = columns = None
        n_queries = 0
        if narrow:
            found = moments.covariance()
            if queries is not None and reduction != "pca":
                n_queries = len(queries)
            if queries is None or not n_queries:
                rows = principal_components(found, width)
            elif reduction == "leanvec":
                rows = query_aware_components(found, queries, width)
            else:
                rows, columns = sphering(found, queries, width)
        return cls(metric, width, seed, centre, rows, columns, moments.n, n_queries)

    @property
    def dim(self) -> int:
        return len(self.centre)

    def turned(self, rotation: Floats) -> Frame:
        """The same followed by a rotation (width, width)."""
        if self.projection is None:
            return replace(self, projection=_with_zeros(rotation, self.dim))
        both = self.query_projection
        return replace(
            self,
            projection=rotation @ self.projection,
            query_projection=None if both is None else rotation @ both,
        )

    def reduced(self, vectors: Floats) -> Floats:
        """(n, width) of centred vectors or residuals (n, d)."""
        return self._through(vectors, self.projection)

    def reduced_queries(self, queries: Floats) -> Floats:
        """(n, width) of queries (n, d)."""
        both = self.query_projection
        return self._through(queries, self.projection if both is None else both)

    def _through(self, vectors: Floats, projection: Floats | None) -> Floats:
        if projection is not None:
            return vectors @ projection.T
        return vectors if self.width == self.dim else vectors[:, : self.width]


def _with_zeros(rotation: Floats, dim: int) -> Floats:
    wide = np.zeros((len(rotation), dim), np.float32)
    wide[:, : rotation.shape[1]] = rotation
    return wide
