"""The bundled encoder learned on texts, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import bigrain
from bigrain.encoders.static import StaticEncoder

TOPICS = [
    ("heart", "valve blood pulse artery surgeon beat pressure vessel"),
    ("wing", "flow lift shock mach boundary drag pressure panel"),
    ("loan", "bank credit rate debtor contract interest payment lender"),
    ("leaf", "plant root soil seed green water sun stem"),
]


def some_texts(n: int, seed: int = 0) -> list[str]:
    rng = np.random.default_rng(seed)
    texts = []
    for i in range(n):
        head, words = TOPICS[i % len(TOPICS)]
        drawn = " ".join(rng.choice(words.split(), 12))
        texts.append(f"{head} note {drawn} {' '.join(rng.choice(words.split(), 12))}")
    return texts


torch = pytest.importorskip("torch")


@pytest.fixture(scope="module")
def base() -> StaticEncoder:
    torch.set_num_threads(1)
    return StaticEncoder()


def test_a_learned_table_is_the_same_each_time_and_another_encoder(
    base: StaticEncoder, tmp_path: Path
) -> None:
    from bigrain.learning.static_encoder import learn_static

    texts = some_texts(64)
    first = learn_static(base, texts, steps=6, seed=3)
    again = learn_static(base, texts, steps=6, seed=3)
    np.testing.assert_array_equal(first.rows, again.rows)
    made = first.save(tmp_path / "mine")
    assert made.name.startswith("bigrain/static-v1+")
    assert made.head("dense").fingerprint() != base.head("dense").fingerprint()
    opened = StaticEncoder(tmp_path / "mine").encode_documents(texts)
    found = made.encode_documents(texts)
    np.testing.assert_array_equal(opened["dense"], found["dense"])
    np.testing.assert_array_equal(opened["sparse"].data, found["sparse"].data)
    with pytest.raises(bigrain.ConfigError, match="not empty"):
        first.save(tmp_path / "mine")


def test_judged_questions_come_near_their_answers(base: StaticEncoder) -> None:
    from bigrain.learning.static_encoder import learn_static

    texts = some_texts(80)
    names = ["alpha", "bravo", "carol", "delta"]  # say nothing about a topic before
    pairs = [(f"{names[i % 4]} question {i}", i) for i in range(len(texts))]
    learned = learn_static(base, texts, pairs=pairs, steps=30)
    assert learned.steps == 30 and learned.after > learned.before


def test_a_teacher_is_followed(base: StaticEncoder) -> None:
    from bigrain.learning.static_encoder import _bags, learn_static, pooled

    texts = some_texts(64)
    teacher = np.eye(2)[np.arange(64) % 4 // 2]  # finds two topics alike that share no word
    learned = learn_static(base, texts, teacher=teacher, steps=40)
    bags = _bags(base, texts[:4])

    def alike(rows: np.ndarray) -> float:
        vectors = pooled(rows, [bags[i] for i in range(4)], base.power)
        return float(vectors[0] @ vectors[1] - vectors[0] @ vectors[2])

    assert learned.steps == 0 or alike(learned.rows) > alike(base.rows())


def test_progress_may_cancel(base: StaticEncoder) -> None:
    from bigrain.learning.static_encoder import learn_static
    from bigrain.progress import Reporter

    def stop(update: object) -> None:
        raise bigrain.CancelledError("enough")

    with pytest.raises(bigrain.CancelledError):
        learn_static(base, some_texts(64), steps=50, progress=Reporter(stop))


def test_what_cannot_be_learned_from_is_refused(base: StaticEncoder) -> None:
    from bigrain.learning.static_encoder import learn_static

    texts = some_texts(40)
    with pytest.raises(bigrain.InvalidInputError, match="too few"):
        learn_static(base, texts[:3])
    with pytest.raises(bigrain.InvalidInputError, match="pair 1: there is no text 40"):
        learn_static(base, texts, pairs=[("a", 0), ("b", 40)])
    with pytest.raises(bigrain.InvalidInputError, match=r"must be \(40, width\)"):
        learn_static(base, texts, teacher=np.zeros((3, 4)))
    teacher = np.ones((40, 4))
    teacher[7] = np.nan
    with pytest.raises(bigrain.InvalidInputError, match="row 7"):
        learn_static(base, texts, teacher=teacher)
    with pytest.raises(bigrain.ConfigError, match="steps=0"):
        learn_static(base, texts, steps=0)
