"""`tune`: what it measures holds on other queries, and what it chooses is applied whole."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bigrain
from bigrain import budget
from bigrain.codecs import partition
from bigrain.errors import InvalidInputError, InvalidQueryError, UnknownFieldError
from bigrain.families import dense
from bigrain.index.dense import DenseIndex
from bigrain.testing import FaultyFiles, QuickDisk
from bigrain.tuning import trials
from bigrain.tuning import tune as tuning
from bigrain.tuning.frontier import Whole

N, DIM = 1500, 64
ALTERNATIVES = dense.DenseFamily.alternatives


def vectors_and_queries() -> tuple[np.ndarray, list[Any]]:
    """Variance falls from dimension to dimension, as in embeddings; queries lie off documents."""
    rng = np.random.default_rng(5)
    shape = 1 / np.sqrt(np.arange(1, DIM + 1))
    vectors = rng.normal(size=(N, DIM)) * shape
    queries = vectors[rng.integers(0, N, 240)] + 0.4 * rng.normal(size=(240, DIM)) * shape
    return vectors.astype(np.float32), list(queries.astype(np.float32))


VECTORS, QUERIES = vectors_and_queries()


def plain_fields(family: Any, queries: bool = False) -> list[Any]:
    """Three sizes of the usual code."""
    others = [bigrain.DenseField(dim=DIM, light_bytes=n) for n in (2, 4, 8)]
    return [family.spec, *(f for f in others if f != family.spec)]


def alternatives(field: Any, queries: bool = False) -> list[Any]:
    return ALTERNATIVES(dense.DenseFamily("vec", field), queries=queries)


@pytest.fixture
def col(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setattr(tuning, "SETTINGS", (0.8, 0.99))
    monkeypatch.setattr(dense.DenseFamily, "alternatives", plain_fields)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    fields = {"vec": bigrain.DenseField(dim=DIM)}
    with bigrain.create(tmp_path / "a.grain", fields, files=QuickDisk()) as made:
        made.add_vectors("vec", [str(i) for i in range(N)], VECTORS)
        made.commit()
        yield made
    assert [p.name for p in tmp_path.iterdir()] == ["a.grain"], "a trial was left"


@pytest.fixture
def little_memory(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Budgets counted in kilobytes: gives the one that leaves so much for codes."""
    for module, name in (
        (budget, "MINIMUM"), (budget, "LEAST_SHARED"),
        (dense, "FITTING_BYTES"), (dense, "FITTING_BYTES_SQUARED"),
    ):  # fmt: skip
        monkeypatch.setattr(module, name, 0)
    return lambda n_bytes: budget.ENGINE + n_bytes * 100 // budget.LIGHT + 2


def recall_of(col: Any, queries: list[Any], setting: float) -> float:
    truth, _ = col.search_many(queries, recall=1.0, arrays=True)
    found, _ = col.search_many(queries, recall=setting, arrays=True)
    both = (len(set(a) & set(b)) for a, b in zip(found, truth, strict=True))
    return sum(both) / truth.size


def test_the_table_tells_what_recall_costs(col: Any) -> None:
    report = col.tune(recall=0.93, queries=QUERIES[:60])
    assert [r.setting for r in report.rows[:3]] == [0.8, 0.93, 0.99]
    assert {r.field.light_bytes for r in report.rows} == {2, 4, 8}
    assert not report.extrapolated and report.queries == 60 and report.rows_tried == N
    assert "60 queries that were given" in report.measured()
    for size in (2, 4, 8):
        rows = [r for r in report.rows if r.field.light_bytes == size]
        assert all(r.low <= r.reached <= r.high for r in rows)
        assert rows[-1].reached > 0.94 and rows[0].reached < rows[-1].reached
    by_size = {r.field.light_bytes: r for r in report.rows if r.setting == 0.99}
    assert by_size[2].bytes_in_memory < by_size[4].bytes_in_memory < by_size[8].bytes_in_memory
    assert min(by_size[2].candidates, by_size[4].candidates) > by_size[8].candidates
    light = col.stats()["fields"]["vec"]["light_bytes_in_memory"]
    assert by_size[8].bytes_in_memory == light
    enough = [r for r in report.rows if r.surely >= 0.93]
    assert report.chosen == min(enough, key=lambda r: r.microseconds)
    assert report.field == report.chosen.field and not report.applied
    assert col.fields["vec"].light_bytes == 8 and col.snapshot == 1, "nothing was to be changed"
    told = report.to_dict()
    assert told["chosen"]["setting"] == report.chosen.setting and len(told["rows"]) == 9


