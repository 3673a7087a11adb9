"""The light grain learned: an ordinary codec trained for the queries that are asked of it.

Contrastive quantisation (BiDR stage 1, MoPQ) and distillation (Distill-VQ) in one loss
(`targets`), papers/A-1. Training begins with the fitted codec: RaBitQ or recurrent bits learn the
projection, product quantisers the rotation and the codebooks, all of them what is done to queries.
Each round mines what the exact scores and the codes as they are now find best, trains on these
and on random documents, puts unused entries of codebooks to work, and looks at queries held out;
the best round is kept, if it is better than none. The result is a codec like any other.
"""

from __future__ import annotations

import importlib.util
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bigrain.codecs.dense import CodeSettings, DenseCodec
from bigrain.codecs.frame import Frame
from bigrain.errors import ConfigError, InvalidInputError, MissingExtraError, shown
from bigrain.learning.mining import Coded, best_rows, exact_scores, ranks
from bigrain.learning.supervision import Supervision, sampled_queries
from bigrain.progress import Reporter

if TYPE_CHECKING:
    from bigrain.learning.checkpoint import State
    from bigrain.learning.student import Student
    from bigrain.learning.training import Training

__all__ = ["Recipe", "Supervision", "fitted_codec", "learn_codec"]

Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]
Sampler = Callable[[Rows], Floats]

FEWEST_QUERIES, FEWEST_VECTORS = 40, 200
MOST_VECTORS, MOST_QUERIES, SAMPLED_QUERIES = 50_000, 20_000, 10_000
HELD_OUT, MOST_HELD_OUT, LIKE_TEACHER = 0.15, 1_000, 10
NEGATIVES = ("both", "codes", "exact", "random")
LOSSES = ("scores", "reconstruction")
CUTS = (10, 100)
MINED_QUERIES = 2_048  # a round: mining scores all vectors for each of them
TO_SCALE = 64  # queries that tell the size of scores
WATCHED = 2_000  # residuals that tell which entries of codebooks are in use


