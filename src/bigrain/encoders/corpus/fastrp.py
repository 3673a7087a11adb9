"""FastRP (Chen et al., CIKM 2019): vectors of the nodes of a graph by sparse random projection.

    P = D^-1 A,   U_1 = P L R,   U_i = P U_i-1,   U = sum_i weight_i rows_at_unit_length(U_i)

R (n, dim) is very sparse (+-sqrt(s) with probability 1 / 2s each, s = sqrt(n)), L = diag(degree^
alpha). Columns of U are then standardised. No optimisation; as many steps as there are edges.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from bigrain.encoders.corpus.factorise import sparse
from bigrain.encoders.corpus.table import unit
from bigrain.errors import InvalidInputError

__all__ = ["WEIGHTS", "fastrp", "projection"]

Floats = npt.NDArray[np.float32]
WEIGHTS = (0.0, 0.0, 1.0, 6.67)
ALPHA = -0.64


def projection(n: int, dim: int, seed: int) -> Floats:
    """R (n, dim)."""
    rng = np.random.default_rng(seed)
    s = np.sqrt(n)
    drawn = rng.random((n, dim), np.float32)
    out = np.zeros((n, dim), np.float32)
    out[drawn < 1 / (2 * s)] = -np.sqrt(s)
    out[drawn >= 1 - 1 / (2 * s)] = np.sqrt(s)
    return out


def fastrp(
    adjacency: Any,
    dim: int = 256,
    *,
    weights: Sequence[float] = WEIGHTS,
    alpha: float = ALPHA,
    seed: int = 0,
) -> Floats:
    """(n, dim) vectors of the nodes of a graph, from its adjacency matrix (n, n).

    `adjacency`: SciPy matrix or array, weights >= 0; links count both ways if it is symmetric. A
    node without links gets zeros before columns are standardised. Such vectors go into a dense
    field by `add_vectors`. Raises `InvalidInputError`.
    """
    links = sparse().csr_matrix(adjacency, dtype=np.float32)
    if links.ndim != 2 or links.shape[0] != links.shape[1] or not links.shape[0]:
        raise InvalidInputError(f"an adjacency matrix is square, not {links.shape}")
    if not np.isfinite(links.data).all() or (links.data < 0).any():
        raise InvalidInputError("an adjacency matrix holds finite weights >= 0")
    if not len(weights) or not np.isfinite(weights).all():
        raise InvalidInputError(
            "weights: one finite number for each power, such as (0, 0, 1, 6.67)"
        )
    if type(dim) is not int or dim < 1:
        raise InvalidInputError(f"dim={dim} must be a whole number from 1; 256 is usual")
    degree = np.asarray(links.sum(axis=1)).ravel()
    linked = degree > 0
    inverse = np.where(linked, 1 / np.where(linked, degree, 1), 0).astype(np.float32)
    step = sparse().diags(inverse) @ links
    scale = np.where(linked, np.where(linked, degree, 1) ** alpha, 0).astype(np.float32)
    found = projection(len(degree), dim, seed) * scale[:, None]
    total = np.zeros_like(found)
    for weight in weights:
        found = np.asarray(step @ found, np.float32)
        total += np.float32(weight) * unit(found)
    spread = total.std(axis=0)
    return np.asarray((total - total.mean(axis=0)) / np.where(spread > 0, spread, 1), np.float32)