def test_what_fits_the_memory_is_chosen_applied_and_holds(col: Any, little_memory: Any) -> None:
    report = col.tune(
        recall=0.93, memory_budget_bytes=little_memory(N * 6), queries=QUERIES[:100], apply=True
    )
    assert report.applied and report.snapshot == col.snapshot == 2
    size = report.field.light_bytes
    assert size in (2, 4) and col.fields["vec"].light_bytes == size  # and 2 beside the code
    assert report.chosen.bytes_in_memory == col.stats()["fields"]["vec"]["light_bytes_in_memory"]
    assert report.chosen.bytes_in_memory <= report.light_bytes_allowed
    fresh = recall_of(col, QUERIES[100:], report.chosen.setting)
    assert fresh >= min(0.93, report.chosen.low) - 0.01
    again = col.tune(recall=0.93, memory_budget_bytes=little_memory(N * 6), queries=QUERIES[:100])
    assert {r.field.light_bytes for r in again.rows} == {2, 4, 8}, "from the originals"
    with bigrain.open(col.path, read_only=True) as other:
        assert other.fields["vec"].light_bytes == size


def test_what_cannot_be_held_is_said_with_the_nearest(col: Any, little_memory: Any) -> None:
    tiny = little_memory(N)
    report = col.tune(recall=0.93, memory_budget_bytes=tiny, queries=QUERIES[:40])
    assert report.chosen is None and report.field.light_bytes == 2
    assert "no code that fits reaches recall 0.93. The nearest takes" in report.verdict()
    need = report.budget_needed
    assert f"memory_budget_bytes={need:,}" in report.verdict()
    enough = col.tune(recall=0.93, memory_budget_bytes=need, queries=QUERIES[:40])
    assert enough.chosen is not None and enough.field.light_bytes == 2
    with pytest.raises(bigrain.BudgetError, match="nothing was changed"):
        col.tune(recall=0.93, memory_budget_bytes=tiny, queries=QUERIES[:40], apply=True)
    assert col.snapshot == 1 and col.fields["vec"].light_bytes == 8


def test_other_codes_are_tried_and_fitted_to_queries(col: Any) -> None:
    tried = alternatives(col.fields["vec"])
    assert {f.code for f in tried} == {"rabitq", "opq"}
    assert {f.reduction for f in tried} == {"pca"} and len(set(tried)) == len(tried)
    more = set(alternatives(col.fields["vec"], queries=True)) - set(tried)
    assert {(f.code, f.light_bytes, f.reduction) for f in more} == {
        ("rabitq", n, "leanvec") for n in (2, 4, 6)
    }
    for field in (bigrain.DenseField(dim=DIM, reduction=r) for r in ("prefix", "leanvec")):
        others = [f for f in alternatives(field) if f != field]
        assert {f.reduction for f in others} == {"prefix" if field.reduction == "prefix" else "pca"}
    assert {f.code for f in alternatives(bigrain.DenseField(dim=1))} == {"rabitq", "opq"}


@pytest.mark.parametrize("metric", ["cosine", "l2"])
@pytest.mark.parametrize("lists", [False, True])
def test_bytes_in_memory_are_foretold_of_every_code(
    col: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, metric: str, lists: bool
) -> None:
    monkeypatch.setattr(partition, "FLAT_BELOW", 300 if lists else 1000)
    index = col._view.fields["vec"].index
    for settings in ({}, {"bits": 3, "light_bytes": 5}, {"code": "opq", "light_bytes": 5}):
        family = dense.DenseFamily("vec", bigrain.DenseField(dim=DIM, metric=metric, **settings))
        some = trials.sample_rows(index.views, 333, 0, 0)
        trial = trials.make_trial(
            family, family.spec, index, some, QuickDisk(), tmp_path, 1 << 22, None
        )
        assert trial.file is not None
        foretold = Whole(DenseIndex(family._segment_spec, some.searched), trial.index)
        assert foretold.bytes_as(trial) == trial.index.views[0].segment.memory_bytes
        trial.file.close()
        (tmp_path / trial.file.name).unlink()


