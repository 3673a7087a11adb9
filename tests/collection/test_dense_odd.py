"""Dense fields with vectors that nobody should have: a right answer, or a clear refusal."""

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bigrain
from bigrain import kernels
from bigrain.codecs import partition
from bigrain.storage.files import Files
from bigrain.testing import FaultyFiles, QuickDisk

N, DIM = 5000, 16
MANY = 20_500  # lists without being told to
METRICS = ["cosine", "ip", "l2"]
Array = np.ndarray[Any, Any]


@pytest.fixture(autouse=True, scope="module")
def lists_from_few_vectors_on() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(partition, "FLAT_BELOW", N - 500)
        yield


def collection(path: Path, vectors: Array, metric: str, **settings: Any) -> bigrain.Collection:
    """All of them in one segment; document i has the metadata r = i * 7919 mod n."""
    field = bigrain.DenseField(dim=vectors.shape[1], metric=metric, **settings)
    col = bigrain.create(path, {"vec": field}, files=QuickDisk())
    give(col, vectors)
    col.commit()
    return col


def give(col: bigrain.Collection, vectors: Array) -> None:
    col.add_vectors("vec", [str(i) for i in range(len(vectors))], vectors.astype(np.float32))


def topics(rng: np.random.Generator, n: int, dim: int = DIM) -> Array:
    centres = rng.normal(size=(100, dim))
    return np.asarray(centres[rng.integers(0, 100, n)] + 0.6 * rng.normal(size=(n, dim)))


def reached(col: bigrain.Collection, queries: Array, recall: float, **options: Any) -> float:
    """The share of returned scores that are among the true best k: of equals any will do."""
    ask = {"k": 10, "arrays": True, **options}
    asked = list(queries.astype(np.float32))
    _, truth = col.search_many(asked, recall=1, **ask)
    ids, found = col.search_many(asked, recall=recall, **ask)
    there = np.isfinite(truth)
    assert [i is not None for i in ids.flat] == there.ravel().tolist()
    last = np.where(there, truth, np.inf).min(axis=1, keepdims=True)
    return float((found >= last - 1e-5 * np.abs(last) - 1e-6)[there].mean())


def n_lists(col: bigrain.Collection) -> int:
    return int(col._view.fields["vec"].index.views[0].segment.partition.n_lists)


# -- few, equal, long, short ----------------------------------------------------------------------


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("n", [1, 2, 5])
@pytest.mark.parametrize("light_bytes", [None, 1])
def test_too_few_vectors_to_train_a_code_are_searched_exactly(
    tmp_path: Path, metric: str, n: int, light_bytes: int | None
) -> None:
    rng = np.random.default_rng(n)
    vectors = rng.normal(size=(n, DIM))
    with collection(tmp_path / "a.grain", vectors, metric, light_bytes=light_bytes) as col:
        assert n_lists(col) == 1
        queries = rng.normal(size=(20, DIM))
        assert reached(col, queries, 0.5) == 1
        assert len(col.search(queries[0], k=100)) == n  # k above the collection


@pytest.mark.parametrize("metric", ["cosine", "l2"])
def test_vectors_that_are_all_the_same_are_found_without_reading_them_all(
    tmp_path: Path, metric: str
) -> None:
    rng = np.random.default_rng(0)
    same = np.repeat(rng.normal(size=(1, DIM)), MANY, axis=0)
    with collection(tmp_path / "a.grain", same, metric) as col:
        hits = col.search(rng.normal(size=DIM), k=20)
        assert len({h.score for h in hits}) == 1 and len({h.id for h in hits}) == 20
        assert col._view.fields["vec"].index.effort(0.95, 10).n < 100
        assert n_lists(col) > 1 and reached(col, rng.normal(size=(5, DIM)), 0.95) == 1


@pytest.mark.parametrize("metric", ["ip", "l2"])
def test_zeros_are_vectors_where_there_is_no_direction_to_have(tmp_path: Path, metric: str) -> None:
    vectors = np.zeros((1500, 3))
    vectors[7] = 1
    with collection(tmp_path / "a.grain", vectors, metric) as col:
        assert col.search(np.ones(3), k=1)[0].id == "7"
        assert reached(col, np.eye(3), 0.95) == 1


@pytest.mark.parametrize("metric", METRICS)
def test_a_giant_group_of_equal_vectors_does_not_hide_the_others(
    tmp_path: Path, metric: str
) -> None:
    rng = np.random.default_rng(1)
    vectors = topics(rng, N)
    vectors[: N - 1000] = vectors[0]
    queries = vectors[rng.integers(N - 1000, N, 60)] + 0.3 * rng.normal(size=(60, DIM))
    with collection(tmp_path / "a.grain", vectors, metric) as col:
        assert reached(col, queries, 0.95) >= 0.95


