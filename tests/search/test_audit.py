"""The running audit: searches answered again exactly, and what the index learns from it."""

import threading
import time
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bigrain
from bigrain.codecs import partition
from bigrain.index.effort import DECISIVE, DEPTHS, NEVER, Calibration, Effort, LiveQueries
from bigrain.index.live import measured
from bigrain.interval import mean_share_interval
from bigrain.search import audit as auditing
from bigrain.search.sampling import Sampler
from bigrain.testing import QuickDisk

N, DIM, STRONG = 6000, 48, 8


class Topics:
    """Documents in clusters that differ in a few directions, and two kinds of queries.

    Those that are `shifted` ask in the other directions, where lists say nothing and codes little.
    """

    def __init__(self) -> None:
        self.rng = np.random.default_rng(3)
        topics = self.rng.normal(size=(80, DIM)) * 1.5 * (np.arange(DIM) < STRONG)
        noise = 0.5 * self.rng.normal(size=(N, DIM))
        self.vectors = (topics[self.rng.integers(0, 80, N)] + noise).astype(np.float32)

    def like(self, n: int) -> list[Any]:
        some = self.vectors[self.rng.integers(0, N, n)] + 0.3 * self.rng.normal(size=(n, DIM))
        return list(some.astype(np.float32))

    def shifted(self, n: int) -> list[Any]:
        noise = self.rng.normal(size=(n, DIM)) * (np.arange(DIM) >= STRONG)
        return list((noise + 0.1 * self.rng.normal(size=(n, DIM))).astype(np.float32))


@pytest.fixture(scope="module")
def topics() -> Topics:
    return Topics()