@dataclass(frozen=True)
class Recipe:
    """How to train. The defaults serve sets of a thousand to a hundred thousand documents."""

    rounds: int = 4
    batch: int = 64  # queries a step
    hard: int = 7  # mined documents for each of them
    easy: int = 64  # random documents for all of them
    mined: int = 50  # the best so many of each kind are drawn from
    negatives: str = "both"  # mined by 'exact' scores, by 'codes', 'both'; or 'random'
    rate: float = 0.01  # of Adam, relative to the size of what is learned
    temperature: float = 0.4  # of the spread of exact scores
    share: float = 0.5  # of judged documents in the target; the rest is the exact scores'
    loss: str = "scores"  # or 'reconstruction': nearest to the vectors, whatever the queries

    def __post_init__(self) -> None:
        for name in ("rounds", "batch", "mined"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, not {shown(getattr(self, name))}")
        if self.negatives not in NEGATIVES or self.loss not in LOSSES:
            raise ConfigError(
                f"negatives must be one of {', '.join(NEGATIVES)} and loss one of "
                f"{', '.join(LOSSES)}, not {shown(self.negatives)} and {shown(self.loss)}"
            )
        if not (self.rate > 0 and self.temperature > 0 and 0 <= self.share <= 1):
            raise ConfigError("rate and temperature must be positive, share from 0 to 1")

    def rate_at(self, done: float) -> float:
        """The rate after a share of the steps: it rises for a tenth of them, then falls to 0."""
        share = done / 0.1 if done < 0.1 else 0.5 * (1 + math.cos(math.pi * (done - 0.1) / 0.9))
        return self.rate * share


def learn_codec(
    settings: CodeSettings,
    metric: str,
    vectors: Floats | Sampler,
    supervision: Supervision,
    *,
    n: int | None = None,
    initial: DenseCodec | None = None,
    centroids: Floats | None = None,
    seed: int = 0,
    steps: int = 600,
    minutes: float | None = None,
    progress: Reporter | None = None,
    recipe: Recipe | None = None,
    begun: State | None = None,
    keep: Callable[[State], None] | None = None,
) -> tuple[DenseCodec, dict[str, Any]]:
    """A codec trained for `supervision`, and a report; the codec it began with if that is better.

    `vectors` (n, d) float32 as codes see them (unit length under cosine), or a function that gives
    those of ascending row numbers, with `n`; at most MOST_VECTORS of them are looked at, the judged
    ones first. `initial` is where training begins, else a codec is fitted as `settings` say. With
    `centroids` (L, d), relative to the centre of `initial`, vectors are coded as residuals to the
    nearest, whose own part of a score is exact: pass them wherever the codes will stand in lists.
    `minutes` ends training early; without it the same seed gives the same codec. After every round
    `keep` is given what has been reached; a call with the same arguments and the last of these as
    `begun` goes on from there, and gives what the whole call would have given.

    The report has `improved`, `supervision`, `queries`, `held_out`, `steps`, `seconds`, `before`
    and `after` (of the held-out queries: `gain`, the mean of 1 / log2(2 + rank) of the wanted rows,
    and shares found among the first 10 and 100), `difference` (mean, standard error), `rounds` (the
    gain after each) and `restarted` entries. Wanted are judged rows, or else the teacher's ten
    best.

    Raises InvalidInputError for input that cannot be learned from, MissingExtraError without torch.
    """
    if not has_torch():
        raise MissingExtraError("learning codes", "learn")
    if steps < 0:
        raise ConfigError(f"steps must not be negative, not {steps}")
    recipe = recipe or Recipe()
    rng = np.random.default_rng(seed)
    began = time.monotonic()
    until = math.inf if minutes is None else began + 60 * minutes
    rows, shown_vectors, given = _sampled(vectors, n, supervision, rng)
    if initial is None:
        if centroids is not None:
            raise ConfigError("centroids are relative to a codec's centre: pass `initial`, too")
        initial = fitted_codec(settings, metric, shown_vectors, seed=seed)
    elif initial.frame.dim != shown_vectors.shape[1] or initial.frame.metric != metric:
        raise InvalidInputError(
            f"the initial codec is one of {initial.frame.dim} dimensions and "
            f"{initial.frame.metric}, the vectors have {shown_vectors.shape[1]} and {metric}"
        )
    trial = _Trial(initial, shown_vectors, given, centroids, recipe, rng)
    codec, report = trial.run(steps, until, progress or Reporter(None), begun, keep)
    return codec, {
        "light_bytes": settings.light_bytes,
        "vectors": len(rows),
        **report,
        "seconds": round(time.monotonic() - began, 3),
    }


def fitted_codec(
    settings: CodeSettings,
    metric: str,
    vectors: Floats,
    *,
    queries: Floats | None = None,
    seed: int = 0,
) -> DenseCodec:
    """The codec that a field of such settings fits to one list of vectors (n, d).

    `queries` are looked at by a query-aware reduction (LeanVec) alone.
    """
    dim = vectors.shape[1]
    frame = Frame.fit(
        [vectors], dim, settings.width(dim), metric=metric, reduction=settings.reduction,
        queries=queries, seed=seed,
    )  # fmt: skip
    residuals = frame.reduced(vectors - frame.centre) if settings.learned else None
    return DenseCodec.fit(frame, settings, residuals)


class _Trial:
    """One training: what is trained on, what is held out, and the rounds."""

    def __init__(
        self, initial: DenseCodec, vectors: Floats, given: Supervision,
        centroids: Floats | None, recipe: Recipe, rng: np.random.Generator,
    ) -> None:  # fmt: skip
        self._initial, self._vectors, self._recipe, self._rng = initial, vectors, recipe, rng
        self._metric = initial.frame.metric
        self._centroids = None
        if centroids is not None:
            self._centroids = _nearest(vectors - initial.centre, centroids)
        self._exact = exact_scores(vectors, self._metric)
        seen, unseen = split_queries(given.queries, rng)
        self._seen, self._held_out = given.take(seen), given.take(unseen)
        self._wanted = _wanted(self._held_out, self._exact, len(vectors))
        self._kept = [i for i, rows in enumerate(self._wanted) if len(rows)]
        if not self._kept:
            raise InvalidInputError("no held-out query has a judged document; judge more queries")

    def run(
        self, steps: int, until: float, progress: Reporter, begun: State | None = None,
        keep: Callable[[State], None] | None = None,
    ) -> tuple[DenseCodec, dict[str, Any]]:  # fmt: skip
        """The best codec of all rounds, and what the report says of it."""
        from bigrain.learning.student import Student
        from bigrain.learning.training import Training

        recipe, n_seen = self._recipe, len(self._seen.queries)
        training = Training(Student(self._initial), steps, recipe)
        student = training.student
        first = self._gains(self._initial)
        best, best_gains, history = self._initial, first, []
        best_student: dict[str, Any] = {}
        restarted = rounds = 0
        if begun is not None:
            rounds, restarted = begun["rounds"], begun["restarted"]
            history = list(begun["history"])
            best_student = {k[5:]: v for k, v in begun.items() if k.startswith("best.")}
            if best_student:
                student.take(best_student)
                best = student.codec(n_seen)
                best_gains = self._gains(best)
            training.take(begun)
            self._rng.bit_generator.state = begun["rng"]
        progress.stage("learning codes", steps, "steps")
        progress.advance(training.done)
        for a_round in range(rounds, recipe.rounds):
            target = steps * (a_round + 1) // recipe.rounds
            if training.done >= target or time.monotonic() >= until:
                continue
            for queries, documents in self._batches(student, target - training.done):
                if time.monotonic() >= until:
                    break
                self._learn(training, queries, documents)
                progress.advance()
            some = self._rng.integers(0, len(self._vectors), WATCHED)
            restarted += student.restart_unused(self._residuals(np.unique(some)), self._rng)
            codec = student.codec(n_seen)
            gains = self._gains(codec)
            history.append(round(float(gains[:, 0].mean()), 5))
            if gains[:, 0].mean() > best_gains[:, 0].mean():
                best, best_gains, best_student = codec, gains, student.given()
            if keep is not None:
                keep({
                    "rounds": a_round + 1, "restarted": restarted, "history": history,
                    "rng": self._rng.bit_generator.state, **training.given(),
                    **{f"best.{name}": array for name, array in best_student.items()},
                })  # fmt: skip
        difference = best_gains[:, 0] - first[:, 0]
        error = float(difference.std() / math.sqrt(len(difference)))
        improved = float(difference.mean()) > error
        if not improved:
            best, best_gains = self._initial, first
        elif self._centroids is None and self._metric != "l2":
            best = self._to_scale(best)
        return best, {
            "improved": improved,
            "supervision": "judged" if self._seen.judged else "teacher",
            "queries": len(self._seen.queries),
            "held_out": len(self._kept),
            "steps": training.done,
            "before": measures(first),
            "after": measures(best_gains),
            "difference": (round(float(difference.mean()), 5), round(error, 5)),
            "rounds": history,
            "restarted": restarted,
        }

    def _to_scale(self, codec: DenseCodec) -> DenseCodec:
        """The same with estimates of the size of exact scores: rankings alone do not tell it.

        Lists add exact parts to estimates, and these must be worth the same.
        """
        columns = codec.frame.query_projection
        assert columns is not None
        some = self._held_out.queries[:TO_SCALE]
        coded, exact = Coded(codec, self._vectors)(some), self._exact(some)
        coded -= coded.mean(axis=1, keepdims=True)
        exact = exact - exact.mean(axis=1, keepdims=True)
        slope = float((coded * exact).sum() / max(float(np.square(coded).sum()), 1e-30))
        if slope <= 0:
            return codec
        return replace(
            codec, frame=replace(codec.frame, query_projection=np.float32(slope) * columns)
        )

    def _gains(self, codec: DenseCodec) -> npt.NDArray[np.float64]:
        """(held out, 1 + cuts): gain and shares found of every query that wants something."""
        coded = Coded(codec, self._vectors, self._centroids)
        wanted = [self._wanted[i] for i in self._kept]
        found = ranks(coded, self._held_out.queries[self._kept], wanted, len(self._vectors))
        return np.array(
            [[np.mean(1 / np.log2(2 + r)), *(np.mean(r < cut) for cut in CUTS)] for r in found]
        )

    def _batches(self, student: Student, n_steps: int) -> list[tuple[Rows, Rows]]:
        """Queries and documents of the next steps: mined by what scores find now, and random."""
        recipe, rng, n = self._recipe, self._rng, len(self._vectors)
        asked = rng.permutation(len(self._seen.queries))[:MINED_QUERIES]
        turns = -(-n_steps * recipe.batch // len(asked))
        order = np.concatenate([rng.permutation(asked) for _ in range(turns)])
        order = order[: n_steps * recipe.batch].reshape(n_steps, -1)
        used, place = np.unique(order, return_inverse=True)
        mined = self._mined(student, used)[place.reshape(order.shape)]
        out = []
        for queries, candidates in zip(order, mined, strict=True):
            picked = rng.integers(0, candidates.shape[1], (len(queries), recipe.hard))
            parts = [
                np.take_along_axis(candidates, picked, axis=1).ravel(),
                rng.integers(0, n, recipe.easy),
            ]
            if self._seen.judged:
                positives = [self._seen.positives[i] for i in queries]
                parts.append(np.array([rng.choice(p) for p in positives if len(p)], np.int64))
            if self._seen.teacher_scores is not None:
                scored = [self._seen.teacher_scores[i][0] for i in queries]
                parts += [rng.choice(r, min(len(r), recipe.hard)) for r in scored if len(r)]
            out.append((queries, np.unique(np.concatenate(parts))))
        return out

    def _mined(self, student: Student, used: Rows) -> Rows:
        recipe, n = self._recipe, len(self._vectors)
        if recipe.negatives == "random":
            return self._rng.integers(0, n, (len(used), recipe.mined))
        queries, parts = self._seen.queries[used], []
        if recipe.negatives != "exact":
            coded = Coded(student.codec(0), self._vectors, self._centroids)
            parts.append(best_rows(coded, queries, n, recipe.mined))
        if recipe.negatives != "codes":
            parts.append(best_rows(self._exact, queries, n, recipe.mined))
        return np.concatenate(parts, axis=1)

    def _residuals(self, rows: Rows) -> Any:
        import torch

        centred = self._vectors[rows] - self._initial.centre
        return torch.from_numpy(
            centred if self._centroids is None else centred - self._centroids[rows]
        )

    def _learn(self, training: Training, queries: Rows, documents: Rows) -> None:
        import torch

        residuals = self._residuals(documents)
        if self._recipe.loss == "reconstruction":
            training.reconstruct(residuals)
            return
        seen, centre = self._seen, self._initial.centre
        asked, vectors = seen.queries[queries], self._vectors[documents]
        exact = exact_scores(vectors, self._metric)(asked)
        routed = 2 * (asked - centre) if self._metric == "l2" else asked
        known: Floats = np.zeros((1, len(documents)), np.float32)
        if self._centroids is not None:
            known = np.asarray(routed @ self._centroids[documents].T, np.float32)
        if self._metric == "l2":
            known = np.asarray(known - np.square(vectors - centre).sum(axis=1), np.float32)
        judged = np.zeros(exact.shape, np.float32)
        if seen.judged:
            for line, query in enumerate(queries):
                judged[line] = np.isin(documents, seen.positives[query])
        teacher = exact / training.temperature(exact)
        if seen.teacher_scores is not None:
            teacher = _given_logits(teacher, [seen.teacher_scores[i] for i in queries], documents)
        assert seen.weights is not None
        parts = (routed, known, teacher, judged, seen.weights[queries])
        training.step(*(torch.from_numpy(np.asarray(p, np.float32)) for p in parts), residuals)


def has_torch() -> bool:
    """Whether codes can be learned."""
    return importlib.util.find_spec("torch") is not None


def _sampled(
    vectors: Floats | Sampler, n: int | None, supervision: Supervision, rng: np.random.Generator
) -> tuple[Rows, Floats, Supervision]:
    """Rows that are looked at, their vectors, and the supervision in numbers of these."""
    if callable(vectors):
        if n is None:
            raise ConfigError("vectors that a function gives need their number `n`")
        take, dim = vectors, int(np.asarray(vectors(np.zeros(1, np.int64))).shape[1])
    else:
        if vectors.ndim != 2:
            raise InvalidInputError(f"vectors have shape {vectors.shape}, not (n, d)")
        take, (n, dim) = vectors.__getitem__, vectors.shape
    if n < FEWEST_VECTORS:
        raise InvalidInputError(f"{n} vectors are too few to learn from; {FEWEST_VECTORS} will do")
    given = supervision.checked(n, dim)
    if given.judged:
        given = given.take(np.flatnonzero([len(rows) > 0 for rows in given.positives]))
    if len(supervision.queries) and len(given.queries) < FEWEST_QUERIES:
        raise InvalidInputError(
            f"{len(given.queries)} {'judged ' if given.judged else ''}queries are too few; give "
            f"{FEWEST_QUERIES}, or none at all to learn from the documents alone"
        )
    if len(given.queries) > MOST_QUERIES:
        given = given.take(np.sort(rng.choice(len(given.queries), MOST_QUERIES, replace=False)))
    rows = np.arange(n)
    if n > MOST_VECTORS:
        judged = np.unique(np.concatenate([*given.positives, rows[:0]]))
        others = np.setdiff1d(rng.choice(n, MOST_VECTORS, replace=False), judged)
        room = max(MOST_VECTORS - len(judged), 0)
        rows = np.sort(np.concatenate((judged, rng.permutation(others)[:room])))
        scored = given.teacher_scores
        given = replace(
            given,
            positives=[np.searchsorted(rows, wanted) for wanted in given.positives],
            teacher_scores=None if scored is None else [_among(rows, *one) for one in scored],
        )
    found = np.ascontiguousarray(take(rows), np.float32)
    if not np.isfinite(found).all():
        raise InvalidInputError("the vectors hold NaN or infinity")
    if not len(given.queries):
        asked = sampled_queries(found, min(SAMPLED_QUERIES, n), int(rng.integers(2**31)))
        given = Supervision(asked).checked(len(found), dim)
    return rows, found, given


def _among(rows: Rows, wanted: Rows, scores: Floats) -> tuple[Rows, Floats]:
    """Of scored rows, those among `rows`, by their places there."""
    place = np.minimum(np.searchsorted(rows, wanted), len(rows) - 1)
    there = rows[place] == wanted
    return place[there], scores[there]


def split_queries(queries: Floats, rng: np.random.Generator) -> tuple[Rows, Rows]:
    """Numbers of the queries that are learned from, and of others; equal ones stay together."""
    keys = np.ascontiguousarray(queries).view(np.dtype((np.void, queries.shape[1] * 4))).ravel()
    _, first, group = np.unique(keys, return_index=True, return_inverse=True)
    wanted = min(MOST_HELD_OUT, max(1, round(HELD_OUT * len(first))))
    if wanted == len(first):
        raise InvalidInputError("all queries are equal; give different ones")
    out = np.isin(group.ravel(), rng.permutation(len(first))[:wanted])
    return np.flatnonzero(~out), np.flatnonzero(out)


def _wanted(given: Supervision, exact: Any, n: int) -> list[Rows]:
    """Of each query its judged rows, or its teacher's best ones."""
    if given.judged:
        return list(given.positives)
    if given.teacher_scores is None:
        return list(best_rows(exact, given.queries, n, LIKE_TEACHER))
    return [
        rows[np.argsort(-scores, kind="stable")[:LIKE_TEACHER]]
        for rows, scores in given.teacher_scores
    ]


def _given_logits(exact: Floats, scored: list[tuple[Rows, Floats]], documents: Rows) -> Floats:
    """Logits (Q, N) of a given teacher, -inf where it says nothing.

    A teacher's scores are brought to the spread of the exact ones; who says nothing of the batch
    is replaced by the exact scores.
    """
    out = np.full_like(exact, -np.inf)
    for line, (rows, scores) in enumerate(scored):
        place, score = _among(documents, rows, scores)
        spread = float(score.std()) if len(score) > 1 else 0.0
        if spread == 0:
            out[line] = exact[line]
            continue
        out[line, place] = (score - score.mean()) / spread * exact[line].std()
    return out


def _nearest(centred: Floats, centroids: Floats) -> Floats:
    """(n, d) the nearest of `centroids` (L, d) to each row."""
    half = 0.5 * np.einsum("ij,ij->i", centroids, centroids)
    lists = np.concatenate(
        [
            (centred[start : start + 4096] @ centroids.T - half).argmax(axis=1)
            for start in range(0, len(centred), 4096)
        ]
    )
    return np.asarray(centroids[lists], np.float32)


def measures(gains: npt.NDArray[np.float64]) -> dict[str, float]:
    names = ("gain", *(f"recall@{cut}" for cut in CUTS))
    return {name: round(float(one), 5) for name, one in zip(names, gains.mean(axis=0), strict=True)}