@pytest.mark.parametrize("metric", METRICS)
def test_two_giant_clusters(tmp_path: Path, metric: str) -> None:
    rng = np.random.default_rng(2)
    centre = rng.normal(size=DIM)
    sides = rng.choice([-1, 1], (N, 1))
    vectors = sides * centre + 0.1 * rng.normal(size=(N, DIM))
    queries = np.concatenate((vectors[:40] + 0.1 * rng.normal(size=(40, DIM)),
                              rng.normal(size=(40, DIM))))  # fmt: skip
    with collection(tmp_path / "a.grain", vectors, metric) as col:
        assert reached(col, queries, 0.95) >= 0.95


@pytest.mark.parametrize("metric", ["cosine", "l2"])
@pytest.mark.parametrize("dim", [1, 2, 3, 7, 8, 9, 63, 65, 100, 4096])
def test_every_dimension(tmp_path: Path, metric: str, dim: int) -> None:
    rng = np.random.default_rng(dim)
    n = 100 if dim > 1000 else 1000
    vectors = topics(rng, n, dim)
    with collection(tmp_path / "a.grain", vectors, metric) as col:
        queries = vectors[:50] + 0.5 * rng.normal(size=(50, dim))
        assert reached(col, queries, 0.95) >= 0.95
        assert {h.id for h in col.search(vectors[3], k=n, recall=1)} == set(map(str, range(n)))


@pytest.mark.parametrize("dim", [3, 65])
def test_odd_dimensions_in_lists(tmp_path: Path, dim: int) -> None:
    rng = np.random.default_rng(dim)
    vectors = topics(rng, N, dim)
    with collection(tmp_path / "a.grain", vectors, "l2") as col:
        assert n_lists(col) > 1
        assert reached(col, vectors[:60] + 0.3 * rng.normal(size=(60, dim)), 0.95) >= 0.95