def test_a_sample_foretells_what_all_rows_take(
    col: Any, monkeypatch: pytest.MonkeyPatch, little_memory: Any
) -> None:
    monkeypatch.setattr(partition, "FLAT_BELOW", 1200)
    col.compact()
    col.add_vectors("vec", ["again"], VECTORS[:1])
    col.commit()
    col.compact()  # into lists
    report = col.tune(recall=0.9, queries=QUERIES[:100], trial_rows=1000)
    assert report.extrapolated and 800 < report.rows_tried < 1200
    assert "extrapolated" in report.measured()
    foretold = {r.setting: r for r in report.rows if r.field.light_bytes == 4}
    present = {r.setting: r for r in report.rows if r.field.light_bytes == 8}
    assert present[0.99].bytes_in_memory == light_bytes(col)
    found = recall_of(col, QUERIES[100:], 0.9)
    assert present[0.9].low - 0.03 <= found <= present[0.9].high + 0.03
    applied = col.tune(
        recall=0.9, queries=QUERIES[:100], trial_rows=1000, apply=True,
        memory_budget_bytes=little_memory(int(1.05 * foretold[0.9].bytes_in_memory)),
    )  # fmt: skip
    size = applied.field.light_bytes
    assert applied.applied and size in (2, 4)
    foretold = {r.setting: r for r in report.rows if r.field.light_bytes == size}
    actual = {r.setting: r for r in applied.rows if r.field.light_bytes == size}
    assert abs(foretold[0.9].bytes_in_memory / light_bytes(col) - 1) < 0.02
    for setting in (0.8, 0.9):
        assert 0.2 < foretold[setting].candidates / actual[setting].candidates < 5
        assert abs(foretold[setting].reached - actual[setting].reached) < 0.08


def light_bytes(col: Any) -> int:
    found: int = col.stats()["fields"]["vec"]["light_bytes_in_memory"]
    return found


def test_queries_come_from_live_ones_or_stored_vectors(
    col: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dense.DenseFamily, "alternatives", lambda family, queries: [family.spec])
    report = col.tune()
    assert "stored vectors and means of two or three" in report.queries_from
    assert report.asked == 0.95 and report.rows_tried + 100 < N
    assert col._auditor.sampler.n_waiting("vec") == 0, "its own searches are no live queries"
    col.search_many(QUERIES[:100])
    col.audit()
    assert "100 audited queries of this handle" in col.tune().queries_from


def test_texts_are_encoded_as_queries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "SETTINGS", (0.8,))
    monkeypatch.setattr(dense.DenseFamily, "alternatives", lambda family, queries: [family.spec])
    with bigrain.create(tmp_path / "a.grain", files=QuickDisk()) as col:
        col.add([f"grain number {i} lies in silo {i * i % 31}" for i in range(300)])
        col.commit()
        report = col.tune(queries=[f"silo {i}" for i in range(30)], k=5)
        assert report.name == "dense" and report.k == 5 and report.queries == 30


def test_a_cancelled_tune_changes_nothing(col: Any) -> None:
    for stage in ("coding", "true", "measuring"):

        def cancel(update: bigrain.ProgressUpdate, stage: str = stage) -> None:
            if update.stage.startswith(stage):
                raise bigrain.CancelledError("enough")

        with pytest.raises(bigrain.CancelledError):
            col.tune(queries=QUERIES[:40], apply=True, progress=cancel)
        assert col.snapshot == 1


def test_a_full_disk_leaves_no_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    files = FaultyFiles(QuickDisk(), only="write vec-")
    with bigrain.create(
        tmp_path / "a.grain", {"vec": bigrain.DenseField(dim=DIM)}, files=files
    ) as col:
        col.add_vectors("vec", [str(i) for i in range(300)], VECTORS[:300])
        col.commit()
        files.fail_at = files.count + 1
        with pytest.raises(bigrain.StorageError):
            col.tune(queries=QUERIES[:40])
        assert [p.name for p in tmp_path.iterdir()] == ["a.grain"]


def test_bad_arguments_are_refused(col: Any) -> None:
    for arguments, error, told in (
        ({"recall": 1}, InvalidInputError, "above 0 and below 1"),
        ({"recall": "0.9"}, InvalidInputError, "recall='0.9'"),
        ({"k": 0}, InvalidInputError, "k=0"),
        ({"trial_rows": 10}, InvalidInputError, "trial_rows=10"),
        ({"queries": QUERIES[:3]}, InvalidQueryError, "at least 20"),
        ({"queries": "a question"}, InvalidQueryError, "a list"),
        ({"queries": ["this", "that"] * 30}, InvalidQueryError, "2 different queries"),
        ({"queries": [f"question {i}" for i in range(30)]}, InvalidQueryError, "no encoder"),
        (
            {"field": "lex"},
            UnknownFieldError,
            "no dense or multi-vector field 'lex'; there are vec",
        ),
        ({"memory_budget_bytes": 1}, bigrain.ConfigError, "too small"),
    ):
        with pytest.raises(error, match=told):
            col.tune(**arguments)
    with bigrain.open(col.path, read_only=True) as reader:
        with pytest.raises(bigrain.ReadOnlyError):
            reader.tune(apply=True)
    col.delete(["1"])
    with pytest.raises(bigrain.PendingChangesError):
        col.tune(queries=QUERIES[:40], apply=True)
    col.delete([str(i) for i in range(150, N)])
    col.commit()
    with pytest.raises(InvalidInputError, match="149 rows; at least 200"):
        col.tune(queries=QUERIES[:40])


