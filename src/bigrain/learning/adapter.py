"""Training a query adapter: what verification scores is bent towards what was judged right.

The loss is InfoNCE over the documents of a batch (papers/C-2a section 2.1), whose negatives are
what the light grain returned (`sampling`). U begins at zero, so the first adapter is the identity;
|U V^T|^2 is kept small. Every epoch is judged on questions that the others do not contain, and the
best one, or a step of it, is kept; the identity is one of the choices.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from bigrain.codecs.adapter import QueryAdapter
from bigrain.learning.sampling import Batch, ProximityGraph, batches
from bigrain.progress import Reporter

__all__ = ["AdapterSettings", "AdapterTraining", "train_adapter"]

Floats = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.int64]
BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8
STEPS_OF_IT = (0.25, 0.5, 0.75, 1.0)
VALIDATION_SHARE, LEAST_VALIDATION, MOST_VALIDATION = 0.15, 20, 400
CANDIDATES_JUDGED = 100
SPREAD_OF = 64  # questions
LEAST_BATCH, LEAST_STEPS = 64, 20  # of an epoch: several passes, where questions are few


@dataclass(frozen=True)
class AdapterSettings:
    """How an adapter is trained; `temperature` is in units of the spread of a query's scores."""

    rank: int = 64
    sampler: str = "snowball"
    batch: int = 256  # at most; a 16th of the questions, if they are few, but 64
    epochs: int = 40
    patience: int = 10
    rate: float = 2e-3
    decay: float = 5e-3
    temperature: float = 0.5


@dataclass(frozen=True)
class AdapterTraining:
    """What training found: epochs made, their measure on validation questions, seconds."""

    epochs: int
    before: float  # on the validation questions, of the identity
    after: float
    step: float  # the share of the best adapter that was kept
    hops: float  # share of the questions that a walk has reached
    seconds: float


