"""Asked recall, held on queries that the calibration never saw."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bigrain
from bigrain.codecs import partition
from bigrain.index.dense import DenseSegment
from bigrain.index.effort import CUT_OFF, DEEPER, FARTHER, STEEPER, Calibration, Effort
from bigrain.index.live import measured
from bigrain.storage.segment import SegmentFile, SegmentWriter
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
        for k in (3, 10, 11, 20, 50):
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


def told(dips: np.ndarray, ranks: np.ndarray, fall: float = 0.1) -> Calibration:
    """Of queries whose neighbours all lie in the nearest list."""
    dips = np.concatenate((dips, np.full((len(dips), 1), fall)), axis=1).astype(np.float32)
    probed = np.linspace(0.001, 1, 81, dtype=np.float32)
    return Calibration(np.zeros((len(dips), 19), np.float32), ranks, probed, dips=dips)


def test_dips_decide_how_far_below_the_best_estimates_an_effort_reaches() -> None:
    m = 400
    rng = np.random.default_rng(0)
    dips = rng.random((m, 19)).astype(np.float32)  # a tenth of them below .1
    calibration = told(dips, np.full((m, 19), 30, np.int32))
    found = [calibration.effort(recall, 10, 10**6) for recall in (0.5, 0.7, 0.9)]
    for effort, recall in zip(found, (0.5, 0.7, 0.9), strict=True):
        assert effort.rank == 10 and effort.n == round(30 * DEEPER)
        wanted = recall + CUT_OFF * (1 - recall)
        assert -0.01 < effort.reach - STEEPER * wanted < 0.06  # by the standard error more
    far = calibration.effort(0.7, 100, 10**6)
    assert far.rank == 100
    below = 0.7 + CUT_OFF * 0.3 - 0.1  # the hundredth estimate
    assert -0.01 < far.reach - STEEPER * below < 0.06
    assert calibration.effort(0.7, 11, 10**6).rank == 100  # what the reach was measured from
    assert calibration.effort(0.7, 140, 10**6).rank == 140


def test_what_is_out_of_reach_is_not_counted_as_found() -> None:
    m = 400
    ranks = np.full((m, 19), 20, np.int32)
    dips = np.full((m, 19), 0.05, np.float32)
    ranks[::2] = 500  # half of the queries have many rows as near as their neighbours
    calibration = told(dips, ranks)
    few, many = calibration.effort(0.4, 10, 10**6), calibration.effort(0.9, 10, 10**6)
    assert (few.n, many.n) == (round(20 * DEEPER), round(500 * DEEPER))
    assert few.reach == many.reach == np.float32(STEEPER) * np.float32(0.05)
    dips[::2] = np.inf  # and there they are not estimated at all
    assert told(dips, ranks).effort(0.9, 10, 10**6) == Effort(10**6)


@pytest.mark.parametrize("metric", ["cosine", "ip", "l2"])
def test_queries_of_any_kind_reach_as_far(tmp_path: Path, metric: str) -> None:
    """What is verified is what lies within reach, and its number differs from query to query."""
    vectors, queries = vectors_and_queries()
    with collection(tmp_path / "docs.grain", vectors, metric) as col:
        index = col._view.fields["vec"].index
        effort = index.effort(0.9, 10)
        assert 0 < effort.reach < np.inf and effort.rank == 10
        asked = col._view.fields["vec"].family.queries(list(queries))
        found = index.candidates(asked, effort, None)
        every = index.candidates(asked, effort.endless(), None)
        length = index.prepare(index.views[0].segment, asked).length
        counts = []
        for one, whole, unit in zip(found, every, length, strict=True):
            least = whole.scores[9] - np.float32(effort.reach) * unit
            n = int((whole.scores >= least).sum())
            assert one.units.tolist() == whole.units[:n].tolist()
            counts.append(n)
        assert min(counts) >= 10 and len(set(counts)) > 5
        assert np.mean(counts) < 0.8 * effort.n


def test_every_segment_reaches_as_far_as_was_measured_there(tmp_path: Path) -> None:
    """Below the best of all; one that was not measured has places of its own."""
    vectors, queries = vectors_and_queries()
    with collection(tmp_path / "docs.grain", vectors[:4000], "cosine") as col:
        for part in (slice(4000, 5500), slice(5500, 6000)):
            ids = [str(i) for i in range(part.start, part.stop)]
            col.add_vectors("vec", ids, vectors[part])
            col.commit()
        index = col._view.fields["vec"].index
        segments = [view.segment for view in index.views]
        effort = index.effort(0.9, 10)
        reaches = np.array([effort.of(s.file.name).reach for s in segments], np.float32)
        assert len(set(reaches.tolist())) == 3 and reaches[2] == np.inf
        assert max(reaches[:2]) == np.float32(effort.reach)
        ((last, places),) = index._places_apart(effort.apart).items()
        assert last == 2 and places < effort.n
        reaches[2] = effort.reach  # what it has beyond its places
        asked = col._view.fields["vec"].family.queries(list(queries[:50]))
        lengths = index.prepare(segments[0], asked).length
        found = index.candidates(asked, effort, None)
        whole = index.candidates(asked, Effort(index.n_rows), None)
        for one, every, length in zip(found, whole, lengths, strict=True):
            of = np.searchsorted([s.units.first for s in segments], every.units, "right") - 1
            near = every.scores >= every.scores[9] - reaches[of] * length
            own = np.flatnonzero(of == 2)[:places]
            near[own] = False
            kept = np.flatnonzero(near)[: effort.n - places]
            assert set(one.units) == set(every.units[own]) | set(every.units[kept])
        truth, _ = col.search_many(list(queries), recall=1.0, arrays=True)
        reached, _ = col.search_many(list(queries), recall=0.9, arrays=True)
        assert overlap(reached, truth) > 0.87


def test_documents_of_several_passages_are_held_against_documents(tmp_path: Path) -> None:
    """The tenth best passage may be of the second document: what is asked is ten documents."""
    rng = np.random.default_rng(3)
    words = [f"w{i}" for i in range(300)]
    texts = [" ".join(rng.choice(words, 900)) for _ in range(400)]
    fields = {"text": bigrain.DenseField(encoder="bigrain/static-v1")}
    with bigrain.create(tmp_path / "a.grain", fields, files=QuickDisk()) as col:
        col.add({"id": str(i), "text": text} for i, text in enumerate(texts))
        col.commit()
        index = col._view.fields["text"].index
        assert index.n_rows > 1000 and index.effort(0.9, 10).reach < np.inf
        queries = [" ".join(text.split()[300:312]) for text in texts[::4]]
        truth, _ = col.search_many(queries, recall=1.0, arrays=True)
        assert all(None not in row for row in truth)
        found, _ = col.search_many(queries, recall=0.9, arrays=True)
        assert overlap(found, truth) > 0.85
        alone, _ = col.search_many(queries[:1], recall=0.9, arrays=True)
        assert alone[0].tolist() == found[0].tolist()


def test_segments_without_dips_are_searched_by_ranks(tmp_path: Path) -> None:
    vectors, queries = vectors_and_queries()
    with collection(tmp_path / "docs.grain", vectors, "cosine") as col:
        index = col._view.fields["vec"].index
        (view,) = index.views
        known = view.segment.calibration
        assert known.dips.shape == (len(known.gaps), 20) and np.isfinite(known.dips).all()
        view.segment.calibration = replace(known, dips=None)
        effort = index.effort(0.9, 10)
        assert effort.reach == np.inf
        truth, _ = col.search_many(list(queries), recall=1.0, arrays=True)
        found, _ = col.search_many(list(queries), recall=0.9, arrays=True)
        assert overlap(found, truth) > 0.87


def test_a_query_is_answered_alone_as_beside_others(tmp_path: Path) -> None:
    """Many passages of one document are alike: they count once, whatever else is asked."""
    rng = np.random.default_rng(0)
    book = "volcano lava magma eruption ash crater volcanic caldera pyroclastic vent".split()
    stones = "rock mineral stone quartz granite basalt sediment fault soil crystal".split()
    others = (
        "tax football piano recipe court election doctor train dance garden hotel fashion novel "
        "prison software loan wedding painting horse coffee school army ballet insurance"
    ).split()

    def text(words: Any, n: int) -> str:
        return " ".join(rng.choice(words, n))

    texts = [text(book, 10_000), *(text(stones, 1000) for _ in range(4))]
    texts += [text(rng.choice(others, 4, replace=False), 60) for _ in range(1500)]
    fields = {"text": bigrain.DenseField(encoder="bigrain/static-v1")}
    with bigrain.create(tmp_path / "a.grain", fields, files=QuickDisk()) as col:
        col.add({"id": str(i), "text": text} for i, text in enumerate(texts))
        col.commit()
        assert col._view.fields["text"].index.effort(0.9, 10).reach < np.inf
        first, second = "volcano lava magma eruption", "football piano recipe court"
        alone, _ = col.search_many([first], recall=0.9, arrays=True)
        beside, _ = col.search_many([first, second], recall=0.9, arrays=True)
        assert None not in alone[0] and alone[0].tolist() == beside[0].tolist()


def test_more_than_ten_are_found_as_well_by_queries_that_were_measured(tmp_path: Path) -> None:
    """What is measured from the hundredth estimate is held against no other."""
    vectors, queries = vectors_and_queries()
    with collection(tmp_path / "docs.grain", vectors, "cosine") as col:
        index = col._view.fields["vec"].index
        noise = np.random.default_rng(3).normal(size=(250, DIM))
        asked = list(np.float32(vectors[:250] + noise))
        known = col._view.fields["vec"].family.queries(asked)
        index.heed(measured(index, known, index.exact(known, 100, None)))
        for k in (10, 11, 30, 100):
            truth, _ = col.search_many(list(queries), k=k, recall=1.0, arrays=True)
            found, _ = col.search_many(list(queries), k=k, recall=0.9, arrays=True)
            assert overlap(found, truth) > 0.87
            assert index.effort(0.9, k).rank == (10 if k == 10 else 100)


def test_what_a_filter_leaves_is_verified_whole_if_it_is_little(tmp_path: Path) -> None:
    vectors, queries = vectors_and_queries()
    fields = {"vec": bigrain.DenseField(dim=DIM)}
    with bigrain.create(tmp_path / "docs.grain", fields, files=QuickDisk()) as col:
        for part in (slice(0, 4500), slice(4500, N)):
            ids = [str(i) for i in range(part.start, part.stop)]
            col.add({"id": i, "text": "", "metadata": {"n": int(i) % 100}} for i in ids)
            col.add_vectors("vec", ids, vectors[part])
            col.commit()
        effort = col._view.fields["vec"].index.effort(0.9, 10)
        assert effort.n > N // 100 and effort.reach < np.inf
        ask = {"k": 10, "arrays": True, "filter": "n = 0"}
        truth, _ = col.search_many(list(queries), recall=1.0, **ask)
        found, _ = col.search_many(list(queries), recall=0.9, **ask)
        assert found.tolist() == truth.tolist()


@pytest.mark.parametrize("number", [np.nan, -np.inf, 3e38, -1.0])
def test_dips_that_cannot_be_are_refused(tmp_path: Path, number: float) -> None:
    vectors, _ = vectors_and_queries()
    with collection(tmp_path / "docs.grain", vectors, "cosine") as col:
        file = col._view.fields["vec"].index.views[0].segment.file
        arrays = {name: file.read(name) for name in file.sections}
        meta = file.meta
        spec = col._view.fields["vec"].index.spec
    arrays["calibration_dips"][3, -1] = number
    writer = SegmentWriter(QuickDisk(), tmp_path / "forged.seg")
    for name, array in arrays.items():
        writer.add(name, array)
    writer.finish(meta, sync=False)
    with pytest.raises(bigrain.DamagedError, match="calibration_dips"):
        DenseSegment(spec, SegmentFile(QuickDisk(), tmp_path / "forged.seg"))
