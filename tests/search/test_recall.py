"""Asked recall, held on queries that the calibration never saw."""

from pathlib import Path

import numpy as np
import pytest

import bigrain
from bigrain.codecs import partition
from bigrain.index.effort import DEEPER, FARTHER, Calibration, Effort
from bigrain.testing import QuickDisk

N, DIM = 6000, 48


def collection(path: Path, vectors: np.ndarray, metric: str) -> bigrain.Collection:
    col = bigrain.create(
        path, {"vec": bigrain.DenseField(dim=DIM, metric=metric)}, files=QuickDisk()
    )
    col.add_vectors("vec", [str(i) for i in range(len(vectors))], vectors)
    col.commit()
    return col


def vectors_and_queries() -> tuple[np.ndarray, np.ndarray]:
    """Topics of unequal size and shape; queries lie between documents and off them."""
    rng = np.random.default_rng(7)
    topics = rng.normal(size=(60, DIM)) * 1.5
    shape = np.exp(rng.normal(size=(60, DIM)) * 0.7)
    which = rng.choice(60, N, p=(w := 1 / np.arange(1, 61)) / w.sum())
    vectors = topics[which] + shape[which] * rng.normal(size=(N, DIM))
    queries = vectors[rng.integers(0, N, 200)] + rng.normal(size=(200, DIM))
    return vectors.astype(np.float32), queries.astype(np.float32)


def overlap(found: np.ndarray, truth: np.ndarray) -> float:
    """The mean share of each row of `truth` that is in the same row of `found`."""
    both = (len(set(a) & set(b)) for a, b in zip(found, truth, strict=True))
    return sum(both) / truth.size


@pytest.mark.parametrize("metric", ["cosine", "ip", "l2"])
@pytest.mark.parametrize("lists", [False, True])
def test_asked_recall_is_reached(
    tmp_path: Path, metric: str, lists: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if lists:
        monkeypatch.setattr(partition, "FLAT_BELOW", 1000)
    vectors, queries = vectors_and_queries()
    with collection(tmp_path / "docs.grain", vectors, metric) as col:
        index = col._view.fields["vec"].index
        for k in (10, 50):
            truth, _ = col.search_many(list(queries), k=k, recall=1.0, arrays=True)
            for recall in (0.8, 0.9, 0.95, 0.99):
                found, _ = col.search_many(list(queries), k=k, recall=recall, arrays=True)
                share = np.mean(
                    [len(set(a) & set(b)) / k for a, b in zip(found, truth, strict=True)]
                )
                assert share >= recall - 0.03, f"asked {recall}, got {share}"
            assert index.effort(0.8, k).n < N / 10  # and it was not by looking everywhere
        if lists:
            segment = index.views[0].segment
            _, near, _ = segment.probes(
                segment.codec.prepare(queries), Effort(1, 0.5), segment.live(None)
            )
            assert segment.partition.n_lists > 200
            assert len(near) < 0.3 * len(queries) * segment.partition.n_lists


@pytest.mark.parametrize("share", [0.5, 0.1, 0.01, 0.001])
def test_filters_keep_the_recall(
    tmp_path: Path, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partition, "FLAT_BELOW", 1000)
    vectors, queries = vectors_and_queries()
    fields = {"vec": bigrain.DenseField(dim=DIM)}
    with bigrain.create(tmp_path / "docs.grain", fields, files=QuickDisk()) as col:
        every = round(1 / share)
        col.add({"id": str(i), "text": "", "metadata": {"n": i % every}} for i in range(N))
        col.add_vectors("vec", [str(i) for i in range(N)], vectors)
        col.commit()
        ask = {"k": 10, "arrays": True, "filter": "n = 0"}
        truth, _ = col.search_many(list(queries), recall=1.0, **ask)
        found, _ = col.search_many(list(queries), recall=0.95, **ask)
        k = min(10, N // every)
        assert (
            np.mean([len(set(a) & set(b)) / k for a, b in zip(found[:, :k], truth, strict=True)])
            > 0.92
        )


def test_effort_takes_the_cheapest_pair_that_is_enough() -> None:
    m = 400
    gaps = np.full((m, 19), 0.2, np.float32)
    ranks = np.full((m, 19), 5, np.int32)
    gaps[::10] = 1.0  # a tenth of the queries need far lists
    ranks[5::10] = 900  # another tenth many candidates
    probed = np.linspace(0, 1, 81, dtype=np.float32)
    calibration = Calibration(gaps, ranks, probed)
    some = calibration.effort(0.75, 10, 1_000_000)
    assert some.n == 10 and 0 <= some.margin - FARTHER * 0.2 < 0.03  # at least k
    lists_are_dear = calibration.effort(0.85, 10, 1_000_000_000)
    assert lists_are_dear == Effort(round(900 * DEEPER), some.margin)
    candidates_are_dear = calibration.effort(0.85, 10, 10_000)
    assert candidates_are_dear.n == 10 and candidates_are_dear.margin > 0.99 * FARTHER
    assert calibration.effort(0.99, 10, 10_000).n == round(900 * DEEPER)
