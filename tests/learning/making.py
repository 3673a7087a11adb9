"""A collection whose questions live in another place than the documents that answer them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import bigrain
from bigrain.learning import task
from bigrain.testing import QuickDisk

DIM, N, ASKED = 32, 1010, 300
WORDS = "grain wheat silo moon orbit river stone light heavy paper ink letter".split()


def unit(vectors: Any) -> Any:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def vectors_and_questions() -> tuple[Any, Any]:
    """Question i is about document i, seen through a map of rank 4 and noise."""
    rng = np.random.default_rng(3)
    vectors = unit(rng.standard_normal((N, DIM)))
    left, right = rng.standard_normal((2, DIM, 4)) / np.sqrt(DIM)
    asked = unit(vectors[:ASKED] + 6 * (vectors[:ASKED] @ left) @ right.T)
    return vectors, unit(asked + 0.03 * rng.standard_normal((ASKED, DIM)))


VECTORS, ASKING = vectors_and_questions()
IDS = [f"d{i}" for i in range(N)]
QUERIES = {f"q{i}": ASKING[i] for i in range(ASKED)}
JUDGMENTS = {f"q{i}": {IDS[i]: 1} for i in range(ASKED)}
# The words of a question are those of another document: the lexical field misleads.
BY_FIELD = {
    name: {"vec": vector, "lex": f"{WORDS[i % 12]} {WORDS[(5 * i + 1) % 12]}"}
    for i, (name, vector) in enumerate(QUERIES.items())
}


def made(path: Path, **options: Any) -> Path:
    """Two segments, and a document deleted that nobody asked about."""
    fields = {"lex": bigrain.LexicalField(), "vec": bigrain.DenseField(dim=DIM, **options)}
    rng = np.random.default_rng(1)
    with bigrain.create(path, fields, files=QuickDisk()) as col:
        for part in (slice(0, 600), slice(600, N)):
            texts = [" ".join(rng.choice(WORDS, 4)) for _ in IDS[part]]
            col.add({"id": i, "text": t} for i, t in zip(IDS[part], texts, strict=True))
            col.add_vectors("vec", IDS[part], VECTORS[part])
            col.commit()
        col.delete([IDS[-1]])
        col.commit()
    return path


def stand_in(settings: Any, metric: str, vectors: Any, supervision: Any, **kwargs: Any) -> Any:
    """What `learn_codec` gives: the fitted codec, turned, so that it can be told from others."""
    initial = kwargs["initial"]
    assert vectors.shape[1] == DIM and len(supervision.queries)
    kwargs["progress"].stage("learning codes", 1, "steps")
    kwargs["progress"].advance()
    turn = np.linalg.qr(np.random.default_rng(kwargs["seed"]).standard_normal((DIM, DIM)))[0]
    frame = initial.frame.turned(turn[: initial.frame.width, : initial.frame.width])
    frame = replace(frame, projection=frame.projection.astype(np.float32))
    learned = replace(initial, frame=frame, learned_from=len(supervision.queries))
    return learned, {"improved": True, "steps": task.STEPS}


def ndcg(col: Any, held: range = range(ASKED)) -> float:
    """Of all questions, by the dense field with 100 candidates."""
    ids, _ = col.search_many(
        [ASKING[i] for i in held], 10, fields="vec", n_candidates=100, arrays=True
    )
    ranks = [list(row).index(IDS[i]) for i, row in zip(held, ids, strict=True) if IDS[i] in row]
    return float(sum(1 / np.log2(2 + rank) for rank in ranks) / len(held))


def answers(col: Any) -> Any:
    """What a few questions find, exactly and by codes."""
    return [
        [(hit.id, hit.score) for q in ASKING[:8] for hit in col.search(q, 5, recall=recall)]
        for recall in (None, 1.0)
    ]


def codec_ids(col: Any) -> set[str]:
    return {view.segment.codec.id for view in col._view.fields["vec"].index.views}
