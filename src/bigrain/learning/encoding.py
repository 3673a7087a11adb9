"""The bundled encoder taught by judged questions, and whether it ranks better then.

Both encoders rank the same passages exactly: those that are right for some question, and others
drawn at random. The questions held out decide.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bigrain.encoders.static import StaticEncoder
from bigrain.errors import InvalidInputError
from bigrain.families.dense import DenseFamily
from bigrain.families.reading import texts_of
from bigrain.index.base import Floats, Units
from bigrain.learning.checkpoint import Checkpoint
from bigrain.learning.measuring import ndcg
from bigrain.learning.static_encoder import LearnedStatic, learn_static
from bigrain.progress import Reporter
from bigrain.search.view import SnapshotView

__all__ = ["Passages", "require_table", "taught", "values_of"]

STEPS, SECONDS_OF_STEP = 800, 0.2
AT_ONCE = 1024  # documents
TOGETHER = 64
Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Passages:
    """Some passages (n,) ascending, their texts, and the numbers of the documents they are of."""

    units: Units
    texts: list[str]
    documents: npt.NDArray[np.int64]

    @classmethod
    def of(cls, view: SnapshotView, family: DenseFamily, units: Units) -> Passages:
        """Read from the catalogue."""
        owners = view.documents_of(units)
        numbers = np.unique(owners).tolist()
        texts: list[str] = []
        for start in range(0, len(numbers), AT_ONCE):
            found = view.catalogue.documents(numbers[start : start + AT_ONCE])
            every, read = texts_of([found[number] for number in sorted(found)], family)
            wanted = np.isin(every, units)
            texts += [text for text, w in zip(read, wanted.tolist(), strict=True) if w]
        return cls(units, texts, owners)


def require_table(family: DenseFamily) -> StaticEncoder:
    """The table that a field is encoded with, or InvalidInputError."""
    model = getattr(family.encoder, "model", None)
    if isinstance(model, StaticEncoder):
        return model
    encoder = "vectors that you bring" if family.encoder is None else repr(family.spec.encoder)
    raise InvalidInputError(
        f"field {family.name!r} has {encoder}; only the bundled encoder, or one taught from it, is "
        'learned. what="adapter" learns a map of the queries of any encoder'
    )


def taught(
    base: StaticEncoder, passages: Passages, questions: Sequence[str], right: Sequence[Units],
    minutes: float, seed: int, reporter: Reporter, checkpoint: Checkpoint,
) -> LearnedStatic:  # fmt: skip
    """The table after learning from questions and the passages that are right for each."""
    kept = checkpoint.state("encoder")
    if kept is not None:
        return LearnedStatic(base, kept["rows"], kept["before"], kept["after"], kept["steps"])
    pairs = [
        (question, int(at))
        for question, units in zip(questions, right, strict=True)
        for at in np.searchsorted(passages.units, units)
    ]
    steps = max(1, min(STEPS, int(60 * minutes / SECONDS_OF_STEP)))
    learned = learn_static(
        base, passages.texts, pairs=pairs, steps=steps, seed=seed, progress=reporter
    )
    checkpoint.keep("encoder", {
        "rows": learned.rows, "before": learned.before, "after": learned.after,
        "steps": learned.steps,
    })  # fmt: skip
    return learned


def values_of(
    learned: LearnedStatic, passages: Passages, questions: Sequence[str],
    grades: Sequence[Mapping[int, float]],
) -> tuple[Values, Values]:  # fmt: skip
    """nDCG@10 of each question by the table as it was and as it is learned: (before, after)."""
    with tempfile.TemporaryDirectory(prefix="bigrain-learn-") as folder:
        after = learned.save(Path(folder) / "encoder")
    found = []
    for encoder in (learned.base.head("dense"), after.head("dense")):
        vectors = np.asarray(encoder.encode_documents(passages.texts), np.float32)
        asked = np.asarray(encoder.encode_queries(questions), np.float32)
        found.append(ndcg(_ranked(asked, vectors, passages), grades))
    return found[0], found[1]


def _ranked(asked: Floats, vectors: Floats, passages: Passages) -> npt.NDArray[np.int64]:
    """(Q, 10) documents by their best passages."""
    documents, first = np.unique(passages.documents, return_index=True)
    parts = []
    for start in range(0, len(asked), TOGETHER):
        scores = asked[start : start + TOGETHER] @ vectors.T
        best = np.maximum.reduceat(scores, first, axis=1)
        order = np.argsort(-best, axis=1, kind="stable")[:, :10]
        parts.append(documents[order])
    return np.concatenate(parts)