@given(st.integers(0, 1000), st.integers(0, 500), st.integers(0, 99))
def test_rows_are_drawn_once_and_only_live_ones(
    some: Any, n_searched: int, n_asked: int, seed: int
) -> None:
    def units_of(views: Any) -> np.ndarray:
        parts = (view.segment.units.units(view.live_rows()) for view in views)
        return np.concatenate([np.empty(0, np.int64), *parts])

    sampled = trials.sample_rows(some.views, n_searched, n_asked, seed)
    searched = units_of(sampled.searched)
    assert sampled.n_searched == len(searched)
    both = np.concatenate((searched, sampled.asked))
    assert len(np.unique(both)) == len(both) and np.isin(both, units_of(some.views)).all()
    if n_asked == 0 and n_searched >= some.n_rows:
        assert len(both) == some.n_rows
    left = trials.without(some, sampled.asked)
    assert not np.isin(sampled.asked, units_of(left.views)).any()
    assert len(units_of(left.views)) == left.n_rows == some.n_rows - len(sampled.asked)


@pytest.fixture(scope="module")
def some(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """An index of two segments, every seventh row deleted in one of them."""
    path = tmp_path_factory.mktemp("some") / "a.grain"
    with bigrain.create(path, {"vec": bigrain.DenseField(dim=8)}, files=QuickDisk()) as col:
        for part in range(2):
            col.add_vectors("vec", [f"{part}-{i}" for i in range(200)], VECTORS[:200, :8])
            col.commit()
        col.delete([f"1-{i}" for i in range(0, 200, 7)])
        col.commit()
        yield col._view.fields["vec"].index


def test_codes_of_token_vectors_are_tuned_and_applied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuning, "SETTINGS", (0.8, 0.95))
    rng = np.random.default_rng(3)
    topics = rng.normal(size=(40, 16))
    counts = rng.integers(1, 9, 600)
    tokens = topics[rng.integers(0, 40, counts.sum())] + 0.5 * rng.normal(size=(counts.sum(), 16))
    tokens = (tokens / np.linalg.norm(tokens, axis=1)[:, None]).astype(np.float32)
    ragged = (tokens, np.concatenate(([0], np.cumsum(counts))))
    queries = [tokens[a : a + 4] for a in rng.integers(0, len(tokens) - 4, 80)]
    fields = {"tok": bigrain.MultiVectorField(dim=16, light_bytes=2, heavy="float32")}
    with bigrain.create(tmp_path / "a.grain", fields, files=QuickDisk()) as col:
        col.add_vectors("tok", [str(i) for i in range(600)], ragged)
        col.commit()
        truth, scores = col.search_many(queries, recall=1.0, arrays=True)
        report = col.tune(recall=0.9, queries=queries)
        assert {r.field.light for r in report.rows} == {"mean", "regression", "fde"}
        assert "80 queries that were given, one half" in report.measured()
        assert "light='" in report.verdict() and report.to_dict()["field"]["light"]
        of_present = {r.setting: r for r in report.rows if r.field.light_bytes == 2}
        assert of_present[0.95].reached >= of_present[0.8].reached
        own = col.tune(recall=0.9)
        assert "stretches of up to 12 stored tokens" in own.queries_from
        applied = col.tune(recall=0.9, queries=queries, apply=True)
        assert applied.applied and col.fields["tok"] == applied.field
        light = col.stats()["fields"]["tok"]["light_bytes_in_memory"]
        assert {r.bytes_in_memory for r in applied.rows if r.field == applied.field} == {light}
        again, same = col.search_many(queries, recall=1.0, arrays=True)
        np.testing.assert_array_equal(same, scores)
        found, _ = col.search_many(queries, recall=applied.chosen.setting, arrays=True)
        share = np.mean([len(set(a) & set(b)) for a, b in zip(found, truth, strict=True)]) / 10
        assert share >= applied.chosen.low - 0.02
        with pytest.raises(bigrain.ConfigError, match="what its originals are"):
            col._opened.families["tok"].recoded(bigrain.MultiVectorField(dim=16, heavy="int8"))
    with bigrain.open(tmp_path / "a.grain", read_only=True) as col:
        assert col.fields["tok"] == applied.field and not col.verify().problems