def train_adapter(
    queries: Floats,
    vectors: Floats,
    graph: ProximityGraph,
    weights: npt.NDArray[np.float64],
    groups: Numbers,
    *,
    metric: str,
    fingerprint: str,
    settings: AdapterSettings = AdapterSettings(),
    seconds: float = float("inf"),
    seed: int = 0,
    reporter: Reporter | None = None,
) -> tuple[QueryAdapter | None, AdapterTraining]:
    """The adapter, or None where the identity was best.

    `queries` (n, d) as they are asked without one, `vectors` (m, d) by the numbers of the graph,
    `weights` (n,) of the queries; those of one of the `groups` (n,) are trained on together or
    judged by together. Stops after `settings.epochs`, `settings.patience` of them
    without gain, or `seconds`. The same arguments give the same adapter, unless time runs out.
    """
    reporter = reporter or Reporter(None)
    began = time.monotonic()
    rng = np.random.default_rng(seed)
    usable = np.flatnonzero([len(p) > 0 for p in graph.positives])
    held, kept = _split(usable, groups, rng)
    judge = _Judge(queries, vectors, graph, held, metric)
    trained = set(kept.tolist())
    shown = [p if at in trained else p[:0] for at, p in enumerate(graph.positives)]
    training = replace(graph, positives=shown)
    dim, rank = queries.shape[1], min(settings.rank, queries.shape[1])
    model = _Model(
        (rng.standard_normal((dim, rank)) / np.sqrt(dim)).astype(np.float32),
        np.zeros((dim, rank), np.float32),
        metric,
    )
    settings = replace(settings, batch=min(settings.batch, max(LEAST_BATCH, len(kept) // 16)))
    scale = settings.temperature * _spread(queries, vectors, graph, usable, metric)
    passes = -(-LEAST_STEPS * settings.batch // max(1, len(kept)))
    first = judge(model)
    best, best_at, chosen = first, 0, model.copy()
    epoch, hops, seen = 0, 0, 0
    reporter.stage("adapter", settings.epochs, "epochs")
    while epoch < settings.epochs and epoch - best_at < settings.patience:
        if time.monotonic() - began > seconds:
            break
        for _ in range(passes):
            for batch in batches(training, settings.batch, settings.sampler, rng):
                model.step(queries, vectors, batch, graph, weights, scale, settings)
                hops, seen = hops + batch.hops, seen + len(batch.queries)
                reporter.advance(0)
        epoch += 1
        reached = judge(model)
        if reached > best:
            best, best_at, chosen = reached, epoch, model.copy()
        reporter.advance()
    step = 1.0
    if best_at:
        for share in STEPS_OF_IT[:-1]:
            reached = judge(chosen.scaled(share))
            if reached > best:
                best, step = reached, share
        chosen = chosen.scaled(step)
    told = AdapterTraining(
        epoch, first, best, step if best_at else 0.0, hops / max(1, seen), time.monotonic() - began
    )
    if not best_at:
        return None, told
    return QueryAdapter(chosen.down, chosen.up, fingerprint), told


def _split(usable: Numbers, groups: Numbers, rng: np.random.Generator) -> tuple[Numbers, Numbers]:
    """(validation, training) queries, whole groups of them."""
    n = min(MOST_VALIDATION, max(LEAST_VALIDATION, int(VALIDATION_SHARE * len(usable))))
    sizes = np.bincount(groups[usable])
    order = rng.permutation(len(sizes))
    chosen = order[: int(np.searchsorted(np.cumsum(sizes[order]), n)) + 1]
    out = np.isin(groups[usable], chosen)
    return usable[out], usable[~out]


def _scores(queries: Floats, vectors: Floats, metric: str) -> Floats:
    """(n, m): larger is better."""
    scores = queries @ vectors.T
    if metric == "l2":
        scores = 2 * scores - np.einsum("ij,ij->i", vectors, vectors)
    return np.asarray(scores, np.float32)


def _spread(
    queries: Floats, vectors: Floats, graph: ProximityGraph, usable: Numbers, metric: str
) -> float:
    """How far the scores of a query's candidates lie apart: the mean standard deviation."""
    found = []
    for query in usable[:SPREAD_OF].tolist():
        some = graph.candidates[query]
        some = some[some >= 0]
        if len(some) > 1:
            found.append(float(_scores(queries[[query]], vectors[some], metric).std()))
    return max(float(np.mean(found)) if found else 0.0, 1e-6)


class _Model:
    """V and U with their Adam moments."""

    def __init__(self, down: Floats, up: Floats, metric: str) -> None:
        self.down, self.up, self.metric = down, up, metric
        self._moments = [np.zeros_like(a) for a in (down, down, up, up)]
        self._steps = 0

    def copy(self) -> _Model:
        return _Model(self.down.copy(), self.up.copy(), self.metric)

    def scaled(self, share: float) -> _Model:
        return _Model(self.down, np.float32(share) * self.up, self.metric)

    def forward(self, queries: Floats) -> tuple[Floats, Floats, Floats]:
        """(adapted queries, V^T q, lengths (n, 1) before they were made 1)."""
        inner = queries @ self.down
        moved = queries + inner @ self.up.T
        length = np.ones((len(queries), 1), np.float32)
        if self.metric == "cosine":
            length = np.maximum(np.linalg.norm(moved, axis=1, keepdims=True), 1e-12)
            moved = moved / length
        return np.asarray(moved, np.float32), inner, np.asarray(length, np.float32)

    def step(
        self,
        queries: Floats,
        vectors: Floats,
        batch: Batch,
        graph: ProximityGraph,
        weights: npt.NDArray[np.float64],
        scale: float,
        settings: AdapterSettings,
    ) -> None:
        """One step of Adam on the mean loss of a batch."""
        q = queries[batch.queries]
        documents = batch.documents
        some = vectors[documents]
        adapted, inner, length = self.forward(q)
        logits = _scores(adapted, some, self.metric) / np.float32(scale)
        chosen = np.searchsorted(documents, batch.positives)
        left_out = _among(documents, [graph.right[i] for i in batch.queries.tolist()])
        if settings.sampler == "ann":
            left_out |= ~_among(documents, list(graph.candidates[batch.queries]))
        left_out[np.arange(len(q)), chosen] = False
        logits[left_out] = -np.inf
        logits -= logits.max(axis=1, keepdims=True)
        shares = np.exp(logits)
        shares /= shares.sum(axis=1, keepdims=True)
        shares[np.arange(len(q)), chosen] -= 1
        weight = weights[batch.queries]
        shares *= (weight / weight.sum()).astype(np.float32)[:, None]
        toward = (2.0 if self.metric == "l2" else 1.0) / scale * (shares @ some)
        if self.metric == "cosine":
            toward -= (toward * adapted).sum(axis=1, keepdims=True) * adapted
            toward /= length
        decay = 2 * settings.decay
        up = toward.T @ inner + decay * self.up @ (self.down.T @ self.down)
        down = q.T @ (toward @ self.up) + decay * self.down @ (self.up.T @ self.up)
        self._adam((down, up), settings.rate)

    def _adam(self, gradients: tuple[Floats, Floats], rate: float) -> None:
        self._steps += 1
        for at, gradient in enumerate(gradients):
            mean, square = self._moments[2 * at], self._moments[2 * at + 1]
            mean += (1 - BETA1) * (gradient - mean)
            square += (1 - BETA2) * (gradient * gradient - square)
            move = (mean / (1 - BETA1**self._steps)) / (
                np.sqrt(square / (1 - BETA2**self._steps)) + EPSILON
            )
            if at:
                self.up = self.up - np.float32(rate) * move
            else:
                self.down = self.down - np.float32(rate) * move


def _among(documents: Numbers, lists: Sequence[Numbers]) -> npt.NDArray[np.bool_]:
    """(lists, documents): which of the documents, ascending, are in each list."""
    wanted = np.concatenate(lists)
    row = np.repeat(np.arange(len(lists)), [len(one) for one in lists])
    at = np.minimum(np.searchsorted(documents, wanted), len(documents) - 1)
    there = documents[at] == wanted
    found = np.zeros((len(lists), len(documents)), bool)
    found[row[there], at[there]] = True
    return found


class _Judge:
    """How high what is right stands among the candidates of validation questions: the mean of

    1 / log2(1 + rank) of the best, as nDCG discounts it.
    """

    def __init__(
        self, queries: Floats, vectors: Floats, graph: ProximityGraph, held: Numbers, metric: str
    ) -> None:
        self._vectors, self._metric = vectors, metric
        self._queries = queries[held]
        self._lists: list[tuple[Numbers, npt.NDArray[np.bool_]]] = []
        for query in held.tolist():
            row = graph.candidates[query, :CANDIDATES_JUDGED]
            row = row[row >= 0]
            self._lists.append((row, np.isin(row, graph.right[query])))

    def __call__(self, model: _Model) -> float:
        adapted = model.forward(self._queries)[0]
        total = 0.0
        for query, (row, right) in zip(adapted, self._lists, strict=True):
            if right.any():
                scores = _scores(query[None], self._vectors[row], self._metric)[0]
                total += 1 / math.log2(2 + int((scores > scores[right].max()).sum()))
        return total / max(1, len(self._lists))