@pytest.fixture(scope="module")
def path(topics: Topics, tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(partition, "FLAT_BELOW", 1000)
        found = tmp_path_factory.mktemp("audit") / "docs.grain"
        with bigrain.create(found, {"vec": bigrain.DenseField(dim=DIM)}, files=QuickDisk()) as col:
            col.add({"id": str(i), "text": "", "metadata": {"n": i % 10}} for i in range(N))
            col.add_vectors("vec", [str(i) for i in range(N)], topics.vectors)
            col.commit()
    return found


def recall_of(col: Any, queries: list[Any], recall: float, **options: Any) -> float:
    """Not noticed by the sampler: it is asked of another handle."""
    with bigrain.open(col.path, read_only=True) as other:
        truth, _ = other.search_many(queries, recall=1.0, arrays=True, **options)
    waiting = col._auditor.sampler.take_all()
    found, _ = col.search_many(queries, recall=recall, arrays=True, **options)
    col._auditor.sampler.take_all()
    col._auditor.sampler.put_back(waiting)
    return float(
        np.mean([len(set(a) & set(b)) / len(b) for a, b in zip(found, truth, strict=True)])
    )


def effort(col: Any, recall: float = 0.95) -> Effort:
    found: Effort = col._view.fields["vec"].index.effort(recall, 10)
    return found


def test_searches_look_further_where_the_stored_calibration_falls_short(
    path: Path, topics: Topics
) -> None:
    with bigrain.open(path) as col:
        before = recall_of(col, topics.shifted(200), 0.95)
        assert before < 0.92
        for query in topics.shifted(130):
            col.search(query, recall=0.95)
        report = col.audit()
        (field,) = report.fields
        assert not report.holds and not field.holds and field.looks_further
        assert field.asked == 0.95 and field.queries == report.audited >= 100
        assert field.low <= field.reached <= field.high < 0.95
        assert abs(field.reached - before) < 0.05
        assert report.rows_read >= N and report.waiting == report.dropped == 0
        assert "falls short; later searches look further" in str(report)
        for recall in (0.9, 0.95, 0.99):
            assert recall_of(col, topics.shifted(200), recall) >= recall - 0.02
        told = col.stats()["fields"]["vec"]["recall"]
        assert told["looks_further"] and told["audited"][0]["holds"] is False
        assert told["effort"]["0.95"]["candidates"] == effort(col).n

        col.search_many(topics.shifted(100), recall=0.95)
        again = col.audit()
        assert again.holds and again.fields[0].queries == again.audited  # nothing from before
        assert col.stats()["fields"]["vec"]["recall"]["audited"][0]["holds"]
    with bigrain.open(path) as col:
        assert effort(col).n < 300  # it was that handle's


def test_queries_like_documents_cost_no_more_after_an_audit(path: Path, topics: Topics) -> None:
    with bigrain.open(path) as col:
        before = effort(col)
        col.search_many(topics.like(100))
        report = col.audit()
        assert report.holds and report.fields[0].asked == 0.95 and report.fields[0].low > 0.95
        assert effort(col) == before


def test_what_is_asked_decides_once_enough_of_it_is_known(path: Path, topics: Topics) -> None:
    with bigrain.open(path) as col:
        before = effort(col)
        for _ in range(3):
            col.search_many(topics.like(100))
            assert col.audit().holds
        assert effort(col).n < before.n and effort(col).margin <= before.margin
        assert recall_of(col, topics.like(200), 0.95) >= 0.93


def test_what_was_learnt_fades_when_queries_change_back(
    path: Path, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auditing, "KEPT_LIVE", 64)
    with bigrain.open(path) as col:
        before = effort(col)
        for make, further in ((topics.shifted, True), (topics.like, False)):
            col.search_many(make(128))
            col.audit()
            assert (effort(col).n > 1.3 * before.n) == further


def test_a_new_snapshot_keeps_what_was_learnt(path: Path, topics: Topics, tmp_path: Path) -> None:
    with bigrain.open(path) as original:
        original.backup(tmp_path / "copy.grain")
    with bigrain.open(tmp_path / "copy.grain", files=QuickDisk()) as col:
        col.search_many(topics.shifted(128))
        col.audit()
        learnt = effort(col)
        col.delete(["0", "1"])
        col.commit()
        assert effort(col) == learnt


def test_only_searches_that_ask_for_a_recall_are_sampled(path: Path, topics: Topics) -> None:
    with bigrain.open(path, read_only=True) as col:
        col.search_many(topics.like(20), recall=1.0)
        col.search_many(topics.like(20), n_candidates=50)
        col.search_many(topics.like(3), k=200)
        assert len(col._auditor.sampler) == 0
        report = col.audit()
        assert report.fields == () and report.audited == 0 and report.holds
        assert str(report).startswith("no query was audited")
        for recall in (0.8, 0.9):
            col._auditor.sampler._left = 0
            col.search_many(topics.like(20), recall=recall)
        assert [f.asked for f in col.audit().fields] == [0.8, 0.9]


def test_filters_are_respected(path: Path, topics: Topics) -> None:
    with bigrain.open(path, read_only=True) as col:
        queries = topics.like(40)
        for query in queries[:20]:
            col.search(query, filter="n = 3")
        for query in queries[20:]:
            col.search(query)
        report = col.audit()
        assert report.rows_read == 2 * N  # a pass for each filter
        assert report.fields[0].queries == 40 and report.fields[0].reached > 0.9


def test_answers_that_were_wrong_are_found_out(path: Path, topics: Topics) -> None:
    with bigrain.open(path, read_only=True) as col:
        index = col._view.fields["vec"].index
        index._efforts[0.95, 10] = Effort(10, 0.0)  # as if the calibration were wrong
        col.search_many(topics.like(100))
        report = col.audit()
        assert report.fields[0].reached < 0.8 and not report.holds


def test_samples_of_a_snapshot_that_is_gone_are_dropped(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    with bigrain.create(
        tmp_path / "a.grain", {"vec": bigrain.DenseField(dim=8)}, files=QuickDisk()
    ) as col:
        for part in range(2):
            col.add_vectors("vec", [f"{part}-{i}" for i in range(50)], rng.normal(size=(50, 8)))
            col.commit()
            col.search_many(list(rng.normal(size=(12, 8))))
        report = col.audit()
        assert (report.audited, report.dropped) == (12, 12)
        assert report.fields[0].reached == 1.0
        col.search_many(list(rng.normal(size=(12, 8))))
        held = col._view  # a search that still runs, say
        col.add_vectors("vec", ["more"], rng.normal(size=(1, 8)))
        col.commit()
        assert col.audit().audited == 12
        del held


def test_an_audit_that_runs_out_of_time_goes_on_the_next_time(
    path: Path, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bigrain.index.dense.READ_BYTES", 1 << 16)
    with bigrain.open(path, read_only=True) as col:
        col.search_many(topics.like(70))
        reports = []
        ticks = iter(range(10**6))
        monkeypatch.setattr(auditing.time, "monotonic", lambda: float(next(ticks)))
        while not reports or reports[-1].waiting:
            reports.append(col.audit(max_seconds=9))
            assert len(reports) < 1000
        assert len(reports) > 5
        assert sum(r.audited for r in reports) == 70
        assert sum(r.rows_read for r in reports) == 2 * N  # 64 queries and 6
        assert reports[-1].fields[0].queries == 70


def test_a_pass_that_was_begun_ends_with_its_snapshot(
    path: Path, topics: Topics, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bigrain.index.dense.READ_BYTES", 1 << 16)
    with bigrain.open(path) as original:
        original.backup(tmp_path / "copy.grain")
    with bigrain.open(tmp_path / "copy.grain", files=QuickDisk()) as col:
        col.search_many(topics.like(20))
        ticks = iter(range(10**6))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(auditing.time, "monotonic", lambda: float(next(ticks)))
            stopped = col.audit(max_seconds=9)
        assert stopped.rows_read > 0 and stopped.waiting == 20
        view = weakref.ref(col._view)
        col.delete(["0"])
        col.commit()
        assert view() is None, "the audit held a snapshot that nobody reads"
        after = col.audit()
        assert (after.audited, after.dropped, after.waiting) == (0, 20, 0)


def test_searches_and_commits_go_on_beside_the_thread(
    path: Path, topics: Topics, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auditing, "POLL_S", 0.001)
    monkeypatch.setattr(auditing, "ENOUGH", 1)
    with bigrain.open(path) as original:
        original.backup(tmp_path / "copy.grain")
    with bigrain.open(tmp_path / "copy.grain", files=QuickDisk(), audit=1.0) as col:
        for i in range(6):
            assert len(col.search_many(topics.shifted(8))) == 8
            col.delete([str(i)])
            col.commit()
            col.stats()
            col.audit(max_seconds=0.01)
        assert col._auditor.error is None


def test_a_cancelled_audit_leaves_the_collection_usable(path: Path, topics: Topics) -> None:
    def cancel(update: bigrain.ProgressUpdate) -> None:
        if update.done:
            raise bigrain.CancelledError("enough")

    with bigrain.open(path, read_only=True) as col:
        col.search_many(topics.like(70))
        with pytest.raises(bigrain.CancelledError):
            col.audit(progress=cancel)
        col.search_many(topics.like(70))
        assert col.audit().audited > 0


def test_passages_of_long_documents_count_as_their_document(tmp_path: Path) -> None:
    words = "grain wheat silo moon orbit river stone light heavy paper ink letter".split()
    rng = np.random.default_rng(1)
    chunking = bigrain.Chunking(by="sentence", max_chars=40, overlap_chars=0)
    fields = {"dense": bigrain.DenseField(encoder="bigrain/static-v1")}
    with bigrain.create(tmp_path / "a.grain", fields, chunking=chunking, files=QuickDisk()) as col:
        col.add(". ".join(" ".join(rng.choice(words, 5)) for _ in range(8)) for _ in range(60))
        col.commit()
        for word in words:
            col.search(word, k=5)
        report = col.audit()
        assert report.fields[0].queries == len(words) and report.fields[0].reached == 1.0


def test_a_field_is_audited_when_others_had_a_say(tmp_path: Path) -> None:
    with bigrain.create(tmp_path / "a.grain", files=QuickDisk()) as col:
        col.add([f"grain number {i} lies in silo {i % 7}" for i in range(300)])
        col.commit()
        for i in range(10):
            col.search(f"silo {i}")
        report = col.audit()
        assert [f.field for f in report.fields] == ["dense"]
        assert report.fields[0].queries == 10 and report.fields[0].reached > 0.9


def test_a_thread_audits_in_the_background_and_ends_with_the_handle(
    path: Path, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auditing, "POLL_S", 0.005)
    col = bigrain.open(path, read_only=True, audit=1.0)
    thread = col._auditor._thread
    assert thread is not None and thread.is_alive() and thread.daemon
    col.search_many(topics.shifted(100))
    until = time.monotonic() + 20
    while not col.stats()["fields"]["vec"]["recall"]["looks_further"]:
        assert time.monotonic() < until and col._auditor.error is None
        time.sleep(0.005)
    col.search_many(topics.shifted(100))
    col.close()  # perhaps in the middle of a pass
    assert not thread.is_alive()
    forgotten = bigrain.open(path, read_only=True, audit=True)
    thread = forgotten._auditor._thread
    assert thread is not None
    del forgotten
    thread.join(10)
    assert not thread.is_alive() and thread not in threading.enumerate()


@pytest.mark.parametrize("audit", [-1, 2, "yes", float("nan"), None])
def test_bad_arguments_are_refused(path: Path, audit: Any) -> None:
    with pytest.raises(bigrain.ConfigError, match="audit="):
        bigrain.open(path, audit=audit)
    with bigrain.open(path, read_only=True) as col:
        for seconds in (0, -1, "10", True, float("nan")):
            with pytest.raises(bigrain.errors.InvalidInputError, match="max_seconds"):
                col.audit(seconds)
        with pytest.raises(bigrain.errors.InvalidInputError, match="queries is empty"):
            col.audit(queries=[])
    with pytest.raises(bigrain.ClosedError):
        col.audit()


def test_waiting_samples_are_bounded_and_the_newest_are_likeliest(
    path: Path, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    with bigrain.open(path, read_only=True) as col:
        sampler = col._auditor.sampler = Sampler(seed=1)
        monkeypatch.setattr("bigrain.search.sampling.MOST", 16)
        for number in range(1, 7):
            sampler._left = 0
            col.search_many(topics.like(100), k=number, arrays=True)
        ages = [6 - sample.k for sample in sampler.take_all()]
        assert len(ages) == 16
        assert np.mean(ages) < 2


# -- parts ----------------------------------------------------------------------------------------


def test_gaps_and_ranks_are_those_of_the_search(path: Path, topics: Topics) -> None:
    with bigrain.open(path, read_only=True) as col:
        index = col._view.fields["vec"].index
        queries = np.stack(topics.like(5))
        truths = index.exact(queries, 100, None)
        live = measured(index, queries, truths)
        for q, query in enumerate(queries):
            every = index.candidates([query], Effort(index.n_rows), None)[0].units.tolist()
            wanted = truths[q].units[DEPTHS - 1].tolist()
            assert live.ranks[q].tolist() == [every.index(unit) + 1 for unit in wanted]
            near = live.gaps[q] <= 0.4
            found = index.candidates([query], Effort(index.n_rows, 0.4), None)[0].units
            assert set(np.array(wanted)[near]) <= set(found.tolist())


def test_live_queries_are_one_more_kind_that_must_reach_the_recall() -> None:
    easy = Calibration(
        np.full((400, 19), 0.1, np.float32), np.full((400, 19), 12, np.int32),
        np.linspace(0, 1, 81, dtype=np.float32),
    )  # fmt: skip
    hard = LiveQueries(np.full((64, 19), 0.9, np.float32), np.full((64, 19), 300, np.int64))
    hard.ranks[:32] = NEVER
    alone, both = easy.effort(0.5, 10, 10**6), easy.effort(0.4, 10, 10**6, hard)
    assert (alone.n, both.n) == (17, 300) and alone.margin < 0.2 and 0.89 < both.margin < 0.93
    assert easy.effort(0.9, 10, 10**6, hard) == Effort(10**6)  # half are found nowhere
    assert Calibration.unknown().effort(0.4, 10, 10**6, hard).n == 300


def test_many_live_queries_take_the_place_of_the_guesses() -> None:
    guessed = Calibration(
        np.full((400, 19), 0.9, np.float32), np.full((400, 19), 300, np.int32),
        np.linspace(0, 1, 81, dtype=np.float32),
    )  # fmt: skip
    easy = [
        LiveQueries(np.full((m, 19), 0.2, np.float32), np.full((m, 19), 25, np.int64))
        for m in (DECISIVE - 1, DECISIVE)
    ]
    few, many = (guessed.effort(0.9, 10, 10**6, live) for live in easy)
    assert few == guessed.effort(0.9, 10, 10**6) and few.n > 300
    assert many.n == 25 and 0.19 < many.margin < 0.23


@given(st.lists(st.integers(0, 10), min_size=1, max_size=200))
def test_the_interval_holds_the_mean_and_narrows_with_queries(found: list[int]) -> None:
    shares = np.array(found) / 10
    mean, low, high = mean_share_interval(shares, 10)
    assert 0 <= low <= mean + 1e-9 and mean - 1e-9 <= high <= 1 and low < high
    _, lower, higher = mean_share_interval(np.tile(shares, 9), 10)
    assert higher - lower < high - low + 1e-12


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(400):
        shares = rng.binomial(10, rng.beta(19, 1, 60)) / 10  # queries differ; 0.95 on average
        _, low, high = mean_share_interval(shares, 10)
        inside += low <= 0.95 <= high
    assert 0.92 <= inside / 400 <= 0.99
