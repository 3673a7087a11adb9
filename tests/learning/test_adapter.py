"""The adapter: what it computes, how it folds, and that its training is what it says."""

import json
from typing import Any

import numpy as np
import pytest

from bigrain.codecs.adapter import QueryAdapter, fingerprint_digest
from bigrain.learning.adapter import AdapterSettings, _Model, train_adapter
from bigrain.learning.fusion import Scored, learn_fusion
from bigrain.learning.measuring import ndcg, recall_at
from bigrain.learning.questions import split
from bigrain.learning.sampling import Batch, ProximityGraph
from bigrain.search.fuse import Fusion
from bigrain.search.verify import Verified

DIM, RANK = 24, 5


def unit(vectors: Any) -> Any:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def an_adapter(scale: float = 0.3) -> QueryAdapter:
    rng = np.random.default_rng(0)
    down, up = (scale * rng.standard_normal((2, DIM, RANK))).astype(np.float32)
    return QueryAdapter(down, up, fingerprint_digest({"name": "x"}))


def test_folded_and_explicit_scores_agree() -> None:
    adapter, rng = an_adapter(), np.random.default_rng(1)
    queries, vectors = unit(rng.standard_normal((40, DIM))), unit(rng.standard_normal((60, DIM)))
    matrix = np.eye(DIM) + adapter.down.astype(np.float64) @ adapter.up.astype(np.float64).T
    explicit = queries.astype(np.float64) @ matrix @ vectors.astype(np.float64).T
    assert np.abs(adapter(queries, "ip") @ vectors.T - explicit).max() < 1e-5
    lengths = np.linalg.norm(queries @ matrix, axis=1, keepdims=True)
    assert np.abs(adapter(queries, "cosine") @ vectors.T - explicit / lengths).max() < 1e-5


def test_a_query_does_not_depend_on_those_beside_it() -> None:
    adapter, queries = an_adapter(), unit(np.random.default_rng(1).standard_normal((33, DIM)))
    together = adapter(queries, "cosine")
    assert all(
        (adapter(q[None], "cosine")[0] == t).all() for q, t in zip(queries, together, strict=True)
    )


@pytest.mark.parametrize("metric", ["cosine", "ip", "l2"])
def test_an_adapter_of_zeros_changes_no_bit(metric: str) -> None:
    queries = np.random.default_rng(1).standard_normal((9, DIM)).astype(np.float32)
    zero = QueryAdapter(an_adapter().down, np.zeros((DIM, RANK), np.float32), "")
    assert (zero(queries, metric) == queries).all()


def test_an_adapter_is_read_as_it_was_written() -> None:
    adapter = an_adapter()
    again = QueryAdapter.from_dict(json.loads(json.dumps(adapter.to_dict())), DIM)
    assert (again.up == adapter.up).all() and (again.down == adapter.down).all()
    assert again.fingerprint == adapter.fingerprint and again.n_bytes == 2 * 4 * DIM * RANK
    assert fingerprint_digest({"a": 1, "b": 2}) == fingerprint_digest({"b": 2, "a": 1})


@pytest.mark.parametrize("metric", ["cosine", "ip", "l2"])
def test_the_gradient_is_that_of_the_loss(metric: str) -> None:
    """Central differences of InfoNCE over a batch, other right documents left out."""
    rng = np.random.default_rng(2)
    queries, vectors = (rng.standard_normal((n, 6)) for n in (4, 9))
    positives = [np.array([i, i + 4]) for i in range(4)]
    batch = Batch(np.arange(4), np.arange(4), np.array([4, 8, 5, 7]), 0)
    weights, scale = np.array([1.0, 2.0, 1.0, 3.0]), 0.7

    def loss(down: Any, up: Any) -> float:
        moved = queries + (queries @ down) @ up.T
        if metric == "cosine":
            moved = moved / np.linalg.norm(moved, axis=1, keepdims=True)
        total = 0.0
        for i in range(4):
            seen = [d for d in batch.documents if d == i or d not in positives[i]]
            scores = vectors[seen] @ moved[i]
            if metric == "l2":
                scores = -np.square(moved[i] - vectors[seen]).sum(axis=1)
            scores = scores / scale
            total += weights[i] * (np.log(np.exp(scores).sum()) - scores[seen.index(i)])
        return float(total / weights.sum())

    down, up = (0.4 * rng.standard_normal((2, 6, 2))).astype(np.float32)
    model = _Model(down.copy(), up.copy(), metric)
    seen: list[Any] = []
    model._adam = lambda gradients, rate: seen.extend(gradients)  # type: ignore[method-assign]
    graph = ProximityGraph(np.empty((4, 0), np.int64), positives, positives, 9)
    model.step(queries.astype(np.float32), vectors.astype(np.float32), batch, graph, weights,
               scale, AdapterSettings(decay=0.0))  # fmt: skip
    for gradient, which in zip(seen, (0, 1), strict=True):
        for at in [(0, 0), (2, 1), (5, 0)]:
            parts = [down.astype(np.float64), up.astype(np.float64)]
            parts[which][at] += 1e-5
            high = loss(*parts)
            parts[which][at] -= 2e-5
            slope = (high - loss(*parts)) / 2e-5
            assert abs(gradient[at] - slope) < 1e-3 * max(1, abs(slope))


