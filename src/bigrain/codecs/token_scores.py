"""What the products of a document's tokens with those of a query tell: the best, and of spans.

Scores are (t, m): t tokens of the document, m of the query.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["best_tokens", "placed_scores", "span_scores"]

Floats = npt.NDArray[np.float32]


def best_tokens(scores: Floats) -> tuple[npt.NDArray[np.int32], Floats]:
    """The best document token of each query token (m,) int32, the first of equals, and its score.

    The scores (m,) float32 add up to MaxSim. There must be a token.
    """
    best = scores.argmax(axis=0)
    return best.astype(np.int32), scores[best, np.arange(scores.shape[1])]


def span_scores(scores: Floats, spans: npt.NDArray[np.int64]) -> Floats:
    """MaxSim of each span [a, b) of tokens: (S,) float32 of `spans` (S, 2); -inf where a = b.

    Any part of a document is ranked by the vectors of the whole (Reddy et al., AGRaME:
    Any-Granularity Ranking with Multi-Vector Embeddings, 2024; papers/B-3b).
    """
    out = np.full(len(spans), -np.inf, np.float32)
    filled = np.flatnonzero(spans[:, 0] < spans[:, 1])
    if len(filled):
        sentinel = np.full((1, scores.shape[1]), -np.inf, np.float32)
        best = np.maximum.reduceat(np.concatenate((scores, sentinel)), spans[filled].reshape(-1))
        out[filled] = best[::2].sum(axis=1)
    return out


def placed_scores(
    scores: Floats, places: npt.NDArray[np.int64], spans: npt.NDArray[np.int64]
) -> Floats:
    """MaxSim of each span [start, end) of characters: (S,) float32; -inf where no token stands.

    `places` (p, 3): rows (token, start, end), an empty one of a token that stands nowhere. A token
    is in the span that holds its last character, as some begin with the blank before a word; so
    spans that together hold every character have each place of a token in one of them.
    """
    standing = places[places[:, 1] < places[:, 2]]
    standing = standing[np.argsort(standing[:, 2], kind="stable")]
    ranges = np.searchsorted(standing[:, 2] - 1, spans)
    return span_scores(scores[standing[:, 0]], ranges)