def test_lengths_do_not_matter_under_cosine(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    vectors = topics(rng, 2000)
    lengths = 10.0 ** rng.uniform(-30, 30, (2000, 1))
    query = rng.normal(size=DIM)
    with (
        collection(tmp_path / "a.grain", vectors, "cosine") as one,
        collection(tmp_path / "b.grain", vectors * lengths, "cosine") as other,
    ):
        wanted, found = (c.search(query, k=50, recall=1) for c in (one, other))
        assert [h.score for h in found] == pytest.approx([h.score for h in wanted], abs=1e-3)


@pytest.mark.parametrize("metric", ["ip", "l2"])
@pytest.mark.parametrize("giants", [3, 20])
def test_a_few_vectors_of_a_thousand_times_the_length(
    tmp_path: Path, metric: str, giants: int
) -> None:
    rng = np.random.default_rng(giants)
    vectors = topics(rng, N)
    vectors[rng.choice(N, giants, replace=False)] *= 1000
    queries = topics(rng, 150)
    with collection(tmp_path / "a.grain", vectors, metric) as col:
        assert reached(col, queries, 0.95) >= 0.95
        assert col._view.fields["vec"].index.effort(0.95, 10).n < N / 5


def test_lengths_of_every_size_under_inner_product(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    vectors = topics(rng, N) * np.exp(rng.normal(size=(N, 1)))
    with collection(tmp_path / "a.grain", vectors, "ip") as col:
        assert reached(col, topics(rng, 150), 0.95) >= 0.95
        assert col._view.fields["vec"].index.effort(0.95, 10).n < N / 5


def test_lengths_of_every_size_under_euclidean_distance_need_few_lists(tmp_path: Path) -> None:
    """Lists are chosen by distance: by products alone, the longest would always come first."""
    rng = np.random.default_rng(5)
    vectors = topics(rng, N) * np.exp(rng.normal(size=(N, 1)))
    queries = vectors[rng.integers(0, N, 100)] + 0.2 * rng.normal(size=(100, DIM))
    with collection(tmp_path / "a.grain", vectors, "l2") as col:
        assert reached(col, queries, 0.95) >= 0.95
        (segment,) = (view.segment for view in col._view.fields["vec"].index.views)
        prepared = segment.codec.prepare(queries.astype(np.float32))
        truth = [col.search(q, k=1, recall=1)[0].id for q in queries[:50]]
        places = np.argsort(segment.order)[np.array(truth, int)]
        routes = segment.bases(prepared)[1][:50]
        chosen = np.take_along_axis(routes, segment.lists(places)[:, None], axis=1)
        assert np.median((routes > chosen).sum(axis=1)) <= 3


@pytest.mark.parametrize("metric", METRICS)
def test_queries_of_another_distribution(tmp_path: Path, metric: str) -> None:
    rng = np.random.default_rng(6)
    vectors = topics(rng, N)
    with collection(tmp_path / "a.grain", vectors, metric) as col:
        for queries in (3 * rng.normal(size=(150, DIM)), 0.001 * topics(rng, 50)):
            assert reached(col, queries, 0.95) >= 0.94


# -- filters --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def filtered(tmp_path_factory: Any) -> Any:
    rng = np.random.default_rng(8)
    fields = {"vec": bigrain.DenseField(dim=DIM)}
    path = tmp_path_factory.mktemp("filtered") / "docs.grain"
    with bigrain.create(path, fields, files=QuickDisk()) as col:
        order = rng.permutation(N).tolist()
        col.add({"id": str(i), "text": "", "metadata": {"r": r}} for i, r in enumerate(order))
        give(col, topics(rng, N))
        col.commit()
        yield col


@pytest.mark.parametrize("share", [0, 1 / N, 0.001, 0.01, 0.1, 0.5, 1])
def test_filters_of_every_selectivity_equal_exact_search(filtered: Any, share: float) -> None:
    queries = topics(np.random.default_rng(9), 100)
    n = round(share * N)
    if not n:
        assert filtered.search(queries[0], filter="r < 0") == []
        return
    assert reached(filtered, queries, 0.95, filter=f"r < {n}") >= 0.95
    assert len(filtered.search(queries[0], k=N, filter=f"r < {n}")) == n


def test_little_that_is_selected_is_verified_whole_from_the_lists_that_hold_it(
    filtered: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_into = []
    scan_lists = kernels.scan_lists

    def watched(*arguments: Any) -> Any:
        looked_into.append(len(arguments[9]))
        return scan_lists(*arguments)

    monkeypatch.setattr(kernels, "scan_lists", watched)
    queries = topics(np.random.default_rng(10), 20)
    assert reached(filtered, queries, 0.5, filter="r < 10", k=3) == 1
    assert looked_into and max(looked_into) <= 20 * 10 < n_lists(filtered)


# -- what is refused, what is cut short -----------------------------------------------------------


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("heavy", ["float16", "float32", "bfloat16", "int8"])
def test_numbers_that_are_none_are_refused_with_their_row(
    tmp_path: Path, number: float, heavy: str
) -> None:
    vectors = topics(np.random.default_rng(0), 9000)
    with collection(tmp_path / "a.grain", vectors[:50], "cosine", heavy=heavy) as col:
        vectors[8765, 3] = number
        with pytest.raises(bigrain.InvalidVectorsError, match="row 8765: .*position 3 is"):
            give(col, vectors)
        col.commit()
        assert col.stats()["documents"] == 50
        with pytest.raises(bigrain.InvalidQueryError, match="NaN or infinity"):
            col.search(vectors[8765])


class Interrupted(FaultyFiles):
    """The user presses Ctrl-C at the operation that is named."""

    def fails(self, operation: str) -> bool:
        if super().fails(operation):
            raise KeyboardInterrupt
        return False


def build(path: Path, files: Files) -> None:
    """Two commits: some vectors, then so many that they are merged."""
    rng = np.random.default_rng(11)
    field = bigrain.DenseField(dim=4, metric="l2", heavy="int8")
    with bigrain.create(path, {"vec": field}, files=files) as col:
        give(col, rng.normal(size=(1200, 4)))
        col.commit()
        give(col, rng.normal(size=(1300, 4)))
        col.commit()
        col.compact()


def test_an_interrupt_at_any_moment_of_a_build_publishes_nothing_by_halves(tmp_path: Path) -> None:
    files = Interrupted(QuickDisk())
    build(tmp_path / "all.grain", files)
    moments = np.random.default_rng(12).choice(np.arange(1, files.count), 6, replace=False)
    for at in sorted(moments.tolist()):
        path = tmp_path / f"{at}.grain"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            with pytest.raises(KeyboardInterrupt):
                build(path, Interrupted(QuickDisk(), fail_at=at))
        check_after(path)


def check_after(path: Path) -> None:
    """Whole commits are there, nothing else, and the next commit works."""
    try:
        col = bigrain.open(path, files=QuickDisk())
    except bigrain.NotACollectionError:  # not even made
        return
    with col:
        n = col.stats()["documents"]
        assert n in (0, 1200, 1300)
        assert col.verify().ok
        if n:
            assert len(col.search(np.ones(4), k=2000, recall=1)) == n
        give(col, np.random.default_rng(13).normal(size=(1400, 4)))
        col.commit()
        assert len(col.search(np.ones(4), k=2000, recall=1)) == 1400
        assert col.verify().ok


@pytest.mark.parametrize("long_call", ["commit", "compact"])
def test_an_interrupt_from_the_progress_callback_leaves_what_was_pending(
    tmp_path: Path, long_call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bigrain.progress.Reporter.interval_s", 0)
    rng = np.random.default_rng(14)
    with collection(tmp_path / "a.grain", rng.normal(size=(1500, 4)), "ip") as col:
        col.delete([str(i) for i in range(100)])
        if long_call == "compact":
            col.commit()
        before = col.stats()["documents"]

        def stop(_: object) -> None:
            raise KeyboardInterrupt

        call: Callable[..., int] = getattr(col, long_call)
        with pytest.raises(KeyboardInterrupt):
            call(progress=stop)
        assert col.stats()["documents"] == before
        assert len(col.search(np.ones(4), k=2000, recall=1)) == before
        call()
        assert col.stats()["documents"] == 1400
        assert col.verify().ok
