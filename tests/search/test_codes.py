"""Dense fields with every kind of code: built, searched, reopened, merged, measured, repaired."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bigrain
from bigrain.codecs import partition
from bigrain.index import coded_writing
from bigrain.index.base import View
from bigrain.index.dense import DenseIndex
from bigrain.progress import reporting
from bigrain.testing.invariants import check_grains

DIM = 24
CODES: list[dict[str, Any]] = [
    {"bits": 2}, {"bits": 4, "light_bytes": 9}, {"bits": 8}, {"code": "sign"},
    {"code": "recurrent", "bits": 3, "light_bytes": 6}, {"code": "scalar", "bits": 4},
    {"code": "scalar"}, {"code": "pq", "light_bytes": 6}, {"code": "opq", "light_bytes": 4},
    {"code": "additive", "light_bytes": 4}, {"bits": 2, "light_bytes": 5, "reduction": "prefix"},
    {"light_bytes": 2, "reduction": "leanvec"},
]  # fmt: skip


def clustered(n: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(7).normal(size=(12, DIM)) * 2
    return (centres[rng.integers(0, 12, n)] + rng.normal(size=(n, DIM))).astype(np.float32)


@pytest.mark.parametrize(
    ("code", "metric"),
    [(code, ("cosine", "l2", "ip")[i % 3]) for i, code in enumerate(CODES)],
    ids=[str(code) for code in CODES],
)
def test_every_code_finds_what_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: dict[str, Any], metric: str
) -> None:
    """In lists and without, across segments, after reopening and compacting."""
    monkeypatch.setattr(partition, "FLAT_BELOW", 1500)
    field = bigrain.DenseField(dim=DIM, metric=metric, **code)
    path, vectors, queries = tmp_path / "docs.grain", clustered(2600), list(clustered(40, 1))
    with bigrain.create(path, {"vec": field}) as col:
        for start, stop in ((0, 2000), (2000, 2600)):
            col.add_vectors("vec", [str(i) for i in range(start, stop)], vectors[start:stop])
            col.commit()
        col.delete([str(i) for i in range(0, 2600, 13)])
        col.commit()
    with bigrain.open(path) as col:
        assert col.fields["vec"] == field
        segments = [v.segment for v in col._require_open().fields["vec"].index.views]
        assert [s.partition.n_lists > 1 for s in segments] == [True, False]
        for compacted in (False, True):
            if compacted:
                col.compact()
            truth, _ = col.search_many(queries, k=10, recall=1, arrays=True)
            found, _ = col.search_many(queries, k=10, recall=0.9, arrays=True)
            shares = [len(set(a) & set(b)) / 10 for a, b in zip(truth, found, strict=True)]
            assert np.mean(shares) >= 0.9
            check_grains(col)
            assert not col.verify().problems


def test_segments_of_different_codes_are_searched_as_one(tmp_path: Path) -> None:
    """Each segment is read by what it says of itself."""
    vectors, views, specs = clustered(900), [], []
    for i, code in enumerate(CODES[:9]):
        field = bigrain.DenseField(dim=DIM, metric="ip", **code)
        path = tmp_path / f"{i}.grain"
        with bigrain.create(path, {"vec": field}) as col:
            part = vectors[100 * i : 100 * i + 100]
            col.add([{"id": str(n), "text": ""} for n in range(100 * i)])  # numbers before it
            col.add_vectors("vec", [f"v{n}" for n in range(100)], part)
            col.commit()
            view = col._require_open().fields["vec"].index.views[0]
            views.append(view)
            specs.append(view.segment.spec)
        views[-1] = View(reopened(path, specs[0]), None, 100)
    index = DenseIndex(specs[0], views)
    queries = clustered(10, 1)
    found = index.candidates(queries, bigrain.index.effort.Effort(200), None)
    for query, ranked in zip(queries, found, strict=True):
        best = np.argsort(-(vectors @ query))[:10]
        assert len(set(best.tolist()) & set(ranked.units.tolist())) >= 9


def reopened(path: Path, spec: Any) -> Any:
    from bigrain.index.dense import DenseSegment
    from bigrain.storage.files import Disk
    from bigrain.storage.segment import SegmentFile

    (file,) = (path / "segments").glob("*vec*.seg*")
    return DenseSegment(spec, SegmentFile(Disk(), file))


@pytest.mark.parametrize("code", ["opq", "additive", "sign", "rabitq"])
def test_codes_are_made_again_from_the_vectors(tmp_path: Path, code: str) -> None:
    """A damaged codec or code costs nothing but the time to repair it."""
    field = bigrain.DenseField(dim=DIM, code=code, light_bytes=3)
    path, vectors = tmp_path / "docs.grain", clustered(300)
    with bigrain.create(path, {"vec": field}) as col:
        col.add_vectors("vec", [str(i) for i in range(300)], vectors)
        col.commit()
    (file,) = (path / "segments").glob("*vec*.seg*")
    data = bytearray(file.read_bytes())
    from bigrain.storage.files import Disk
    from bigrain.storage.segment import SegmentFile

    opened = SegmentFile(Disk(), file)
    names = [n for n in opened.sections if n.startswith("codec_")] + ["blocks"]
    for name in names:
        data[opened.sections[name].offset] ^= 0xFF
    opened.close()
    file.chmod(0o644)
    file.write_bytes(data)
    with pytest.raises(bigrain.DamagedError):
        with bigrain.open(path) as col:
            col.search(vectors[0], k=1)
    bigrain.repair(path)
    with bigrain.open(path) as col:
        assert col.search(vectors[5], k=1)[0].id == "5"
        check_grains(col)


def test_a_codec_is_kept_while_it_suits_and_trusted_only_after_enough_vectors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coded_writing, "TRUSTED_FIT_ROWS", 500)
    field = bigrain.DenseField(dim=DIM, code="opq", light_bytes=4)
    vectors = clustered(1900)
    with bigrain.create(tmp_path / "docs.grain", {"vec": field}) as col:
        for start, stop in ((0, 100), (100, 900), (900, 1900)):
            col.add_vectors("vec", [str(i) for i in range(start, stop)], vectors[start:stop])
            col.commit()
        views = col._require_open().fields["vec"].index.views
        first, second, third = (view.segment.codec for view in views)
        assert first.id != second.id == third.id
        assert (first.fitted_on, third.fitted_on) == (100, 800)


@pytest.mark.parametrize(
    ("settings", "light_bytes"),
    [({}, 48), ({"bits": 2}, 96), ({"bits": 2, "light_bytes": 48}, 48), ({"code": "opq"}, 48),
     ({"code": "scalar"}, 384), ({"dim": 4, "bits": 8}, 4), ({"dim": 1, "code": "pq"}, 1)],
)  # fmt: skip
def test_the_size_of_a_code(settings: dict[str, Any], light_bytes: int) -> None:
    assert bigrain.DenseField(**settings).light_bytes == light_bytes


def test_usual_settings_are_not_written_down() -> None:
    """So that collections made before there was a choice, and after, say the same."""
    plain = bigrain.DenseField(dim=8)
    assert "code" not in plain.to_dict() and "bits" not in plain.to_dict()
    for field in (plain, bigrain.DenseField(code="recurrent"), bigrain.DenseField(bits=3),
                  bigrain.DenseField(code="opq", light_bytes=16, reduction="prefix")):  # fmt: skip
        assert bigrain.config.field_from_dict(field.to_dict()) == field


def test_a_reduction_fitted_to_queries_outlives_merges(tmp_path: Path) -> None:
    """Later segments and compaction have no queries: they keep what was fitted to some."""
    field = bigrain.DenseField(dim=DIM, metric="ip", light_bytes=2, reduction="leanvec")
    vectors, queries = clustered(1200), clustered(200, 1)
    with bigrain.create(tmp_path / "docs.grain", {"vec": field}) as col:

        def frames() -> list[Any]:
            views = col._require_open().fields["vec"].index.views
            return [view.segment.codec.frame for view in views]

        def add(start: int, stop: int) -> None:
            col.add_vectors("vec", [str(i) for i in range(start, stop)], vectors[start:stop])
            col.commit()

        add(0, 400)
        plain = frames()[0]
        assert plain.n_queries == 0
        with reporting(None) as reporter:
            col._recode(col._opened.families["vec"].recoded(field, queries), reporter)
        fitted = frames()[0]
        assert fitted.n_queries == 200
        assert not np.allclose(fitted.projection, plain.projection)
        add(400, 1200)
        col.compact()
        assert [frame.n_queries for frame in frames()] == [200]
        assert np.array_equal(frames()[0].projection, fitted.projection)
        assert len(col) == 1200 and col.verify().ok
