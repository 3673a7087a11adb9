"""Walks over questions and candidates: hard negatives, none right (papers/A-1 section 11)."""

from typing import Any

import numpy as np
import pytest

from bigrain.learning.sampling import SAMPLERS, ProximityGraph, batches

TOPICS, EACH, N = 12, 40, 30  # questions a topic, candidates a question


@pytest.fixture(scope="module")
def planted() -> tuple[ProximityGraph, Any]:
    """Questions of a topic share candidates, and now and then one of the next topic's."""
    rng = np.random.default_rng(0)
    n_documents = TOPICS * 100
    candidates, positives = [], []
    for i in range(TOPICS * EACH):
        topic = i // EACH
        row = topic * 100 + rng.choice(100, N, replace=False)
        row[-1] = (topic + 1) % TOPICS * 100 + rng.integers(100)
        candidates.append(row)
        positives.append(row[:1])
    right = [p for p in positives]
    return ProximityGraph(np.array(candidates), positives, right, n_documents), rng


def shares_in_candidates(graph: ProximityGraph, sampler: str, size: int = 32) -> float:
    """Of the documents that a question sees as negatives, the share among its candidates."""
    shares = []
    for batch in batches(graph, size, sampler, np.random.default_rng(1)):
        for query in batch.queries.tolist():
            others = np.setdiff1d(batch.documents, graph.right[query])
            shares.append(np.isin(others, graph.candidates[query]).mean())
    return float(np.mean(shares))


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_an_epoch_asks_every_question_once(planted: Any, sampler: str) -> None:
    graph, _ = planted
    seen: list[int] = []
    for batch in batches(graph, 32, sampler, np.random.default_rng(2)):
        seen += batch.queries.tolist()
        for query, positive, negative in zip(
            batch.queries, batch.positives, batch.negatives, strict=True
        ):
            assert positive in graph.positives[query] and negative not in graph.right[query]
            assert negative in graph.candidates[query]
        assert (
            batch.hops == 0 if sampler in ("random", "ann") else batch.hops > 20 or len(seen) > 470
        )
    assert sorted(seen) == list(range(TOPICS * EACH))


def test_walks_meet_harder_negatives_than_random_batches(planted: Any) -> None:
    graph, _ = planted
    shares = {sampler: shares_in_candidates(graph, sampler) for sampler in SAMPLERS}
    assert shares["snowball"] >= shares["walk"] - 0.01
    assert shares["walk"] > 2 * shares["random"], shares
    again = shares_in_candidates(graph, "walk")
    assert again == shares["walk"], "the same seed walks the same way"


def test_edges_are_of_the_ranks_asked_for() -> None:
    candidates = np.array([[0, 1, 2, 3], [2, 1, 4, -1], [5, 1, 0, -1]])
    right = [np.array([0]), np.array([4]), np.empty(0, np.int64)]
    graph = ProximityGraph(candidates, right, right, 6, forward=(1, 3), backward=(0, 2))
    assert [n.tolist() for n in graph.negatives] == [[1, 2], [1], [1, 0]]
    assert graph.back(1).tolist() == [0, 1, 2] and graph.back(2).tolist() == [1]
    assert graph.back(3).tolist() == [] and graph.back(0).tolist() == []
    (batch,) = batches(graph, 8, "walk", np.random.default_rng(0))
    assert sorted(batch.queries.tolist()) == [0, 1], "who has nothing right is not asked"


def test_negatives_are_of_those_that_are_allowed() -> None:
    rng = np.random.default_rng(0)
    candidates = np.argsort(rng.random((50, 60)), axis=1)[:, :20]
    right = [row[:2] for row in candidates]
    allowed = np.arange(60) % 2 == 0
    graph = ProximityGraph(candidates, right, right, 60, allowed=allowed)
    for batch in batches(graph, 40, "snowball", rng):  # more than there are: some come again
        assert allowed[batch.negatives].all()
        for query, negative in zip(batch.queries, batch.negatives, strict=True):
            assert negative not in right[query]


def test_where_everything_is_right_there_is_no_negative() -> None:
    right = [np.arange(3)]
    graph = ProximityGraph(np.array([[0, 1, 2]]), right, right, 3)
    (batch,) = batches(graph, 4, "walk", np.random.default_rng(0))
    assert batch.negatives[0] in right[0], "whoever trains masks it"
