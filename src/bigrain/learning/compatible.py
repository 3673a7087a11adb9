"""Queries of a new encoder in the space of an old one, so that they search old codes.

While a collection is encoded anew, documents that still wait have vectors of the old encoder
alone. From texts encoded by both, a linear map M takes new query vectors there: ridge regression
in closed form, then backward-compatible training (BEBR, papers/A-3 section 4; Shen et al.,
CVPR 2020), a contrastive loss of mapped queries on what old codes stand for, with what old
queries find as the teacher and judged documents where there are some. Old codes stay as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from bigrain.errors import InvalidInputError, MissingExtraError
from bigrain.learning.light import (
    CUTS,
    FEWEST_QUERIES,
    LIKE_TEACHER,
    MINED_QUERIES,
    Recipe,
    measures,
    split_queries,
)
from bigrain.learning.mining import best_rows, exact_scores, ranks
from bigrain.learning.supervision import Supervision
from bigrain.progress import Reporter

__all__ = ["learn_compatible", "ridge_map"]

Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]
RIDGES = (1e-4, 1e-3, 1e-2, 1e-1)  # of the mean eigenvalue


def ridge_map(new: Floats, old: Floats, ridge: float) -> Floats:
    """M (d_old, d_new) with M new near old, for rows that belong together (m, d_new), (m, d_old).

    `ridge` is added to the second moments of `new`, relative to their mean eigenvalue.
    """
    moments = new.T.astype(np.float64) @ new
    mean = float(np.trace(moments)) / len(moments)
    moments[np.diag_indices_from(moments)] += max(ridge * mean, 1e-30)
    return np.ascontiguousarray(np.linalg.solve(moments, new.T.astype(np.float64) @ old).T, "f4")


def learn_compatible(
    new: Floats,
    old: Floats,
    documents: Floats,
    *,
    metric: str = "cosine",
    positives: Sequence[Rows] = (),
    paired: tuple[Floats, Floats] | None = None,
    seed: int = 0,
    steps: int = 300,
    progress: Reporter | None = None,
    recipe: Recipe | None = None,
) -> tuple[Floats, dict[str, Any]]:
    """M (d_old, d_new), a linear map of new query vectors to the old space, and a report.

    `new` (m, d_new) and `old` (m, d_old) are queries encoded by both encoders, or documents in
    their place; `documents` (n, d_old) what they search: old vectors, or what their codes stand
    for (`mining.Coded.stand_for`). `positives` names the judged rows of each query. `paired` are
    further texts in both spaces, (p, d_new) and (p, d_old), documents for instance; the regression
    uses them where held-out queries gain from it. `steps=0` is the regression alone, without torch.

    The report has `queries`, `held_out`, `ridge`, `paired` (whether `paired` was used), `steps`,
    and of the held-out queries `old` (asked by the old encoder), `regression` and `after`, each
    with `gain` and shares found as in `learn_codec`.
    """
    if new.ndim != 2 or old.ndim != 2 or len(new) != len(old):
        raise InvalidInputError(
            f"queries of both encoders have shapes {new.shape} and {old.shape}; "
            f"give the same texts to both"
        )
    if len(new) < FEWEST_QUERIES:
        raise InvalidInputError(
            f"{len(new)} texts are too few to learn from; {FEWEST_QUERIES} will do"
        )
    if not np.isfinite(new).all():
        raise InvalidInputError("the new encoder's vectors hold NaN or infinity")
    if paired is not None and [p.shape for p in paired] != [
        (len(paired[0]), new.shape[1]),
        (len(paired[0]), old.shape[1]),
    ]:
        raise InvalidInputError(
            f"paired texts have shapes {paired[0].shape} and {paired[1].shape}, "
            f"not (p, {new.shape[1]}) and (p, {old.shape[1]})"
        )
    given = Supervision(old, positives).checked(len(documents), documents.shape[1])
    rng = np.random.default_rng(seed)
    exact = exact_scores(documents, metric)
    seen, unseen = split_queries(old, rng)
    wanted: list[Rows] = list(best_rows(exact, old, len(documents), LIKE_TEACHER))
    if given.judged:
        wanted = [p if len(p) else w for p, w in zip(given.positives, wanted, strict=True)]
    target = [wanted[i] for i in unseen]

    def gains(asked: Floats) -> npt.NDArray[np.float64]:
        found = ranks(exact, asked, target, len(documents))
        return np.array(
            [[np.mean(1 / np.log2(2 + r)), *(np.mean(r < cut) for cut in CUTS)] for r in found]
        )

    tried = []
    for further in (None, paired) if paired is not None else (None,):
        sources, targets = new[seen], old[seen]
        if further is not None:
            sources = np.concatenate((sources, further[0]))
            targets = np.concatenate((targets, further[1]))
        for ridge in RIDGES:
            found = ridge_map(sources, targets, ridge)
            tried.append((gains(new[unseen] @ found.T), found, ridge, further is not None))
    first, matrix, ridge, used = max(tried, key=lambda one: float(one[0][:, 0].mean()))
    best = first
    if steps:
        trained = _trained(
            matrix, new[seen], given.take(seen), documents, metric, steps,
            rng, progress or Reporter(None), recipe or Recipe(),
        )  # fmt: skip
        after = gains(new[unseen] @ trained.T)
        if after[:, 0].mean() > best[:, 0].mean():
            best, matrix = after, trained
    return matrix, {
        "queries": len(seen),
        "held_out": len(unseen),
        "ridge": ridge,
        "paired": used,
        "steps": steps,
        "old": measures(gains(old[unseen])),
        "regression": measures(first),
        "after": measures(best),
    }


def _trained(
    matrix: Floats, new: Floats, given: Supervision, documents: Floats, metric: str, steps: int,
    rng: np.random.Generator, progress: Reporter, recipe: Recipe,
) -> Floats:  # fmt: skip
    """`matrix` after `steps` of Adam; the old queries in `given` are the teacher."""
    try:
        import torch
    except ImportError as error:
        raise MissingExtraError("learning a map between encoders", "learn") from error
    from bigrain.learning.targets import cross_entropy, target

    exact, n = exact_scores(documents, metric), len(documents)
    learned = torch.nn.Parameter(torch.from_numpy(matrix.copy()))
    adam = torch.optim.Adam([learned], lr=0.0, betas=(0.9, 0.98))
    size = float(np.sqrt(np.square(matrix).mean()))
    asked = rng.permutation(len(new))[:MINED_QUERIES]
    mined = best_rows(exact, given.queries[asked], n, recipe.mined)
    mined_of = dict(zip(asked.tolist(), mined, strict=True))
    temperature = recipe.temperature * float(exact(given.queries[asked[:64]]).std(axis=1).mean())
    progress.stage("learning a map between encoders", steps, "steps")
    for step in range(steps):
        batch = rng.choice(asked, recipe.batch)
        parts = [rng.choice(mined_of[int(i)], recipe.hard) for i in batch]
        parts.append(rng.integers(0, n, recipe.easy))
        if given.judged:
            parts += [rng.choice(given.positives[i], 1) for i in batch if len(given.positives[i])]
        rows = np.unique(np.concatenate(parts))
        judged = np.zeros((len(batch), len(rows)), np.float32)
        if given.judged:
            for line, i in enumerate(batch):
                judged[line] = np.isin(rows, given.positives[i])
        found = documents[rows]
        teacher = exact_scores(found, metric)(given.queries[batch]) / max(temperature, 1e-12)
        mapped = torch.from_numpy(np.ascontiguousarray(new[batch])) @ learned.T
        scores = mapped @ torch.from_numpy(found).T
        if metric == "l2":
            scores = 2 * scores - torch.from_numpy(np.square(found).sum(axis=1))
        wanted = target(torch.from_numpy(teacher), torch.from_numpy(judged), recipe.share)
        loss = cross_entropy(scores / max(temperature, 1e-12), wanted, torch.ones(len(batch)))
        adam.param_groups[0]["lr"] = size * recipe.rate_at((step + 1) / steps)
        adam.zero_grad()
        loss.backward()
        adam.step()
        progress.advance()
    return np.ascontiguousarray(learned.detach().numpy(), np.float32)
