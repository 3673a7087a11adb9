"""MaxSim learned by regression: one vector a document, fitted to what its tokens answer.

A document d answers a query token x with g_d(x) = max_j <x, d_j>, and MaxSim is the sum of that
over query tokens. With features psi(x) the least squares fit over sample tokens x_1 ... x_M,

    w_d = (Psi^T Psi + ridge)^-1 Psi^T g_d(x_1 ... x_M),    MaxSim ~ <sum_i psi(q_i), w_d>,

is one vector a document and one a query (Jaasaari, Hyvonen and Roos, LEMUR, arXiv 2601.21853, who
train the features as a hidden layer). Here nothing is trained by gradients: the features are the
token itself, a constant, and the answers of anchor documents,

    psi(x) = (x, 1, max_j <x, a_1j>, ..., max_j <x, a_Fj>),

so other documents are described by what they have in common with these. A balanced reduction of
(w, psi) then leaves the directions that matter most to codes. All of it is linear in g_d and in
psi, so two matrices are kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from bigrain.codecs.ragged import require_ragged
from bigrain.codecs.surrogates.balanced import balanced
from bigrain.codecs.surrogates.mean import MeanPooling
from bigrain.codecs.surrogates.protocol import Floats, Ints, Shapes, Surrogate
from bigrain.codecs.surrogates.sizes import require_shapes, whole
from bigrain.codecs.surrogates.sums import greatest, summed

__all__ = ["Regression"]

POINTS = 2048  # sample tokens x
ANCHORS = 384
ANCHOR_TOKENS = 8
WIDTH = 256
RIDGE = 1e-2  # of each feature's second moment
FLOOR = 1e-4  # of their mean, for features that are always zero
DOCUMENTS = 4096  # looked at by `fit`
LONGEST = 256  # tokens of each of them
SPAN = 10  # successive tokens that stand for a query
SPANS = 2048
QUERY_TOKENS = 1 << 16
ROWS = 1024
LARGEST = 1 << 26  # numbers in an array that is read


@dataclass(frozen=True)
class Regression:
    """Linear maps of what documents answer to `points`, and of what anchors answer to queries."""

    name: ClassVar[str] = "regression"
    fitted_on: int
    points: Floats  # (M, d)
    anchors: Floats  # (s, F, d): the first, the second ... token of each
    document_map: Floats  # (r, M)
    document_shift: Floats  # (r,)
    query_map: Floats  # (r, d + 1 + F)

    @property
    def dim(self) -> int:
        return int(self.points.shape[1])

    @property
    def width(self) -> int:
        return len(self.document_map)

    @classmethod
    def fit(
        cls, values: Floats, offsets: Ints, *, queries: Floats | None = None, seed: int = 0
    ) -> Surrogate:
        """`MeanPooling` where there are fewer than 2 (d + 1) sample tokens.

        Features are at most half as many as sample tokens. InvalidVectorsError where offsets and
        values or `queries` do not fit.
        """
        offsets = require_ragged(values, offsets)
        rng = np.random.default_rng(seed)
        values, offsets = _some_documents(values, offsets, rng)
        asked = np.zeros((0, values.shape[1]), np.float32) if queries is None else queries
        require_ragged(asked, np.array([0, len(asked)]), values.shape[1])
        asked = np.asarray(asked[:QUERY_TOKENS], np.float32)
        points = _points(values, asked, rng)
        dim = values.shape[1]
        n_anchors = min(ANCHORS, len(points) // 2 - dim - 1, len(offsets) - 1)
        if n_anchors < 0:
            return MeanPooling.fit(values, offsets)
        anchors = _anchors(values, offsets, n_anchors, rng)
        features = _features(points, anchors).astype(np.float64)
        gram = features.T @ features
        diagonal = np.diag(gram)
        gram[np.diag_indices_from(gram)] += RIDGE * (diagonal + FLOOR * diagonal.mean())
        solved = np.linalg.solve(gram, features.T)
        answers = greatest(values, offsets, points)
        mean = answers.mean(axis=0, dtype=np.float64)
        weights = (answers - mean.astype(np.float32)) @ solved.T.astype(np.float32)
        covariance = weights.T.astype(np.float64) @ weights / len(weights)
        moments = _query_moments(values, offsets, asked, anchors, rng)
        left, right = balanced(covariance, moments, WIDTH)
        document_map = left @ solved
        return cls(
            len(values) + len(asked),
            points,
            anchors,
            document_map.astype(np.float32),
            (document_map @ mean).astype(np.float32),
            right.astype(np.float32),
        )

    def documents(self, values: npt.NDArray[Any], offsets: npt.NDArray[Any]) -> Floats:
        offsets = require_ragged(values, offsets, self.dim)
        out = np.zeros((len(offsets) - 1, self.width), np.float32)
        for start in range(0, len(out), ROWS):
            within = offsets[start : start + ROWS + 1]
            part = values[within[0] : within[-1]]
            answers = greatest(part, within - within[0], self.points)
            mapped = answers @ self.document_map.T - self.document_shift
            out[start : start + ROWS] = mapped * (np.diff(within) > 0)[:, None]
        return out

    def queries(self, values: npt.NDArray[Any], offsets: npt.NDArray[Any]) -> Floats:
        offsets = require_ragged(values, offsets, self.dim)
        out = np.zeros((len(offsets) - 1, self.width), np.float32)
        for start in range(0, len(out), ROWS):
            within = offsets[start : start + ROWS + 1]
            part = np.asarray(values[within[0] : within[-1]], np.float32)
            features = summed(_features(part, self.anchors), within - within[0])
            out[start : start + ROWS] = features @ self.query_map.T
        return out

    def arrays(self) -> dict[str, Floats]:
        return {
            "points": self.points,
            "anchors": self.anchors,
            "document_map": self.document_map,
            "document_shift": self.document_shift,
            "query_map": self.query_map,
        }

    def numbers(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "dim": self.dim,
            "fitted_on": self.fitted_on,
            "n_points": len(self.points),
            "n_anchors": self.anchors.shape[1],
            "anchor_tokens": len(self.anchors),
            "width": self.width,
        }

    @staticmethod
    def shapes(numbers: dict[str, Any]) -> Shapes:
        dim = whole(numbers, "dim", 1, 1 << 16)
        n_points = whole(numbers, "n_points", 1, 1 << 16)
        n_anchors = whole(numbers, "n_anchors", 0, 1 << 16)
        tokens = whole(numbers, "anchor_tokens", 1, 1 << 10)
        width = whole(numbers, "width", 1, 1 << 16)
        whole(numbers, "fitted_on", 1, 1 << 48)
        shapes: Shapes = {
            "points": (n_points, dim),
            "anchors": (tokens, n_anchors, dim),
            "document_map": (width, n_points),
            "document_shift": (width,),
            "query_map": (width, dim + 1 + n_anchors),
        }
        for name, shape in shapes.items():
            if (count := int(np.prod(shape, dtype=object))) > LARGEST:
                raise ValueError(f"{name} of {count} numbers; at most {LARGEST} are read")
        return shapes

    @classmethod
    def read(cls, numbers: dict[str, Any], arrays: dict[str, Floats]) -> Regression:
        require_shapes(arrays, cls.shapes(numbers))
        return cls(numbers["fitted_on"], **arrays)


def _features(tokens: Floats, anchors: Floats) -> Floats:
    """(T, d + 1 + F) psi of tokens (T, d)."""
    n, dim = tokens.shape
    each, n_anchors, _ = anchors.shape
    out = np.ones((n, dim + 1 + n_anchors), np.float32)
    out[:, :dim] = tokens
    rows = anchors.reshape(-1, dim).T
    for start in range(0, n, ROWS):
        products = tokens[start : start + ROWS] @ rows
        products.reshape(len(products), each, n_anchors).max(
            axis=1, out=out[start : start + ROWS, dim + 1 :]
        )
    return out


def _some_documents(values: Floats, offsets: Ints, rng: np.random.Generator) -> tuple[Floats, Ints]:
    """At most DOCUMENTS rows that are not empty, of the first LONGEST tokens each."""
    rows = np.flatnonzero(np.diff(offsets))
    if len(rows) > DOCUMENTS:
        rows = np.sort(rng.choice(rows, DOCUMENTS, replace=False))
    counts = np.minimum(offsets[rows + 1] - offsets[rows], LONGEST)
    ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
    taken = np.arange(ends[-1]) + np.repeat(offsets[rows] - ends[:-1], counts)
    return np.asarray(values[taken], np.float32), ends


def _points(values: Floats, asked: Floats, rng: np.random.Generator) -> Floats:
    """(M, d) tokens: half of them of queries, as far as there are so many."""
    from_queries = min(POINTS // 2, len(asked))
    from_documents = min(POINTS - from_queries, len(values))
    chosen = values[rng.choice(len(values), from_documents, replace=False)]
    others = asked[rng.choice(len(asked), from_queries, replace=False)]
    return np.concatenate([chosen, others]).astype(np.float32)


def _anchors(values: Floats, offsets: Ints, count: int, rng: np.random.Generator) -> Floats:
    """(s, F, d) tokens of documents drawn at random; those of a shorter one come again."""
    rows = rng.choice(len(offsets) - 1, count, replace=False)
    taken = np.zeros((ANCHOR_TOKENS, count), np.int64)
    for at, row in enumerate(rows):
        order = rng.permutation(np.arange(offsets[row], offsets[row + 1]))
        taken[:, at] = np.resize(order, ANCHOR_TOKENS)
    return values[taken]


def _query_moments(
    values: Floats, offsets: Ints, asked: Floats, anchors: Floats, rng: np.random.Generator
) -> npt.NDArray[np.float64]:
    """Second moments of psi summed over queries: of spans of documents, and of `asked`."""
    rows = rng.integers(0, len(offsets) - 1, SPANS)
    lengths = np.minimum(offsets[rows + 1] - offsets[rows], SPAN)
    starts = offsets[rows] + rng.integers(0, offsets[rows + 1] - offsets[rows] - lengths + 1)
    ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    taken = np.arange(ends[-1]) + np.repeat(starts - ends[:-1], lengths)
    moments = _scatter(summed(_features(values[taken], anchors), ends))
    if len(asked):
        ends = np.append(np.arange(0, len(asked), SPAN), len(asked))
        moments = moments + _scatter(summed(_features(asked, anchors), ends))
    return moments


def _scatter(rows: Floats) -> npt.NDArray[np.float64]:
    return rows.T.astype(np.float64) @ rows / len(rows)