def test_training_keeps_the_identity_where_nothing_is_better() -> None:
    rng = np.random.default_rng(3)
    vectors = unit(rng.standard_normal((200, DIM)))
    queries = unit(vectors + 0.02 * rng.standard_normal(vectors.shape))
    candidates = np.argsort(-(queries @ vectors.T), axis=1)[:, :30]
    right = list(np.arange(200)[:, None])
    graph = ProximityGraph(candidates, right, right, 200)
    adapter, told = train_adapter(
        queries, vectors, graph, np.ones(200), np.arange(200), metric="cosine", fingerprint="",
        settings=AdapterSettings(epochs=4, patience=2),
    )  # fmt: skip
    assert adapter is None and told.before == told.after == 1.0 and told.epochs == 2


def test_measures_are_those_of_the_books() -> None:
    documents = np.array([[3, 1, 2, -1], [9, 8, 7, 6]])
    grades = [{1: 1.0, 5: 2.0}, {9: 1.0}]
    ideal = 2 + 1 / np.log2(3)
    assert np.allclose(ndcg(documents, grades), [(1 / np.log2(3)) / ideal, 1.0])
    found = recall_at(documents, [np.array([1, 5]), np.array([6])], 2)
    assert found.tolist() == [0.5, 0.0]
    pytest.importorskip("ir_measures")
    from bigrain.evaluation import score

    run = {"q": {"3": 3.0, "1": 2.0, "2": 1.0}}
    told = score(run, {"q": {"1": 1, "5": 2}}, ["nDCG@10"])["nDCG@10"]["q"]
    assert np.isclose(told, ndcg(documents[:1], grades[:1])[0])


def test_fusion_finds_the_mixture_of_three_families() -> None:
    rng = np.random.default_rng(4)
    right = rng.integers(0, 20, 60)
    told = np.zeros((60, 20, 3), np.float32)
    told[np.arange(60), right, 0] = 1.0
    told += rng.random((60, 20, 3)).astype(np.float32) * np.array([0.6, 1.0, 1.0], np.float32)
    documents = np.tile(np.arange(20), (60, 1))
    parts = [Verified(documents, told, np.repeat(documents[:, :, None], 3, 2), told)]
    scored = Scored(parts, ("dense", "lexical", "sparse"))
    grades = [{int(d): 1.0} for d in right]
    present = Fusion(weights={"dense": 0.2, "lexical": 0.5, "sparse": 0.3})
    found = learn_fusion(scored, grades, present)
    assert scored.ndcg(found, grades).mean() > scored.ndcg(present, grades).mean() + 0.1
    assert found.weights["dense"] > 0.5 and np.isclose(sum(found.weights.values()), 1, atol=1e-3)
    assert min(found.weights.values()) >= 0.0999, "no family is switched off"
    best = Fusion(weights={"dense": 1.0, "lexical": 0.0, "sparse": 0.0})
    assert learn_fusion(scored, [{99: 1.0}] * 60, best) == best, "nothing to gain: as it was"


def test_split_keeps_texts_and_documents_together() -> None:
    texts = [f"t{i // 2}" for i in range(400)]
    right = [[i // 4] for i in range(400)]
    learned, held, groups, notes = split(texts, right, seed=0)
    assert len(learned) + len(held) == 400 and 90 < len(held) < 110 and not notes
    assert not {right[i][0] for i in learned} & {right[i][0] for i in held}
    assert len(set(groups.tolist())) == 100
    by_text, out, _, _ = split(texts, [()] * 400, seed=0)
    assert not {texts[i] for i in by_text} & {texts[i] for i in out}
