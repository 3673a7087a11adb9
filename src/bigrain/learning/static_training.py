"""Steps in torch that bring parts of a text, and questions, close to the texts they belong to.

Each step takes a batch of neighbours (TAS-B: Hofstätter et al., SIGIR 2021, with random centres in
place of k-means) and adds

    contrast   InfoNCE at four prefixes between a part of each text and the rest of it; what the
               given table finds nearer than the pair itself is no negative (GISTEmbed: Solatorio,
               2024). Judged questions take the place of parts in half of the steps
    neighbours cross-entropy between the teacher's and the table's choice among the texts of the
               batch; without a teacher the given table is the teacher, so that it does not drift

and rows of the last fifth of the steps are averaged.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from bigrain.progress import Reporter

if TYPE_CHECKING:
    from bigrain.learning.static_encoder import Bags

__all__ = ["Trainer"]

BATCH = 256
RUN = 32  # neighbours side by side in a batch
TEMPERATURE = 0.05
RATE, RATE_OF_WEIGHTS = 3e-3, 1e-2
WARM = 0.05
NEIGHBOURS = 1.0  # share of that part of the loss
QUESTIONS = 0.5  # of the steps
FEW_WORDS = 0.3  # of the parts: only some of their pieces
PREFIXES = {0.125: 0.15, 0.25: 0.2, 0.5: 0.25, 1.0: 0.4}  # of the width, and their shares
LONGEST = 256  # pieces of a text

Numbers = npt.NDArray[np.int64]


class Trainer:
    """The rows of the pieces that occur, and one logarithm of a weight for each.

    `rows` (V, dim): where to start. `kept`: positions of questions, or of texts without questions,
    to learn from. `teacher`: (texts, width) unit vectors.
    """

    def __init__(
        self,
        rows: npt.NDArray[np.float32],
        documents: Bags,
        *,
        questions: Bags,
        answers: Numbers,
        kept: Numbers,
        teacher: npt.NDArray[np.float32] | None,
        power: float,
        seed: int,
    ) -> None:
        self._rng = np.random.default_rng(seed)
        self._documents, self._questions = documents, questions
        self._answers, self._kept, self._power = answers, kept, power
        self._all = rows
        self._used = np.unique(np.concatenate([documents.ids, questions.ids]))
        place = np.full(len(rows), -1, np.int64)
        place[self._used] = np.arange(len(self._used))
        self._place = place
        lengths = np.linalg.norm(rows[self._used], axis=1, keepdims=True)
        self._usual = float(np.median(lengths[lengths > 0])) if (lengths > 0).any() else 1.0
        self._start = torch.from_numpy((rows[self._used] / self._usual).astype(np.float32))
        self._rows = torch.nn.Parameter(self._start.clone())
        self._logs = torch.nn.Parameter(torch.zeros(len(self._used)))
        self._teacher = teacher
        self._texts = kept if not len(answers) else np.arange(len(documents))

    def run(self, steps: int, progress: Reporter) -> npt.NDArray[np.float32]:
        """(V, dim) rows after training; those of pieces that never occur are as they were."""
        groups = [
            {"params": [self._rows], "lr": RATE, "base": RATE},
            {"params": [self._logs], "lr": RATE_OF_WEIGHTS, "base": RATE_OF_WEIGHTS},
        ]
        optimiser = torch.optim.Adam(groups, betas=(0.9, 0.99))
        texts = self._batches(self._texts, self._near_texts())
        asked = None
        if len(self._answers):
            asked = self._batches(self._kept, self._near_texts()[self._answers[self._kept]])
        total, averaged = torch.zeros_like(self._start), 0
        progress.stage("learning the encoder", steps, "steps")
        for number in range(steps):
            share = min(1.0, (number + 1) / max(WARM * steps, 1))
            share *= 0.03 + 0.97 * 0.5 * (1 + np.cos(np.pi * number / steps))
            for group in optimiser.param_groups:
                group["lr"] = group["base"] * share
            if asked is not None and self._rng.random() < QUESTIONS:
                loss = self._asked(next(asked))
            else:
                loss = self._torn(next(texts))
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            if number >= 0.8 * steps:
                with torch.no_grad():
                    total += self._rows * self._logs.exp()[:, None]
                averaged += 1
            progress.advance()
        out = self._all.copy()
        out[self._used] = (total / averaged).numpy() * self._usual
        return out

    # -- batches --------------------------------------------------------------------------------

    def _near_texts(self) -> npt.NDArray[np.int64]:
        """(texts,) the nearest of some texts drawn at random."""
        n = len(self._documents)
        vectors = [
            self._vectors([self._documents[i] for i in range(a, min(a + 1024, n))], self._start)
            for a in range(0, n, 1024)
        ]
        every = functional.normalize(torch.cat(vectors), dim=1)
        some = self._rng.choice(n, max(2, n // 150), replace=False)
        nearest = (every @ every[torch.from_numpy(some)].T).argmax(1)
        return np.asarray(nearest.numpy(), np.int64)

    def _batches(self, which: Numbers, near: Numbers) -> Any:
        """Endless batches of positions, runs of neighbours in random order."""
        near = near[which] if len(near) == len(self._documents) else near
        size = min(BATCH, len(which))
        while True:
            order = which[np.lexsort((self._rng.random(len(which)), near))]
            runs = np.array_split(order, max(1, len(order) // RUN))
            order = np.concatenate([runs[i] for i in self._rng.permutation(len(runs))])
            for at in range(0, len(order) - size + 1, size):
                yield order[at : at + size]

    # -- losses ---------------------------------------------------------------------------------

    def _torn(self, batch: Numbers) -> torch.Tensor:
        from bigrain.learning.static_encoder import torn

        parts, rests = [], []
        for i in batch.tolist():
            part, rest = torn(self._documents[i], self._rng)
            if len(part) > 4 and self._rng.random() < FEW_WORDS:
                part = self._rng.choice(part, len(part) // 2, replace=False)
            if self._rng.random() < FEW_WORDS:
                rest = self._documents[i]
            parts.append(part)
            rests.append(rest)
        return self._loss(parts, rests, batch)

    def _asked(self, batch: Numbers) -> torch.Tensor:
        questions = [self._questions[i] for i in batch.tolist()]
        answers = self._answers[batch]
        return self._loss(questions, [self._documents[i] for i in answers.tolist()], answers)

    def _loss(
        self, left: Sequence[Numbers], right: Sequence[Numbers], texts: Numbers
    ) -> torch.Tensor:
        a, b = self._vectors(left), self._vectors(right)
        with torch.no_grad():
            c = functional.normalize(self._vectors(left, self._start), dim=1)
            d = functional.normalize(self._vectors(right, self._start), dim=1)
            guide = c @ d.T
            same = torch.from_numpy(texts[:, None] == texts)
            drop = (guide > guide.diagonal()[:, None]) | same
            drop.fill_diagonal_(False)
            if self._teacher is None:
                alike = d @ d.T
            else:
                taught = torch.from_numpy(self._teacher[texts])
                alike = taught @ taught.T
            wanted = alike.masked_fill(same, -1e4).div(TEMPERATURE).softmax(1)
        labels = torch.arange(len(a))
        loss = a.new_zeros(())
        for part, weight in PREFIXES.items():
            width = max(1, int(a.shape[1] * part))
            x = functional.normalize(a[:, :width], dim=1)
            y = functional.normalize(b[:, :width], dim=1)
            scores = x @ y.T / TEMPERATURE
            there = functional.cross_entropy(scores.masked_fill(drop, -1e4), labels)
            back = functional.cross_entropy(scores.masked_fill(drop, -1e4).T, labels)
            chosen = (y @ y.T).masked_fill(same, -1e4).div(TEMPERATURE).log_softmax(1)
            near = -(wanted * chosen).sum(1).mean()
            loss = loss + weight * (0.7 * there + 0.3 * back + NEIGHBOURS * near)
        return loss

    def _vectors(self, texts: Sequence[Numbers], rows: torch.Tensor | None = None) -> torch.Tensor:
        """(n, dim) sums; of the parameters, unless other rows are given."""
        bags, powers = [], []
        for pieces in texts:
            some, counts = np.unique(self._place[pieces[:LONGEST]], return_counts=True)
            bags.append(some)
            powers.append(counts.astype(np.float32) ** self._power)
        ends = np.concatenate([[0], np.cumsum([len(bag) for bag in bags])])[:-1]
        ids = torch.from_numpy(np.concatenate(bags))
        weights = torch.from_numpy(np.concatenate(powers).astype(np.float32))
        if rows is None:
            rows, weights = self._rows, weights * self._logs[ids].exp()
        return functional.embedding_bag(
            ids, rows, torch.from_numpy(ends), mode="sum", per_sample_weights=weights
        )
