"""The bundled encoder learned on a collection's own texts.

What is learned is the table: one row a word piece, trained so that parts of a text, and judged
questions, come close to what they belong to (`static_training`).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bigrain.encoders.static import StaticEncoder
from bigrain.errors import ConfigError, InvalidInputError, MissingExtraError
from bigrain.progress import Reporter

__all__ = ["LearnedStatic", "learn_static"]

LEAST_TEXTS = 32
SHARE = 0.75  # of the trained table in the result; the given one has the rest
LEAST = 0.97  # of the reciprocal rank before: less is no chance
HELD_OUT, MOST_HELD_OUT = 0.1, 500
JUDGED_AMONG = 2000

Rows = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Bags:
    """Texts as numbers of pieces, one after another: text i is `ids[offsets[i]:offsets[i + 1]]`."""

    ids: npt.NDArray[np.int64]
    offsets: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, i: int) -> npt.NDArray[np.int64]:
        return self.ids[self.offsets[i] : self.offsets[i + 1]]


@dataclass(frozen=True)
class LearnedStatic:
    """A learned table, and how well it does what it was trained for.

    `rows` (V, dim) float32. `before`, `after`: mean reciprocal rank of the right text for held-out
    questions, or for held-out parts of texts where there are none, with the table that was given
    and with this one. `steps`: how many were taken; 0 where the trained table was worse
    than the one given, which then stays.
    """

    base: StaticEncoder
    rows: Rows
    before: float
    after: float
    steps: int

    def save(self, folder: str | Path, name: str | None = None) -> StaticEncoder:
        """Write the folder that `StaticEncoder` reads, and open it.

        `name` goes into the fingerprint; without one it is the base's, and a hash of the rows.
        Raises ConfigError if the folder has something in it.
        """
        folder = Path(folder)
        if folder.exists() and any(folder.iterdir()):
            raise ConfigError(f"{folder} is not empty; give a new folder for the encoder")
        folder.mkdir(parents=True, exist_ok=True)
        largest = np.abs(self.rows).max(axis=1)
        scales = (largest / 127).astype(np.float32)
        table = np.rint(self.rows / np.where(scales > 0, scales, 1)[:, None]).astype(np.int8)
        np.save(folder / "table.npy", table)
        np.save(folder / "scales.npy", scales)
        np.save(folder / "columns.npy", self.base.columns)
        (folder / "vocab.txt").write_text(
            "\n".join(self.base.vocabulary) + "\n", encoding="utf-8", newline="\n"
        )
        names = ("vocab.txt", "table.npy", "scales.npy", "columns.npy")
        sums = {n: hashlib.sha256((folder / n).read_bytes()).hexdigest() for n in names}
        config = {
            "name": name or f"{self.base.name}+{sums['table.npy'][:8]}",
            "tf_power": self.base.power,
            "sha256": sums,
        }
        text = json.dumps(config, indent=2) + "\n"
        (folder / "config.json").write_text(text, encoding="utf-8")
        for path in (*folder.iterdir(), folder, folder.parent):
            _sync(path)
        return StaticEncoder(folder)


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def learn_static(
    base: StaticEncoder,
    texts: Sequence[str],
    *,
    pairs: Sequence[tuple[str, int]] | None = None,
    teacher: npt.ArrayLike | None = None,
    steps: int = 800,
    seed: int = 0,
    progress: Reporter | None = None,
) -> LearnedStatic:
    """The table of `base` learned on `texts`, and on questions whose answers are known.

    `texts`: the passages, as they are encoded (title and text). `pairs`: (question, position in
    `texts` of a passage that answers it). `teacher`: (len(texts), any width) vectors of the same
    texts by a better model; the table then learns which texts it finds alike. `steps` of 256 texts
    take about 0.1 s each on one core; the same seed and data give the same table. Every step
    reports to `progress`, which may cancel it. Raises InvalidInputError for fewer than 32 texts,
    for positions that are none and for vectors that do not fit; MissingExtraError without torch.

    The result is a new encoder: fields encoded with the old one must be encoded again.

        learned = learn_static(StaticEncoder(), texts)
        learned.save("my-encoder")
        bigrain.register_encoder("mine", lambda: StaticEncoder(Path("my-encoder")))
    """
    progress = progress or Reporter(None)
    if len(texts) < LEAST_TEXTS:
        raise InvalidInputError(
            f"{len(texts)} texts are too few to learn from; give at least {LEAST_TEXTS}"
        )
    if steps < 1:
        raise ConfigError(f"steps={steps} must be at least 1; 800 is usual")
    answers = np.array([answer for _, answer in pairs or ()], np.int64)
    bad = np.flatnonzero((answers < 0) | (answers >= len(texts)))
    if len(bad):
        raise InvalidInputError(
            f"pair {bad[0]}: there is no text {answers[bad[0]]}; positions run from 0 to "
            f"{len(texts) - 1}"
        )
    taught = None if teacher is None else _checked(teacher, len(texts))
    try:
        from bigrain.learning.static_training import Trainer
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise MissingExtraError("learning a static encoder", "learn", package="torch") from None

    documents = _bags(base, texts)
    questions = _bags(base, [question for question, _ in pairs or ()])
    start = base.rows()
    rng = np.random.default_rng(seed)
    held, kept = _split(rng, len(pairs) if pairs else len(texts))
    judge = _Judge(documents, questions, answers, held, base.power, rng)
    before = judge(start)
    trainer = Trainer(
        start,
        documents,
        questions=questions,
        answers=answers,
        kept=kept,
        teacher=taught,
        power=base.power,
        seed=seed,
    )
    rows = SHARE * trainer.run(steps, progress) + (1 - SHARE) * start
    after = judge(rows)
    if after < LEAST * before:
        rows, after, steps = start, before, 0
    return LearnedStatic(base, rows, before, after, steps)


def _checked(teacher: npt.ArrayLike, n: int) -> Rows:
    vectors = np.asarray(teacher, np.float32)
    if vectors.ndim != 2 or len(vectors) != n:
        raise InvalidInputError(
            f"teacher has shape {vectors.shape}; it must be ({n}, width), one row for each text"
        )
    if not np.isfinite(vectors).all():
        row = int(np.argmin(np.isfinite(vectors).all(axis=1)))
        raise InvalidInputError(f"teacher: row {row} holds numbers that are not finite")
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(lengths > 0, lengths, 1), np.float32)


def _bags(base: StaticEncoder, texts: Sequence[str]) -> Bags:
    ids, offsets = base.tokenise(texts)
    return Bags(ids.astype(np.int64), offsets)


def _split(rng: np.random.Generator, n: int) -> tuple[Any, Any]:
    """(held out, to learn from), both rising."""
    order = rng.permutation(n)
    cut = min(int(n * HELD_OUT), MOST_HELD_OUT)
    return np.sort(order[:cut]), np.sort(order[cut:])


class _Judge:
    """Mean reciprocal rank of the right text, for what is held out."""

    def __init__(
        self,
        documents: Bags,
        questions: Bags,
        answers: npt.NDArray[np.int64],
        held: npt.NDArray[np.int64],
        power: float,
        rng: np.random.Generator,
    ) -> None:
        self._power = power
        if len(answers):
            asked = [questions[i] for i in held.tolist()]
            right = answers[held]
            texts = [documents[i] for i in range(len(documents))]
        else:
            asked, texts = [], []
            right = np.arange(len(held))
            for i in held.tolist():
                part, rest = torn(documents[i], rng)
                asked.append(part)
                texts.append(rest)
            others = np.setdiff1d(np.arange(len(documents)), held)
            some = rng.permutation(others)[:JUDGED_AMONG]
            texts += [documents[i] for i in some.tolist()]
        self._asked, self._texts, self._right = asked, texts, right

    def __call__(self, rows: Rows) -> float:
        if not len(self._right):
            return 0.0
        scores = pooled(rows, self._asked, self._power) @ pooled(rows, self._texts, self._power).T
        own = scores[np.arange(len(scores)), self._right]
        return float((1 / (1 + (scores > own[:, None]).sum(axis=1))).mean())


def torn(
    pieces: npt.NDArray[np.int64], rng: np.random.Generator
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """A stretch of a text, and what is left of it; both are the text if it is too short."""
    n = len(pieces)
    if n < 8:
        return pieces, pieces
    size = int(rng.integers(4, min(24, n // 2) + 1))
    first = int(rng.integers(0, n - size + 1))
    return pieces[first : first + size], np.concatenate([pieces[:first], pieces[first + size :]])


def pooled(rows: Rows, texts: Sequence[npt.NDArray[np.int64]], power: float) -> Rows:
    """(n, dim) unit vectors of texts given as pieces, as the encoder makes them."""
    out = np.zeros((len(texts), rows.shape[1]), np.float32)
    for i, pieces in enumerate(texts):
        some, counts = np.unique(pieces, return_counts=True)
        out[i] = (counts**power).astype(np.float32) @ rows[some]
    lengths = np.linalg.norm(out, axis=1, keepdims=True)
    return np.asarray(out / np.where(lengths > 0, lengths, 1), np.float32)
